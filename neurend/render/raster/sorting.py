"""Which triangles show in a viewport, listed by how they are drawn."""

from typing import NamedTuple

import jax.numpy as jnp

from neurend.render.raster import screen
from neurend.render.raster.screen import Screen
from neurend.render.segments import prefix_sum
from neurend.typing import Array

# Triangles whose pixels fit a window of this side are drawn one window each.
WINDOW = 4


class Listing(NamedTuple):
    """Triangles of one kind.

    Attributes:
        faces: [F + chunk] int32, their indices in ascending order, then anything.
        count: int32, how many there are.
    """

    faces: Array
    count: Array


class Listings(NamedTuple):
    """Triangles that may cover a pixel.

    Attributes:
        small: their pixels fit a window.
        large: larger, with three direct vertices.
        clipped: some vertex is behind the near plane or beyond the guard band.
    """

    small: Listing
    large: Listing
    clipped: Listing


def sort(vertices: Screen, faces: Array, width: int, height: int, chunks: tuple[int, int, int]) -> Listings:
    """Lists the triangles that may cover the centre of a pixel.

    Args:
        vertices: of the mesh.
        faces: [3 F] int32; a triangle with an index that no vertex has is left out.
        width, height: of the viewport.
        chunks: by how much each list is longer than F, so that a chunk read from any place in use stays inside.
    """
    count = vertices.code.shape[0]
    corners = []
    for indices in faces:
        shown = (indices >= 0) & (indices < count)
        packed = vertices.code.at[jnp.clip(indices, 0, count - 1)].get(mode='promise_in_bounds')
        corners.append(screen.codes(packed, shown))
    a, b, c = corners
    left = jnp.minimum(jnp.minimum(a.left, b.left), c.left)
    right = jnp.maximum(jnp.maximum(a.right, b.right), c.right)
    top = jnp.minimum(jnp.minimum(a.top, b.top), c.top)
    bottom = jnp.maximum(jnp.maximum(a.bottom, b.bottom), c.bottom)
    direct = a.direct & b.direct & c.direct
    outside = (right < 0) | (left >= width) | (bottom < 0) | (top >= height)
    shown = ~(outside | a.absent | b.absent | c.absent)
    columns = jnp.minimum(right, width - 1) - jnp.maximum(left, 0) + 1
    rows = jnp.minimum(bottom, height - 1) - jnp.maximum(top, 0) + 1
    covering = shown & direct & (columns > 0) & (rows > 0)
    small = (columns <= WINDOW) & (rows <= WINDOW)
    crossing = shown & ~direct & ~(a.behind & b.behind & c.behind)
    kinds = (covering & small, covering & ~small, crossing)
    return Listings(*(_listing(kind, chunk) for kind, chunk in zip(kinds, chunks)))


def _listing(chosen: Array, chunk: int) -> Listing:
    size = chosen.shape[0]
    last = prefix_sum(chosen).astype(jnp.int32)
    place = jnp.where(chosen, last - 1, size + chunk)
    faces = jnp.zeros(size + chunk, jnp.int32).at[place].set(jnp.arange(size, dtype=jnp.int32), mode='drop')
    return Listing(faces, last[-1])
