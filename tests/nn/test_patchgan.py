import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.nn.patchgan import (
    MultiScale,
    PatchGAN,
    PixelGAN,
    ProjectionDiscriminator,
    ResidualEncoder,
    downsample,
    receptive_field,
)
from tests.oracles import networks as oracle


def _support(network, size, logit):
    """Rows and columns of the input that a logit depends on."""
    x = oracle.draw_image(1, size, size, 1)
    params = oracle.draw_params(network, x)
    gradient = jax.jit(jax.grad(lambda x: oracle.apply(network, params, x)[-1][0, logit, logit, 0]))(x)
    rows, columns = np.nonzero(np.asarray(gradient[0, :, :, 0]))
    return rows.min(), rows.max(), columns.min(), columns.max()


@pytest.mark.parametrize(('layers', 'field'), [(1, 16), (3, 70), (5, 286)])
def test_receptive_field_by_gradient(layers, field):
    assert receptive_field(layers) == field
    size = -(-(field + 2) // 2**layers) * 2**layers
    # Logit 3 begins one pixel from the border: no padding is seen.
    found = _support(PatchGAN(width=1, maximum=1, layers=layers, norm='none'), size, 3)
    assert found == (1, field, 1, field)


def test_pixels_are_classified_alone():
    assert _support(PixelGAN(width=2, norm='none'), 4, 2) == (2, 2, 2, 2)


def test_sizes_of_the_published_networks():
    # As the authors' program prints it for a pair of RGB images: 2.769 M; 30 x 30 logits of 256 x 256 pixels.
    network = PatchGAN(norm='batch')
    logits, params = jax.eval_shape(network.init_with_output, jax.random.key(0), jnp.zeros((1, 256, 256, 6)))
    assert round(sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6, 3) == 2.769
    assert [a.shape[1:] for a in logits] == [(128, 128, 64), (64, 64, 128), (32, 32, 256), (31, 31, 512), (30, 30, 1)]


def test_patches_against_layers():
    network = PatchGAN(width=2, layers=2, padding=2)
    x = oracle.draw_image(2, 13, 10, 3)
    p = oracle.draw_params(network, x)

    def layer(name, x, stride=1):
        return oracle.convolve(x, p[name]['kernel'], p[name]['bias'], stride=stride, padding=2)

    a = oracle.relu(layer('layer_0', x, 2), 0.2)
    b = oracle.relu(oracle.standardize(layer('layer_1', a, 2)), 0.2)
    c = oracle.relu(oracle.standardize(layer('layer_2', b)), 0.2)
    for found, expected in zip(oracle.apply(network, p, x), [a, b, c, layer('last', c)], strict=True):
        np.testing.assert_allclose(found, expected, atol=5e-5)


def test_downsample_leaves_out_what_lies_outside():
    x = np.asarray(oracle.draw_image(2, 7, 6, 3))
    expected = np.empty((2, 4, 3, 3))
    for i in range(4):
        for j in range(3):
            expected[:, i, j] = x[:, max(2 * i - 1, 0) : 2 * i + 2, max(2 * j - 1, 0) : 2 * j + 2].mean((1, 2))
    np.testing.assert_allclose(downsample(jnp.asarray(x)), expected, atol=1e-6)


def test_scales_are_patch_discriminators_of_smaller_images():
    network = MultiScale(scales=2, width=2, layers=1)
    x = oracle.draw_image(1, 16, 16, 3)
    params = oracle.draw_params(network, x)
    one = PatchGAN(width=2, layers=1, padding=2)
    results = oracle.apply(network, params, x)
    for scale, image in enumerate([x, downsample(x)]):
        alone = oracle.apply(one, params[f'scale_{scale}'], image)
        for found, expected in zip(results[scale], alone, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_projection():
    network = ProjectionDiscriminator(people=3, width=4, halvings=2, attention=1)
    x = oracle.draw_image(2, 8, 8, 6)
    person = jnp.array([2, 0])
    p = oracle.draw_params(network, x, person)
    encoder = ResidualEncoder(width=4, halvings=2, attention=1)
    vector = np.asarray(oracle.apply(encoder, p['encoder'], x)[0], np.float64)
    score, _ = oracle.apply(network, p, x, person)
    weights = np.asarray(p['people'], np.float64)[[2, 0]] + np.asarray(p['common'])
    np.testing.assert_allclose(score, np.sum(vector * weights, -1) + float(p['bias']), rtol=1e-4)
    # Fine-tuning to a new person: its embedding is added to the common weights.
    tuned = {**p, 'common': p['common'] + p['people'][1]}
    np.testing.assert_allclose(
        oracle.apply(network, tuned, x, None)[0], oracle.apply(network, p, x, jnp.array([1, 1]))[0], rtol=1e-4
    )
    gradient = jax.grad(lambda p: jnp.sum(oracle.apply(network, p, x, person)[0]))(p)
    np.testing.assert_allclose(gradient['people'], np.stack([vector[1], np.zeros(8), vector[0]]), rtol=1e-4)


def test_residual_encoder_against_layers():
    network = ResidualEncoder(width=2, halvings=2, attention=None)
    x = oracle.draw_image(2, 8, 6, 3)
    p = oracle.draw_params(network, x)

    def layer(name, x):
        return oracle.convolve(x, p[name]['kernel'], p[name]['bias'], padding=p[name]['kernel'].shape[0] // 2)

    def pool(x):
        h, w = x.shape[1] // 2, x.shape[2] // 2
        return x[:, : 2 * h, : 2 * w].reshape(x.shape[0], h, 2, w, 2, -1).mean((2, 4))

    y = layer('block_0_second', oracle.relu(layer('block_0_first', x)))
    a = pool(y) + pool(layer('block_0_shortcut', x))
    y = layer('block_1_second', oracle.relu(layer('block_1_first', oracle.relu(a))))
    b = pool(y) + pool(layer('block_1_shortcut', a))
    vector, activations = oracle.apply(network, p, x)
    np.testing.assert_allclose(activations[0], a, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(activations[1], b, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(vector, oracle.relu(b.sum((1, 2))), rtol=1e-4, atol=1e-4)


def test_images_too_small():
    with pytest.raises(InputError, match='16 x 16 pixels, too few for a logit of a discriminator of 3 layers'):
        PatchGAN().init(jax.random.key(0), jnp.zeros((1, 16, 16, 6)))
    with pytest.raises(InputError, match='expected at least 64 a side'):
        ResidualEncoder().init(jax.random.key(0), jnp.zeros((1, 32, 64, 6)))
    with pytest.raises(InputError, match='One index is needed'):
        ProjectionDiscriminator(3, width=1, halvings=1).init(
            jax.random.key(0), jnp.zeros((2, 4, 4, 6)), jnp.zeros(1, int)
        )
