"""The loss of `fast`: samples along rays, their colours composited, and what is asked of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from neurend.geometry import cameras as cameras_lib
from neurend.geometry.cameras import Camera
from neurend.models.nerf import fast_field, fast_spans
from neurend.models.nerf.fast_config import FastConfig
from neurend.render import compositing
from neurend.render import segments as segments_lib
from neurend.typing import Array, Key, Metrics, PyTree


def make(
    config: FastConfig, sizes: Array, variance: float | None, corrected: Callable[[PyTree], Camera] | None
) -> Callable[..., tuple[Array, Metrics]]:
    """Makes the loss function.

    Args:
        config: see `FastConfig`.
        sizes: [n 2] width and height of the training images.
        variance: of the images' colours, see `fast_start.Start`; None where the background is known.
        corrected: the cameras by the parameters, where they are refined: gradients reach them through the rays.

    Returns:
        `(params, key, aux, batch, step) -> (loss, metrics)`, with `params` and `aux` of the method's state.
    """
    levels = len(config.rays)

    def loss_fn(params: PyTree, key: Key, aux: PyTree, batch: Any, step: Array) -> tuple[Array, Metrics]:
        level = aux['grids'].shape[0] - 1
        count = config.rays[level]
        voxels = aux['voxels']
        index, pixels = batch.index[:count], batch.pixels[:count]
        target, where = batch.rgb[:count], (index, pixels, sizes)
        if corrected is None:
            rays = jax.tree.map(lambda leaf: leaf[:count], batch.rays)
        else:
            rays = cameras_lib.rays(corrected(params)[index], pixels, index=index)
        begin, end = fast_spans.at_pixels(aux['spans'], *where).T
        behind, known = _behind(batch.background[:count], target, aux, where)
        samples = fast_field.march(
            voxels,
            jax.lax.stop_gradient(params['density']),
            jax.lax.stop_gradient(rays),
            begin,
            end,
            jax.random.uniform(key, (count,)),
            budget=int(count * config.segments[level]),
            longest=config.longest,
            shift=config.shift,
            step=config.step,
        )
        chosen = fast_field.choose(samples, threshold=config.threshold, budget=int(count * config.samples[level]))
        place = chosen.place
        if corrected is not None:
            place = fast_field.moving(voxels, chosen, rays)
        depth, rgb = fast_field.evaluate(voxels, params, place, shift=config.shift)
        depth = config.step * depth
        if level + 1 == levels:
            rgb += fast_field.view_dependence(voxels, params, place, rays.viewdirs[chosen.ray])
        own = jnp.sum(jnp.square(rgb - target[chosen.ray]), axis=-1, keepdims=True)
        values = jnp.concatenate([rgb, own], axis=-1)
        composited: Any = segments_lib.accumulate(depth, values, chosen.before, chosen.ray, count)
        accumulated, alpha = composited
        predicted = compositing.on_background(accumulated[:, :3], alpha, behind)
        squared = jnp.sum(jnp.square(predicted - target), axis=-1)
        # The expected error of what the ray meets, against the error of what it expects: their difference is the
        # variance of colour along the ray, which vanishes where the ray meets one surface.
        spread = accumulated[:, 3] + (1 - alpha) * jnp.sum(jnp.square(behind - target), axis=-1)
        loss = squared + config.spread * decayed(config.final_spread, step, aux) * spread
        if variance is not None:
            # Linear in opacity, so that a ray decides: a square would settle for haze.
            last = max((0, *config.subdivide_steps))
            fallen = jnp.clip((step - last) / jnp.maximum(aux['steps'] - last, 1), 0, 1)
            price = config.background_error * variance * jnp.float32(config.final_background_error) ** fallen
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

    return loss_fn


def decayed(final: float, step: Array, aux: PyTree) -> Array:
    """What starts at 1 and falls to `final` by the end of the schedule."""
    return jnp.float32(final) ** jnp.minimum(step / aux['steps'], 1)


def _behind(given: Array, target: Array, aux: PyTree, where: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    """What lies behind rays: its colour [r 3], that of the pixel where it is not known, and whether it is known [r]."""
    if aux['plates'] is not None:
        index, pixels, sizes = where
        offsets = jnp.cumsum(sizes[:, 0] * sizes[:, 1]) - sizes[:, 0] * sizes[:, 1]
        column, row = pixels.astype(jnp.int32).T
        given = aux['plates'][offsets[index] + row * sizes[index, 0] + column].astype(jnp.float32) / 255
    if aux['backdrop'] is None:
        return given, jnp.ones(len(given), bool)
    found = fast_spans.at_pixels(aux['backdrop'], *where)
    known = found[:, 3] > 0
    return jnp.where(known[:, None], found[:, :3], target), known
