"""Which triangles show in a viewport, sorted by how they are drawn."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from neurend.render.raster import screen
from neurend.render.raster.screen import Screen
from neurend.typing import Array

# Triangles whose pixels fit a window of one of these sides are drawn one window each.
WINDOWS = (2, 4, 8, 16)
_BLOCK = 64


class Listing(NamedTuple):
    """Triangles of one kind: `count` entries of `faces` from `begin` on.

    Attributes:
        faces: int32 [F + slack], all kinds one after the other, ascending in each.
        begin, count: int32.
    """

    faces: Array
    begin: Array
    count: Array

    def part(self, k: Array, size: int) -> tuple[Array, Array]:
        """Faces [size] of the k-th part, and which of them are in the list."""
        start = k * size
        faces = lax.dynamic_slice(self.faces, (self.begin + start,), (size,))
        return faces, start + jnp.arange(size, dtype=jnp.int32) < self.count

    def parts(self, size: int) -> Array:
        """How many parts there are."""
        return (self.count + size - 1) // size


class Listings(NamedTuple):
    """Triangles that may cover a pixel.

    Attributes:
        windows: those whose pixels fit a window, for each of `WINDOWS`.
        large: larger, with three direct vertices.
        clipped: some vertex is behind the near plane or beyond the guard band.
    """

    windows: tuple[Listing, ...]
    large: Listing
    clipped: Listing


def sort(vertices: Screen, faces: Array, width: int, height: int, slack: int) -> Listings:
    """Lists the triangles that may cover the centre of a pixel.

    Args:
        vertices: of the mesh.
        faces: [3 F] int32; a triangle with an index that no vertex has is left out.
        width, height: of the viewport.
        slack: the largest part that will be asked for.
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
    # Those that reach outside are large, however little of them shows: codes do not say how far.
    far = jnp.minimum(jnp.minimum(a.right, b.right), c.right) <= -2
    far = far | (jnp.minimum(jnp.minimum(a.bottom, b.bottom), c.bottom) <= -2) | (right > width) | (bottom > height)
    side = jnp.where(far, WINDOWS[-1] + 1, jnp.maximum(columns, rows))
    kind = sum((side > window).astype(jnp.int32) for window in WINDOWS)
    crossing = shown & ~direct & ~(a.behind & b.behind & c.behind)
    kind = jnp.where(crossing, len(WINDOWS) + 1, jnp.where(covering, kind, -1))
    return _listings(kind, slack)


def _listings(kind: Array, slack: int) -> Listings:
    """Sorts by kind [F], -1 for what is left out, by running sums of all kinds at once."""
    size, kinds = kind.shape[0], len(WINDOWS) + 2
    blocks = jnp.pad(kind, (0, -size % _BLOCK), constant_values=-1).reshape(-1, _BLOCK)
    chosen = (blocks[None] == jnp.arange(kinds)[:, None, None]).astype(jnp.float32)
    # As a matrix product: fast, and kept by XLA, which would find the kinds again for everything below.
    within = jnp.matmul(chosen, np.triu(np.ones((_BLOCK, _BLOCK), np.float32)), precision='highest').astype(jnp.int32)
    totals = within[..., -1]
    after = jnp.cumsum(totals.reshape(-1), dtype=jnp.int32).reshape(totals.shape)
    member = within > jnp.pad(within[..., :-1], ((0, 0), (0, 0), (1, 0)))
    place = jnp.sum(jnp.where(member, within + (after - totals)[..., None], 0), axis=0).reshape(-1)
    faces = jnp.zeros(size + slack, jnp.int32)
    faces = faces.at[jnp.where(place > 0, place - 1, size + slack)].set(
        jnp.arange(place.shape[0], dtype=jnp.int32), mode='drop'
    )
    ends = after[:, -1]
    begins = jnp.pad(ends[:-1], (1, 0))
    lists = [Listing(faces, begins[k], ends[k] - begins[k]) for k in range(kinds)]
    return Listings(tuple(lists[: len(WINDOWS)]), lists[-2], lists[-1])
