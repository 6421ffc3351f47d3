"""Multi-plane images of a scene that is one: what they start with, what a step touches, and what is learned."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.data.photographs import Photographs
from neurend.geometry import cameras, transforms
from neurend.models.mpi import places as places_lib
from neurend.models.mpi import start
from neurend.models.mpi.config import MpiConfig
from neurend.models.mpi.method import activated, learned, mpi
from neurend.models.nerf.evaluation import Example
from neurend.render import planes
from neurend.scenes import planes as scenes

SIZE = (20, 16)
CONFIG = MpiConfig(planes=4, border=0.1, blended=2)
DEPTHS = scenes.depths(1.0, 4.0, 4)


def camera_at(x, y=0.0, size=SIZE):
    pose = transforms.from_rt(jnp.eye(3), jnp.array([x, y, 0.0]))
    return cameras.make(pose, 16.0, size=size)


EYES = [(-0.25, 0.0), (0.0, 0.0), (0.25, 0.0), (0.0, 0.2)]
CAMERAS = jax.tree.map(lambda *leaves: np.stack(leaves), *(camera_at(*eye) for eye in EYES))


def pattern(x, y, seed):
    """Smooth, and not the same anywhere."""
    waves = [np.sin(3.1 * x + seed) + np.cos(2.3 * y), np.sin(2.7 * (x + y) + 2 * seed), np.cos(3.7 * x - 2.9 * y)]
    return 0.5 + 0.22 * np.stack(waves, axis=-1)


def photographs():
    """A card on the second plane before a wall on the last, by casting rays."""
    pictures = []
    for eye in EYES:
        rays = cameras.rays(camera_at(*eye), cameras.pixel_centers(*SIZE))
        origin, direction = np.asarray(rays.origins, np.float64), np.asarray(rays.directions, np.float64)
        x, y = (origin + DEPTHS[1] * direction)[..., :2].transpose(2, 0, 1)
        card = (abs(x) < 0.3) & (abs(y) < 0.25)
        far = (origin + DEPTHS[3] * direction)[..., :2].transpose(2, 0, 1)
        pictures.append(np.where(card[..., None], pattern(3 * x, 3 * y, 1.0), pattern(*far, 0.0)))
    return np.stack(pictures).astype(np.float32)


PHOTOGRAPHS = photographs()
_draw = jax.jit(planes.render)
BYTES = [np.rint(255 * picture).astype(np.uint8) for picture in PHOTOGRAPHS]


def made(config=CONFIG, *, images=(0, 1, 2), **options):
    chosen = jax.tree.map(lambda leaf: leaf[list(images)], CAMERAS)
    places = places_lib.between(config, chosen, SIZE, near=1.0, far=4.0)
    begin = start.from_photographs(config, places, BYTES, CAMERAS, neighbors=4)
    return places, mpi(config, places, size=SIZE, optimizer=optax.adam(0.1, b2=0.99), start=begin, **options)


def batch(k):
    rgb = jnp.asarray(PHOTOGRAPHS[k : k + 1])
    return Photographs(jax.tree.map(lambda leaf: jnp.asarray(leaf[k : k + 1]), CAMERAS), rgb, jnp.ones((1, 3)))


def test_images_start_where_photographs_agree():
    config = dataclasses.replace(CONFIG, border=0.0)
    places, _ = made(config)
    found = jax.jit(start.from_photographs(config, places, BYTES, CAMERAS, neighbors=4))()
    assert found.shape == (3, 4, *SIZE[::-1], 4)
    rgba = np.asarray(jax.nn.sigmoid(found[1]))
    inner = (slice(3, -3), slice(4, -4))
    passed = np.cumprod(1 - rgba[..., 3], axis=0)
    weights = rgba[..., 3] * np.concatenate([np.ones_like(passed[:1]), passed[:-1]])
    # In the middle of the card on its plane; beside it on the wall's.
    assert weights[1, 7:9, 9:11].min() > 0.8
    assert weights[3][inner][:, [0, -1]].mean() > 0.6
    np.testing.assert_allclose(rgba[1, 7:9, 9:11, :3], PHOTOGRAPHS[1, 7:9, 9:11], atol=0.05)


def test_what_off_all_masks_is_nothing_starts_transparent():
    config = dataclasses.replace(CONFIG, border=0.0, backdrop=False)
    places, _ = made(config)
    alpha = np.zeros((*SIZE[::-1], 1), np.uint8)
    alpha[:, 10:] = 255
    cut = [np.concatenate([picture, alpha], axis=-1) for picture in BYTES]
    found = jax.jit(start.from_photographs(config, places, cut, CAMERAS, neighbors=1))()
    opacity = np.asarray(jax.nn.sigmoid(found[1, ..., -1]))
    assert opacity[:, :, :9].max() < 0.01
    # Planes that reach beyond the only photograph have nothing there.
    wide = dataclasses.replace(config, border=0.2)
    begin = start.from_photographs(wide, made(wide)[0], cut, CAMERAS, neighbors=1)
    assert np.asarray(jax.nn.sigmoid(jax.jit(begin)()[1, :, :, -3:, -1])).max() < 0.01
    assert 1 - np.prod(1 - opacity[:, :, 11:], axis=0).min() > 0.9


def test_a_step_touches_the_images_it_draws_and_no_others():
    _, method = made(dataclasses.replace(CONFIG, blended=1))
    before = jax.jit(method.init)(jax.random.key(0))
    after, values = jax.jit(method.step)(jax.random.key(1), before, batch(2))
    assert int(after.step) == 1 and np.isfinite(values['loss'])
    moved = [float(jnp.abs(after.params['planes'][k] - before.params['planes'][k]).max()) for k in range(3)]
    assert moved[:2] == [0, 0] and moved[2] > 0.01
    for leaf in jax.tree.leaves(after.optimizer):
        if leaf.ndim:
            assert (np.asarray(leaf[:2]) == 0).all() and np.abs(np.asarray(leaf[2])).max() > 0


@pytest.mark.parametrize('backdrop', [True, False])
def test_a_view_is_the_blend_of_the_images_near_it(backdrop):
    config = dataclasses.replace(CONFIG, backdrop=backdrop)
    places, method = made(config)
    state = jax.jit(method.init)(jax.random.key(0))
    camera = camera_at(0.2, 0.01)
    found = jax.jit(method.render)(state, camera)
    rays = cameras.rays(camera, cameras.pixel_centers(*SIZE))
    away = np.linalg.norm(np.array(EYES[:3]) - [0.2, 0.01], axis=-1)
    order = np.argsort(away)[:2]
    assert order.tolist() == [2, 1]
    weights = np.exp(-16.0 / (1.0 * 4) * away[order])
    rgb, alpha, depth = 0, 0, 0
    for weight, k in zip(weights, order):
        image = learned(config, places, state, int(k))
        one = _draw(image.rgba, image.depths, image.camera, rays)
        rgb, alpha = rgb + weight * one.rgb, alpha + weight * one.alpha
        depth = depth + weight * one.alpha * one.depth
    total = np.asarray(alpha)[..., None] if backdrop else weights.sum()
    np.testing.assert_allclose(found.rgb, rgb / total, atol=2e-5)
    np.testing.assert_allclose(found.depth, depth / alpha, atol=2e-4)
    if backdrop:
        np.testing.assert_allclose(found.alpha[2:-2, 2:-2], 1, atol=1e-5)


def test_coefficients_make_colours_depend_on_the_direction_of_view():
    config = dataclasses.replace(CONFIG, basis=2, blended=1)
    places, method = made(config, images=(1,))
    state = jax.jit(method.init)(jax.random.key(0))
    assert state.params['planes'].shape == (1, 4, 20, 24, 10)
    plain = jax.jit(method.render)(state, camera_at(0.1)).rgb
    raw = state.params['planes'].at[..., 3:9].set(0.3)
    changed = dataclasses.replace(state, params={**state.params, 'planes': raw})
    found = jax.jit(method.render)(changed, camera_at(0.1)).rgb
    # Where planes are, colours rise by 0.3 of what both functions give, the same in all channels.
    rise = np.asarray(found - plain)[3:-3, 3:-3]
    np.testing.assert_allclose(rise, np.broadcast_to(rise[..., :1], rise.shape), atol=1e-5)
    assert np.abs(np.diff(rise[..., 0], axis=1)).max() > 1e-4
    shown = learned(config, places, changed, 0)
    assert shown.rgba.shape == (4, 20, 24, 4)
    again, _ = jax.jit(method.step)(jax.random.key(1), state, batch(1))
    assert float(jnp.abs(again.params['planes'][..., 3:9]).max()) > 0


def test_the_farthest_plane_is_opaque_where_there_is_a_backdrop():
    raw = jnp.full((4, 2, 2, 4), -3.0)
    assert (np.asarray(activated(CONFIG, raw))[-1, ..., -1] == 1).all()
    assert (np.asarray(activated(dataclasses.replace(CONFIG, backdrop=False), raw))[..., -1] < 0.1).all()


def test_bad_input():
    with pytest.raises(InputError, match='blended: got 2, expected at most 1'):
        made(images=(0,))
    with pytest.raises(InputError, match='trained: got 3'):
        MpiConfig(blended=2, trained=3)
    with pytest.raises(InputError, match='planes, blended'):
        MpiConfig(planes=0)
    _, method = made()
    with pytest.raises(InputError, match=r'batch\.rgb'):
        wrong = dataclasses.replace(batch(0), rgb=jnp.zeros((1, 8, 8, 3)))
        method.step(jax.random.key(0), method.init(jax.random.key(0)), wrong)
    places = places_lib.between(CONFIG, CAMERAS, SIZE, near=1.0, far=4.0)
    away = transforms.from_rt(jnp.diag(jnp.array([-1.0, 1, -1])), jnp.zeros(3))
    looking = jax.tree.map(lambda leaf: leaf[None], cameras.make(away, 16.0, size=SIZE))
    with pytest.raises(InputError, match='photograph back: sees no plane'):
        places_lib.check_overlap(places, ('back',), looking)


def test_kept_points_are_far_apart():
    points = np.array([[0.0, 0, 0], [0.1, 0, 0], [5, 0, 0], [-5, 0, 0], [5, 0.1, 0]])
    assert set(places_lib.spread(points, 3)[1:]) <= {2, 3, 4}
    assert sorted(places_lib.spread(points, 9)) == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_what_is_learned_shows_a_view_that_was_left_out():
    """The photograph between the others, of a card before a wall."""
    config = dataclasses.replace(CONFIG, blended=3)
    kept = [0, 2, 3]
    chosen = jax.tree.map(lambda leaf: leaf[kept], CAMERAS)
    places = places_lib.between(config, chosen, SIZE, near=1.0, far=4.0)
    begin = start.from_photographs(config, places, [BYTES[k] for k in kept], chosen, neighbors=3)
    method = mpi(config, places, size=SIZE, optimizer=optax.adam(0.1, b2=0.99), start=begin)
    held = Example('between', camera_at(*EYES[1]), BYTES[1])
    state = jax.jit(method.init)(jax.random.key(0))
    step = jax.jit(method.step)
    first, _ = method.evaluate(state, held)
    for k in range(150):
        state, _ = step(jax.random.key(k), state, batch(kept[k % 3]))
    last, pictures = method.evaluate(state, held)
    assert set(pictures) == {'truth', 'prediction', 'depth', 'error'}
    assert first['psnr'] > 18 and last['psnr'] > max(24, first['psnr'] + 1)
