"""Edges of silhouettes blended over the pixels they cross, so that pictures have a gradient where surfaces hide others.

Analytic antialiasing, after Laine et al., "Modular primitives for high-performance differentiable rendering" (2020),
but from the edges: each silhouette edge is followed from pixel to pixel, and where it passes between two neighbours
whose outer one shows something farther away, their colours are mixed by where it crosses. So meshes of any fineness
are blended. The picture stays sharp (an edge blurs one pixel at most). Its gradient comes from pixels at silhouettes
alone: where prediction and truth do not overlap there is none. Where surfaces cut through each other nothing is
blended.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry.leading import floating
from neurend.geometry.triangles import Topology
from neurend.linear import linear
from neurend.numerics import safe_divide
from neurend.render.raster import outlines
from neurend.render.raster.outlines import Crossings, Outline
from neurend.render.rasterize import Fragments
from neurend.typing import Array


def antialias(
    colors: Array,
    fragments: Fragments,
    vertices: Array,
    topology: Topology,
    *,
    corner: Array | tuple[int, int] = (0, 0),
) -> Array:
    """Blends colours over silhouettes; differentiable with respect to colours and vertices, in both modes.

    Memory beyond the pictures' is that of the edges; the number of blended pixels has no limit. There are no second
    derivatives in reverse mode.

    Args:
        colors: [H W c] what each pixel shows, the background's colour where there is nothing.
        fragments: of `rasterize` for one picture, [H W]; `jax.vmap` for more.
        vertices: as for `rasterize`, [V 4].
        topology: of `neurend.geometry.triangles.topology` for the same faces.
        corner: as for `rasterize`.

    Returns:
        [H W c].
    """
    colors, vertices = floating(colors), floating(vertices)
    sizes = checks.shape('fragments.face', fragments.face, 'H W', 'One picture; use jax.vmap for more')
    checks.shape('colors', colors, 'H W c', sizes=sizes)
    checks.shape('vertices', vertices, 'v 4')
    edges, _, opposite = (jnp.asarray(part) for part in topology)
    checks.shape('topology.opposite', opposite, 'e 2', sizes=checks.shape('topology.edges', edges, 'e 2'))
    if 0 in (len(edges), len(vertices)):
        return colors
    place, size = jnp.asarray(corner, jnp.int32), (colors.shape[1], colors.shape[0])
    found = outlines.outline(jax.lax.stop_gradient(vertices), edges, opposite, place, size)
    picture = _Picture(found, fragments.face, fragments.depth, place)
    return _blended(colors, vertices, jax.lax.stop_gradient(picture))


class _Picture(NamedTuple):
    """What tells which pixels are blended."""

    outline: Outline
    face: Array
    depth: Array
    corner: Array


class _Places(NamedTuple):
    """Places [n] where a silhouette crosses from a pixel to the next.

    Attributes:
        found: which edges and lines.
        base, line: int32, the pixel's place along the line and the line's number, in the camera's image.
        ahead: bool, whether the surface lies towards the next pixel.
        inner, outer: int32, pixels on the surface's side and beyond, flat.
        pair: int32, the number of the pair of pixels.
        reach: how far from the inner pixel's centre the surface ends, in [0, 1]; -1 where nothing is blended.
    """

    found: Crossings
    base: Array
    line: Array
    ahead: Array
    inner: Array
    outer: Array
    pair: Array
    reach: Array


@jax.custom_jvp
def _blended(colors: Array, vertices: Array, picture: _Picture) -> Array:
    before = colors.reshape(-1, colors.shape[-1])

    def add(places: _Places, used: Array, total: Array) -> Array:
        return _scatter(total, places, _change(_gather(before, vertices, places), places, used))

    return _over_places(vertices, picture, add, before).reshape(colors.shape)


@_blended.defjvp
def _blended_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    def forward(residuals: Any, tangents: Any) -> Array:
        colors, vertices, picture = residuals
        before, change = (part.reshape(-1, part.shape[-1]) for part in (colors, tangents[0]))

        def add(places: _Places, used: Array, total: Array) -> Array:
            at, along = _gather(before, vertices, places), _gather(change, tangents[1], places)
            return _scatter(total, places, jax.jvp(lambda *x: _change(x, places, used), at, along)[1])

        return _over_places(vertices, picture, add, change).reshape(colors.shape)

    def transpose(residuals: Any, cotangent: Array) -> tuple[Array, Array]:
        colors, vertices, picture = residuals
        before, change = (part.reshape(-1, part.shape[-1]) for part in (colors, cotangent))

        def add(places: _Places, used: Array, total: tuple[Array, Array]) -> tuple[Array, Array]:
            _, back = jax.vjp(lambda *x: _change(x, places, used), *_gather(before, vertices, places))
            a, b, inner, outer = back(change[_target(places)])
            image, points = total
            image = image.at[places.inner].add(inner).at[places.outer].add(outer)
            return image, points.at[places.found.ends[:, 0]].add(a).at[places.found.ends[:, 1]].add(b)

        image, points = _over_places(vertices, picture, add, (change, jnp.zeros_like(vertices)))
        return image.reshape(colors.shape), points

    return _blended(*primals), linear(forward, transpose, primals, tuple(tangents[:2]))


def _gather(colors: Array, vertices: Array, places: _Places) -> tuple[Array, Array, Array, Array]:
    """Ends of edges [n 4] each, and colours [n c] of inner and outer pixels."""
    a, b = places.found.ends.T
    return vertices[a], vertices[b], colors[places.inner], colors[places.outer]


def _target(places: _Places) -> Array:
    """Which pixel changes: the inner one if the surface ends before the middle between both."""
    return jnp.where(places.reach < 0.5, places.inner, places.outer)


def _change(values: tuple[Array, Array, Array, Array], places: _Places, used: Array) -> Array:
    """What is added [n c] to the pixels that change."""
    a, b, inner, outer = values
    # What is not used may not be finite.
    a, b = (jnp.where(used[:, None], end, 0) for end in (a, b))
    place = outlines.offset(a, b, places.found.steep, places.base, places.line)
    reach = jnp.where(places.ahead, 1 - place, place)
    share = jnp.where(used, 0.5 - reach, 0)
    return share[:, None] * (outer - inner)


def _scatter(total: Array, places: _Places, change: Array) -> Array:
    return total.at[_target(places)].add(change, mode='promise_in_bounds')


def _over_places(vertices: Array, picture: _Picture, add: Callable[[_Places, Array, Any], Any], total: Any) -> Any:
    """Folds `add(places, used, total)` over all places, some at a time.

    Where several silhouettes cross between the same two pixels, the one that reaches farthest is used.
    """
    vertices = jax.lax.stop_gradient(vertices)
    count = outlines.parts(picture.outline)
    farthest = jnp.full(2 * picture.face.size, -1.0, vertices.dtype)
    first = jnp.full(2 * picture.face.size, len(picture.outline.last), jnp.int32)

    def reach(k: Array, farthest: Array) -> Array:
        places = _places(vertices, picture, k)
        return farthest.at[places.pair].max(places.reach)

    farthest = jax.lax.fori_loop(0, count, reach, farthest)

    def foremost(places: _Places) -> Array:
        return (places.reach >= 0) & (places.reach == farthest[places.pair])

    def lowest(k: Array, first: Array) -> Array:
        places = _places(vertices, picture, k)
        edge = jnp.where(foremost(places), places.found.edge, len(picture.outline.last))
        return first.at[places.pair].min(edge)

    first = jax.lax.fori_loop(0, count, lowest, first)

    def use(k: Array, total: Any) -> Any:
        places = _places(vertices, picture, k)
        return add(places, foremost(places) & (first[places.pair] == places.found.edge), total)

    return jax.lax.fori_loop(0, count, use, total)


def _places(vertices: Array, picture: _Picture, k: Array) -> _Places:
    height, width = picture.face.shape
    found = outlines.crossings(picture.outline, k)
    a, b = (vertices[end] for end in found.ends.T)
    size = jnp.where(found.steep, width, height)
    first, across = (picture.corner[k] for k in (0, 1))
    first, across = jnp.where(found.steep, first, across), jnp.where(found.steep, across, first)
    line = found.line + across
    # From a pixel near the edge, whose distance is then exact, to the last one before the edge.
    nearer = jnp.where((a[:, 3] >= b[:, 3])[:, None], a, b)
    place = jnp.where(found.steep, nearer[:, 0], nearer[:, 1])
    base = jnp.clip(jnp.floor(safe_divide(place, nearer[:, 3]) - 0.5), first, first + size).astype(jnp.int32)
    place = outlines.offset(a, b, found.steep, base, line)
    whole = jnp.clip(jnp.floor(place), -2 * size, 2 * size)
    base, place = base + whole.astype(jnp.int32), place - whole
    ahead, depth = outlines.side_and_depth(a, b, found, base, line)
    rank = base - first
    inside = found.live & (rank >= 0) & (rank < size - 1)
    rank = jnp.clip(rank, 0, size - 2)
    flat = jnp.where(found.steep, found.line * width + rank, rank * width + found.line)
    flat = jnp.clip(flat, 0, height * width - 1)
    beside = jnp.minimum(flat + jnp.where(found.steep, 1, width), height * width - 1)
    inner, outer = jnp.where(ahead, beside, flat), jnp.where(ahead, flat, beside)
    face, depths = picture.face.reshape(-1), picture.depth.reshape(-1)
    seen = inside & (face[inner] >= 0) & (face[inner] != face[outer]) & (depths[outer] > depth)
    reach = jnp.where(seen, jnp.where(ahead, 1 - place, place), -1)
    pair = flat + jnp.where(found.steep, 0, height * width)
    return _Places(found, base, line, ahead, inner, outer, pair, reach)
