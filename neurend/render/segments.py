"""Ray marching in flat buffers of segments: each ray takes as many segments of a few samples as it needs.

Rays differ widely in how much they cross, so a rectangle of rays times samples is mostly air. Here a buffer of fixed
size is filled ray by ray with short runs of equally spaced samples; rays that find no room are reported, and left
out by the caller. Shapes depend on budgets alone, never on the scene.

What carries a gradient is the colour of the few samples that matter (`accumulate`), whose reverse mode is written by
hand: one pass over the samples and a prefix sum, against a dozen passes by automatic differentiation. There is no
forward mode; `neurend.render.compositing` has both.
"""

import functools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend.typing import Array

_BLOCK = 64


@flax.struct.dataclass
class Segments:
    """A buffer of S segments shared by R rays, filled in the order of the rays.

    Attributes:
        ray: [S] int32, the ray of each segment.
        rank: [S] int32, its place along the ray, from 0.
        live: [S] bool, whether the segment is in use.
        first: [R] int32, the first segment of each ray.
        count: [R] int32, how many it has; 0 for rays that are not complete.
        complete: [R] bool, False for rays that found no room.
    """

    ray: Array
    rank: Array
    live: Array
    first: Array
    count: Array
    complete: Array


def prefix_sum(x: Array) -> Array:
    """Inclusive running sum [n], float32, by blocks as matrix products: on a CPU much faster than `jnp.cumsum`.

    Exact for whole numbers up to 2^24.
    """
    n = x.shape[0]
    x = x.astype(jnp.float32)
    if n <= _BLOCK:
        return jnp.cumsum(x)
    blocks = jnp.pad(x, (0, -n % _BLOCK)).reshape(-1, _BLOCK)
    upper = np.triu(np.ones((_BLOCK, _BLOCK), np.float32))
    inner = jnp.matmul(blocks, upper, precision=jax.lax.Precision.HIGHEST)
    before = prefix_sum(inner[:, -1]) - inner[:, -1]
    return (inner + before[:, None]).reshape(-1)[:n]


def expand(count: Array, budget: int) -> Segments:
    """Gives each ray `count` [R] int32 segments out of `budget`.

    >>> import jax.numpy as jnp
    >>> expand(jnp.array([2, 0, 3, 1]), 5).ray.tolist(), expand(jnp.array([2, 0, 3, 1]), 5).complete.tolist()
    ([0, 0, 2, 2, 2], [True, True, True, False])
    """
    rays = count.shape[0]
    last = prefix_sum(count).astype(jnp.int32)
    complete = last <= budget
    count = jnp.where(complete, count, 0)
    first = last - count
    # Every ray adds 1 where it starts (empty ones where the next one does), so that the running sum counts rays.
    starts = jnp.zeros(budget, jnp.int32).at[first].add(1, mode='drop')
    ray = jnp.clip((prefix_sum(starts) - 1).astype(jnp.int32), 0, rays - 1)
    rank = jnp.arange(budget, dtype=jnp.int32) - first[ray]
    live = (rank >= 0) & (rank < count[ray])
    return Segments(ray, rank, live, first, count, complete)


def optical_depth_before(optical_depth: Array, segments: Segments, *, longest: int) -> tuple[Array, Array]:
    """Optical depth in front of every sample, and of whole rays.

    Args:
        optical_depth: [S L] of each sample's interval, 0 in segments that are not live.
        segments: of `expand`.
        longest: greatest number of segments of a ray.

    Returns:
        [S L] in front of the samples, and [R].
    """
    size, length = optical_depth.shape
    # As a matrix product, because XLA keeps its result; a chain of sums it would compute again for every reader.
    upper = np.triu(np.ones((length, length + 1), np.float32), 1)
    within = jnp.matmul(optical_depth, upper, precision=jax.lax.Precision.HIGHEST)
    rank = jnp.arange(longest, dtype=jnp.int32)[None]
    places = jnp.minimum(segments.first[:, None] + rank, size - 1)
    totals = jnp.where(rank < segments.count[:, None], within[:, -1][places], 0)
    # Sums per ray and not over the whole buffer, which would lose the digits of what a ray adds.
    lower = np.triu(np.ones((longest, longest + 1), np.float32), 1)
    before = jnp.matmul(totals, lower, precision=jax.lax.Precision.HIGHEST)
    rank = jnp.clip(segments.rank, 0, longest - 1)
    front = before.reshape(-1).at[segments.ray * (longest + 1) + rank].get(mode='promise_in_bounds')
    return front[:, None] + within[:, :-1], before[:, -1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def accumulate(optical_depth: Array, colors: Array, before: Array, ray: Array, num_rays: int) -> tuple[Array, Array]:
    """Colour and opacity of rays from some of their samples, front to back.

    The gradient is that of the exact compositing with respect to these samples, the others held fixed: an optical depth
    also dims all that lies behind it. Samples that are left out (those of negligible weight) receive none.

    Args:
        optical_depth: [k] of the samples' intervals, 0 in unused places.
        colors: [k c].
        before: [k] optical depth in front of each sample along its ray; no gradient passes through it, since it is made
            of the optical depths of the same ray and their effect is accounted for.
        ray: [k] int32, ascending; within a ray samples go from front to back.
        num_rays: R.

    Returns:
        Colours [R c] over black, and opacities [R].
    """
    return _accumulate(optical_depth, colors, before, ray, num_rays)[:2]


def _accumulate(optical_depth, colors, before, ray, num_rays):
    front = jnp.exp(-before)
    passed = jnp.exp(-optical_depth)
    weight = front * (1 - passed)
    values = jnp.concatenate([weight[:, None] * colors, weight[:, None]], axis=-1)
    total = jnp.zeros((num_rays, values.shape[-1]), values.dtype)
    total = total.at[ray].add(values, indices_are_sorted=True, mode='promise_in_bounds')
    return total[:, :-1], total[:, -1], weight, front * passed


def _accumulate_forward(optical_depth, colors, before, ray, num_rays):
    color, opacity, weight, behind = _accumulate(optical_depth, colors, before, ray, num_rays)
    return (color, opacity), (colors, weight, behind, ray, color, opacity)


def _accumulate_backward(num_rays, residuals, gradients):
    colors, weight, behind, ray, color, opacity = residuals
    by_color, by_opacity = gradients
    sample_gradient = jnp.concatenate([by_color, by_opacity[:, None]], axis=-1).at[ray].get(mode='promise_in_bounds')
    by_color_here = sample_gradient[:, :-1]
    value = jnp.sum(colors * by_color_here, axis=-1) + sample_gradient[:, -1]
    total = jnp.sum(color * by_color, axis=-1) + opacity * by_opacity
    # What lies behind a sample: the ray's total less what came up to and with the sample.
    contribution = weight * value
    upto = prefix_sum(contribution) - (prefix_sum(total) - total)[ray]
    by_depth = behind * value - (total[ray] - upto)
    return by_depth, weight[:, None] * by_color_here, jnp.zeros_like(weight), np.zeros(ray.shape, jax.dtypes.float0)


accumulate.defvjp(_accumulate_forward, _accumulate_backward)
