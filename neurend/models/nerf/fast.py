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

from neurend.geometry.rays import Rays
from neurend.models.method import Method
from neurend.models.nerf import fast_adam, fast_backdrop, fast_field, fast_render, fast_spans, fast_start
from neurend.models.nerf.background import Background, color
from neurend.models.nerf.evaluation import evaluator
from neurend.models.nerf.fast_config import FastConfig
from neurend.models.state import State
from neurend.render import compositing
from neurend.render import segments as segments_lib
from neurend.render.rendering import Rendering
from neurend.scenes import voxels as voxels_lib
from neurend.typing import Array, Key, Metrics, PyTree

# What the price of a background in the very colour of its pixel falls to, as surfaces come to fit far better.
_FINAL_PRICE = 0.1


def fast(
    config: FastConfig,
    *,
    start: fast_start.Start,
    steps: int,
    background: Background = 'white',
    memory_mb: int = 1000,
) -> Method:
    """Makes the method.

    Args:
        config: see `FastConfig`.
        start: of `fast_start.prepare` with the same `config`.
        steps: the length of the schedule of rates; steps beyond it stay at the last rate. It is
            in `State.aux`, where a run against the clock may correct it.
        background: what to show and evaluate the scene on. Where `start` knows the background, batches say what the
            truth was composited on; else it is estimated behind each image.
        memory_mb: bound on the growth of memory when evaluating a full image.

    Returns:
        A Method whose batches are `neurend.data.batches.RayBatch` of the greatest `config.rays`, drawn from
        `start.active`. Metrics besides the loss: 'psnr', the parts of the buffers in use ('segments', 'samples'; above
        1, samples found no room) and of the rays that found room in them ('complete'; the others did not count).
    """
    sizes = jnp.asarray(start.cameras.size)
    cameras = jax.tree.map(jnp.asarray, start.cameras)
    terms = 3 * ((config.degree + 1) ** 2 - 1)
    levels = len(config.rays)
    grid_begins = (0, *config.subdivide_steps)
    pixel_spans = np.asarray(fast_spans.between(jnp.asarray(start.spans)))  # here, or init would fold it as a constant

    def init(key: Key) -> State:
        del key
        params = {
            'density': jnp.zeros(start.rows[0]),
            'color': jnp.full((start.rows[0], 3), 0.5, jnp.float32),
            'view': jnp.zeros((start.rows[1], terms)),
        }
        aux = {
            'voxels': jax.tree.map(jnp.asarray, start.voxels),
            'spans': jnp.asarray(pixel_spans),
            'node_spans': jnp.asarray(start.spans),
            'backdrop': jnp.zeros((*pixel_spans.shape[:3], 4)) if start.carver is None else None,
            'steps': jnp.float32(steps),
            # Its length says how often the cells were halved.
            'grids': jnp.zeros(1, jnp.int32),
        }
        return State(jnp.zeros((), jnp.int32), params, fast_adam.init(params), None, aux)

    def loss_fn(params: PyTree, key: Key, aux: PyTree, batch: Any, step: Array) -> tuple[Array, Metrics]:
        level = aux['grids'].shape[0] - 1
        count = config.rays[level]
        voxels = aux['voxels']
        rays = jax.tree.map(lambda leaf: leaf[:count], batch.rays)
        target, where = batch.rgb[:count], (batch.index[:count], batch.pixels[:count], sizes)
        begin, end = fast_spans.at_pixels(aux['spans'], *where).T
        behind, known = _behind(batch.background[:count], target, aux['backdrop'], where)
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
            step=config.step,
        )
        chosen = fast_field.choose(samples, threshold=config.threshold, budget=int(count * config.samples[level]))
        depth, rgb = fast_field.evaluate(voxels, params, chosen.place, shift=config.shift)
        depth = config.step * depth
        if level + 1 == levels:
            rgb += fast_field.view_dependence(voxels, params, chosen.place, rays.viewdirs[chosen.ray])
        own = jnp.sum(jnp.square(rgb - target[chosen.ray]), axis=-1, keepdims=True)
        values = jnp.concatenate([rgb, own], axis=-1)
        composited: Any = segments_lib.accumulate(depth, values, chosen.before, chosen.ray, count)
        accumulated, alpha = composited
        predicted = compositing.on_background(accumulated[:, :3], alpha, behind)
        squared = jnp.sum(jnp.square(predicted - target), axis=-1)
        # The expected error of what the ray meets, against the error of what it expects: their difference is the
        # variance of colour along the ray, which vanishes where the ray meets one surface.
        spread = accumulated[:, 3] + (1 - alpha) * jnp.sum(jnp.square(behind - target), axis=-1)
        loss = squared + config.spread * _decayed(config.final_spread, step, aux) * spread
        if start.carver is None:
            # Linear in opacity, so that a ray decides: a square would settle for haze.
            last = grid_begins[-1]
            fallen = jnp.clip((step - last) / jnp.maximum(aux['steps'] - last, 1), 0, 1)
            price = config.background_error * start.variance * jnp.float32(_FINAL_PRICE) ** fallen
            decided = accumulated[:, 3] + price * (1 - alpha)
            loss = jnp.where(known, jnp.minimum(loss, decided), decided)
        used = chosen.complete & (batch.mask[:count] > 0)
        mean = jnp.sum(jnp.where(used, squared, 0)) / (3 * jnp.maximum(jnp.sum(used), 1))
        # A sum, so that the gradient of a row does not depend on the size of the batch.
        return jnp.sum(jnp.where(used, loss, 0)), {
            'loss': mean,
            'psnr': -10 * jnp.log10(mean),
            'segments': jnp.mean(samples.segments.live),
            'samples': chosen.count / chosen.t.shape[0],
            'complete': jnp.mean(chosen.complete),
        }

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        gradients, metrics = jax.grad(loss_fn, has_aux=True)(state.params, key, state.aux, batch, state.step)
        decay = _decayed(config.final_rate, state.step, state.aux)
        rates = {name: decay * getattr(config, f'rate_{name}') for name in state.params}
        if start.carver is None:
            since = state.step - grid_begins[state.aux['grids'].shape[0] - 1]
            rates['density'] *= jnp.minimum(since / max(config.density_delay, 1), 1) ** 4
        params, optimizer = fast_adam.update(state.params, gradients, state.optimizer, rates)
        return dataclasses.replace(state, step=state.step + 1, params=params, optimizer=optimizer), metrics

    def render(state: State, rays: Rays) -> Rendering:
        rendering = fast_render.render(
            state.aux['voxels'],
            state.weights,
            rays,
            near=start.near,
            far=start.far,
            threshold=config.threshold,
            shift=config.shift,
            step=config.render_step,
        )
        if background == 'none':
            return rendering
        rgb = compositing.on_background(rendering.rgb, rendering.alpha, jnp.asarray(color(background)))
        return dataclasses.replace(rendering, rgb=rgb)

    def update(state: State) -> State:
        level = state.aux['grids'].shape[0] - 1
        voxels = state.aux['voxels']
        spans, greatest, alpha = fast_spans.refresh(
            voxels,
            state.params['density'],
            cameras,
            state.aux['node_spans'],
            room=config.segments[level],
            longest=config.longest,
            shift=config.shift,
            step=config.step,
        )
        keep = voxels_lib.dilate(voxels, greatest > config.prune_threshold)
        aux = {**state.aux, 'spans': fast_spans.between(spans), 'node_spans': spans}
        if start.carver is None:
            aux['backdrop'] = fast_backdrop.estimate(jnp.asarray(start.colors), alpha)
        if int(state.step) not in config.subdivide_steps:
            return dataclasses.replace(state, aux={**aux, 'voxels': voxels_lib.prune(voxels, keep)})
        finer = fast_start.finer(start, voxels, np.asarray(keep))
        old = jax.tree.map(np.asarray, state.params)
        voxels, fine, coarse = voxels_lib.subdivide(voxels, finer, [old['density'], old['color']], [old['view']])
        params = dict(zip(('density', 'color', 'view'), map(jnp.asarray, (*fine, *coarse))))
        if start.carver is None:
            # Thin parts may show only at this resolution: what looked empty is asked again.
            params['density'] = jnp.maximum(params['density'], 0)
        aux.update(voxels=jax.tree.map(jnp.asarray, voxels), grids=jnp.zeros(level + 2, jnp.int32))
        return dataclasses.replace(state, params=params, optimizer=fast_adam.init(params), aux=aux)

    return Method(
        init=init,
        step=step,
        render=render,
        evaluate=evaluator(render, background=color(background), memory_mb=memory_mb),
        update=update,
        update_steps=tuple(sorted({*config.subdivide_steps, *config.prune_steps})),
    )


def _decayed(final: float, step: Array, aux: PyTree) -> Array:
    return jnp.float32(final) ** jnp.minimum(step / aux['steps'], 1)


def _behind(
    given: Array, target: Array, backdrop: Array | None, where: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    """What lies behind rays: its colour [r 3], that of the pixel where it is not known, and whether it is known [r]."""
    if backdrop is None:
        return given, jnp.ones(len(given), bool)
    found = fast_spans.at_pixels(backdrop, *where)
    known = found[:, 3] > 0
    return jnp.where(known[:, None], found[:, :3], target), known
