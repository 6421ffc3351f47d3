import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.images import backbones
from neurend.losses import perceptual
from tests.oracles import images as oracle

# Position in torchvision's Sequential, and channels; a pooling stands before what follows a gap of 3.
VGG16 = {
    0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256),
    17: (256, 512), 19: (512, 512), 21: (512, 512), 24: (512, 512), 26: (512, 512), 28: (512, 512),
}  # fmt: skip
VGG19 = {
    0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256),
    16: (256, 256), 19: (256, 512), 21: (512, 512), 23: (512, 512), 25: (512, 512), 28: (512, 512), 30: (512, 512),
    32: (512, 512), 34: (512, 512),
}  # fmt: skip


def write(path, layers):
    """Random weights under torchvision's names; He-scaled so that every layer stays alive."""
    rng = np.random.default_rng(0)
    arrays = {'classifier.6.bias': np.zeros(1000, np.float32)}
    for index, (before, after) in layers.items():
        scale = np.float32(np.sqrt(2 / (9 * before)))
        arrays[f'features.{index}.weight'] = scale * rng.standard_normal((after, before, 3, 3), np.float32)
        arrays[f'features.{index}.bias'] = np.float32(0.1) * rng.standard_normal(after, np.float32)
    np.savez(path, **arrays)
    return arrays


@pytest.fixture(scope='module')
def vgg19(tmp_path_factory):
    path = tmp_path_factory.mktemp('vgg') / 'vgg19.npz'
    return path, write(path, VGG19)


def reference(arrays, a, b, weights=(1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)):
    """Slices end at torchvision's layers 1, 6, 11, 20, 29: the ReLUs behind the convolutions 0, 5, 10, 19, 28."""

    def slices(x):
        x, out, previous = (x - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], [], -2
        for index in VGG19:
            if index > 28:
                break
            x = oracle.max_pool(x, 2) if index - previous == 3 else x
            kernel = arrays[f'features.{index}.weight'].astype(np.float64)
            x, previous = oracle.convolution(x, kernel, arrays[f'features.{index}.bias'], 1, 1), index
            if index in (0, 5, 10, 19, 28):
                out.append(x)
        return out

    return sum(weight * np.abs(p - q).mean() for weight, p, q in zip(weights, slices(a), slices(b)))


@pytest.mark.slow
def test_against_the_oracle(vgg19):
    path, arrays = vgg19
    weights = backbones.load(path, 'vgg19')
    a, b, direction = np.random.default_rng(1).random((3, 16, 18, 3), np.float32)
    direction = direction - 0.5

    @jax.jit
    def value_and_grad(weights, a, b):
        return jax.value_and_grad(perceptual.distance, argnums=(1, 2))(weights, a, b)

    value, (to_prediction, to_target) = value_and_grad(weights, a, b)
    np.testing.assert_allclose(value, reference(arrays, a, b), rtol=1e-4)
    step = 1e-6 * direction.astype(np.float64)
    slope = (reference(arrays, a + step, b) - reference(arrays, a - step, b)) / 2e-6
    np.testing.assert_allclose(np.sum(to_prediction * direction), slope, rtol=1e-3)
    assert not np.any(to_target)
    zero, _ = value_and_grad(weights, a, a)
    assert zero < 1e-6 * value  # two passes, compiled apart
    # One layer alone, and a batch as the mean of its images.
    first = perceptual.distance(weights, np.stack([a, b]), np.stack([b, b]), layer_weights=(1, 0, 0, 0, 0))
    want = reference(arrays, a, b, (1, 0, 0, 0, 0)) / 2
    np.testing.assert_allclose(first, want, rtol=1e-4)


def test_the_wrong_file_is_named_with_key_and_shapes(vgg19, tmp_path):
    path, arrays = vgg19
    with pytest.raises(InputError, match=r'vgg19\.npz: lacks.*features\.17\.weight \(512, 256, 3, 3\), got nothing;'):
        backbones.load(path, 'vgg16')
    small = {**arrays, 'features.5.weight': arrays['features.5.weight'][:, :32]}
    small.pop('features.34.bias')
    np.savez(tmp_path / 'small.npz', **small)
    with pytest.raises(InputError) as error:
        backbones.load(tmp_path / 'small.npz', 'vgg19')
    assert 'features.5.weight (128, 64, 3, 3), got (128, 32, 3, 3); features.34.bias (512,), got nothing. ' in str(
        error.value
    )
    assert "Expected torchvision's vgg19" in str(error.value)


def test_vgg16_has_its_own_layers(tmp_path):
    write(tmp_path / 'vgg16.npz', VGG16)
    weights = backbones.load(tmp_path / 'vgg16.npz', 'vgg16')
    assert len(weights.kernels) == 13
    a, b = jnp.zeros((2, 16, 16, 3)) + jnp.array([0.2, 0.7]).reshape(2, 1, 1, 1)
    distance = jax.jit(perceptual.distance)
    assert distance(weights, a, b) > distance(weights, a, 0.9 * a + 0.1 * b) > 0


def test_bad_images_are_named():
    weights = backbones.Weights((), (), 'vgg19')
    image = jnp.zeros((2, 16, 16, 3))
    with pytest.raises(InputError, match=r'target: got shape \(1, 16, 16, 3\), expected \(2, 16, 16, 3\)'):
        perceptual.distance(weights, image, image[:1])
    with pytest.raises(InputError, match='got 15 x 16 pixels, expected at least 16 x 16 for vgg19'):
        perceptual.distance(weights, image[:, :, :15], image[:, :, :15])
    with pytest.raises(InputError, match='layer_weights: got 4, expected 5'):
        perceptual.distance(weights, image, image, layer_weights=(1, 1, 1, 1))
    with pytest.raises(InputError, match="weights: got 'alexnet', expected one of 'vgg16', 'vgg19'"):
        perceptual.distance(backbones.Weights((), (), 'alexnet'), image, image)
    with pytest.raises(InputError, match="outputs: got 'relu4_4', expected one of"):
        backbones.features(backbones.Weights((), (), 'vgg16'), image, ('relu4_4',))
