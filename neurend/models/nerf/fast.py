"""A sparse voxel field with spherical harmonics that trains in a minute on a CPU.

After Fridovich-Keil et al., "Plenoxels: radiance fields without neural networks" (2022), and Sun et al., "Direct voxel
grid optimization" (2022), arranged for XLA on a CPU: carving from known background, coarse to fine, spans of rays that
are cached between steps, flat buffers of fixed size, and gradients only for the samples that matter.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry.rays import Rays
from neurend.models.method import Method
from neurend.models.nerf import fast_adam, fast_field, fast_render, fast_smooth, fast_spans, fast_start
from neurend.models.nerf.background import Background, color
from neurend.models.nerf.evaluation import evaluator
from neurend.models.state import State
from neurend.render import compositing
from neurend.render import segments as segments_lib
from neurend.render.rendering import Rendering
from neurend.scenes import voxels as voxels_lib
from neurend.typing import Array, Key, Metrics, PyTree


@dataclasses.dataclass(frozen=True)
class FastConfig:
    """Options of `fast`.

    Attributes:
        steps: the length of the schedule of rates; steps beyond it stay at the last rate.
        subdivide_steps: after which the cells are halved; one less than there are grids.
        prune_steps: after which cells that nothing sees are dropped and the spans are renewed.
        rays: of the batch that a step uses, for each grid; the source must draw as many as the greatest.
        segments: room in the buffer for each ray, in segments of 4 samples, for each grid.
        samples: room for each ray in the buffer of samples that matter, for each grid.
        longest: segments that a single ray may have.
        threshold: weight above which a sample matters.
        prune_threshold: cells no sample of which reaches this weight are dropped, unless a neighbour's does.
        rate_density, rate_color, rate_view: first learning rates of raw density, colour and view dependence.
        final_rate: what the rates are multiplied with by the end.
        degree: of the spherical harmonics.
        shift: added to raw density before the softplus; the density to start from.
        spread: weight of the squared error of each sample's own colour, which keeps colours from mixing along a ray.
        final_spread: what it is multiplied with by the end.
        smooth_density, smooth_color, smooth_view: weights of the differences within cells.
        shrink_view: weight of the squared coefficients of view dependence.
    """

    steps: int = 900
    subdivide_steps: tuple[int, ...] = (80, 200)
    prune_steps: tuple[int, ...] = (280, 450)
    rays: tuple[int, ...] = (2048, 4096, 8192)
    segments: tuple[float, ...] = (8.0, 6.0, 4.0)
    samples: tuple[float, ...] = (8.0, 7.0, 5.0)
    longest: int = 48
    threshold: float = 3e-3
    prune_threshold: float = 0.01
    rate_density: float = 0.6
    rate_color: float = 0.1
    rate_view: float = 0.1
    final_rate: float = 0.03
    degree: int = 2
    shift: float = -4.0
    spread: float = 0.3
    final_spread: float = 0.03
    smooth_density: float = 0.0
    smooth_color: float = 0.0
    smooth_view: float = 0.0
    shrink_view: float = 0.0


def fast(
    config: FastConfig,
    *,
    start: fast_start.Start,
    background: Background = 'white',
    memory_mb: int = 1000,
) -> Method:
    """Makes the method.

    Args:
        config: see `FastConfig`.
        start: of `fast_start.prepare`, for `len(config.rays)` grids.
        background: what lies behind the scene.
        memory_mb: bound on the growth of memory when evaluating a full image.

    Returns:
        A Method whose batches are `neurend.data.batches.RayBatch` of the greatest `config.rays`, drawn from
        `start.active`. Metrics besides the loss: 'psnr', the parts of the buffers in use ('segments', 'samples'; above
        1, samples found no room) and of the rays that found room in them ('complete'; the others did not count).
    """
    _check(config)
    sizes = jnp.asarray(start.cameras.size)
    cameras = jax.tree.map(jnp.asarray, start.cameras)
    terms = 3 * ((config.degree + 1) ** 2 - 1)
    levels = len(config.rays)
    widened = np.asarray(fast_spans.widen(jnp.asarray(start.spans)))  # here, or init would fold it as a constant

    def decayed(final: float, step: Array) -> Array:
        return jnp.float32(final) ** jnp.minimum(step / config.steps, 1)

    def init(key: Key) -> State:
        del key
        params = {
            'density': jnp.zeros(start.rows[0]),
            'color': jnp.full((start.rows[0], 3), 0.5, jnp.float32),
            'view': jnp.zeros((start.rows[1], terms)),
        }
        aux = {
            'voxels': jax.tree.map(jnp.asarray, start.voxels),
            'spans': jnp.asarray(widened),
            'own_spans': jnp.asarray(start.spans),
            # Its length says how often the cells were halved.
            'grids': jnp.zeros(1, jnp.int32),
        }
        return State(jnp.zeros((), jnp.int32), params, fast_adam.init(params), None, aux)

    def loss_fn(params: PyTree, key: Key, aux: PyTree, batch: Any, step: Array) -> tuple[Array, Metrics]:
        level = aux['grids'].shape[0] - 1
        count = config.rays[level]
        voxels = aux['voxels']
        rays = jax.tree.map(lambda leaf: leaf[:count], batch.rays)
        target, behind = batch.rgb[:count], batch.background[:count]
        begin, end = fast_spans.at_pixels(aux['spans'], batch.index[:count], batch.pixels[:count], sizes)
        samples = fast_field.march(
            voxels,
            jax.lax.stop_gradient(params['density']),
            rays,
            begin,
            end,
            jax.random.uniform(key, (count,)),
            budget=int(count * config.segments[level]),
            longest=config.longest,
            shift=config.shift,
        )
        chosen = fast_field.choose(samples, threshold=config.threshold, budget=int(count * config.samples[level]))
        depth, rgb = fast_field.evaluate(voxels, params, chosen.place, shift=config.shift)
        weight = jax.lax.stop_gradient(jnp.exp(-chosen.before) * (1 - jnp.exp(-depth)))
        if level + 1 == levels:
            place = fast_field.dominant(chosen, weight, count)
            view = fast_field.view_dependence(voxels, params, place, rays.viewdirs)
        else:
            view = jnp.zeros((count, 3))
        own = jnp.sum(jnp.square(rgb + (view - target)[chosen.ray]), axis=-1, keepdims=True)
        values = jnp.concatenate([rgb, own], axis=-1)
        accumulated, alpha = segments_lib.accumulate(depth, values, chosen.before, chosen.ray, count)
        predicted = compositing.on_background(accumulated[:, :3] + alpha[:, None] * view, alpha, behind)
        # The expected error of what the ray meets, against the error of what it expects: their difference is the
        # variance of colour along the ray, which vanishes where the ray meets one surface.
        spread = accumulated[:, 3] + (1 - alpha) * jnp.sum(jnp.square(behind - target), axis=-1)
        complete = chosen.complete & (batch.mask[:count] > 0)
        squares = jnp.where(complete[:, None], jnp.square(predicted - target), 0)
        own = jnp.sum(jnp.where(complete, spread, 0))
        used = jnp.maximum(jnp.sum(complete), 1)
        mean = jnp.sum(squares) / (3 * used)
        # A sum, so that the gradient of a row does not depend on the size of the batch.
        return jnp.sum(squares) + config.spread * decayed(config.final_spread, step) * own, {
            'loss': mean,
            'psnr': -10 * jnp.log10(mean),
            'segments': jnp.mean(samples.segments.live),
            'samples': chosen.count / chosen.t.shape[0],
            'complete': jnp.mean(chosen.complete),
        }

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        key_offset, key_smooth = jax.random.split(key)
        gradients, metrics = jax.grad(loss_fn, has_aux=True)(state.params, key_offset, state.aux, batch, state.step)
        gradients = fast_smooth.add(config, key_smooth, gradients, state.params, state.aux['voxels'])
        decay = decayed(config.final_rate, state.step)
        rates = {name: decay * getattr(config, f'rate_{name}') for name in state.params}
        params, optimizer = fast_adam.update(state.params, gradients, state.optimizer, rates)
        return state.replace(step=state.step + 1, params=params, optimizer=optimizer), metrics

    def render(state: State, rays: Rays) -> Rendering:
        rendering = fast_render.render(
            state.aux['voxels'],
            state.weights,
            rays,
            near=start.near,
            far=start.far,
            threshold=config.threshold,
            shift=config.shift,
        )
        if background == 'none':
            return rendering
        rgb = compositing.on_background(rendering.rgb, rendering.alpha, jnp.asarray(color(background)))
        return rendering.replace(rgb=rgb)

    def update(state: State) -> State:
        level = state.aux['grids'].shape[0] - 1
        voxels = state.aux['voxels']
        spans, greatest = fast_spans.refresh(
            voxels,
            state.params['density'],
            cameras,
            state.aux['own_spans'],
            budget=int(4096 * 2 * config.segments[level]),
            longest=config.longest,
            shift=config.shift,
        )
        keep = voxels_lib.dilate(voxels, greatest > config.prune_threshold)
        aux = {**state.aux, 'spans': fast_spans.widen(spans), 'own_spans': spans}
        if int(state.step) not in config.subdivide_steps:
            return state.replace(aux={**aux, 'voxels': voxels_lib.prune(voxels, keep)})
        finer = fast_start.finer(start, voxels, np.asarray(keep))
        old = {name: np.asarray(table) for name, table in state.params.items()}
        voxels, (density, rgb), (view,) = voxels_lib.subdivide(
            voxels, finer, [old['density'], old['color']], [old['view']]
        )
        params = {'density': jnp.asarray(density), 'color': jnp.asarray(rgb), 'view': jnp.asarray(view)}
        aux.update(voxels=jax.tree.map(jnp.asarray, voxels), grids=jnp.zeros(level + 2, jnp.int32))
        return state.replace(params=params, optimizer=fast_adam.init(params), aux=aux)

    return Method(
        init=init,
        step=step,
        render=render,
        evaluate=evaluator(render, background=color(background), memory_mb=memory_mb),
        update=update,
        update_steps=tuple(sorted({*config.subdivide_steps, *config.prune_steps})),
    )


def _check(config: FastConfig) -> None:
    levels = len(config.rays)
    for name in ('segments', 'samples'):
        if len(getattr(config, name)) != levels:
            raise checks.InputError(
                f'{name}: got {len(getattr(config, name))} numbers, expected {levels}, one for each grid as in rays'
            )
    if len(config.subdivide_steps) != levels - 1:
        raise checks.InputError(
            f'subdivide_steps: got {len(config.subdivide_steps)}, expected {levels - 1}, one less than there are grids'
        )
