import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.nn.dilated import DilatedUNet
from neurend.nn.unet import UNet
from tests.oracles import networks as oracle


def _count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _shapes(network, *shape):
    return jax.eval_shape(
        lambda key: network.init({'params': key, 'dropout': key}, jnp.zeros((1, *shape))), jax.random.key(0)
    )['params']


def test_sizes_of_the_published_networks():
    # As the authors' program prints them: 54.414 M and 41.829 M for RGB to RGB with batch norm.
    assert round(_count(_shapes(UNet(out=3, norm='batch'), 256, 256, 3)) / 1e6, 3) == 54.414
    assert round(_count(_shapes(UNet(out=3, norm='batch', depth=7), 128, 128, 3)) / 1e6, 3) == 41.829


@pytest.mark.parametrize('upsample', ['transposed', 'bilinear'])
@pytest.mark.parametrize('space', [(16, 8), (8, 8, 16)])
def test_against_nested_blocks(upsample, space):
    network = UNet(out=2, width=4, depth=3, rank=len(space), upsample=upsample)
    x = oracle.draw_image(2, *space, 3)
    params = oracle.draw_params(network, x)
    expected = oracle.unet(params, x, depth=3, upsample=upsample)
    np.testing.assert_allclose(oracle.apply(network, params, x), expected, atol=2e-5)
    assert np.abs(expected).max() > 0.3


def test_coarser_features_are_seen_beside_those_of_their_size():
    network = UNet(out=2, width=4, depth=3, norm='none', activation='none', dropout=0.0)
    x, coarser = oracle.draw_image(1, 16, 16, 3), [oracle.draw_image(1, side, side, 2) for side in (8, 4)]
    params = oracle.draw_params(network, x)
    apply = jax.jit(lambda params, coarser: network.apply({'params': params}, x, coarser=coarser))

    def with_rows(value):
        rows = {f'encoder_{k}': jnp.full((4, 4, 2, 4 << k), value) for k in (1, 2)}
        more = {
            name: {**params[name], 'kernel': jnp.concatenate([params[name]['kernel'], each], axis=2)}
            for name, each in rows.items()
        }
        return {**params, **more}

    plain = network.apply({'params': params}, x)
    np.testing.assert_allclose(apply(with_rows(0.0), coarser), plain, atol=1e-6)
    for k in range(2):
        one = [each if i == k else jnp.zeros_like(each) for i, each in enumerate(coarser)]
        assert float(jnp.abs(apply(with_rows(0.1), one) - plain).max()) > 1e-3
    for bad in ([coarser[1]], [*coarser, coarser[1][:, :2, :2]]):
        with pytest.raises(InputError, match='coarser'):
            network.apply({'params': params}, x, coarser=bad)


def test_biases_before_norms_change_nothing_and_others_do():
    network = UNet(out=2, width=4, depth=3, activation='none')
    x = oracle.draw_image(1, 16, 16, 3)
    params = oracle.draw_params(network, x)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(jnp.sin(3 * network.apply({'params': p}, x)))))(params)
    size = {name: float(jnp.abs(layer['bias']).max()) for name, layer in gradient.items()}
    normed = {'encoder_1', 'decoder_1', 'decoder_2'}
    assert all(size[name] < 1e-4 for name in normed)
    assert all(size[name] > 1e-2 for name in set(size) - normed)
    assert 'bias' not in _shapes(UNet(out=2, width=4, depth=3, norm='batch'), 16, 16, 3)['encoder_0']


def test_dropout_is_on_unless_deterministic_and_on_three_middle_levels():
    captured = jax.eval_shape(
        lambda key: UNet(out=3, width=1).init_with_output(
            {'params': key, 'dropout': key}, jnp.zeros((1, 256, 256, 3)), capture_intermediates=True
        )[1]['intermediates'],
        jax.random.key(0),
    )
    assert sorted(n for n in captured if n.endswith('dropout')) == [f'decoder_{i}_dropout' for i in (4, 5, 6)]

    network = UNet(out=3, width=4, depth=4, maximum=1)
    x = oracle.draw_image(1, 16, 32, 3)
    variables = {'params': oracle.draw_params(network, x)}
    fixed = network.apply(variables, x, deterministic=True)
    random = jax.jit(lambda key: network.apply(variables, x, rngs={'dropout': key}))
    first, second = random(jax.random.key(3)), random(jax.random.key(4))
    assert float(jnp.abs(first - second).max()) > 0.05
    assert float(jnp.abs(first - fixed).max()) > 0.05
    none = UNet(out=3, width=4, depth=4, maximum=1, dropout=0.0)
    np.testing.assert_array_equal(none.apply(variables, x), fixed)


