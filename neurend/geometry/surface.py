"""Points on surfaces, and distances between sets of points."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry import triangles
from neurend.geometry.leading import floating
from neurend.numerics import safe_norm
from neurend.typing import Array, Key


class Samples(NamedTuple):
    """Points on a mesh.

    Attributes:
        points: [n 3], with gradients with respect to the vertices; zeros where the mesh has no area.
        face: int32 [n], which triangle; -1 where the mesh has no area.
        barycentrics: [n 3] where on it: weights of its corners, for attributes too.
    """

    points: Array
    face: Array
    barycentrics: Array


def sample(key: Key, vertices: Array, faces: Array, count: int) -> Samples:
    """Points spread over a mesh at random, as many on any part as its area demands (Osada et al., 2002).

    Args:
        key: random key.
        vertices: [V 3].
        faces: int32 [F 3]; those of -1 and those without area get no points.
        count: how many points.

    Raises:
        InputError: a shape does not fit.
    """
    vertices, faces = floating(vertices), jnp.asarray(faces)
    checks.shape('vertices', vertices, 'V 3', 'One mesh; use jax.vmap for more')
    checks.shape('faces', faces, 'F 3')
    if 0 in (len(vertices), len(faces)):
        none = jnp.zeros((count, 3), vertices.dtype)
        return Samples(none, jnp.full(count, -1, jnp.int32), none)
    which, first, second = jax.random.split(key, 3)
    areas = jax.lax.stop_gradient(triangles.areas(vertices, faces))
    below = jnp.cumsum(areas)
    # Face k takes places from below[k-1] up to, but without, below[k]: none, if it has no area.
    place = jax.random.uniform(which, (count,), areas.dtype) * below[-1]
    face = jnp.searchsorted(below, place, side='right')
    # By rounding a place may be the end of all.
    last = len(areas) - 1 - jnp.argmax(areas[::-1] > 0)
    face = jnp.where(below[-1] > 0, jnp.minimum(face, last), -1).astype(jnp.int32)
    # A square root spreads the distance from the first corner evenly over the area.
    along = jnp.sqrt(jax.random.uniform(first, (count,), areas.dtype))
    across = jax.random.uniform(second, (count,), areas.dtype)
    weights = jnp.stack([1 - along, along * (1 - across), along * across], axis=-1)
    weights = jnp.where(face[:, None] >= 0, weights, 0)
    chosen = jnp.where(face[:, None] >= 0, faces[jnp.maximum(face, 0)], -1)
    points = jnp.sum(weights[..., None] * triangles.corners(vertices, chosen), axis=1)
    return Samples(points, face, weights)


def nearest(points: Array, others: Array, *, chunk: int = 128) -> Array:
    """Which of the other points is nearest to each, by exact differences; the lowest index where several are.

    Args:
        points: [n d], of few dims.
        others: [m d], one at least.
        chunk: how many points are compared with all others at once, which takes some chunk * m numbers.

    Returns:
        int32 [n].
    """
    points, others = floating(points), floating(others)
    sizes = checks.shape('points', points, 'n d', 'One set; use jax.vmap for more')
    sizes = checks.shape('others', others, 'm d', sizes=sizes)
    if sizes['m'] == 0:
        raise checks.InputError('others: got no points, expected at least one')
    if chunk < 1:
        raise checks.InputError(f'chunk: got {chunk}, expected at least 1')

    indices = jnp.arange(sizes['m'], dtype=jnp.int32)

    def one(point: Array) -> Array:
        # Axis by axis, and the least before where it is: XLA on a CPU takes ten times as long for sum and argmin.
        distances = sum((jnp.square(point[k] - others[:, k]) for k in range(sizes['d'])), jnp.zeros_like(others[:, 0]))
        return jnp.min(jnp.where(distances == jnp.min(distances), indices, sizes['m'] - 1))

    return jax.lax.map(one, points, batch_size=min(chunk, max(len(points), 1)))


def chamfer(a: Array, b: Array, *, squared: bool = True, chunk: int = 128) -> tuple[Array, Array]:
    """Mean distance of points from the nearest of another set, in both directions (Barrow et al., 1977).

    The Chamfer distance is their sum in most papers, their mean in some; and of squared distances (Fan et al., 2017)
    in most, of plain ones in some. The nearest points do not change under differentiation, as is exact almost
    everywhere; gradients go to both sets.

    Args:
        a: [n d].
        b: [m d].
        squared: whether the means are of squared distances; else of plain ones, whose gradient is zero where two
            points meet.
        chunk: see `nearest`.

    Returns:
        The mean over `a` of the distances from `b`, and the mean over `b` of those from `a`.

    Raises:
        InputError: a shape does not fit, or a set is empty.
    """
    a, b = floating(a), floating(b)
    one_way = []
    for points, others in ((a, b), (b, a)):
        index = nearest(*jax.lax.stop_gradient((points, others)), chunk=chunk)
        difference = points - others[index]
        distance = jnp.sum(jnp.square(difference), axis=-1) if squared else safe_norm(difference)
        one_way.append(distance.mean())
    return one_way[0], one_way[1]
