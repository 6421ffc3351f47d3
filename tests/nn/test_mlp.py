import jax
import jax.numpy as jnp
import numpy as np

from neurend.nn.mlp import MLP


def test_skip_puts_the_input_before_the_sixth_layer():
    network = MLP(width=256, depth=8, skips=(4,))
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 63)))['params']
    sizes = [shapes[f'layer_{i}']['kernel'].shape[0] for i in range(8)]
    assert sizes == [63, 256, 256, 256, 256, 63 + 256, 256, 256]


def test_layer_by_layer():
    network = MLP(width=5, depth=3, skips=(0,), out=2)
    x = jax.random.normal(jax.random.key(0), (2, 3, 4))
    params = network.init(jax.random.key(1), x)
    p = {name: jax.tree.map(np.asarray, layer) for name, layer in params['params'].items()}

    def dense(name, h):
        return h @ p[name]['kernel'] + p[name]['bias']

    hidden = np.concatenate([x, np.maximum(dense('layer_0', np.asarray(x)), 0)], axis=-1)
    for name in ('layer_1', 'layer_2'):
        hidden = np.maximum(dense(name, hidden), 0)
    np.testing.assert_allclose(network.apply(params, x), dense('out', hidden), rtol=1e-5, atol=1e-6)
    assert network.apply(params, x).shape == (2, 3, 2)
