"""Edges of silhouettes blended over the pixels they cross, so that pictures have a gradient where surfaces hide others.

Analytic antialiasing after Laine et al., "Modular primitives for high-performance differentiable rendering" (2020):
between neighbouring pixels that show different triangles, the edge of the nearer one is found and the colours are mixed
by where it crosses. The picture stays sharp (an edge blurs one pixel at most). Its gradient comes from pixels at
silhouettes alone: where prediction and truth do not overlap there is none. Where surfaces cut through each other, or a
mesh is so fine that the triangle seen beside a silhouette does not own the edge, nothing is blended; at 45 degrees
exactly, both pairs at a pixel may be.
"""

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry.leading import floating
from neurend.numerics import materialize, safe_divide, unstack
from neurend.render.rasterize import Fragments
from neurend.render.segments import prefix_sum
from neurend.typing import Array

# How far beyond the neighbour's centre, in pixels, an edge may cross and still be taken for the one between the two.
_MARGIN = 1 / 16


def antialias(
    colors: Array,
    fragments: Fragments,
    vertices: Array,
    faces: Array,
    opposite: Array,
    *,
    corner: Array | tuple[int, int] = (0, 0),
    budget: int | None = None,
) -> Array:
    """Blends colours over silhouettes; differentiable with respect to colours and vertices, in both modes.

    Args:
        colors: [H W c] what each pixel shows, the background's colour where there is nothing.
        fragments: of `rasterize` for one picture, [H W]; `jax.vmap` for more.
        vertices, faces: as for `rasterize`.
        opposite: int32 [F 3] of `neurend.geometry.triangles.topology`. Without it (all -1) every edge blends, and the
            gradient of a mesh is wrong.
        corner: as for `rasterize`.
        budget: how many pairs of neighbours are blended in the fast way; where there are more, all are, and it takes
            longer. By default one in 32 of them, several times what most pictures have.

    Returns:
        [H W c].
    """
    colors, vertices, faces = floating(colors), floating(vertices), jnp.asarray(faces)
    sizes = checks.shape('fragments.face', fragments.face, 'H W', 'One picture; use jax.vmap for more')
    checks.shape('colors', colors, 'H W c', sizes=sizes)
    checks.shape('vertices', vertices, 'v 4')
    checks.shape('opposite', opposite, 'f 3', 'One for each face', sizes=checks.shape('faces', faces, 'f 3'))
    if 0 in (len(faces), len(vertices)):
        return colors
    edges = _silhouettes(jax.lax.stop_gradient(vertices), faces, jnp.asarray(opposite))
    pairs = _pairs(fragments, edges)
    count = pairs.size
    budget = max(count // 32, 1) if budget is None else max(min(budget, count), 1)
    flat = pairs.reshape(-1)
    position = prefix_sum(flat).astype(jnp.int32)

    def some(colors: Array, vertices: Array) -> Array:
        place = jnp.where(flat & (position <= budget), position - 1, budget)
        chosen = jnp.zeros(budget, jnp.int32).at[place].set(jnp.arange(count, dtype=jnp.int32), mode='drop')
        used = jnp.arange(budget) < position[-1]
        return _blend(colors, vertices, fragments, faces, edges, chosen, used, corner)

    def every(colors: Array, vertices: Array) -> Array:
        return _blend(colors, vertices, fragments, faces, edges, jnp.arange(count), flat, corner)

    # Checkpointed, since what one branch keeps for its reverse mode the other would fill with zeros.
    return jax.lax.cond(position[-1] <= budget, jax.checkpoint(some), jax.checkpoint(every), colors, vertices)


def _silhouettes(vertices: Array, faces: Array, opposite: Array) -> Array:
    """Which edges of each face border on nothing or on a face turned away: bool [F 3], by the corner they face."""
    w = vertices[:, 3]
    x, y = (safe_divide(vertices[:, axis], w) for axis in (0, 1))

    def at(values: Array, indices: Array) -> Array:
        return values.at[jnp.clip(indices, 0, len(values) - 1)].get(mode='promise_in_bounds')

    xs, ys = ([at(values, faces[:, k]) for k in range(3)] for values in (x, y))
    area = (xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0])
    ahead = (at(w, faces[:, 0]) > 0) & (at(w, faces[:, 1]) > 0) & (at(w, faces[:, 2]) > 0)
    found = []
    for k in range(3):
        a, b = (k + 1) % 3, (k + 2) % 3
        beyond = opposite[:, k]
        ox, oy = at(x, beyond), at(y, beyond)
        across = (xs[b] - xs[a]) * (oy - ys[a]) - (ox - xs[a]) * (ys[b] - ys[a])
        # The neighbour lies on the same side of the edge as the face: one of them is seen from behind.
        folded = (across < 0) == (area < 0)
        found.append(ahead & ((beyond < 0) | folded | (at(w, beyond) <= 0)))
    return jnp.stack(found, axis=-1)


