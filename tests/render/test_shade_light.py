import functools

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neurend import checks
from neurend.nn.encodings import spherical_harmonics
from neurend.numerics import normalize
from neurend.render import texture
from neurend.render.shade import classic, cubemaps, harmonics, reference

WHITE = np.ones(3, np.float32)


def _directions(count, seed=0):
    return normalize(jnp.asarray(np.random.default_rng(seed).normal(size=(count, 3)), jnp.float32))


def test_solid_angles_of_texels():
    for side in (1, 2, 7):
        np.testing.assert_allclose(cubemaps.solid_angles(side).sum(), 4 * np.pi, rtol=1e-5)
    # Of small texels: area times cosine over squared distance.
    distance = jnp.linalg.norm(texture.cube_directions(64), axis=-1)
    np.testing.assert_allclose(cubemaps.solid_angles(64), (2 / 64) ** 2 / distance**3, rtol=1e-3)


def test_panoramas_become_cube_maps():
    height, width = 32, 64
    longitude = (np.arange(width) + 0.5) / width * 2 * np.pi - np.pi
    latitude = np.pi / 2 - (np.arange(height) + 0.5) / height * np.pi
    x, y = np.cos(latitude)[:, None] * np.sin(longitude), np.sin(latitude)[:, None] + 0 * longitude
    # Up is +y; in the middle -z, to its right +x.
    panorama = np.stack([x, y, -np.cos(latitude)[:, None] * np.cos(longitude)], axis=-1).astype(np.float32)
    convert = jax.jit(functools.partial(cubemaps.from_equirectangular, side=8))
    faces = convert(panorama)
    toward = normalize(texture.cube_directions(8))
    np.testing.assert_allclose(faces, toward, atol=8e-3)
    # Of the library's own camera, up is -y and the middle +z.
    turned = convert(panorama, world_from_camera=jnp.eye(4))
    np.testing.assert_allclose(turned, toward * jnp.array([1, -1, -1])[None, None, None], atol=8e-3)
    # A sun keeps its light, wherever it stands: across the borders, at a pole.
    areas = (2 * np.pi / width) * (np.pi / height) * np.cos(latitude)[:, None, None]
    for toward in ([0, 0, 1], [0, 1, 0], [0.6, 0, -0.8], [0.1, -0.9, 0.4]):
        sun = np.where((panorama @ np.array(toward))[..., None] > 0.95, np.float32([10, 20, 30]), 0)
        light = (convert(sun) * cubemaps.solid_angles(8)[..., None]).sum((0, 1, 2))
        np.testing.assert_allclose(light, (sun * areas).sum((0, 1)), rtol=0.03)


def test_halving_keeps_light():
    faces = jnp.asarray(np.random.default_rng(0).uniform(size=(6, 8, 8, 3)), jnp.float32)
    light = [
        (cube * cubemaps.solid_angles(cube.shape[1])[..., None]).sum((0, 1, 2))
        for cube in (faces, cubemaps.halve(faces))
    ]
    np.testing.assert_allclose(*light, rtol=1e-5)


def test_irradiance_is_the_quadratic_form_of_the_paper():
    coefficients = np.random.default_rng(0).normal(size=9).astype(np.float32)
    # Ramamoorthi and Hanrahan's constants; their functions of odd order have the other sign.
    a, b, c, d, e = 0.429043, 0.511664, 0.743125, 0.886227, 0.247708
    l00, l1m, l10, l11, l2m2, l2m1, l20, l21, l22 = coefficients * np.array([1, -1, 1, -1, 1, -1, 1, -1, 1])
    matrix = np.array(
        [
            [a * l22, a * l2m2, a * l21, b * l11],
            [a * l2m2, -a * l22, a * l2m1, b * l1m],
            [a * l21, a * l2m1, c * l20, b * l10],
            [b * l11, b * l1m, b * l10, d * l00 - e * l20],
        ]
    )
    normals = _directions(50)
    points = np.concatenate([normals, np.ones((50, 1))], axis=1)
    want = np.einsum('ni,ij,nj->n', points, matrix, points)
    np.testing.assert_allclose(harmonics.irradiance(coefficients[:, None], normals)[:, 0], want, atol=1e-5)


