"""How much triangles with soft boundaries hide: their transparencies multiplied, as a sum of logarithms."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend.linear import linear
from neurend.render.raster import nearby, nearness
from neurend.render.raster.nearby import Blocks, Scene
from neurend.typing import Array


class Soft(NamedTuple):
    """Triangles with soft boundaries.

    Attributes:
        scene: where they are.
        sigma: squared pixels; the probability that a pixel is covered is sigmoid(signed squared distance / sigma).
        cutoff: pixels whose probability is sigmoid(-cutoff) or less are not covered.
    """

    scene: Scene
    sigma: Array
    cutoff: Array


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def thickness(corners: Array, soft: Soft, size: tuple[int, int]) -> Array:
    """Sum over triangles of -log(1 - probability), [H W]; more than `opaque` where it is left out, deep inside of one.

    It has derivatives with respect to the corners [F 6], which take the place of the scene's.
    """

    @jax.custom_batching.sequential_vmap
    def run(corners: Array, soft: Soft) -> Array:
        def add(blocks: Blocks, total: Array) -> Array:
            px, py = nearby.centers(corners.dtype)
            columns = nearby.columns(nearby.relative(blocks))
            x = nearby.apart(blocks, lambda c: nearness.closest(c, px, py)[0] / soft.sigma, columns)
            return nearby.write(total, blocks, jnp.where(covered(x, blocks, soft), jnp.maximum(x, 0) + tail(x), 0))

        scene = soft.scene._replace(corners=corners)
        total = nearby.fold(scene, size, None, add, _blank(corners, size))[: size[1], : size[0]]
        return jnp.where(nearby.filled(scene, size), opaque(corners.dtype) + 1, total)

    return run(corners, soft)


@thickness.defjvp
def _thickness_jvp(size: tuple[int, int], primals: Any, tangents: Any) -> tuple[Array, Array]:
    def forward(residuals: tuple[Array, Soft], tangent: Array) -> Array:
        scene = residuals[1].scene._replace(corners=residuals[0])

        def add(blocks: Blocks, total: Array) -> Array:
            one = jnp.ones((), tangent.dtype)
            slopes, weights = _slopes(blocks, residuals[1], one)
            change = nearby.columns(tangent[blocks.face])
            along = sum(
                weight * slope * change[2 * k + axis]
                for k, weight in enumerate(weights)
                for axis, slope in enumerate(slopes)
            )
            return nearby.write(total, blocks, jnp.asarray(along))

        return nearby.fold(scene, size, None, add, _blank(tangent, size))[: size[1], : size[0]]

    def transpose(residuals: tuple[Array, Soft], cotangent: Array) -> Array:
        scene = residuals[1].scene._replace(corners=residuals[0])
        padded = nearby.pad(cotangent)

        def add(blocks: Blocks, total: Array) -> Array:
            slopes, weights = _slopes(blocks, residuals[1], nearby.read(padded, blocks))
            sums = nearby.sums([weight * slope for weight in weights for slope in slopes])
            return total.at[blocks.face].add(sums)

        return nearby.fold(scene, size, cotangent != 0, add, jnp.zeros_like(residuals[0]))

    return thickness(*primals, size), linear(forward, transpose, primals, tangents[0])


def covered(x: Array, blocks: Blocks, soft: Soft) -> Array:
    """Whether pixels [n P] of blocks are covered; x is signed squared distance / sigma."""
    return blocks.live[:, None] & (x > -soft.cutoff)


def opaque(dtype: jnp.dtype) -> float:
    """The thickness from which on nothing shines through, within the precision of the type."""
    return float(-np.log(jnp.finfo(dtype).eps / 4))


def tail(x: Array) -> Array:
    """softplus(x) - max(x, 0), without the relative precision of `jax.nn.softplus` far from 0, and twice as fast."""
    return jnp.log(1 + jnp.exp(-jnp.abs(x)))


def _slopes(blocks: Blocks, soft: Soft, factor: Array) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
    """Derivatives [n P] of the thickness by nearest points' x and y, times a factor, and the points' barycentrics."""
    px, py = nearby.centers(blocks.corners.dtype)
    columns = nearby.columns(nearby.relative(blocks))
    place, factor = nearby.apart(blocks, lambda c, factor: (nearness.closest(c, px, py)[1], factor), columns, factor)

    def slopes(columns: list[Array], place: Array, factor: Array) -> tuple[Array, Array]:
        square, by_x, by_y = nearness.square(columns, place, px, py)
        x = square / soft.sigma
        scale = jnp.where(covered(x, blocks, soft), factor * jax.nn.sigmoid(x) / soft.sigma, 0)
        return scale * by_x, scale * by_y

    return nearby.apart(blocks, slopes, columns, place, factor), nearness.weights(place)


def _blank(like: Array, size: tuple[int, int]) -> Array:
    return nearby.pad(jnp.zeros((size[1], size[0]), like.dtype))
