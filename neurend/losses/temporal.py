"""Flicker of videos: frames against their predecessors carried along by the optical flow.

Flow is `... H W 2` in pixels, x along W, and points backwards in time: what pixel p of a frame shows was at
`p + flow(p)` in the frame before.
"""

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry import grids
from neurend.losses import photometric
from neurend.typing import Array


def warp(image: Array, flow: Array) -> Array:
    """Backward warping: `... H W C`, at p the image at `p + flow(p)`, bilinear; beyond the image its border continues.

    Differentiable in both.

    Args:
        image: `... H W C`.
        flow: `... H W 2` in pixels.
    """
    image, flow = jnp.asarray(image), jnp.asarray(flow)
    checks.shape('image', image, '... H W C')
    _check_flow(flow, image)
    flat = image.reshape(-1, *image.shape[-3:]), _positions(flow).reshape(-1, *flow.shape[-3:])
    return jax.vmap(grids.bilinear)(*flat).reshape(image.shape)


def visible(flow: Array, reverse: Array) -> Array:
    """Where a frame shows what the frame before showed too: bool `... H W`.

    Following the flow and coming back by the reverse flow must end near the start (Sundaram et al., 2010):
    `|flow + reverse|^2 < 0.01 (|flow|^2 + |reverse|^2) + 0.5`, the reverse flow read at `p + flow(p)`, which must lie
    inside the image. Elsewhere the point was hidden, or the flow is wrong.

    Args:
        flow: `... H W 2`, in pixels, from each pixel to its place in the frame before.
        reverse: `... H W 2`, from the pixels of the frame before to their places in this one.
    """
    flow, there = jnp.asarray(flow), warp(reverse, flow)
    error = jnp.sum(jnp.square(flow + there), axis=-1)
    length = jnp.sum(jnp.square(flow), axis=-1) + jnp.sum(jnp.square(there), axis=-1)
    return (error < 0.01 * length + 0.5) & _inside(flow)


def warp_error(frame: Array, previous: Array, flow: Array, valid: Array | None = None) -> Array:
    """Mean of `|frame - warp(previous, flow)|` where both frames see the same point (Lai et al., 2018).

    Loss and metric. Pixels whose origin lies outside the frame before never count. Lai et al. square the difference.

    Args:
        frame: `... H W C`.
        previous: `... H W C`, the frames before.
        flow: `... H W 2` in pixels; where `valid` is zero it may be anything, NaN included.
        valid: `... H W`, bool or weights in [0, 1]: false where the point was hidden, see `visible`. All by default.

    Returns:
        A scalar, zero if no pixel counts.
    """
    frame, flow = jnp.asarray(frame), jnp.asarray(flow)
    checks.shape('frame', frame, '... H W C')
    checks.shape('previous', previous, ' '.join(map(str, frame.shape)), 'It must match frame')
    _check_flow(flow, frame)
    valid = jnp.ones(frame.shape[:-1], bool) if valid is None else jnp.asarray(valid)
    checks.shape('valid', valid, ' '.join(map(str, frame.shape[:-1])), 'One weight per pixel of frame')
    flow = jnp.where((valid > 0)[..., None], flow, 0)
    weight = jnp.where(_inside(flow), valid.astype(frame.dtype), 0)
    return photometric.l1(frame, warp(previous, flow), weight)


def _positions(flow: Array) -> Array:
    height, width = flow.shape[-3:-1]
    x, y = jnp.meshgrid(jnp.arange(width) + 0.5, jnp.arange(height) + 0.5)
    centers = jnp.stack([x, y], axis=-1).astype(flow.dtype)
    return flow + jnp.broadcast_to(centers, flow.shape)


def _inside(flow: Array) -> Array:
    """Whether the place lies between pixel centres, where bilinear interpolation has all its four values."""
    height, width = flow.shape[-3:-1]
    x, y = jnp.moveaxis(_positions(flow), -1, 0)
    return (x >= 0.5) & (x <= width - 0.5) & (y >= 0.5) & (y <= height - 0.5)


def _check_flow(flow: Array, image: Array) -> None:
    expected = ' '.join(map(str, (*image.shape[:-1], 2)))
    checks.shape('flow', flow, expected, 'Give each pixel one displacement (x, y) in pixels')