@pytest.mark.parametrize('degree', range(5))
def test_irradiance_of_smooth_light_is_the_integral(degree):
    coefficients = np.random.default_rng(degree).normal(size=((degree + 1) ** 2, 3)).astype(np.float32)
    coefficients[0] += 3
    light = harmonics.radiance(coefficients, normalize(texture.cube_directions(16)))
    np.testing.assert_allclose(harmonics.project(light, degree=degree), coefficients, atol=0.03)
    normals = _directions(20)
    matte = functools.partial(classic.lambert, albedo=WHITE)
    want = jnp.pi * jax.jit(functools.partial(reference.direct, matte))(normals, normals, light)
    np.testing.assert_allclose(harmonics.irradiance(coefficients, normals), want, atol=0.01 * float(want.mean()))


def test_light_is_fitted_to_colors():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(9, 3)).astype(np.float32)
    normals = _directions(400).reshape(20, 20, 3)
    normals = normals.at[..., 2].set(jnp.abs(normals[..., 2]))  # a photograph shows one side
    albedo = jnp.asarray(rng.uniform(0.1, 1, (20, 20, 3)), jnp.float32)
    colors = albedo / jnp.pi * harmonics.irradiance(truth, normals)
    weights = jnp.asarray(rng.uniform(0.5, 2, (20, 20)), jnp.float32).at[:5].set(0)
    damaged = colors.at[:5].add(100.0)
    fit = jax.jit(functools.partial(harmonics.fit, degree=2))
    np.testing.assert_allclose(fit(normals, damaged, albedo=albedo, weights=weights), truth, atol=5e-3)
    # The best in the sense of least squares: as NumPy finds it.
    noisy = colors + jnp.asarray(rng.normal(0, 0.1, colors.shape), jnp.float32)
    lobe = np.repeat([1, 2 / 3, 1 / 4], [1, 3, 5])
    rows = np.asarray(spherical_harmonics(normals, degree=2), np.float64).reshape(400, 9) * lobe
    root = np.sqrt(np.asarray(weights, np.float64)).reshape(-1)
    found = fit(normals, noisy, albedo=albedo, weights=weights)
    for c in range(3):
        scaled = rows * (root * np.asarray(albedo, np.float64)[..., c].reshape(-1))[:, None]
        want = np.linalg.lstsq(scaled, root * np.asarray(noisy, np.float64)[..., c].reshape(-1), rcond=None)[0]
        np.testing.assert_allclose(found[:, c], want, atol=5e-3)
    # Where normals tell little or nothing all stays finite.
    flat = jnp.broadcast_to(jnp.array([0, 0, 1.0]), normals.shape)
    loss = jax.jit(jax.value_and_grad(lambda c, w: jnp.sum(fit(flat, c, weights=w) ** 2), (0, 1)))
    for share in (0.0, 1.0):
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(loss(colors, share * weights)))


@pytest.mark.parametrize(
    'call, message',
    [
        (lambda: harmonics.irradiance(jnp.ones((8, 3)), jnp.ones(3)), 'number of coefficients: got 8'),
        (lambda: harmonics.fit(jnp.ones((4, 3)), jnp.ones((5, 3))), r'colors: got shape \(5, 3\), expected \(4, 3\)'),
        (lambda: harmonics.project(jnp.ones((4, 8, 3))), 'environment: got shape'),
        (lambda: cubemaps.halve(jnp.ones((6, 3, 3, 3))), 'sides of 3 texels'),
        (lambda: cubemaps.from_equirectangular(jnp.ones((4, 8)), 4), 'image: got shape'),
        (lambda: cubemaps.from_equirectangular(jnp.ones((4, 8, 3)), 0), 'side: got 0'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(checks.InputError, match=message):
        call()
