import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.render import texture
from neurend.scenes import textures


def pyramid(side=8, channels=2, levels=3):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=(side >> k, side >> k, channels)), jnp.float32) for k in range(levels)]


def test_texels_are_drawn_level_by_level():
    levels = textures.create(jax.random.key(0), 64, 16, levels=3, deviation=0.02)
    assert [level.shape for level in levels] == [(64, 64, 16), (32, 32, 16), (16, 16, 16)]
    for level in levels:
        count = level.size
        assert abs(float(level.std()) / 0.02 - 1) < 5 / np.sqrt(2 * count)
        assert abs(float(level.mean())) < 5 * 0.02 / np.sqrt(count)
    assert abs(np.corrcoef(levels[0][:16, :16].ravel(), levels[2].ravel())[0, 1]) < 0.08  # drawn apart


def test_doubling_is_bilinear_resampling():
    level = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6, 2)), jnp.float32)
    np.testing.assert_allclose(textures.doubled(level), jax.image.resize(level, (8, 12, 2), 'linear'), atol=1e-6)


def test_the_sum_is_that_of_look_ups_at_its_texels():
    levels = pyramid()[:2]
    centres = (np.arange(8) + 0.5) / 8
    uv = jnp.asarray(np.stack(np.meshgrid(centres, centres[::-1]), axis=-1), jnp.float32)
    want = sum(texture.bilinear(level, uv, wrap='clamp') for level in levels)
    np.testing.assert_allclose(textures.compose(levels), want, atol=1e-5)


def test_the_sum_differs_from_look_ups_by_an_eighth_of_the_second_difference_at_most():
    """As documented: nothing half way between kinks of the coarse level, most at the kinks."""
    line = np.random.default_rng(0).normal(size=8)
    coarse = jnp.asarray(np.broadcast_to(line[None, :, None], (8, 8, 1)), jnp.float32)
    composed = textures.compose([jnp.zeros((16, 16, 1)), coarse])
    u = (np.arange(1, 7) + 0.5) / 8  # at the coarse level's texels
    second = line[:-2] - 2 * line[1:-1] + line[2:]

    def both(u):
        uv = jnp.asarray(np.stack([u, np.full_like(u, 0.5)], axis=-1), jnp.float32)
        return (np.asarray(texture.bilinear(level, uv)[:, 0]) for level in (composed, coarse))

    one, other = both(u)
    np.testing.assert_allclose(one - other, second / 8, atol=1e-5)
    one, other = both(u[:-1] + 1 / 16)
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_composing_is_linear_and_keeps_constants():
    a, b = pyramid(), [level[::-1] for level in pyramid()]
    mixed = textures.compose([2 * x - y for x, y in zip(a, b)])
    np.testing.assert_allclose(mixed, 2 * textures.compose(a) - textures.compose(b), atol=1e-5)
    constant = textures.compose([jnp.full_like(level, value) for level, value in zip(a, (1.0, 0.5, 0.25))])
    np.testing.assert_allclose(constant, np.full((8, 8, 2), 1.75), rtol=1e-6)


def test_penalty_is_the_weighted_mean_square():
    levels = [jnp.full((4, 4, 2), 3.0), jnp.full((2, 2, 2), -2.0)]
    assert float(textures.penalty(levels, (0.5, 0.1))) == pytest.approx(0.5 * 9 + 0.1 * 4)
    with pytest.raises(InputError, match='weights: got 1, expected one for each of 2 levels'):
        textures.penalty(levels, (1.0,))


def sphere():
    """Directions [n 3] and weights [n] that integrate polynomials of degree 15 over the sphere exactly."""
    z, by_z = np.polynomial.legendre.leggauss(8)
    angle = np.arange(16) * 2 * np.pi / 16
    z, angle = np.meshgrid(z, angle)
    ring = np.sqrt(1 - z**2)
    directions = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=-1).reshape(-1, 3)
    return directions, np.broadcast_to(by_z[None] * 2 * np.pi / 16, z.shape).reshape(-1)


def test_modulation_is_by_an_orthonormal_basis():
    directions, weights = sphere()
    features = jnp.ones((len(directions), 16))
    out = textures.modulate(features, jnp.asarray(directions, jnp.float32))
    basis = np.asarray(out[:, 3:12], np.float64)
    np.testing.assert_allclose(basis.T @ (basis * weights[:, None]), np.eye(9), atol=1e-5)
    np.testing.assert_array_equal(np.asarray(out)[:, [0, 1, 2, 12, 13, 14, 15]], 1)


def test_modulation_in_closed_form():
    """Every function of degree 0 to 2, the last of them with x^2 - y^2."""
    x, y, z = np.moveaxis(sphere()[0], -1, 0)
    directions = jnp.asarray(np.stack([x, y, z], axis=-1), jnp.float32)
    c0, c1, c2 = np.sqrt(np.array([1, 3, 15]) / np.pi) / 2
    wanted = [np.full_like(x, c0), -c1 * y, c1 * z, -c1 * x, c2 * x * y, -c2 * y * z]
    wanted += [c2 / np.sqrt(12) * (3 * z**2 - 1), -c2 * x * z, c2 / 2 * (x**2 - y**2)]
    features = np.random.default_rng(0).normal(size=(len(x), 12)).astype(np.float32)
    for degree in (0, 1, 2):
        count = (degree + 1) ** 2
        out = textures.modulate(jnp.asarray(features), directions, first=2, degree=degree)
        factors = np.concatenate([np.ones((len(x), 2)), np.stack(wanted[:count], -1), np.ones((len(x), 10 - count))], 1)
        np.testing.assert_allclose(out, features * factors, atol=1e-5)


@pytest.mark.parametrize(
    'call, message',
    [
        (lambda: textures.create(jax.random.key(0), 12, 3, levels=4), 'side, levels: got 12 and 4'),
        (lambda: textures.create(jax.random.key(0), 8, 0), 'channels, deviation: got 0 and 0.01'),
        # 4 copies of 4 bytes for 16 channels of 2^40 texels, and a third more for coarser levels.
        (lambda: textures.create(jax.random.key(0), 2**20, 16), 'takes 348160.0 GiB to learn.*Halve the side'),
        (lambda: textures.compose([]), 'levels: got none'),
        (lambda: textures.compose([jnp.zeros((8, 8, 2)), jnp.zeros((4, 4, 3))]), r'levels\[1\]: got shape \(4, 4, 3\)'),
        (lambda: textures.compose([jnp.zeros((9, 9, 2)), jnp.zeros((4, 4, 2))]), r'levels\[1\]: got shape \(4, 4, 2\)'),
        (lambda: textures.modulate(jnp.zeros((5, 11)), jnp.zeros((5, 3))), r'got 11 channels, expected .* = 12'),
        (lambda: textures.modulate(jnp.zeros((5, 16)), jnp.zeros((4, 3))), r'directions: got shape \(4, 3\)'),
        (lambda: textures.modulate(jnp.zeros((5, 16)), jnp.zeros((5, 3)), degree=5), 'degree: got 5'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
