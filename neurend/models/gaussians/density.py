"""Gaussians that come to be where they are needed, in a fixed number of places; pure functions of fixed shapes."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import rotations
from neurend.scenes.gaussians import Gaussians
from neurend.typing import Array, Key

# Nodes of the integral along a ray through a Gaussian, in standard deviations; its ends are as good as infinite.
_NODES = np.linspace(-6, 6, 49, dtype=np.float32)
# Children of a Gaussian that is split are smaller by this (Kerbl et al., 2023).
_SPLIT = 1.6
# Opacity after a reset.
_RESET = 0.01


class Changed(NamedTuple):
    """Gaussians after a change, and bool [N], which are no longer what they were."""

    gaussians: Gaussians
    fresh: Array


def relocate(key: Key, gaussians: Gaussians, *, faintest: float) -> Changed:
    """Moves faint Gaussians and those that are not live to where others are (Kheradmand et al., 2024).

    One that is joined by n - 1 others shares with them: their opacities o give (1 - o)^n = 1 - its own, and they become
    as much smaller as keeps the mean of the alpha along a line through the middle, so that the picture hardly changes.

    Args:
        key: of which are joined; those more opaque are joined more often.
        gaussians: [N].
        faintest: opacity below which one is moved.
    """
    count = gaussians.live.shape[0]
    opacity = jnp.where(gaussians.live, gaussians.opacities, 0)
    idle = opacity <= faintest
    chances = jnp.cumsum(jnp.where(idle, 0, opacity))
    drawn = chances[-1] * (1 - jax.random.uniform(key, (count,)))
    source = jnp.clip(jnp.searchsorted(chances, drawn), 0, count - 1)
    moved = idle & (chances[-1] > 0)
    together = jnp.ones(count).at[source].add(jnp.where(moved, 1.0, 0.0))
    new, factor = shared(opacity, together)
    wide = gaussians.log_scales + jnp.where(together > 1, jnp.log(factor), 0)[:, None]
    logits = jnp.where(together > 1, _logit(jnp.maximum(new, 1.01 * faintest)), gaussians.logits)
    shrunk = dataclasses.replace(gaussians, log_scales=wide, logits=logits, live=gaussians.live | moved)
    taken = jnp.where(moved, source, jnp.arange(count))
    return Changed(jax.tree.map(lambda leaf: leaf[taken], shrunk), moved | (together > 1))


def shared(opacity: Array, together: Array) -> tuple[Array, Array]:
    """Opacity of each of `together` equal Gaussians that replace one, and the factor of its deviations.

    Both [N], as are the arguments. With a Gaussian's profile g along a line through its middle, the integral of
    1 - (1 - o g)^n must be that of its opacity times g. It is taken numerically: its series alternates and cancels.
    """
    new = -jnp.expm1(jnp.log1p(-jnp.minimum(opacity, 1 - 1e-6)) / together)
    profile = np.exp(-0.5 * _NODES**2)
    hidden = -jnp.expm1(together[..., None] * jnp.log1p(-new[..., None] * profile[None]))
    whole = jnp.sum(hidden, axis=-1)
    factor = opacity * float(profile.sum()) / jnp.maximum(whole, 1e-12)
    return new, jnp.where(whole > 0, factor, 1)


def wander(key: Key, gaussians: Gaussians, *, rate: Array, faintest: float) -> Array:
    """Where the means [N 3] are after a random step, long for faint Gaussians and short for others.

    Its covariance is the square of the Gaussian's own, times `rate` squared (Kheradmand et al., 2024).
    """
    loose = jax.nn.sigmoid(-100 * (gaussians.opacities - faintest))
    noise = jax.random.normal(key, gaussians.means.shape) * (rate * loose)[:, None]
    covariances = gaussians.covariances
    return gaussians.means + sum(covariances[..., k] * noise[:, k, None] for k in range(3))


def densify(key: Key, gaussians: Gaussians, pull: Array, *, least: float, large: Array, faintest: float) -> Changed:
    """Prunes faint Gaussians, and clones or splits those that are pulled, as far as places are free.

    After Kerbl et al. (2023), with a bound on their number. Those that are pulled most come first. Small ones are
    cloned where they are; large ones become two smaller ones at random places within them.

    Args:
        key: of these places.
        gaussians: [N].
        pull: [N] mean length of the gradient by the place in the picture.
        least: pull from which there are too few.
        large: [] largest standard deviation of those that are cloned.
        faintest: opacity below which one is pruned.
    """
    count = gaussians.live.shape[0]
    live = gaussians.live & (gaussians.opacities >= faintest)
    wanted = live & (pull >= least)
    # The j-th that is wanted goes to the j-th free place.
    order = jnp.argsort(jnp.where(wanted, -pull, jnp.inf))
    places = jnp.argsort(live, stable=True)
    pairs = jnp.minimum(jnp.sum(wanted), jnp.sum(~live))
    used = jnp.arange(count) < pairs
    source = jnp.arange(count).at[jnp.where(used, places, count)].set(order, mode='drop')
    born = jnp.zeros(count, bool).at[jnp.where(used, places, count)].set(True, mode='drop')
    parent = jnp.zeros(count, bool).at[jnp.where(used, order, count)].set(True, mode='drop')
    made = jax.tree.map(lambda leaf: leaf[source], dataclasses.replace(gaussians, live=live))
    deviations = jnp.exp(made.log_scales)
    split = (born | parent) & (jnp.max(deviations, axis=-1) > large)
    axes = rotations.matrix_from_quaternion(made.rotations)
    step = deviations * jax.random.normal(key, made.means.shape)
    offset = sum(axes[..., k] * step[:, k, None] for k in range(3))
    means = jnp.where(split[:, None], made.means + offset, made.means)
    scales = jnp.where(split[:, None], made.log_scales - np.log(_SPLIT), made.log_scales)
    return Changed(dataclasses.replace(made, means=means, log_scales=scales), born | split)


def faded(gaussians: Gaussians) -> Gaussians:
    """With opacities of at most 0.01, from which those that are needed recover."""
    return dataclasses.replace(gaussians, logits=jnp.minimum(gaussians.logits, _logit(jnp.float32(_RESET))))


def _logit(p: Array) -> Array:
    return jnp.log(p) - jnp.log1p(-p)
