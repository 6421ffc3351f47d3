"""Which triangles show in a viewport, sorted by how they are drawn."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from neurend.numerics import materialize, unstack
from neurend.render.raster import screen
from neurend.render.raster.screen import Screen
from neurend.render.segments import prefix_sum
from neurend.typing import Array

# Triangles whose pixels fit a window of one of these sides are drawn one window each.
WINDOWS = (1, 2, 4, 8, 16, 32)
_BLOCK = 32


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


def sort(vertices: Screen, faces: list[Array], width: int, height: int, slack: int) -> Listings:
    """Lists the triangles that may cover the centre of a pixel.

    Args:
        vertices: of the mesh.
        faces: three int32 [F]; a triangle with an index that no vertex has is left out.
        width, height: of the viewport.
        slack: the largest part that will be asked for.
    """
    # A branch, so that XLA on a CPU keeps the kinds, which it would find again for everything that reads them.
    kind = lax.cond(
        screen.some(vertices.code != screen.ABSENT),
        lambda: _kind(vertices, faces, width, height),
        lambda: jnp.full(faces[0].shape, -1, jnp.int32),
    )
    return _listings(kind, slack)


def _kind(vertices: Screen, faces: list[Array], width: int, height: int) -> Array:
    """[F] place in `Listings`, -1 for what is left out."""
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
    return jnp.where(crossing, len(WINDOWS) + 1, jnp.where(covering, kind, -1))


def _listings(kind: Array, slack: int) -> Listings:
    """Sorts by kind [F], -1 for what is left out, by running sums of all kinds at once.

    Within a block of 32 they are digits of base 64, four to a number, so that one matrix product has those of four
    kinds: exactly, since no number reaches 2^24.
    """
    size, kinds = kind.shape[0], len(WINDOWS) + 2
    blocks = jnp.pad(kind, (0, -size % _BLOCK), constant_values=-1).reshape(-1, _BLOCK)
    upper = np.triu(np.ones((_BLOCK, _BLOCK), np.float32))

    def digit(numbers: Array, kind: Array | int) -> Array:
        return numbers >> 6 * (kind & 3) & 63

    within = []
    for first in range(0, kinds, 4):
        member = (blocks >= first) & (blocks < first + 4)
        values = jnp.where(member, 1 << 6 * jnp.where(member, blocks - first, 0), 0).astype(jnp.float32)
        within.append(jnp.matmul(values, upper, precision='highest').astype(jnp.int32))
    totals = jnp.stack([digit(within[k // 4][:, -1], k) for k in range(kinds)])
    after = prefix_sum(totals.reshape(-1)).reshape(totals.shape)
    before = jnp.stack(materialize(unstack(after - totals, axis=0)))
    own = digit(jnp.where(blocks < 4, within[0], within[1]), jnp.maximum(blocks, 0))
    begin = jnp.zeros(blocks.shape)
    for k in range(kinds):
        begin = jnp.where(blocks == k, before[k][:, None], begin)
    place = jnp.where(blocks >= 0, begin.astype(jnp.int32) + own - 1, size + slack).reshape(-1)
    ends = after[:, -1].astype(jnp.int32)
    faces = jnp.zeros(size + slack, jnp.int32)
    # A branch, so that XLA on a CPU finds places in a loop over all cores and not within that of the scatter.
    faces = lax.cond(
        ends[-1] > 0,
        lambda: faces.at[place].set(jnp.arange(place.shape[0], dtype=jnp.int32), mode='drop'),
        lambda: faces,
    )
    begins = jnp.pad(ends[:-1], (1, 0))
    lists = [Listing(faces, begins[k], ends[k] - begins[k]) for k in range(kinds)]
    return Listings(tuple(lists[: len(WINDOWS)]), lists[-2], lists[-1])
