import functools

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neurend import checks
from neurend.numerics import normalize
from neurend.render import texture
from neurend.render.shade import classic, environment, ggx, harmonics, reference, splitsum

WHITE = np.ones(3, np.float32)


def _directions(count, seed=0):
    return normalize(jnp.asarray(np.random.default_rng(seed).normal(size=(count, 3)), jnp.float32))


@functools.partial(jax.jit, static_argnums=0)
def _sky(side, sharpness=4.0):
    """A bright horizon, a dark ground and a wide sun."""
    toward = normalize(texture.cube_directions(side))
    sun = jnp.exp(sharpness * (toward @ normalize(jnp.array([0.5, 0.7, 0.3])) - 1)) * sharpness / 4
    sky = 0.5 + 0.4 * toward[..., 1] + 0.1 * jnp.sin(3 * toward[..., 0])
    return jnp.stack([sky + sun, sky + 0.8 * sun, 1.2 * sky + 0.6 * sun], axis=-1)


def _views(cosines, count=6):
    """Normals and views at cosines to them, [count len(cosines) 3]."""
    normals, cosines = _directions(count), jnp.asarray(cosines)[None, :, None]
    tangents = normalize(jnp.cross(normals, _directions(count, 1)))
    view = normals[:, None] * cosines + tangents[:, None] * jnp.sqrt(1 - cosines**2)
    return jnp.broadcast_to(normals[:, None], view.shape), view


def test_table_is_the_integral_in_uniform_light():
    normals, view = _views([1.0, 0.7, 0.4, 0.2], 2)
    light = jnp.ones((6, 32, 32, 3))
    metal = jax.jit(
        lambda f0, roughness: reference.direct(
            functools.partial(ggx.brdf, base_color=f0, metallic=1.0, roughness=roughness), normals, view, light
        )
    )
    table, lookup = splitsum.table(), jax.jit(splitsum.lookup)
    for roughness in (0.4, 0.75, 1.0):
        lobe = lookup(table, jnp.sum(normals * view, -1), jnp.float32(roughness))
        for f0 in (0.0, 1.0):
            want = metal(f0 * WHITE, roughness).mean(-1)
            np.testing.assert_allclose(f0 * lobe.scale + lobe.bias, want, atol=6e-3)
    assert np.all(np.isfinite(table))


def test_smooth_metal_reflects_all_light_and_none_more():
    table = np.asarray(splitsum.table())
    total = table[..., 0] + table[..., 1]
    assert total.max() < 1.001
    cosine = np.linspace(0, 1, 64) ** 2
    # Rows run from roughness 1 at the top to 0.
    assert total[-7:][:, cosine > 0.1].min() > 0.985
    # Nothing is reflected better by rougher metal, seen steeply.
    assert np.all(np.diff(total[:-4, cosine > 0.5], axis=0) > -1e-3)


@functools.cache
def _prefiltered():
    sky = _sky(16)
    return sky, environment.prefilter(sky)


def _both(sky, prefiltered, normals, view, **material):
    want = reference.direct(functools.partial(ggx.brdf, **material), normals, view, sky)
    return environment.shade(prefiltered, normals, view, **material), want


def test_environments_are_uniform_where_light_is():
    prefiltered = environment.prefilter(jnp.full((6, 16, 16, 3), 2.0))
    for level in prefiltered.levels:
        np.testing.assert_allclose(level, 2, rtol=1e-5)
    np.testing.assert_allclose(prefiltered.irradiance, 2 * np.pi, rtol=1e-5)


def test_irradiance_map_is_the_integral():
    sky, prefiltered = _prefiltered()
    normals = _directions(30)
    matte = functools.partial(classic.lambert, albedo=WHITE)
    want = jnp.pi * jax.jit(functools.partial(reference.direct, matte))(normals, normals, sky)
    np.testing.assert_allclose(jax.jit(texture.cube)(prefiltered.irradiance, normals), want, rtol=0.01)


