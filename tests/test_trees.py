import jax
import jax.numpy as jnp
import numpy as np

from neurend import trees

TREE = {'b': (jnp.zeros((2, 3)), jnp.arange(4)), 'a': jnp.bfloat16(1)}


def test_names_follow_the_order_of_leaves():
    assert [name for name, _ in trees.named_leaves(TREE)] == ['a', 'b/0', 'b/1']
    assert all(leaf is other for (_, leaf), other in zip(trees.named_leaves(TREE), jax.tree.leaves(TREE)))


def test_count_and_bytes_also_of_abstract_trees():
    abstract = jax.eval_shape(lambda: TREE)
    assert trees.count(TREE) == trees.count(abstract) == 11
    assert trees.size_bytes(TREE) == trees.size_bytes(abstract) == 6 * 4 + 4 * 4 + 2


def test_nonfinite_names_the_leaves():
    assert trees.nonfinite(TREE) == []
    bad = {'x': jnp.array([1, jnp.nan]), 'y': {'z': np.float32(-np.inf)}, 'n': np.arange(3), 'ok': 1.0}
    assert trees.nonfinite(bad) == ['x', 'y/z']


def test_select_by_element_and_whole():
    ones, zeros = {'a': jnp.ones((2, 3)), 'b': jnp.ones(2)}, {'a': jnp.zeros((2, 3)), 'b': jnp.zeros(2)}
    picked = trees.select(jnp.array([True, False]), ones, zeros)
    np.testing.assert_array_equal(picked['a'], [[1, 1, 1], [0, 0, 0]])
    np.testing.assert_array_equal(picked['b'], [1, 0])
    assert jax.tree.all(jax.tree.map(jnp.array_equal, trees.select(jnp.array(False), ones, zeros), zeros))
