"""NeRF and mip-NeRF: sizes, sampling and learning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import trees
from neurend.geometry import cameras
from neurend.models.nerf import appearance
from neurend.models.nerf.classic import ClassicConfig, classic
from neurend.models.nerf.evaluation import Example
from neurend.models.nerf.mip import MipConfig, mip
from tests.models.nerf import analytic

SMALL_CLASSIC = ClassicConfig(
    depth=2, width=32, view_width=16, position_degrees=3, direction_degrees=1, coarse_samples=12, fine_samples=12
)
SMALL_MIP = MipConfig(depth=2, width=32, view_width=16, position_degrees=5, direction_degrees=1, samples=16)


def _make(factory, config, **options):
    return factory(config, near=analytic.NEAR, far=analytic.FAR, stepper=analytic.adam(1e-2), **options)


def _params(method):
    return jax.eval_shape(method.init, jax.random.key(0)).params


def test_parameter_counts_are_the_published_ones():
    def layers(position, view, width=256):
        trunk = (position + 1) * width + (position + width + 1) * width + 6 * (width + 1) * width
        heads = (width + 1) + (width + 1) * width
        return trunk + heads + (width + view + 1) * 128 + (128 + 1) * 3

    assert layers(63, 27) == 595_844 and layers(96, 27) == 612_740
    params = _params(_make(classic, ClassicConfig()))
    assert trees.count(params['coarse']) == trees.count(params['fine']) == 595_844
    assert trees.count(_params(_make(mip, MipConfig()))) == 612_740


def test_published_sample_counts():
    rays = jax.eval_shape(lambda: analytic.batch(jax.random.key(0), 2).rays)
    for method, coarse, fine in (
        (_make(classic, ClassicConfig()), 64, 192),
        (_make(mip, MipConfig()), 128, 128),
    ):
        state = jax.eval_shape(method.init, jax.random.key(0))
        rendering = jax.eval_shape(method.render, state, rays)
        assert rendering.weights.shape == (2, fine)
        assert rendering.extras['coarse'].weights.shape == (2, coarse)


@pytest.mark.parametrize(('factory', 'config'), [(classic, SMALL_CLASSIC), (mip, SMALL_MIP)])
def test_learns_a_ball(factory, config):
    method = _make(factory, config, memory_mb=400)
    state, metrics = analytic.train(method, steps=120, num=64)
    assert int(state.step) == 120
    assert metrics['psnr'][:3].mean() < 18
    assert metrics['psnr'][-10:].mean() > 24

    view = jax.jit(analytic.camera)(jnp.array(0.7))
    rays = jax.jit(cameras.rays)(view, cameras.pixel_centers(16, 16))
    alpha = jax.jit(analytic.opacity)(rays)
    rgba = jnp.concatenate([jnp.broadcast_to(jnp.array(analytic.COLOR), (16, 16, 3)), alpha[..., None]], axis=-1)
    image = np.asarray(jnp.round(rgba * 255), np.uint8)
    values, pictures = method.evaluate(state, Example('ball', view, image, np.asarray(alpha > 0, np.uint8) * 255))
    assert values['psnr'] > 24 and values['psnr_masked'] > 20 and values['ssim'] > 0.9 and values['ssim_uniform'] > 0.9
    assert set(pictures) == {'truth', 'prediction', 'depth', 'error'}
    assert all(picture.shape == (16, 16, 3) for picture in pictures.values())
    # Through the middle half the light stops within log(2) / density of the front.
    rendering = jax.jit(method.render)(state, jax.tree.map(lambda leaf: leaf[8:9, 8], rays))
    np.testing.assert_allclose(rendering.median, 3.0 + np.log(2) / analytic.DENSITY, atol=0.25)


@pytest.mark.parametrize(('factory', 'config'), [(classic, SMALL_CLASSIC), (mip, SMALL_MIP)])
def test_masked_rays_do_not_teach(factory, config):
    method = _make(factory, config, background='none')
    state = jax.jit(method.init)(jax.random.key(0))
    batch = analytic.batch(jax.random.key(1), 8, background=0.0)
    half = batch._replace(mask=jnp.arange(8) % 2.0)
    changed = half._replace(rgb=jnp.where(half.mask[:, None] > 0, half.rgb, 0.123))
    step = jax.jit(method.step)
    params = [step(jax.random.key(2), state, given)[0].params for given in (half, changed, batch)]
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), params[0], params[1])))
    assert not all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), params[0], params[2])))


def test_rendering_an_empty_field_shows_the_background():
    rays = analytic.batch(jax.random.key(0), 4).rays
    for background, shown in (('black', 0.0), ('random', 1.0)):
        method = _make(classic, SMALL_CLASSIC, background=background)
        state = jax.jit(method.init)(jax.random.key(0))
        fine = state.params['fine']
        fine['density']['bias'] = jnp.full_like(fine['density']['bias'], -1e3)
        np.testing.assert_array_equal(jax.jit(method.render)(state, rays).rgb, jnp.full((4, 3), shown))


def test_appearance_codes_change_colour_and_not_density():
    config = ClassicConfig(
        depth=2, width=16, view_width=16, position_degrees=2, coarse_samples=8, fine_samples=8, appearance_size=4
    )
    method = _make(classic, config, num_images=3)
    state = jax.jit(method.init)(jax.random.key(0))
    fine = state.params['fine']
    fine['density']['bias'] = jnp.full_like(fine['density']['bias'], 0.2)
    state.params['appearance'] = 3 * jax.random.normal(jax.random.key(1), (3, 4))
    rays = analytic.batch(jax.random.key(0), 1).rays
    render = jax.jit(method.render)
    shown = [render(state, rays.replace(index=jnp.array([index]))) for index in (0, 1)]
    np.testing.assert_array_equal(shown[0].weights, shown[1].weights)
    assert jnp.abs(shown[0].rgb - shown[1].rgb).max() > 1e-3


def test_unseen_images_get_the_mean_code():
    codes = jnp.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(appearance.lookup(codes, jnp.array([[2, -1]])), [[[4, 5], [2, 3]]])


def test_normalised_device_coordinates_reach_infinity():
    reference = cameras.make(jnp.eye(4), 20.0, size=(16, 16))
    pixels = jnp.array([[8.0, 8.0], [2.5, 13.5]])
    for factory, config in ((classic, SMALL_CLASSIC), (mip, SMALL_MIP)):
        method = _make(factory, config, reference=reference)
        rendering = jax.jit(method.render)(jax.jit(method.init)(jax.random.key(0)), cameras.rays(reference, pixels))
        assert jnp.isfinite(rendering.rgb).all()
        np.testing.assert_allclose(rendering.edges[:, 0], 0, atol=1e-5)
        np.testing.assert_allclose(rendering.edges[:, -1], 1, atol=1e-5)
