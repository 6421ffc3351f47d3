"""Linear maps with a transpose written by hand: derivatives that keep both modes, vmap and derivatives of their own.

`jax.custom_vjp` has no forward mode, and a loop whose length is known at run time only has no reverse mode. A rule of
`jax.custom_jvp` whose tangent is one of these maps has both: forward mode runs the map, reverse mode its transpose.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

# Of (residuals, inputs), pytrees both.
Map = Callable[[Any, Any], Any]

_primitive = Primitive('linear')
_primitive.multiple_results = True


def linear(forward: Map, transpose: Map, residuals: Any, inputs: Any, *, plain: Map | None = None) -> Any:
    """Computes `forward(residuals, inputs)`, which is linear in the inputs; reverse mode is `transpose(residuals, y)`.

    Under vmap members are computed in turn, so that loops stay as short as each member's own. Derivatives with respect
    to the residuals are those of `plain`, and of what JAX makes its transpose: it must not hold loops of dynamic
    length where second derivatives in reverse mode are wanted.

    Args:
        forward: gives a pytree of float arrays.
        transpose: gives a pytree like the inputs, from one like the outputs.
        residuals: pytree of arrays of any type.
        inputs: pytree of float arrays.
        plain: the same as `forward`, which it is if not given.

    Returns:
        What `forward` gives.

    >>> half = lambda matrix, x: matrix @ x
    >>> jax.grad(lambda x: linear(half, lambda matrix, y: y @ matrix, jnp.eye(2), x)[0])(jnp.ones(2)).tolist()
    [1.0, 0.0]
    """
    kept, kept_tree = jax.tree.flatten(jax.tree.map(jnp.asarray, residuals))
    given, given_tree = jax.tree.flatten(jax.tree.map(jnp.asarray, inputs))
    out_tree = jax.tree.structure(jax.eval_shape(forward, residuals, inputs))
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in given]

    def ahead(kept: list, given: list) -> list:
        return jax.tree.leaves(forward(kept_tree.unflatten(kept), given_tree.unflatten(given)))

    def back(kept: list, given: list) -> list:
        return jax.tree.leaves(transpose(kept_tree.unflatten(kept), out_tree.unflatten(given)))

    def plain_ahead(kept: list, given: list) -> list:
        return jax.tree.leaves((plain or forward)(kept_tree.unflatten(kept), given_tree.unflatten(given)))

    def plain_back(kept: list, given: list) -> list:
        return jax.linear_transpose(lambda x: plain_ahead(kept, x), shapes)(given)[0]

    return out_tree.unflatten(
        _primitive.bind(*kept, *given, pair=((ahead, plain_ahead), (back, plain_back)), kept_count=len(kept))
    )


def _run(*arguments: Any, pair: Any, kept_count: int) -> list:
    return pair[0][0](list(arguments[:kept_count]), list(arguments[kept_count:]))


def _shapes(*avals: Any, **params: Any) -> list:
    found = jax.eval_shape(lambda *x: _run(*x, **params), *(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in avals))
    return [jax.core.ShapedArray(x.shape, x.dtype) for x in found]


def _jvp(primals: Any, tangents: Any, *, pair: Any, kept_count: int) -> tuple[list, list]:
    out = _primitive.bind(*primals, pair=pair, kept_count=kept_count)
    kept, given = list(primals[:kept_count]), list(primals[kept_count:])
    changes = [ad.instantiate_zeros(tangent) for tangent in tangents]
    total = None
    if any(not isinstance(tangent, ad.Zero) for tangent in tangents[kept_count:]):
        total = _primitive.bind(*kept, *changes[kept_count:], pair=pair, kept_count=kept_count)
    if any(not isinstance(tangent, ad.Zero) for tangent in tangents[:kept_count]):
        plain = pair[0][1]
        _, change = jax.jvp(lambda kept: plain(kept, given), (kept,), (changes[:kept_count],))
        total = change if total is None else [a + b for a, b in zip(total, change)]
    return out, [jnp.zeros_like(x) for x in out] if total is None else total


def _transpose(cotangents: Any, *arguments: Any, pair: Any, kept_count: int) -> list:
    kept = arguments[:kept_count]
    full = [ad.instantiate_zeros(cotangent) for cotangent in cotangents]
    return [None] * kept_count + _primitive.bind(*kept, *full, pair=pair[::-1], kept_count=kept_count)


def _batch(arguments: Any, dims: Any, *, pair: Any, kept_count: int) -> tuple[list, list]:
    size = next(x.shape[dim] for x, dim in zip(arguments, dims) if dim is not None)
    mapped = [dim is not None for dim in dims]
    # Inputs all have the axis, so that those of the transpose are the same ones.
    moved = [
        jnp.moveaxis(x, dim, 0) if is_mapped else x if k < kept_count else jnp.broadcast_to(x[None], (size, *x.shape))
        for k, (x, dim, is_mapped) in enumerate(zip(arguments, dims, mapped))
    ]
    shared = [not is_mapped for is_mapped in mapped[:kept_count]]

    def each(function: Callable[[list, list], list]) -> Callable[[list, list], list]:
        def run(kept: list, given: list) -> list:
            own = [x for x, same in zip(kept, shared) if not same]

            def one(member: tuple[list, list]) -> list:
                mine = iter(member[0])
                return function([x if same else next(mine) for x, same in zip(kept, shared)], member[1])

            return jax.lax.map(one, (own, given))

        return run

    both = tuple((each(run), each(plain)) for run, plain in pair)
    out = _primitive.bind(*moved, pair=both, kept_count=kept_count)
    return out, [0] * len(out)


_primitive.def_impl(lambda *arguments, **params: jax.jit(lambda *x: _run(*x, **params))(*arguments))
_primitive.def_abstract_eval(_shapes)
ad.primitive_jvps[_primitive] = _jvp
ad.primitive_transposes[_primitive] = _transpose
batching.primitive_batchers[_primitive] = _batch
mlir.register_lowering(_primitive, mlir.lower_fun(_run, multiple_results=True))
