import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.losses import features


def activations(seed, scales, layers=5):
    rng = np.random.default_rng(seed)
    return [
        [jnp.float32(rng.normal(size=(2, 8 >> scale, 8 >> scale, 3 + layer))) for layer in range(layers)]
        for scale in range(scales)
    ]


@pytest.mark.parametrize('layers', [2, 5])
def test_against_numpy_with_the_weights_of_pix2pixhd(layers):
    fake, real = activations(0, 3, layers), activations(1, 3, layers)
    want = 0.0
    for one, other in zip(fake, real):
        for a, b in zip(one[: layers - 1], other[: layers - 1]):
            # layers = n + 2: n + 1 hidden ones and the logits.
            want += np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).mean() * 4 / (layers - 1) / 3
    np.testing.assert_allclose(features.feature_matching(fake, real), want, rtol=1e-6)


def test_only_the_hidden_layers_of_generated_images_get_gradients():
    fake, real = activations(0, 2), activations(1, 2)
    to_fake, to_real = jax.grad(features.feature_matching, argnums=(0, 1))(fake, real)
    for scale in range(2):
        for layer in range(4):
            size = fake[scale][layer].size
            sign = np.sign(np.asarray(fake[scale][layer]) - np.asarray(real[scale][layer]))
            np.testing.assert_allclose(to_fake[scale][layer], sign / size / 2, rtol=1e-6)
        assert not np.any(to_fake[scale][-1])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(to_real))


def test_what_does_not_match_is_named():
    fake, real = activations(0, 2), activations(1, 2)
    with pytest.raises(InputError, match=r'real: got \[5\] layers at each scale, expected .* \[5, 5\]'):
        features.feature_matching(fake, real[:1])
    with pytest.raises(InputError, match=r'got shape \(1, 4, 4, 5\) at scale 1, layer 2, expected .* \(2, 4, 4, 5\)'):
        features.feature_matching(fake, [real[0], [*real[1][:2], real[1][2][:1], *real[1][3:]]])
    with pytest.raises(InputError, match='got 1 layers at scale 0, expected hidden layers and the logits'):
        features.feature_matching(activations(0, 1, 1), activations(1, 1, 1))
