"""As-rigid-as-possible deformation of meshes by handles (Sorkine and Alexa, 2007).

A vertex and its edges make a cell, and each cell wants to be turned and nothing else. How far cells are from that is
the energy. Two steps in turn lower it: the best rotation of each cell, then the best places under these rotations.

Weights are cotangents. Those of needles and of triangles without area are bounded by dividing by a larger area: all
three of a triangle shrink alike, which leaves the energy convex in the places. Bounding them one by one would not.
"""

from collections.abc import Callable

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import conjugate_gradients, transforms, triangles
from neurend.geometry.leading import floating
from neurend.numerics import safe_divide
from neurend.typing import Array

# The least area of a triangle, in parts of the sum of its squared sides.
_FLATTEST = 0.001
# Relative to the residual that a step begins with: the next step changes the right side by more than that.
_TOLERANCE = 1e-4
_SOLVER_ITERATIONS = 1000


def deform(vertices: Array, faces: Array, handles: Array, positions: Array, *, iterations: Array | int = 20) -> Array:
    """Moves handles where they are wanted, and all other vertices so that cells stay as rigid as they can.

    It starts from the rigid motion that takes the handles nearest to their positions: where one takes them all the way,
    everything moves with them. Parts of the mesh without a handle keep to that motion. The energy falls from iteration
    to iteration, to a local minimum; turns of parts against each other by much more than a right angle are better told
    in several calls. It compiles once for any number of iterations, and is not made to be differentiated.

    Args:
        vertices: [V 3] at rest.
        faces: int32 [F 3]; those of -1 are left out.
        handles: int32 [k], vertices whose places are given, each once.
        positions: [k 3] of the handles.
        iterations: pairs of steps, from 0.

    Returns:
        [V 3], handles at their positions exactly.

    Raises:
        InputError: a shape does not fit, there are no handles; or one is named twice, or out of range, where they are
            known at trace time.
    """
    vertices, faces, positions = floating(vertices), jnp.asarray(faces), floating(positions)
    sizes = checks.shape('vertices', vertices, 'V 3', 'One mesh; use jax.vmap for more')
    checks.shape('faces', faces, 'F 3')
    sizes = checks.shape('positions', positions, 'k 3', sizes=sizes | checks.shape('handles', handles, 'k'))
    if not sizes['k']:
        raise checks.InputError('handles: got none, expected at least one')
    if not isinstance(handles, jax.core.Tracer):
        known = np.asarray(handles)
        if known.min() < 0 or known.max() >= sizes['V'] or len(np.unique(known)) < len(known):
            raise checks.InputError(f'handles: got {known.tolist()}, expected each once, from 0 to {sizes["V"] - 1}')
    return _deform(vertices, faces, jnp.asarray(handles), positions, iterations)


@jax.jit
def _deform(vertices: Array, faces: Array, handles: Array, positions: Array, iterations: Array | int) -> Array:
    weights = cotangents(vertices, faces)
    # What no handle holds is at rest where the rigid motion takes it; a system for it has no single solution.
    free = _reached(handles, faces, len(vertices)).at[handles].set(False)[:, None]
    diagonal = _at_vertices(_sums(weights, lambda i, j: jnp.ones_like(weights[:, 0])), faces, len(vertices))[:, None]
    diagonal = jnp.where(free & (diagonal > 0), diagonal, 1)

    def laplacian(values: Array) -> Array:
        a = triangles.corners(values, faces)
        return _at_vertices(_sums(weights, lambda i, j: a[:, i] - a[:, j]), faces, len(vertices))

    def system(values: Array) -> Array:
        return jnp.where(free, laplacian(jnp.where(free, values, 0)), values)

    def places(rotations: Array, current: Array) -> Array:
        """Solves for the change, so that a step in vain changes nothing."""
        turned = rotations[jnp.maximum(faces, 0)]
        rest = triangles.corners(vertices, faces)

        def wanted(i: int, j: int) -> Array:
            return transforms.rotate((turned[:, i] + turned[:, j]) / 2, rest[:, i] - rest[:, j])

        right = _at_vertices(_sums(weights, wanted), faces, len(vertices)) - laplacian(current)
        right = jnp.where(free, right, 0)
        scale = jnp.max(jnp.abs(right))
        scaled = safe_divide(right, scale)
        return current + scale * conjugate_gradients.solve(
            system, scaled, diagonal, tolerance=_TOLERANCE, iterations=_SOLVER_ITERATIONS
        )

    rotation, start = _rigid(vertices, vertices[handles], positions)
    start = places(jnp.broadcast_to(rotation, (len(vertices), 3, 3)), start.at[handles].set(positions))

    def iterate(_: Array, current: Array) -> Array:
        return places(_rotations(vertices, current, faces, weights), current)

    return jax.lax.fori_loop(0, iterations, iterate, start)


