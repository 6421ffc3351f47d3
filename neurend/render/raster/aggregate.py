"""Colours of triangles with soft boundaries, weighted by a softmax over how near they are."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from neurend.linear import linear
from neurend.render.raster import nearby, nearness, opacity
from neurend.render.raster.nearby import Blocks
from neurend.render.raster.opacity import Soft
from neurend.typing import Array

# Columns of a triangle's row before the colours: six of places, three of depths, three of 1/w.
_GEOMETRY = 12


def rows(corners: Array, near: Array, inverse_w: Array, colors: Array) -> Array:
    """What `aggregate` is told of triangles: [F 6], [F 3], [F 3] and [F 3 c] as [F 12+3c]."""
    return jnp.concatenate([corners, near, inverse_w, colors.reshape(len(colors), -1)], axis=1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def aggregate(rows: Array, soft: Soft, least: Array, size: tuple[int, int]) -> tuple[list[Array], Array]:
    """Sums over the triangles at every pixel, in two passes: the greatest logit first, so that nothing overflows.

    A triangle's logit is the logarithm of its probability plus its nearness.

    Args:
        rows: what `rows` makes, for every triangle of the scene.
        soft: the scene.
        least: the logit of the background.
        size: (width, height).

    Returns:
        Images [H W]: the thickness as of `opacity.thickness`, not limited; the sums of weights and of weights times
        colours; all with derivatives with respect to the rows. Weights are exp(logit - top), and `top`, the greatest
        logit, the background's included, comes last, as a constant.
    """

    @jax.custom_batching.sequential_vmap
    def run(rows: Array, soft: Soft, least: Array) -> tuple[list[Array], Array]:
        scene = soft.scene._replace(corners=rows[:, :6])

        def highest(blocks: Blocks, top: Array) -> Array:
            found = _fragments(_columns(rows, blocks), blocks, soft)
            return nearby.write(top, blocks, jnp.where(found.covered, found.logit, -jnp.inf), lax.scatter_max)

        top = nearby.pad(jnp.full(size[::-1], least, rows.dtype))
        top = nearby.fold(scene, size, None, highest, top)

        def add(blocks: Blocks, totals: list[Array]) -> list[Array]:
            found = _contributions(_columns(rows, blocks), blocks, nearby.read(top, blocks), soft)
            return _write(totals, blocks, found)

        return _cut(nearby.fold(scene, size, None, add, _blank(rows, size)), size), _cut(top, size)

    return run(rows, soft, least)


@aggregate.defjvp
def _aggregate_jvp(size: tuple[int, int], primals: Any, tangents: Any) -> tuple[Any, Any]:
    def forward(residuals: tuple[Array, Soft, Array], tangent: Array) -> list[Array]:
        rows, soft, top = residuals
        padded = nearby.pad(top, jnp.inf)

        def add(blocks: Blocks, totals: list[Array]) -> list[Array]:
            at, columns = nearby.read(padded, blocks), _columns(rows, blocks)
            change = nearby.columns(tangent[blocks.face])
            found = jax.jvp(lambda columns: _contributions(columns, blocks, at, soft), (columns,), (change,))[1]
            return _write(totals, blocks, found)

        scene = soft.scene._replace(corners=rows[:, :6])
        return _cut(nearby.fold(scene, size, None, add, _blank(rows, size)), size)

    def transpose(residuals: tuple[Array, Soft, Array], cotangents: list[Array]) -> Array:
        rows, soft, top = residuals
        padded = [nearby.pad(top, jnp.inf), *(nearby.pad(image) for image in cotangents)]
        wanted = functools.reduce(jnp.logical_or, [image != 0 for image in cotangents])

        def add(blocks: Blocks, total: Array) -> Array:
            at, *change = nearby.apart(blocks, lambda: [nearby.read(image, blocks) for image in padded])
            _, back = jax.vjp(lambda columns: _contributions(columns, blocks, at, soft), _columns(rows, blocks))
            return total.at[blocks.face].add(jnp.concatenate(back(change)[0], axis=1))

        scene = soft.scene._replace(corners=rows[:, :6])
        return nearby.fold(scene, size, wanted, add, jnp.zeros_like(rows))

    totals, top = aggregate(*primals, size)
    change = linear(forward, transpose, (primals[0], primals[1], top), tangents[0])
    return (totals, top), (change, jnp.zeros_like(top))


class _Fragments(NamedTuple):
    """Triangles at the pixels of their blocks, [n P] each.

    Attributes:
        x: signed squared distance / sigma.
        tail: `opacity.tail` of it.
        covered: bool.
        shares: three barycentrics in the image, clipped and normalised.
        logit: logarithm of the probability, plus nearness.
    """

    x: Array
    tail: Array
    covered: Array
    shares: list[Array]
    logit: Array


def _fragments(columns: list[Array], blocks: Blocks, soft: Soft) -> _Fragments:
    px, py = nearby.centers(columns[0].dtype)
    x = nearby.apart(blocks, lambda corners: nearness.signed_square(corners, px, py) / soft.sigma, columns[:6])
    tail = nearby.apart(blocks, opacity.tail, x)

    def places(corners: list[Array]) -> tuple[Array, Array]:
        one, two = nearness.barycentrics(corners, px, py)
        zero, one, two = (jnp.clip(weight, 0, 1) for weight in (1 - one - two, one, two))
        scale = 1 / (zero + one + two)
        return one * scale, two * scale

    one, two = nearby.apart(blocks, places, columns[:6])
    shares = [1 - one - two, one, two]
    near = sum(share * value for share, value in zip(shares, columns[6:9]))
    return _Fragments(x, tail, opacity.covered(x, blocks, soft), shares, near + jnp.minimum(x, 0) - tail)


def _contributions(columns: list[Array], blocks: Blocks, top: Array, soft: Soft) -> list[Array]:
    """What is added [n P] to the images."""
    found = _fragments(columns, blocks, soft)

    def straight(shares: list[Array], inverse: list[Array]) -> tuple[Array, Array]:
        zero, one, two = (share * value for share, value in zip(shares, inverse))
        scale = 1 / (zero + one + two)
        return one * scale, two * scale

    one, two = nearby.apart(blocks, straight, found.shares, columns[9:_GEOMETRY])

    def weigh(logit: Array, covered: Array) -> Array:
        # The double where: what is not covered may be far above the top.
        return jnp.where(covered, jnp.exp(jnp.where(covered, logit - top, 0)), 0)

    weight = nearby.apart(blocks, weigh, found.logit, found.covered)
    thickness = jnp.where(found.covered, jnp.maximum(found.x, 0) + found.tail, 0)
    count = _channels(len(columns))
    parts = [columns[_GEOMETRY + channel :: count] for channel in range(count)]
    colors = [(1 - one - two) * a + one * b + two * c for a, b, c in parts]
    return [thickness, weight, *(weight * color for color in colors)]


def _columns(rows: Array, blocks: Blocks) -> list[Array]:
    return nearby.columns(nearby.relative(blocks)) + nearby.columns(rows[blocks.face, 6:])


def _channels(columns: int) -> int:
    return (columns - _GEOMETRY) // 3


def _blank(rows: Array, size: tuple[int, int]) -> list[Array]:
    return [nearby.pad(jnp.zeros(size[::-1], rows.dtype)) for _ in range(2 + _channels(rows.shape[1]))]


def _write(totals: list[Array], blocks: Blocks, parts: list[Array]) -> list[Array]:
    # One by one: a scatter of several images at once takes twice as long on a CPU.
    return [nearby.write(total, blocks, part) for total, part in zip(totals, parts)]


def _cut(images: Any, size: tuple[int, int]) -> Any:
    return jax.tree.map(lambda image: image[: size[1], : size[0]], images)