def _pairs(fragments: Fragments, edges: Array) -> Array:
    """Neighbours to look at: bool [2 H W], each pixel with the one to its right, then with the one below."""
    face = fragments.face
    outlined = jnp.where(face >= 0, edges.any(-1).at[jnp.maximum(face, 0)].get(mode='promise_in_bounds'), False)
    found = []
    for axis in (1, 0):
        ahead, beside = jnp.roll(face, -1, axis), jnp.roll(outlined, -1, axis)
        inside = jnp.arange(face.shape[axis]) < face.shape[axis] - 1
        inside = jnp.expand_dims(inside, 1 - axis)
        found.append((face != ahead) & (outlined | beside) & inside)
    return jnp.stack(found)


def _blend(
    colors: Array,
    vertices: Array,
    fragments: Fragments,
    faces: Array,
    edges: Array,
    chosen: Array,
    used: Array,
    corner: Array | tuple[int, int],
) -> Array:
    height, width, channels = colors.shape
    across = chosen < height * width  # else the pair is one above the other
    first = chosen % (height * width)
    second = jnp.minimum(first + jnp.where(across, 1, width), height * width - 1)
    face, depth = fragments.face.reshape(-1), fragments.depth.reshape(-1)
    owned = (face[second] < 0) | ((face[first] >= 0) & (depth[first] < depth[second]))
    owner = jnp.where(owned, first, second)
    mine = jnp.maximum(face[owner], 0)
    center_x = (owner % width + corner[0] + 0.5).astype(vertices.dtype)
    center_y = (owner // width + corner[1] + 0.5).astype(vertices.dtype)
    indices = [jnp.clip(faces[:, k].at[mine].get(mode='promise_in_bounds'), 0) for k in range(3)]
    values = [vertices[:, axis].at[index].get(mode='clip') for index in indices for axis in (0, 1, 3)]
    values = materialize(values)
    corners = []
    for k in range(3):
        x, y, w = values[3 * k : 3 * k + 3]
        x, y = safe_divide(x, w) - center_x, safe_divide(y, w) - center_y
        # Along the pair, and across it.
        corners.append((jnp.where(across, x, y), jnp.where(across, y, x)))
    toward = jnp.where(owned, 1, -1).astype(vertices.dtype)
    furthest = jnp.full(owner.shape, -jnp.inf, vertices.dtype)
    right = jnp.zeros(owner.shape, bool)
    for k in range(3):
        (ua, va), (ub, vb) = corners[(k + 1) % 3], corners[(k + 2) % 3]
        du, dv = ub - ua, vb - va
        crosses = (va < 0) != (vb < 0)
        # Where the edge meets the line through both centres, in pixels from the owner's towards the other.
        place = jnp.where(crosses, toward * safe_divide(ua * dv - va * du, dv), -jnp.inf)
        steep = (jnp.abs(dv) >= jnp.abs(du)) & edges[mine, k]
        farther = place > furthest
        furthest, right = jnp.where(farther, place, furthest), jnp.where(farther, steep, right)
    taken = used & right & (furthest > -_MARGIN) & (furthest < 1 + _MARGIN)
    share = jnp.where(taken, 0.5 - jnp.clip(jnp.where(taken, furthest, 0.5), 0, 1), 0)
    # Positive where the owner does not reach the middle between the two: it then gets of the other's colour.
    other = first + second - owner
    target, source = jnp.where(share > 0, owner, other), jnp.where(share > 0, other, owner)
    planes = unstack(colors.reshape(-1, channels))
    amount, _ = materialize([jnp.abs(share), used.astype(share.dtype)])
    blended = [
        plane.at[target].add(amount * (plane[source] - plane[target]), mode='promise_in_bounds') for plane in planes
    ]
    return jnp.stack(blended, axis=-1).reshape(colors.shape)
