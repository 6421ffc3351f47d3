import functools

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neurend import checks
from neurend.numerics import normalize
from neurend.render.shade import classic, ggx, lights, reference

BASE = np.array([1.0, 0.6, 0.2])


def _directions(count, seed=0):
    """Normals, and two sets of directions above them."""
    rng = np.random.default_rng(seed)
    normals, *others = (normalize(jnp.asarray(rng.normal(size=(count, 3)), jnp.float32)) for _ in range(3))
    above = [jnp.where(jnp.sum(other * normals, -1, keepdims=True) < 0, -other, other) for other in others]
    return normals, *above


def _inclined(cosines):
    """A normal, and views at cosines to it."""
    cosines = np.asarray(cosines)
    view = np.stack([np.sqrt(1 - cosines**2), np.zeros_like(cosines), cosines], axis=-1)
    return jnp.broadcast_to(jnp.array([0.0, 0, 1]), view.shape), jnp.asarray(view, jnp.float32)


def _ggx(normal, view, light, base, metallic, roughness):
    """One pixel, in the words of the papers, double precision."""
    normal, view, light = (np.asarray(x, np.float64) / np.linalg.norm(x) for x in (normal, view, light))
    half = (view + light) / np.linalg.norm(view + light)
    alpha = roughness**2
    tangent = np.sqrt(1 - (normal @ half) ** 2) / (normal @ half)
    density = 1 / (np.pi * alpha**2 * (normal @ half) ** 4 * (1 + tangent**2 / alpha**2) ** 2)

    def hidden(direction):
        return (np.sqrt(1 + alpha**2 * (1 / (normal @ direction) ** 2 - 1)) - 1) / 2

    shadowing = 1 / (1 + hidden(view) + hidden(light))
    f0 = 0.04 * (1 - metallic) + base * metallic
    fresnel = f0 + (1 - f0) * (1 - view @ half) ** 5
    specular = density * shadowing * fresnel / (4 * (normal @ view) * (normal @ light))
    return specular + (1 - fresnel) * (1 - metallic) * base / np.pi


def test_ggx_is_the_papers_formula():
    normals, view, light = _directions(100)
    rng = np.random.default_rng(1)
    base, metallic, roughness = rng.uniform(size=(100, 3)), rng.uniform(size=100), rng.uniform(0.1, 1, 100)
    want = [_ggx(*pixel) for pixel in zip(normals, view, light, base, metallic, roughness)]
    material = {'base_color': jnp.float32(base), 'metallic': jnp.float32(metallic), 'roughness': jnp.float32(roughness)}
    got = jax.jit(ggx.brdf)(normals, view, light, **material)
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=1e-5)
    # One direction and one material for all pixels, of any picture's shape.
    one = {'base_color': base[0], 'metallic': metallic[0], 'roughness': roughness[0]}
    picture = ggx.brdf(normals.reshape(10, 10, 3), view.reshape(10, 10, 3), light[0], **one)
    single = [_ggx(n, v, light[0], *one.values()) for n, v in zip(normals, view)]
    lit = np.asarray(jnp.sum(normals * light[:1], -1)) > 0.01
    np.testing.assert_allclose(picture.reshape(100, 3)[lit], np.array(single)[lit], rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize('roughness', [0.1, 0.5, 1.0])
def test_density_of_facets_is_normalised(roughness):
    with jax.enable_x64(True):
        angles = (jnp.arange(20000) + 0.5) / 20000 * jnp.pi / 2
        cosine = jnp.cos(angles)
        total = jnp.sum(ggx.distribution(cosine, roughness**2) * cosine * 2 * jnp.pi * jnp.sin(angles)) / 20000
        np.testing.assert_allclose(total * jnp.pi / 2, 1, rtol=1e-4)


def test_light_and_camera_may_change_places():
    normals, view, light = _directions(200)
    for brdf in (
        functools.partial(ggx.brdf, base_color=BASE, metallic=0.3, roughness=0.4),
        functools.partial(classic.blinn_phong, diffuse=BASE, specular=0.5 * BASE, shininess=20.0),
    ):
        there, back = jax.jit(lambda *a, f=brdf: (f(*a), f(a[0], a[2], a[1])))(normals, view, light)
        np.testing.assert_allclose(there, back, rtol=1e-4, atol=1e-6)


def test_uniform_light_is_reflected_as_far_as_energy_allows():
    normals, view = _inclined([1.0, 0.8, 0.5, 0.2])
    environment = jnp.ones((6, 16, 16, 3))
    matte = functools.partial(classic.lambert, albedo=BASE)
    np.testing.assert_allclose(reference.direct(matte, normals, view, environment)[1], BASE, rtol=2e-3)
    for shininess in (2.0, 30.0):
        phong = functools.partial(classic.blinn_phong, diffuse=np.zeros(3), specular=BASE, shininess=shininess)
        reflected = reference.direct(phong, normals, view, environment)
        np.testing.assert_allclose(reflected[0], BASE, rtol=2e-3)
        assert np.all(np.diff(reflected[:, 0]) < 0)
    white = jnp.ones(3)
    metal = jax.jit(
        lambda roughness: reference.direct(
            functools.partial(ggx.brdf, base_color=white, metallic=1.0, roughness=roughness), normals, view, environment
        )
    )
    # At roughness 1 a camera along the normal sees the integral of x / (1 + x).
    np.testing.assert_allclose(metal(1.0)[0], 1 - np.log(2), rtol=3e-3)
    for roughness in (0.5, 0.7, 1.0):
        assert np.all(metal(roughness) < 1)


def test_lights_add_up_in_closed_form():
    normals, view = _inclined([0.9, 0.4])
    matte = functools.partial(classic.lambert, albedo=BASE)
    directions = np.array([[0, 0, 1], [0.6, 0, 0.8], [0, 0, -1]], np.float32)
    irradiance = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32)
    suns = lights.Directional(directions, irradiance)
    shade = jax.jit(functools.partial(lights.shade, matte))
    want = BASE / np.pi * (irradiance[0] + 0.8 * irradiance[1])
    np.testing.assert_allclose(shade(normals, view, suns), [want, want], rtol=1e-5)
    one_by_one = jax.vmap(lambda d, e: shade(normals, view, lights.Directional(d[None], e[None])))
    np.testing.assert_allclose(one_by_one(directions, irradiance).sum(0), [want, want], rtol=1e-5)
    visibility = jnp.array([[1, 0.5], [0, 1], [1, 1]])
    shares = BASE / np.pi * np.array([irradiance[0], 0.5 * irradiance[0] + 0.8 * irradiance[1]])
    np.testing.assert_allclose(shade(normals, view, suns, visibility=visibility), shares, rtol=1e-5)
    np.testing.assert_array_equal(shade(normals, view, lights.Directional(jnp.zeros((0, 3)), jnp.zeros((0, 3)))), 0)
    lamps = lights.Point(np.array([[3.0, 0, 4], [0, 0, -1]]), np.ones((2, 3)))
    positions = jnp.array([[0.0, 0, 0], [3, 0, 2]])
    want = BASE[None] / np.pi * np.array([[0.8 / 25], [1 / 4]])
    np.testing.assert_allclose(shade(normals, view, lamps, positions=positions), want, rtol=1e-5)


