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
import optax

from neurend import checks, draws
from neurend.geometry.cameras import Camera
from neurend.geometry.rays import Rays
from neurend.models.method import Method
from neurend.models.nerf import fast_adam, fast_backdrop, fast_fields, fast_loss, fast_spans, fast_start, poses
from neurend.models.nerf.background import Background, color
from neurend.models.nerf.evaluation import evaluator
from neurend.models.nerf.fast_config import FastConfig, RefineConfig
from neurend.models.state import State
from neurend.render import compositing
from neurend.render.rendering import Rendering
from neurend.scenes import voxels as voxels_lib
from neurend.scenes.voxels import Voxels
from neurend.typing import Key, Metrics, PyTree

_TABLES = ('density', 'color', 'view')
# Some motions of a camera show far less than others: each number needs a second moment of its own.
_CAMERAS = optax.scale_by_adam(b2=0.99)


def fast(
    config: FastConfig,
    *,
    start: fast_start.Start,
    steps: int,
    background: Background = 'white',
    refine: RefineConfig | None = None,
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
        refine: how to refine the cameras, see `corrected`; the scene is rendered from the cameras it is given.
        memory_mb: bound on the growth of memory when evaluating a full image.

    Returns:
        A Method whose batches are `neurend.data.batches.RayBatch` of `config.batch_rays`, drawn from `start.active`.
        Parameters: 'fields', a tuple of the tables of each (see `fast_field`), one until the grid is the finest; and
        'cameras' where they are refined. Metrics, means over the fields, besides the loss: 'psnr', the parts of the
        buffers in use ('segments', 'samples'; above 1, samples found no room) and of the rays that found room in them
        ('complete'; the others did not count).
    """
    cameras = jax.tree.map(jnp.asarray, start.cameras)
    terms = 3 * ((config.degree + 1) ** 2 - 1)
    grid_begins = (0, *config.subdivide_steps)
    _, rows, columns, _ = start.spans.shape
    pixel_spans = np.asarray(fast_spans.between(jnp.asarray(start.spans)))  # here, or init would fold it as a constant

    @draws.quickly
    def init(key: Key) -> State:
        del key
        field = {
            'density': jnp.zeros(start.rows[0]),
            'color': jnp.full((start.rows[0], 3), 0.5, jnp.float32),
            'view': jnp.zeros((start.rows[1], terms)),
        }
        params: dict[str, Any] = {'fields': _fork(field, 1 if config.subdivide_steps else config.fields)}
        if refine is not None:
            params['cameras'] = poses.init(len(cameras.focal), refine.parts)
        moments = tuple(map(fast_adam.init, params['fields']))
        optimizer = {'fields': moments, 'cameras': _CAMERAS.init(params.get('cameras', {}))}
        aux = {
            'voxels': jax.tree.map(jnp.asarray, start.voxels),
            'spans': jnp.asarray(pixel_spans),
            'node_spans': jnp.asarray(start.spans),
            'backdrop': jnp.zeros((*pixel_spans.shape[:3], 4)) if start.carver is None else None,
            'plates': None if start.plates is None else jnp.asarray(start.plates),
            'steps': jnp.float32(steps),
            # Its length says how often the cells were halved.
            'grids': jnp.zeros(1, jnp.int32),
        }
        return State(jnp.zeros((), jnp.int32), params, optimizer, None, aux)

    current = None if refine is None else lambda params: corrected(params, start)
    loss_fn = fast_loss.make(config, cameras.size, start.variance, current)

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        decay = fast_loss.decayed(config.final_rate, state.step, state.aux)
        rates = {name: decay * getattr(config, f'rate_{name}') for name in _TABLES}
        if start.carver is None:
            since = state.step - grid_begins[state.aux['grids'].shape[0] - 1]
            rates['density'] *= jnp.minimum(since / max(config.density_delay, 1), 1) ** 4

        def learn(k: int, field: PyTree, moments: Any) -> tuple[tuple[Any, Any], PyTree, Metrics]:
            aux = {**state.aux, 'voxels': fast_fields.shifted(state.aux['voxels'], k, len(fields))}
            own = jax.tree.map(lambda leaf: leaf[k * max(config.rays) :], batch)
            gradient, metrics = jax.grad(loss_fn, has_aux=True)(
                {**field, 'cameras': moving}, jax.random.fold_in(key, k), aux, own, state.step
            )
            tables = {name: gradient[name] for name in _TABLES}
            return fast_adam.update(field, tables, moments, rates), gradient['cameras'], metrics

        fields, moving = state.params['fields'], state.params.get('cameras', {})
        learned = [learn(k, *both) for k, both in enumerate(zip(fields, state.optimizer['fields']))]
        fields, moments = zip(*(updated for updated, _, _ in learned))
        each = [(towards, metrics) for _, towards, metrics in learned]
        towards, metrics = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *each)
        params = {**state.params, 'fields': fields}
        optimizer = {**state.optimizer, 'fields': moments}
        if refine is not None:
            rate = refine.rate * fast_loss.decayed(refine.final_rate, state.step, state.aux)
            rate = jnp.where(state.step < refine.begin, 0, rate)
            changes, optimizer['cameras'] = _CAMERAS.update(towards, state.optimizer['cameras'])
            params['cameras'] = jax.tree.map(lambda c, change: c - rate * change, moving, changes)
        return dataclasses.replace(state, step=state.step + 1, params=params, optimizer=optimizer), metrics

    @jax.custom_jvp
    def render(state: State, rays: Rays) -> Rendering:
        checks.shape('rays.origins', rays.origins, 'n 3', 'Flatten the rays of an image, or render it by a Tiler')
        fields = state.weights['fields']
        rendering = fast_fields.render(config, state.aux['voxels'], fields, rays, near=start.near, far=start.far)
        if background == 'none':
            return rendering
        rgb = compositing.on_background(rendering.rgb, rendering.alpha, jnp.asarray(color(background)))
        return dataclasses.replace(rendering, rgb=rgb)

    @render.defjvp
    def no_derivatives(primals: Any, tangents: Any) -> Any:
        raise checks.InputError(
            'render: of `fast` has no derivatives, since it packs rays; differentiate volume.integrate of '
            'fast_fields.field_fn(config, state)'
        )

    def update(state: State) -> State:
        level = state.aux['grids'].shape[0] - 1
        voxels = state.aux['voxels']
        seen_by = cameras if current is None else current(state.params)
        spans, greatest, alpha = fast_fields.refresh(
            config, level, voxels, state.params['fields'], seen_by, state.aux['node_spans']
        )
        keep = voxels_lib.dilate(voxels, greatest > config.prune_threshold)
        aux = dict(state.aux)
        if start.carver is None:
            aux['backdrop'] = fast_backdrop.estimate(jnp.asarray(start.colors), alpha)
        if int(state.step) in config.subdivide_steps:
            finer = fast_start.finer(start, voxels, np.asarray(keep))
            field, voxels = _subdivided(state.params['fields'][0], voxels, finer)
            if start.carver is None:
                # Thin parts may show only at this resolution: what looked empty is asked again.
                field['density'] = jnp.maximum(field['density'], 0)
            fields = _fork(field, config.fields if level + 2 == len(config.rays) else 1)
            optimizer = {**state.optimizer, 'fields': tuple(map(fast_adam.init, fields))}
            state = dataclasses.replace(state, params={**state.params, 'fields': fields}, optimizer=optimizer)
            aux['grids'] = jnp.zeros(level + 2, jnp.int32)
        else:
            voxels = voxels_lib.prune(voxels, keep)
        if current is not None:
            # What a camera sees changes as it moves, so that its spans stay as wide as the occupied cells.
            spans = fast_spans.first_spans(
                fast_spans.widened(voxels), seen_by, (rows, columns), near=start.near, far=start.far
            )
        aux.update(voxels=voxels, spans=fast_spans.between(spans), node_spans=spans)
        return dataclasses.replace(state, aux=aux)

    return Method(
        init=init,
        step=step,
        render=render,
        evaluate=evaluator(render, background=color(background), memory_mb=memory_mb),
        update=update,
        update_steps=tuple(sorted({*config.subdivide_steps, *config.prune_steps})),
    )


def corrected(params: PyTree, start: fast_start.Start) -> Camera:
    """The cameras of the training images as `params` of a state refine them."""
    middle = np.asarray(start.voxels.low) + 0.5 * np.asarray(start.voxels.edge) * np.asarray(start.voxels.cells.shape)
    centers = np.asarray(start.cameras.world_from_camera)[:, :3, 3]
    depth = float(np.median(np.linalg.norm(centers - middle, axis=-1)))
    return poses.correct(params['cameras'], jax.tree.map(jnp.asarray, start.cameras), depth=depth)


def _fork(field: dict[str, Any], count: int) -> tuple[dict[str, Any], ...]:
    """`count` fields that begin alike; copies, since the buffers of a state are donated one by one."""
    return tuple(jax.tree.map(jnp.array, field) for _ in range(count))


def _subdivided(field: PyTree, voxels: Voxels, finer: np.ndarray) -> tuple[dict[str, Any], Voxels]:
    old = jax.tree.map(np.asarray, field)
    child, fine, coarse = voxels_lib.subdivide(voxels, finer, [old['density'], old['color']], [old['view']])
    return dict(zip(_TABLES, map(jnp.asarray, (*fine, *coarse)))), jax.tree.map(jnp.asarray, child)