@jax.jit
def energy(vertices: Array, deformed: Array, faces: Array) -> Array:
    """Sum over vertices and their edges of cotangent weight times squared distance from a rotated edge: scalar.

    The rotations are each vertex's best.

    Args:
        vertices: [V 3] at rest.
        deformed: [V 3].
        faces: int32 [F 3].
    """
    vertices, deformed, faces = floating(vertices), floating(deformed), jnp.asarray(faces)
    weights = cotangents(vertices, faces)
    turned = _rotations(vertices, deformed, faces, weights)[jnp.maximum(faces, 0)]
    rest, now = triangles.corners(vertices, faces), triangles.corners(deformed, faces)

    def squared(i: int, j: int) -> Array:
        return jnp.sum(
            jnp.square(now[:, i] - now[:, j] - transforms.rotate(turned[:, i], rest[:, i] - rest[:, j])), axis=-1
        )

    return jnp.sum(jnp.stack(_sums(weights, squared)))


def cotangents(vertices: Array, faces: Array) -> Array:
    """Half the cotangent of the angle at each corner, the weight of the side opposite: [F 3], 0 in padding.

    The area it is made with is at least 0.1% of the sum of the squared sides.
    """
    a = triangles.corners(vertices, faces)
    forward, back = jnp.roll(a, -1, axis=1) - a, jnp.roll(a, 1, axis=1) - a
    squares = jnp.sum(jnp.square(forward), axis=(1, 2))
    double_area = 2 * triangles.areas(vertices, faces)
    bounded = jnp.maximum(double_area, 2 * _FLATTEST * squares)
    return safe_divide(jnp.sum(forward * back, axis=-1), 2 * bounded[:, None])


def _reached(handles: Array, faces: Array, count: int) -> Array:
    """Vertices that faces join to a handle: bool [V]."""
    index = jnp.where(faces >= 0, faces, count)

    def spread(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        reached = carry[0]
        touched = jnp.any(reached[index], axis=1)
        more = reached.at[index].max(jnp.broadcast_to(touched[:, None], index.shape))
        return more, jnp.any(more != reached)

    start = jnp.zeros(count + 1, bool).at[handles].set(True)
    return jax.lax.while_loop(lambda carry: carry[1], spread, (start, jnp.array(True)))[0][:-1]


def _sums(weights: Array, value: Callable[[int, int], Array]) -> list[Array]:
    """For each corner i of faces, of its two sides (i, j) weight times `value(i, j)` [F ...]: three of [F ...]."""

    def side(i: int, j: int) -> Array:
        found = value(i, j)
        return weights[:, 3 - i - j].reshape(-1, *(1,) * (found.ndim - 1)) * found

    return [side(i, (i + 1) % 3) + side(i, (i + 2) % 3) for i in range(3)]


def _at_vertices(at_corners: list[Array], faces: Array, count: int) -> Array:
    """Adds up values [F ...] at corners 0, 1 and 2 of faces: [V ...]."""
    total = jnp.zeros((count + 1, *at_corners[0].shape[1:]), at_corners[0].dtype)
    index = jnp.where(faces >= 0, faces, count)
    return total.at[index.T.reshape(-1)].add(jnp.concatenate(at_corners))[:-1]


def _rotations(vertices: Array, deformed: Array, faces: Array, weights: Array) -> Array:
    """The best rotation of each vertex's cell: [V 3 3]."""
    rest, now = triangles.corners(vertices, faces), triangles.corners(deformed, faces)

    def outer(i: int, j: int) -> Array:
        return (now[:, i] - now[:, j])[:, :, None] * (rest[:, i] - rest[:, j])[:, None, :]

    return _nearest_rotation(_at_vertices(_sums(weights, outer), faces, len(vertices)))


def _nearest_rotation(matrix: Array) -> Array:
    """The rotation R for which the trace of R^T M is greatest, for M [... 3 3]: proper, never a reflection."""
    left, _, right = jnp.linalg.svd(matrix)
    # Where the nearest orthogonal matrix mirrors, the axis that matters least is turned round.
    sign = jnp.where(jnp.linalg.det(left) * jnp.linalg.det(right) < 0, -1, 1).astype(matrix.dtype)
    signs = jnp.ones_like(matrix[..., 0]).at[..., 2].set(sign)
    return jnp.matmul(left * signs[..., None, :], right, precision='highest')


def _rigid(vertices: Array, handles: Array, positions: Array) -> tuple[Array, Array]:
    """The rigid motion that takes handles [k 3] nearest to positions: rotation [3 3], and vertices [V 3] moved by it.

    Where handles leave a rotation open, as on one line they do, it is the smallest one.
    """
    center, target = handles.mean(0, keepdims=True), positions.mean(0, keepdims=True)
    matrix = jnp.matmul((positions - target).T, handles - center, precision='highest')
    size = jnp.max(jnp.abs(matrix))
    identity = jnp.eye(3, dtype=vertices.dtype)
    matrix = jnp.where(size > 0, safe_divide(matrix, size), identity)
    # A pull so slight that it decides only what nothing else does; towards what it gives it turns nothing any more.
    rotation = _nearest_rotation(matrix + 1e-5 * identity)
    rotation = _nearest_rotation(matrix + 1e-5 * rotation)
    return rotation, transforms.rotate(rotation[None], vertices - center) + target
