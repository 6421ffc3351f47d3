"""The nearest triangles at every pixel, in the order of depth: which they are, without gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from neurend.numerics import unstack
from neurend.render.raster import blocks, clipping, coverage, drawing, screen, sorting
from neurend.render.raster.coverage import Triangles
from neurend.render.raster.drawing import Canvas
from neurend.render.raster.sorting import Listing
from neurend.typing import Array

# Triangles at a time: of those that fit a window, for each size; large ones; and clipped ones, which become six each.
_FITTING, _LARGE, _CLIPPED = (16384, 16384, 8192, 1024, 256, 64), 1536, 256


class View(NamedTuple):
    """What is drawn, and how: hashable.

    Attributes:
        width, height: of the viewport, in pixels.
        near: smallest w that is shown.
        culled: sign of the areas (positive: clockwise in the image) of triangles that are left out, or 0.
        layers: how many triangles a pixel tells.
    """

    width: int
    height: int
    near: float
    culled: int
    layers: int


def layers(vertices: Array, faces: Array, corner: Array, view: View) -> tuple[Array, Array]:
    """Finds what shows.

    Args:
        vertices: [V 4] homogeneous pixels.
        faces: [F 3] int32.
        corner: [2] int32, the viewport's first pixel.
        view: the rest.

    Returns:
        Depth z/w [layers H W] float32, infinite where there is nothing, and faces [layers H W] int32, -1 there. Of
        triangles at the same depth the one with the lowest index comes first. Under vmap, scenes are drawn in turn.
    """

    @jax.custom_batching.sequential_vmap
    def draw(vertices: Array, faces: Array, corner: Array) -> tuple[Array, Array]:
        return _layers(vertices, faces, corner, view)

    return draw(lax.stop_gradient(vertices), faces, corner)


def _layers(vertices: Array, faces: Array, corner: Array, view: View) -> tuple[Array, Array]:
    # A branch, so that XLA on a CPU keeps them, and does not snap again wherever one is gathered.
    snapped = lax.cond(
        screen.some(vertices[:, 3] >= view.near),
        lambda: screen.snap(vertices, corner, view.width, view.height, view.near),
        lambda: screen.absent(vertices.shape[0]),
    )
    # Apart, so that no loop takes them apart in every turn.
    columns = unstack(faces, axis=1)
    lists = sorting.sort(snapped, columns, view.width, view.height, max(_FITTING))
    # Depth and index share a word of 64 bits, so that one pass finds the nearest. Nothing of that gets out of here.
    with jax.enable_x64(True):

        def direct(listing: Listing, k: Array, size: int, dtype: jnp.dtype = jnp.float32) -> Triangles:
            return drawing.gather(snapped, columns, *listing.part(k, size), view.culled, dtype)

        def clipped(k: Array) -> Triangles:
            chosen, in_use = lists.clipped.part(k, _CLIPPED)
            corners = vertices[faces[chosen]].astype(jnp.float64)
            if view.culled:
                in_use = in_use & (jnp.sign(jnp.linalg.det(corners[..., jnp.array([0, 1, 3])])) != view.culled)
            return clipping.clip(corners, chosen, in_use, corner, view.near)

        whole, cut = lists.large.parts(_LARGE), lists.clipped.parts(_CLIPPED)

        def draw_large(canvas: Canvas) -> Array:
            def body(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
                k, nearest, depths = state
                triangles = lax.cond(
                    k < whole,
                    lambda: direct(lists.large, k, _LARGE, jnp.float64),
                    lambda: clipped(jnp.maximum(k - whole, 0)),
                )
                drawn, depths = blocks.draw(triangles, canvas._replace(nearest=nearest), depths)
                return k + 1, drawn.nearest, depths

            state = (jnp.int32(0), canvas.nearest, blocks.farthest(canvas))
            return lax.while_loop(lambda state: state[0] < whole + cut, body, state)[1]

        sizes = (view.height + drawing.PADDING, view.width + drawing.PADDING)

        def layer(previous: Array | None) -> Array:
            canvas = Canvas(jnp.full(sizes, coverage.EMPTY, jnp.int64), previous, view.width, view.height)
            for listing, size, side in zip(lists.windows, _FITTING, sorting.WINDOWS):

                def draw_small(
                    k: Array, canvas: Canvas, listing: Listing = listing, size: int = size, side: int = side
                ) -> Canvas:
                    return drawing.small(direct(listing, k, size), canvas, side)

                canvas = drawing.repeat(listing.parts(size), draw_small, canvas)
            return lax.cond(whole + cut > 0, lambda: draw_large(canvas), lambda: canvas.nearest)

        def everything() -> tuple[Array, Array]:
            if view.layers == 1:
                stack = layer(None)[None]
            else:
                first = jnp.full(sizes, -(1 << 63), jnp.int64)

                def next_layer(previous: Array, _: None) -> tuple[Array, Array]:
                    found = layer(previous)
                    return found, found

                _, stack = lax.scan(next_layer, first, length=view.layers)
            return coverage.unpack(stack[:, : view.height, : view.width])

        def nothing() -> tuple[Array, Array]:
            shape = (view.layers, view.height, view.width)
            return jnp.full(shape, jnp.inf, jnp.float32), jnp.full(shape, -1, jnp.int32)

        # Also a wall against XLA's CPU compiler, which else unpacks anew wherever a face is read.
        return lax.cond(sum(listing.count for listing in lists.windows) + whole + cut > 0, everything, nothing)