def test_split_sum_against_quadrature():
    sky, prefiltered = _prefiltered()
    normals, view = _views([1.0, 0.8, 0.5, 0.3])
    both = jax.jit(functools.partial(_both, sky, prefiltered, normals, view, base_color=np.array([1.0, 0.8, 0.5])))
    for roughness in (0.45, 0.7, 1.0):
        for metallic, steep, mean in ((1.0, 0.02, 0.03), (0.0, 0.006, 0.01)):
            got, want = both(metallic=metallic, roughness=roughness)
            error = np.abs(got - want) / np.mean(want)
            # Along the normal the approximation is exact but for a metal's Fresnel term.
            assert error[:, 0].max() < steep
            assert error.mean() < mean


def test_mirrors_show_the_environment():
    sky, prefiltered = _prefiltered()
    normals, view = _views([1.0, 0.6])
    shade = jax.jit(functools.partial(environment.shade, base_color=WHITE, metallic=1.0, roughness=0.0))
    got = shade(prefiltered, normals, view)
    mirror = 2 * jnp.sum(normals * view, -1, keepdims=True) * normals - view
    np.testing.assert_allclose(got, jax.jit(texture.cube)(sky, mirror), rtol=5e-3)


def test_gradients_to_light_and_material():
    single = splitsum.table()
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        normals, view = (jnp.asarray(x, float) for x in _views([0.9, 0.4], 2))
        maps = [jnp.asarray(rng.uniform(size=(6, 2, 2, 3))) for _ in range(3)]
        material = [jnp.asarray(rng.uniform(0.3, 0.9, shape)) for shape in ((2, 2, 3), (2, 2), (2, 2))]
        table = jnp.asarray(np.asarray(single), float)

        def loss(maps, normals, view, base, metallic, roughness):
            light = environment.Environment(maps[0], (maps[1], maps[2]), table)
            shaded = environment.shade(light, normals, view, base_color=base, metallic=metallic, roughness=roughness)
            return jnp.sum(jnp.sin(shaded))

        arguments = (maps, normals, view, *material)
        jax.test_util.check_grads(jax.jit(loss), arguments, order=1, modes=('fwd', 'rev'), eps=1e-7, rtol=1e-4)


def test_prefiltering_is_linear_and_has_its_transpose():
    rng = np.random.default_rng(0)
    one, other = (jnp.asarray(rng.uniform(size=(6, 4, 4, 3)), jnp.float32) for _ in range(2))

    def flat(texels):
        prefiltered = environment.prefilter(texels, levels=3)
        return jnp.concatenate([x.reshape(-1) for x in (prefiltered.irradiance, *prefiltered.levels)])

    run = jax.jit(flat)
    np.testing.assert_allclose(run(one + 2 * other), run(one) + 2 * run(other), rtol=1e-4)
    y = jnp.asarray(rng.normal(size=run(one).shape), jnp.float32)
    back = jax.jit(lambda x, y: jax.vjp(flat, x)[1](y)[0])(other, y)
    np.testing.assert_allclose(jnp.sum(back * one), jnp.sum(y * run(one)), rtol=1e-4)


def test_pixels_of_the_background_are_finite():
    maps = jnp.ones((6, 2, 2, 3))
    prefiltered = environment.Environment(maps, (maps, maps), splitsum.table())

    def loss(normals, view, base, roughness):
        shaded = environment.shade(prefiltered, normals, view, base_color=base, metallic=roughness, roughness=roughness)
        return jnp.sum(shaded) + jnp.sum(harmonics.irradiance(jnp.ones((9, 3)), normals))

    normals = jnp.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 1]])
    view = jnp.array([[0.0, 0, 0], [1, 0, 0], [0, 0, -1]])
    found = jax.jit(jax.value_and_grad(loss, range(4)))(normals, view, jnp.ones((3, 3)), jnp.zeros(3))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))


def test_one_level_is_too_few():
    with pytest.raises(checks.InputError, match='levels: got 1'):
        environment.prefilter(jnp.ones((6, 4, 4, 3)), levels=1)
