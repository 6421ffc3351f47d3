"""One scene of Gaussians, learned from posed photographs by splatting them (Kerbl et al., 2023)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend import checks
from neurend.geometry.cameras import Camera
from neurend.images import metrics
from neurend.losses import photometric
from neurend.models.gaussians import density, picture
from neurend.models.gaussians.config import GaussiansConfig
from neurend.models.method import Method
from neurend.models.nerf import evaluation
from neurend.models.nerf.evaluation import Example
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.scenes import gaussians as scenes
from neurend.scenes.gaussians import Gaussians
from neurend.typing import Array, Key, Metrics, PyTree

_LEARNED = ('means', 'log_scales', 'rotations', 'logits', 'harmonics')
_ADAM = optax.scale_by_adam(eps=1e-15)
_NOISE = 5e5


def gaussians(
    config: GaussiansConfig,
    start: Gaussians,
    *,
    size: tuple[int, int],
    steps: int,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Method:
    """Makes the method.

    Args:
        config: see `GaussiansConfig`; `count` and `degree` are those of `start`, which is made for it.
        start: Gaussians to begin with, e.g. of `scenes.gaussians.from_points` or `in_hull`.
        size: (width, height) of the photographs in pixels.
        steps: the length of the schedule of rates. It is in `State.aux`, where a run against the clock may correct it.
        background: colour in [0, 1] on which the scene is shown and evaluated.

    Returns:
        A Method whose batches are `neurend.data.photographs.Photographs` [n ...]; `render` takes a camera whose
        pictures have this size, `evaluate` a `nerf.evaluation.Example` of any. `of_state` gives the scene. Metrics,
        besides the loss, are 'psnr'; 'pairs', the part of the capacity that is in use, the most of the views; and
        'missing', pairs that found no room.

    Raises:
        InputError: `start` is not sound, or does not fit the configuration.
    """
    start = scenes.check(start)
    if (start.live.shape[0], start.degree) != (config.count, config.degree):
        raise checks.InputError(
            f'start: got {start.live.shape[0]} places and degree {start.degree}, expected those of the configuration, '
            f'{config.count} and {config.degree}'
        )
    if min(size) < 11:
        raise checks.InputError(
            f'size: got {size[0]} x {size[1]}, expected at least 11 x 11 pixels, the window of SSIM'
        )
    live = np.asarray(start.live)
    extent = _extent(np.asarray(start.means)[live])
    given = {name: np.asarray(getattr(start, name)) for name in _LEARNED}
    behind = np.asarray(background, np.float32)
    # In a picture that is 2 wide and high, so that `config.pull` does not depend on its size.
    half = np.array(size, np.float32) / 2

    def init(key: Key) -> State:
        del key
        params = jax.tree.map(jnp.array, given)
        aux = {
            'live': jnp.array(live),
            'pull': jnp.zeros(config.count),
            'seen': jnp.zeros(config.count),
            'steps': jnp.float32(steps),
        }
        return State(jnp.zeros((), jnp.int32), params, _ADAM.init(params), None, aux)

    def look(scene: Gaussians, camera: Camera, behind: Array, shift: Array | None = None) -> Rendering:
        return picture.picture(
            scene,
            camera,
            size=size,
            capacity=config.capacity,
            background=behind,
            antialiased=config.antialiased,
            shift=shift,
        )

    def loss(params: PyTree, shift: Array, live: Array, batch: Any) -> tuple[Array, Any]:
        scene, values, seen = Gaussians(live=live, **params), [], []
        for k in range(batch.rgb.shape[0]):
            view = jax.tree.map(lambda leaf, k=k: leaf[k], batch)
            shown = look(scene, view.camera, view.background, shift)
            value = (1 - config.ssim) * photometric.l1(shown.rgb, view.rgb)
            if config.ssim:
                value += config.ssim * (1 - metrics.ssim(shown.rgb, view.rgb))
            error = photometric.mse(shown.rgb, view.rgb)
            values.append((value, error, shown.extras['pairs'] / config.capacity, shown.extras['missing']))
            seen.append(shown.extras['visible'])
        total, error, pairs, missing = (jnp.stack(column) for column in zip(*values))
        value = jnp.mean(total)
        if config.opacity_penalty:
            value += config.opacity_penalty * jnp.sum(jnp.where(live, scene.opacities, 0)) / config.count
        if config.scale_penalty:
            deviations = jnp.exp(scene.log_scales) / extent
            value += config.scale_penalty * jnp.sum(jnp.where(live[:, None], deviations, 0)) / (3 * config.count)
        found = {
            'loss': value,
            'psnr': photometric.psnr(jnp.mean(error)),
            'pairs': jnp.max(pairs),
            'missing': jnp.sum(missing).astype(jnp.float32),
        }
        return value, (found, sum(each.astype(jnp.float32) for each in seen))

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        checks.shape('batch.rgb', batch.rgb, f'n {size[1]} {size[0]} 3', 'The method was made for this size')
        noise_key, density_key = jax.random.split(key)
        live = state.aux['live']
        shift = jnp.zeros((config.count, 2))
        (slopes, pull), (found, seen) = jax.grad(loss, argnums=(0, 1), has_aux=True)(state.params, shift, live, batch)
        done = jnp.minimum(state.step / state.aux['steps'], 1)
        changes, optimizer = _ADAM.update(slopes, state.optimizer)
        rates = _rates(config, extent, done, state.step)
        params = jax.tree.map(lambda p, change, rate: p - rate * change, state.params, changes, rates)
        aux = dict(state.aux)
        if config.density == 'classic':
            aux['pull'] = aux['pull'] + jnp.sqrt(jnp.sum(jnp.square(pull * half[None]), axis=-1)) * batch.rgb.shape[0]
            aux['seen'] = aux['seen'] + seen
        if config.density == 'mcmc' and config.noise:
            wandering = Gaussians(live=live, **params)
            # Published for scenes of extent 1.
            rate = config.noise * rates['means'] * _NOISE / extent**2
            params['means'] = density.wander(noise_key, wandering, rate=rate, faintest=config.faintest)
        count = state.step + 1
        due = (count % config.every == 0) & (count >= config.begin) & (done < config.end)
        changed = dataclasses.replace(state, step=count, params=params, optimizer=optimizer, aux=aux)
        if config.density != 'fixed':
            changed = jax.lax.cond(due, lambda s: _renewed(config, extent, density_key, s), lambda s: s, changed)
        if config.density == 'classic' and config.reset_every:
            fades = (count % config.reset_every == 0) & (done < config.end)
            changed = jax.lax.cond(fades, _faded, lambda s: s, changed)
        return changed, found

    def render(state: State, camera: Camera) -> Rendering:
        return look(of_state(state), camera, jnp.asarray(behind))

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        camera = jax.tree.map(jnp.asarray, example.camera)
        shown = picture.draw(
            of_state(state), camera, background=jnp.asarray(behind), antialiased=config.antialiased
        )  # fmt: skip
        return evaluation.compare(jax.device_get(shown), example, background=behind)

    return Method(init, step, render, evaluate)


def of_state(state: State) -> Gaussians:
    """The scene that a state holds."""
    return Gaussians(live=state.aux['live'], **state.weights)


def _extent(means: np.ndarray) -> float:
    """Radius of the ball about the middle that holds nine tenths of the means."""
    if not len(means):
        raise checks.InputError('start: no Gaussian is live, expected some')
    distances = np.linalg.norm(means - np.median(means, axis=0), axis=-1)
    return max(float(np.quantile(distances, 0.9)), 1e-6)


def _rates(config: GaussiansConfig, extent: float, done: Array, step: Array) -> dict[str, Array]:
    rates = config.rates
    decay = rates.final**done
    degrees = np.repeat(np.arange(config.degree + 1), 2 * np.arange(config.degree + 1) + 1)
    begun = step >= degrees * config.degree_every
    color = jnp.where(begun, np.where(degrees > 0, rates.view, 1.0).astype(np.float32), 0) * rates.color * decay
    return {
        'means': rates.means * extent * rates.final_means**done,
        'log_scales': rates.scales * decay,
        'rotations': rates.rotations * decay,
        'logits': rates.logits * decay,
        'harmonics': color[None, :, None],
    }


def _renewed(config: GaussiansConfig, extent: float, key: Key, state: State) -> State:
    """After Gaussians were moved, or cloned, split and pruned; what is new begins without momentum."""
    scene = of_state(state)
    if config.density == 'mcmc':
        changed = density.relocate(key, scene, faintest=config.faintest)
    else:
        mean = state.aux['pull'] / jnp.maximum(state.aux['seen'], 1)
        changed = density.densify(
            key, scene, mean, least=config.pull, large=jnp.float32(config.large * extent), faintest=config.faintest
        )
    params = {name: getattr(changed.gaussians, name) for name in _LEARNED}
    aux = {**state.aux, 'live': changed.gaussians.live}
    aux.update(pull=jnp.zeros_like(aux['pull']), seen=jnp.zeros_like(aux['seen']))
    return dataclasses.replace(state, params=params, aux=aux, optimizer=_forgotten(state.optimizer, changed.fresh))


def _faded(state: State) -> State:
    params = {**state.params, 'logits': density.faded(of_state(state)).logits}
    moments = state.optimizer
    still = {name: {**getattr(moments, name), 'logits': jnp.zeros_like(params['logits'])} for name in ('mu', 'nu')}
    return dataclasses.replace(state, params=params, optimizer=moments._replace(**still))


def _forgotten(moments: Any, fresh: Array) -> Any:
    def clear(leaf: Array) -> Array:
        return jnp.where(fresh.reshape(-1, *(1,) * (leaf.ndim - 1)), 0, leaf)

    return moments._replace(mu=jax.tree.map(clear, moments.mu), nu=jax.tree.map(clear, moments.nu))
