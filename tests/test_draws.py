"""Draws that compile quickly are those of JAX."""

import jax
import jax.numpy as jnp
import numpy as np

from neurend import draws


def _all(key):
    first, second, third = jax.random.split(key, 3)
    return (
        jax.random.normal(first, (3, 4, 5)),
        jax.random.randint(second, (2, 7), 0, 99),
        jax.random.truncated_normal(jax.random.fold_in(third, 8), -2.0, 2.0, (2, 3, 2, 4)),
        jax.random.uniform(third, ()),
        jax.random.permutation(first, 9),
    )


def test_the_same_numbers_are_drawn():
    for function in (_all, jax.jit(_all)):
        for found, expected in zip(draws.quickly(function)(jax.random.key(5)), function(jax.random.key(5))):
            np.testing.assert_array_equal(found, expected)


def _row(key):
    return jax.random.normal(key, (2, 3))


def test_also_under_vmap_and_once_more_in_a_row():
    keys = jax.random.split(jax.random.key(1), 4)
    found = jax.vmap(draws.quickly(draws.quickly(_row)))(keys)
    np.testing.assert_array_equal(found, jnp.stack([_row(key) for key in keys]))


def test_other_keys_stay_as_they_are():
    key = jax.random.key(2, impl='rbg')
    assert draws.in_a_row(key) is key
