import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend.checks import InputError
from neurend.images import metrics
from tests.oracles import images as oracle

ssim = jax.jit(metrics.ssim, static_argnames='convention')


def pair(height=16, width=19, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.random((height, width, 3))
    return a.astype(np.float32), np.clip(a + 0.1 * rng.normal(size=a.shape), 0, 1).astype(np.float32)


def test_psnr_of_known_errors():
    a = jnp.full((2, 4, 4, 3), 0.5)
    np.testing.assert_allclose(metrics.psnr(a, a + jnp.array([0.1, 0.01]).reshape(2, 1, 1, 1)), [20, 40], rtol=1e-4)
    assert np.isinf(metrics.psnr(a[0], a[0]))


def test_psnr_against_the_definition_and_masked():
    a, b = pair()
    error = (a.astype(np.float64) - b) ** 2
    np.testing.assert_allclose(metrics.psnr(a, b), -10 * np.log10(error.mean()), rtol=1e-5)
    mask = np.random.default_rng(1).random(a.shape[:2]) < 0.3
    np.testing.assert_allclose(metrics.psnr(a, b, mask), -10 * np.log10(error[mask].mean()), rtol=1e-5)
    spoiled = np.where(mask[..., None], b, 0)
    np.testing.assert_array_equal(metrics.psnr(a, spoiled, mask), metrics.psnr(a, b, mask))
    assert np.isnan(metrics.psnr(a, b, np.zeros_like(mask)))


@pytest.mark.parametrize('convention', metrics.CONVENTIONS)
def test_ssim_against_the_oracle(convention):
    a, b = pair()
    value = ssim(a, b, convention=convention)
    np.testing.assert_allclose(value, oracle.ssim(a, b, convention), rtol=2e-5)
    np.testing.assert_allclose(ssim(a, a, convention=convention), 1, atol=1e-6)
    np.testing.assert_allclose(ssim(b, a, convention=convention), value, rtol=1e-5)
    smooth = np.full_like(a, 0.97)  # flat and bright, where float32 loses most
    np.testing.assert_allclose(
        ssim(smooth, smooth * 0.99, convention=convention),
        oracle.ssim(smooth, smooth * np.float32(0.99), convention),
        atol=1e-3,
    )


@pytest.mark.parametrize('convention', metrics.CONVENTIONS)
def test_ssim_in_batches_under_jit_and_its_gradient(convention):
    batch = np.stack([pair(seed=seed) for seed in range(2)], axis=1)
    one = [ssim(a, b, convention=convention) for a, b in zip(*batch)]
    np.testing.assert_allclose(ssim(*batch, convention=convention), one, rtol=1e-5)
    with jax.enable_x64(True):
        a, b = (jnp.asarray(x[:12, :12, :1], jnp.float64) for x in pair())
        check_grads(jax.jit(lambda x: metrics.ssim(x, b, convention=convention)), (a,), order=1, modes=('rev',))


def test_sizes_are_checked():
    a, b = pair(8, 8)
    with pytest.raises(InputError, match='at least 11 x 11'):
        metrics.ssim(a, b)
    with pytest.raises(InputError, match=r'b: got shape \(7, 8, 3\)'):
        metrics.psnr(a, b[:7])
    with pytest.raises(InputError, match='convention'):
        metrics.ssim(a, b, convention='matlab')  # pyright: ignore


def test_bytes_are_refused():
    with pytest.raises(InputError, match='a: got uint8, expected floats in'):
        metrics.psnr(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3)))
