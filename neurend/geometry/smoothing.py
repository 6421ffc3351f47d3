"""The Laplacian of a mesh's edges, and coordinates in which steps of any size keep a surface smooth.

Vertices x and their differential coordinates u = (I + s L) x (Nicolet, Jacob and Jakob, "Large steps in inverse
rendering of geometry", 2021): a gradient with respect to u is spread over the surface on its way, so that an optimiser
that steps in u moves regions instead of single vertices.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry import conjugate_gradients
from neurend.geometry.leading import floating
from neurend.numerics import safe_divide
from neurend.typing import Array


def degrees(edges: Array, count: int) -> Array:
    """How many edges each of `count` vertices has: float [V].

    Args:
        edges: int32 [E 2] of `triangles.topology`; those with -1 count nowhere.
        count: V.
    """
    a, b, used = _ends(edges)
    ones = used.astype(jnp.result_type(float))
    return jnp.zeros(count, ones.dtype).at[a].add(ones).at[b].add(ones)


def laplacian(values: Array, edges: Array) -> Array:
    """The combinatorial Laplacian L x: for each vertex the sum of its value's differences from its neighbours'.

    L is symmetric and positive semidefinite; constants give zero.

    Args:
        values: [V c].
        edges: int32 [E 2] of `triangles.topology`; those with -1 are left out.

    Returns:
        [V c].

    >>> laplacian(jnp.array([[0.0], [1.0], [5.0]]), jnp.array([[0, 1], [1, 2]])).tolist()
    [[-1.0], [-3.0], [4.0]]
    """
    values, edges = _checked(values, edges)
    a, b, used = _ends(edges)
    change = jnp.where(used[:, None], values[a] - values[b], 0)
    return jnp.zeros_like(values).at[a].add(change).at[b].add(-change)


def differential_from_vertices(vertices: Array, edges: Array, strength: Array | float) -> Array:
    """Differential coordinates u = (I + s L) x.

    Args:
        vertices: [V c].
        edges: as for `laplacian`.
        strength: s, from 0; 10 to 50 suits most meshes.

    Returns:
        [V c].
    """
    return floating(vertices) + strength * laplacian(vertices, edges)


def vertices_from_differential(
    differential: Array, edges: Array, strength: Array | float, *, tolerance: float = 1e-6, iterations: int = 1000
) -> Array:
    """Vertices x of differential coordinates: solves (I + s L) x = u by conjugate gradients.

    Differentiable in both modes with respect to u and s, by a solution of the same system each.

    Args:
        differential: [V c].
        edges, strength: those that u was made with.
        tolerance: root mean square of the residual at which to stop, relative to the largest of u about its mean.
        iterations: how many at most.

    Returns:
        [V c].
    """
    differential, edges = _checked(differential, edges)
    diagonal = jax.lax.stop_gradient(1 + strength * degrees(edges, len(differential)))[:, None]

    def system(vertices: Array) -> Array:
        return differential_from_vertices(vertices, edges, strength)

    def solve(system: Callable[[Array], Array], right: Array) -> Array:
        # L leaves a shift of all vertices alone: taken out, it costs no digits. Squares of a gradient would underflow.
        shift = right.mean(0, keepdims=True)
        scale = jnp.max(jnp.abs(right - shift), initial=0)
        scaled = safe_divide(right - shift, scale)
        found = conjugate_gradients.solve(
            system, scaled, diagonal.astype(right.dtype), tolerance=tolerance, iterations=iterations
        )
        return scale * found + shift

    return jax.lax.custom_linear_solve(system, differential, solve, symmetric=True)


def _checked(values: Array, edges: Array) -> tuple[Array, Array]:
    values, edges = floating(values), jnp.asarray(edges)
    checks.shape('values', values, 'V c', 'One mesh; use jax.vmap for more')
    checks.shape('edges', edges, 'E 2', 'Give those of neurend.geometry.triangles.topology')
    return values, edges


def _ends(edges: Array) -> tuple[Array, Array, Array]:
    """Vertices a [E] and b [E] of edges, and which are no padding [E]."""
    a, b = jnp.maximum(edges, 0).T
    return a, b, (edges >= 0).all(-1)
