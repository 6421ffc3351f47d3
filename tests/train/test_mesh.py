import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from neurend.train import mesh as meshes
from tests.train import tiny


def test_large_leaves_are_cut_along_their_longest_axis():
    mesh = meshes.make()
    shapes = {
        'table': jax.ShapeDtypeStruct((6, 64), jnp.float32),
        'odd': jax.ShapeDtypeStruct((513,), jnp.float32),
        'small': jax.ShapeDtypeStruct((4, 4), jnp.float32),
    }
    specs = jax.tree.map(lambda s: s.spec, meshes.state_shardings(shapes, mesh, shard_above=64))
    assert specs == {'table': PartitionSpec(None, 'data'), 'odd': PartitionSpec(), 'small': PartitionSpec()}
    whole = meshes.state_shardings(shapes, mesh)
    assert all(sharding.is_fully_replicated for sharding in jax.tree.leaves(whole))


def test_batches_are_cut_where_the_mesh_divides_them():
    batch = {'rays': np.zeros((8, 3)), 'few': np.zeros((2, 3)), 'scale': np.zeros(())}
    specs = jax.tree.map(lambda s: s.spec, meshes.batch_shardings(batch, meshes.make()))
    assert specs == {'rays': PartitionSpec('data'), 'few': PartitionSpec(), 'scale': PartitionSpec()}


def test_placed_and_local_are_inverse():
    mesh = meshes.make()
    tree = {'a': np.arange(32.0, dtype=np.float32).reshape(8, 4), 'b': np.int32(3)}
    placed = meshes.place(tree, meshes.state_shardings(jax.tree.map(jnp.asarray, tree), mesh, shard_above=16))
    assert placed['a'].sharding.spec == PartitionSpec('data') and len(placed['a'].addressable_shards) == 4
    back = meshes.local(placed, mesh)
    jax.tree.map(np.testing.assert_array_equal, back, tree)
    assert back['a'].devices() == {jax.devices()[0]}


def test_what_lies_on_one_device_is_local_as_it_is_so_that_nothing_compiles_twice():
    mesh = meshes.make(jax.devices()[:1])
    tree = {'a': jnp.arange(8.0)}
    placed = meshes.place(tree, meshes.state_shardings(tree, mesh))
    double = jax.jit(lambda tree: 2 * tree['a'])
    np.testing.assert_array_equal(double(meshes.local(placed, mesh)), double(placed))
    assert double._cache_size() == 1


def test_one_and_four_devices_agree(tmp_path):
    one = tiny.run(tmp_path / 'one')
    for name, options in (('four', {}), ('sharded', {'shard_above': 8})):
        four = tiny.run(tmp_path / name, devices=jax.devices(), **options)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one.params, four.params)
    assert four.params['hidden']['kernel'].sharding.spec == PartitionSpec(None, 'data')
    assert four.optimizer[0].mu['hidden']['kernel'].sharding.spec == PartitionSpec(None, 'data')