def test_gradients_to_everything():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        normals, view, light = (jnp.asarray(x, float) for x in _directions(4, 3))
        lamps = lights.Point(jnp.asarray(3 * light), jnp.asarray(rng.uniform(1, 2, (4, 3))))
        material = [jnp.asarray(rng.uniform(0.3, 0.9, shape)) for shape in ((4, 3), (4,), (4,))]

        def loss(normals, view, lamps, positions, base, metallic, roughness):
            brdf = functools.partial(ggx.brdf, base_color=base, metallic=metallic, roughness=roughness)
            phong = functools.partial(classic.blinn_phong, diffuse=base, specular=base, shininess=20 * roughness)
            results = [lights.shade(f, normals, view, lamps, positions=positions) for f in (brdf, phong)]
            return jnp.sum(jnp.sin(results[0])) + jnp.sum(results[1] ** 2)

        arguments = (normals, view, lamps, 0.1 * view, *material)
        jax.test_util.check_grads(jax.jit(loss), arguments, order=1, modes=('fwd', 'rev'), rtol=1e-4)


def test_background_and_lamps_on_surfaces_do_no_harm():
    zeros, base = jnp.zeros((2, 3)), jnp.full((2, 3), 0.5)
    lamp = lights.Point(jnp.zeros((1, 3)), jnp.ones((1, 3)))

    def loss(normals, view, positions, base, roughness):
        brdf = functools.partial(ggx.brdf, base_color=base, metallic=roughness, roughness=roughness)
        phong = functools.partial(classic.blinn_phong, diffuse=base, specular=base, shininess=roughness)
        return sum(lights.shade(f, normals, view, lamp, positions=positions).sum() for f in (brdf, phong))

    gradient = jax.jit(jax.value_and_grad(loss, argnums=range(5)))
    normals, view = _inclined([0.0, 1.0])
    for arguments in ((zeros, zeros, zeros), (normals, -view, view), (normals, view, zeros)):
        found = gradient(*arguments, base, jnp.zeros(2))
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize(
    'call, message',
    [
        (lambda n, d: lights.shade(ggx.brdf, n, n, lights.Directional(d[0], d[0])), 'lights.directions: got shape'),
        (lambda n, d: lights.shade(ggx.brdf, n, n, lights.Point(d, d)), 'positions: got None for point lights'),
        (lambda n, d: ggx.brdf(n, n, n, base_color=0.5, metallic=0.0, roughness=0.5), 'base_color: got shape'),
        (lambda n, d: reference.direct(ggx.brdf, n, n, jnp.ones((4, 8, 3))), 'environment: got shape'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(checks.InputError, match=message):
        call(jnp.ones((2, 3)), jnp.ones((1, 3)))