def test_refinements_follow_all_doublings_but_the_last():
    network = UNet(out=3, width=4, depth=2, refinements=2, dropout=0.0)
    x = oracle.draw_image(1, 8, 8, 3)
    p = oracle.draw_params(network, x)

    def layer(name, y, convolve=oracle.convolve, **options):
        return convolve(y, p[name]['kernel'], p[name]['bias'], padding=1, **options)

    a = layer('encoder_0', x, stride=2)
    b = layer('encoder_1', oracle.relu(a, 0.2), stride=2)
    y = oracle.standardize(layer('decoder_1', oracle.relu(b), oracle.convolve_transposed))
    for k in range(2):
        y = oracle.standardize(layer(f'decoder_1_refinement_{k}', oracle.relu(y)))
    expected = np.tanh(layer('decoder_0', oracle.relu(np.concatenate([a, y], -1)), oracle.convolve_transposed))
    np.testing.assert_allclose(oracle.apply(network, p, x), expected, atol=2e-5)


def test_sizes_it_cannot_halve():
    with pytest.raises(InputError, match=r'got 16 x 20 pixels, expected multiples of 8\. Pad'):
        UNet(out=3, depth=3).init(jax.random.key(0), jnp.zeros((1, 16, 20, 3)))
    with pytest.raises(InputError, match='expected 5 axes'):
        UNet(out=3, depth=3, rank=3).init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    with pytest.raises(InputError, match='depth: got 1'):
        UNet(out=3, depth=1).init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))


def test_dilated_against_layers():
    network = DilatedUNet(out=2, width=4, depth=3)
    x = oracle.draw_image(1, 11, 7, 3)
    p = oracle.draw_params(network, x)

    def layer(name, x, d=1):
        return oracle.convolve(x, p[name]['kernel'], p[name]['bias'], dilation=d, padding=d)

    a = layer('encoder_0', x)
    b = layer('encoder_1', oracle.relu(a, 0.2), 2)
    c = layer('encoder_2', oracle.relu(b, 0.2), 4)
    d = np.concatenate([b, oracle.standardize(layer('decoder_2', oracle.relu(c)))], -1)
    e = np.concatenate([a, oracle.standardize(layer('decoder_1', oracle.relu(d)))], -1)
    expected = np.tanh(layer('decoder_0', oracle.relu(e)))
    np.testing.assert_allclose(oracle.apply(network, p, x), expected, atol=2e-5)


def test_dilated_sees_36_pixels_each_way_and_has_the_figures_channels():
    network = DilatedUNet(out=1, width=1, maximum=1, norm='none', activation='none')
    x = jnp.ones((1, 80, 80, 1))
    # Positive weights keep every ReLU open.
    params = jax.tree.map(lambda p: np.abs(p) + 0.1, oracle.draw_params(network, x))
    seen = jax.jit(jax.grad(lambda x: network.apply({'params': params}, x)[0, 40, 40, 0]))(x) != 0
    rows, columns = np.nonzero(np.asarray(seen[0, :, :, 0]))
    # 1 + 2 + 4 + 8 + 16 by the encoder, 5 by the decoder.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 76, 4, 76)
    shapes = _shapes(DilatedUNet(out=3), 8, 8, 19)
    assert [shapes[f'encoder_{i}']['kernel'].shape[-1] for i in range(5)] == [32, 64, 128, 256, 512]
    assert [shapes[f'decoder_{i}']['kernel'].shape[-1] for i in range(5)] == [3, 32, 64, 128, 256]
