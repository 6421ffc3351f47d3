"""Networks made by networks: values and gradients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend.nn.hypernetwork import Hypernetwork, NormedMLP, apply_normed
from tests.oracles.networks import draw_params


def layers_of(rng, n, sizes):
    return tuple((rng.normal(size=(*n, i, o)), rng.normal(size=(*n, o))) for i, o in itertools.pairwise(sizes))


def plain(layers, x):
    for kernel, bias in layers:
        y = np.einsum('...ri,...io->...ro', x, kernel) + bias[..., None, :]
        y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
        x = np.maximum(y, 0)
    return x


@pytest.mark.parametrize('n', [(), (2,)])
def test_normed_layers_and_their_written_derivatives(n):
    rng = np.random.default_rng(0)
    layers, x = layers_of(rng, n, (3, 5, 4)), rng.normal(size=(*n, 6, 3))
    with jax.enable_x64(True):
        layers, x = jax.tree.map(jnp.asarray, (layers, x))
        np.testing.assert_allclose(apply_normed(layers, x), plain(layers, np.asarray(x)), atol=1e-12)
        check_grads(lambda *given: jnp.sin(apply_normed(*given)), (layers, x), order=1)
        many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), (layers, x))
        rows = jax.vmap(apply_normed)(*many)
        np.testing.assert_allclose(rows[0], apply_normed(layers, x), atol=1e-12)


def test_each_code_makes_layers_of_its_own():
    network = Hypernetwork(((3, 4), (4, 2)), width=5, depth=1)
    codes = jax.random.normal(jax.random.key(0), (3, 6))
    params = draw_params(network, codes)
    made = jax.jit(network.apply)({'params': params}, codes)
    assert [tuple(leaf.shape for leaf in layer) for layer in made] == [((3, 3, 4), (3, 4)), ((3, 4, 2), (3, 2))]
    alone = jax.jit(network.apply)({'params': params}, codes[1])
    jax.tree.map(lambda one, many: np.testing.assert_allclose(one, many[1], atol=1e-5), alone, made)


def test_leading_axes_do_not_matter():
    network = NormedMLP(8, 2, 3)
    x = jax.random.normal(jax.random.key(1), (2, 5, 4))
    params = draw_params(network, x)
    flat = jax.jit(network.apply)({'params': params}, x.reshape(10, 4))
    np.testing.assert_allclose(jax.jit(network.apply)({'params': params}, x), flat.reshape(2, 5, 3), atol=1e-6)
