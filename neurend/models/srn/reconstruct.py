"""Reconstruction of new instances from a few pictures or one: their codes are found, the networks stay as they are."""

import dataclasses

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry.rays import Rays
from neurend.models import state as training_state
from neurend.models.method import Method, Stepper
from neurend.models.srn import scene
from neurend.models.srn.batch import Batch
from neurend.models.srn.config import SRNConfig
from neurend.models.srn.method import evaluator, objective, renderer
from neurend.models.srn.scene import Ball
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.typing import Array, Key, Metrics, PyTree


def reconstruction(
    config: SRNConfig,
    learned: State,
    codes: Array,
    *,
    stepper: Stepper,
    ball: Ball,
    memory_mb: int = 1000,
) -> Method:
    """The method that finds codes of new instances (Sitzmann et al., 2019): the same loss, of codes alone.

    `state.params` is {'codes': [n c]}, `state.aux` the networks, which are not trained. Batches, examples and what
    `render` takes are those of `neurend.models.srn.method.srn`, with instances 0 to n - 1.

    Args:
        config: as in training.
        learned: state after training on a category.
        codes: `[n c]` to begin with, e.g. of `mean_code` or `nearest_codes`.
        stepper: how the loss is minimised.
        ball: as in training.
        memory_mb: as in training.

    Raises:
        InputError: `learned` is a single scene's or another method's, or codes of another size.
    """
    networks = _networks(learned)
    checks.shape('codes', codes, f'n {config.code_size}', 'Give one code of the size learned for each instance')
    start = jax.device_get(codes)
    fixed = jax.device_get(networks)

    def init(key: Key) -> State:
        del key
        return training_state.create({'codes': jnp.array(start)}, stepper, aux=jax.tree.map(jnp.array, fixed))

    def loss_fn(key: Key, params: PyTree, aux: PyTree, batch: Batch, step: Array) -> tuple[Array, Metrics]:
        del step
        return objective(key, config, aux, params['codes'][batch.instance], batch, ball)

    draw = renderer(config, ball, single=False)

    def render(state: State, rays: Rays) -> Rendering:
        return draw(dataclasses.replace(state, params={**state.aux, **state.weights}, ema=None), rays)

    return Method(init, stepper.step(loss_fn), render, evaluator(render, memory_mb=memory_mb))


def mean_code(learned: State, count: int) -> Array:
    """The mean of the codes learned, `count` times: `[count c]`."""
    _networks(learned)
    return jnp.broadcast_to(jnp.mean(learned.weights['codes'], 0), (count, learned.weights['codes'].shape[-1]))


def nearest_codes(config: SRNConfig, learned: State, batch: Batch, *, ball: Ball) -> Array:
    """For each instance the code learned that explains its pixels best, `[n c]`: a start when there is one picture.

    Args:
        config, ball: as in training.
        learned: state after training on a category.
        batch: pixels of n new instances; a hundred of each are plenty. Their numbers are not used.

    Raises:
        InputError: `learned` is a single scene's or another method's.
    """
    networks, codes = _networks(learned), learned.weights['codes']

    def error(code: Array) -> Array:
        made = scene.layers(config, networks, code[None])
        rays = jax.tree.map(lambda leaf: leaf.reshape(1, -1, *leaf.shape[2:]), batch.rays)
        color, _ = scene.trace(None, config, networks, made, rays, ball)
        return jnp.mean(jnp.square((color.reshape(batch.rgb.shape) + 1) / 2 - batch.rgb), (1, 2))

    errors = jax.lax.map(error, codes)
    return codes[jnp.argmin(errors, axis=0)]


def interpolate(codes: Array, count: int, *, closed: bool = False) -> Array:
    """Codes on the straight lines between given ones.

    Args:
        codes: `[m c]`, m at least 2.
        count: how many to make, evenly spaced, the first the first one given.
        closed: whether to return to the first one; the last one made is then one step before it.

    Returns:
        `[count c]`.
    """
    sizes = checks.shape('codes', codes, 'm c')
    if sizes['m'] < 2:
        raise checks.InputError(f'codes: got {sizes["m"]}, expected at least 2 to go between')
    knots = jnp.concatenate([codes, codes[:1]]) if closed else jnp.asarray(codes)
    place = jnp.linspace(0, len(knots) - 1, count, endpoint=not closed)
    before = jnp.clip(jnp.floor(place).astype(jnp.int32), 0, len(knots) - 2)
    share = (place - before)[:, None]
    return (1 - share) * knots[before] + share * knots[before + 1]


def with_codes(state: State, codes: Array) -> State:
    """The state with other codes `[n c]`, to render what they stand for: instances 0 to n - 1."""
    return dataclasses.replace(state, params={**state.weights, 'codes': codes}, ema=None)


def _networks(learned: State) -> dict[str, PyTree]:
    names = {'codes', 'hypernetwork', 'marcher', 'generator'}
    if not isinstance(learned.params, dict) or set(learned.params) != names:
        raise checks.InputError(
            f'learned: expected a state of srn with instances, with parameters {sorted(names)}; a single scene has no '
            'codes to find'
        )
    return {name: tree for name, tree in learned.weights.items() if name != 'codes'}
