"""The networks of Scene Representation Networks put together: from codes and rays to colours and depths."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend.geometry.intersect import ray_sphere
from neurend.geometry.rays import Rays
from neurend.models.srn import march
from neurend.models.srn.config import SRNConfig
from neurend.nn import encodings
from neurend.nn.hypernetwork import Hypernetwork, Layers, NormedMLP, apply_normed
from neurend.numerics import safe_norm
from neurend.typing import Array, Key, PyTree

_DEPTH, _DEPTH_NOISE = 0.05, 5e-4


class Ball(NamedTuple):
    """The ball around what there is to see: the scene function's coordinates are those of its unit ball.

    Attributes:
        center: in the world.
        radius: in world units. 1 about the origin leaves coordinates as they are, as published.
    """

    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 1.0


def init(key: Key, config: SRNConfig, instances: int) -> dict[str, PyTree]:
    """Parameters of the networks.

    Args:
        key: random key.
        config: see there.
        instances: how many have codes; 0 for a single scene, whose function is learned itself, without hypernetwork.

    Returns:
        {'marcher', 'generator'}, and {'codes': [instances c], 'hypernetwork'} or {'field'}.
    """
    keys = jax.random.split(key, 4)
    params: dict[str, PyTree] = {
        'marcher': march.init(keys[0], config.width, config.marcher_width),
        'generator': _generator(config).init(keys[1], jnp.zeros((1, config.width)))['params'],
    }
    if not instances:
        params['field'] = _field(config).init(keys[2], jnp.zeros((1, config.sizes[0][0])))['params']
        return params
    codes = config.code_scale * jax.random.normal(keys[3], (instances, config.code_size))
    return params | {'codes': codes, 'hypernetwork': _hypernetwork(config).init(keys[2], codes[:1])['params']}


def layers(config: SRNConfig, params: PyTree, codes: Array) -> Layers:
    """The scene functions of codes `i c`, made by the hypernetwork."""
    return _apply(_hypernetwork(config), params['hypernetwork'], codes)


def features(config: SRNConfig, params: PyTree, made: Layers | None, points: Array) -> Array:
    """The scene function at points of the unit ball.

    Args:
        config: see there.
        params: of `init`.
        made: of `layers`, for i instances; None for a single scene.
        points: `i r 3`.

    Returns:
        `i r w`.
    """
    coded = encodings.fourier(points, degrees=config.frequencies)
    if made is None:
        return _apply(_field(config), params['field'], coded)
    return apply_normed(made, coded)


def trace(
    key: Key | None, config: SRNConfig, params: PyTree, made: Layers | None, rays: Rays, ball: Ball
) -> tuple[Array, Array]:
    """Marches rays and colours where they end.

    Args:
        key: of the noise of where the march starts; None for none.
        config: see there.
        params: of `init`.
        made: of `layers`, for i instances; None for a single scene.
        rays: `i r`.
        ball: see there.

    Returns:
        Colours `i r 3` in [-1, 1], not clipped, and t `i r` where the rays end: depth along the camera's axis.
    """
    origins = (rays.origins - jnp.array(ball.center)[None, None]) / ball.radius
    directions = rays.directions / ball.radius
    # Steps are along rays of unit length, t is depth.
    lengths = safe_norm(directions)

    def feature_fn(t: Array) -> Array:
        return features(config, params, made, origins + t[..., None] * (directions / lengths[..., None]))

    end = march.march(
        feature_fn,
        params['marcher'],
        _start(key, config, origins, directions) * lengths,
        steps=config.steps,
        gradient=config.gradient,
    )
    return _apply(_generator(config), params['generator'], feature_fn(end)), end / lengths


def _start(key: Key | None, config: SRNConfig, origins: Array, directions: Array) -> Array:
    """The t at which rays start; those that miss the ball start where they are nearest to its centre."""
    if config.start == 'ball':
        enter, _, _ = ray_sphere(origins, directions, jnp.zeros(3), 1.0)
        return jnp.maximum(enter, 0)
    depth = jnp.full(origins.shape[:-1], _DEPTH)
    return depth if key is None else depth + _DEPTH_NOISE * jax.random.normal(key, depth.shape)


def _apply(network: nn.Module, params: PyTree, x: Array) -> Any:
    return network.apply({'params': params}, x)


def _hypernetwork(config: SRNConfig) -> Hypernetwork:
    return Hypernetwork(config.sizes, config.hyper_width, config.hyper_depth)


def _field(config: SRNConfig) -> NormedMLP:
    return NormedMLP(config.width, config.depth)


def _generator(config: SRNConfig) -> NormedMLP:
    return NormedMLP(config.width, config.generator_depth, 3)
