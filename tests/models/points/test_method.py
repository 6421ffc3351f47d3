"""Neural points of a painted square: what the network sees of them, what is learned, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import ndimage

from neurend.checks import InputError
from neurend.data.photographs import Photographs
from neurend.geometry import cameras, transforms
from neurend.models.neural_texture.deferred import Shot, Window
from neurend.models.neural_texture.method import Example
from neurend.models.points import drawing
from neurend.models.points.config import PointsConfig
from neurend.models.points.method import check_seen, learned, neural_points
from neurend.scenes import points
from neurend.train import step

CONFIG = PointsConfig(channels=8, harmonics=0, levels=2, unet=4, depth=2, context=4, width=8, layers=1)
SIZE = (18, 15)
RNG = np.random.default_rng(0)
COUNT = 200
PLACES = np.concatenate([RNG.uniform(-0.5, 0.5, (COUNT, 2)), np.zeros((COUNT, 1))], axis=-1)
CLOUD = points.make(PLACES, np.full((COUNT, 3), 0.5))


def camera_at(x, y):
    pose = transforms.look_at(jnp.array([x, y, -2.0]), jnp.zeros(3), jnp.array([0.0, -1.0, 0.0]))
    return cameras.make(pose, 22.0, size=SIZE)


EYES = [(-0.4, 0), (0.1, 0.3), (0.4, -0.2), (-0.1, -0.4), (0.3, 0.3), (-0.3, 0.2)]
CAMERAS = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(camera_at(*eye) for eye in EYES))


def photograph(camera):
    """The square by casting rays, on white."""
    rays = cameras.rays(camera, cameras.pixel_centers(*SIZE))
    origins, directions = np.asarray(rays.origins), np.asarray(rays.directions)
    x, y = np.moveaxis((origins - origins[..., 2:] / directions[..., 2:] * directions)[..., :2], -1, 0)
    square = (abs(x) < 0.5) & (abs(y) < 0.5)
    colors = np.stack([0.5 + x, 0.5 + y, 0.2 + 0 * x], axis=-1)
    return np.where(square[..., None], colors, 1.0).astype(np.float32)


def batch_of(*index):
    chosen = jax.tree.map(lambda leaf: leaf[jnp.array(index)], CAMERAS)
    rgb = jnp.stack([photograph(chosen[k]) for k in range(len(index))])
    return Photographs(chosen, rgb, jnp.ones((len(index), 3)))


def made(config=CONFIG, cloud=CLOUD, rate=0.02):
    return neural_points(config, cloud, size=SIZE, stepper=step.stepper(optax.adam(rate)))


def test_the_network_sees_descriptors_at_their_places_and_gaps_filled_from_coarser():
    config = dataclasses.replace(CONFIG, harmonics=-1, shared=0)
    # One point in front of the middle of pixel (5, 6), and one far behind it.
    camera = cameras.make(jnp.eye(4), 10.0, size=(16, 16))
    positions = jnp.array([[-0.25, -0.15, 1.0], [-0.5, -0.3, 2.0]])
    descriptors, which = jnp.arange(16.0).reshape(2, 8) / 16, drawing.Table(positions, 1.0, (), (2,))
    found = drawing.pixels(config, which, [descriptors], camera, Window(16, 16))
    assert found.inputs.shape == (16, 16, drawing.channels(config)) and found.coarser[0].shape == (8, 8, 9)
    np.testing.assert_array_equal(np.argwhere(found.inputs[..., -1] > 0), [[6, 5]])
    np.testing.assert_allclose(found.inputs[6, 5, :8], descriptors[0])
    # Its four by four neighbours are those of the pixel half as fine.
    around = np.zeros((16, 16), bool)
    around[6:8, 4:6] = True
    np.testing.assert_array_equal(found.seen, around)
    np.testing.assert_allclose(found.inputs[around][:, :8], np.tile(descriptors[0], (4, 1)))
    np.testing.assert_allclose(found.color[around], np.tile(0.5 + descriptors[0, :3], (4, 1)))
    np.testing.assert_allclose(found.inputs[6, 5, 8:11], np.array([0.0, 0.1, -1]) / np.sqrt(1.01) * [1, 1, 1], atol=0.3)
    np.testing.assert_allclose(found.inputs[~around], 0)
    np.testing.assert_allclose(found.coarser[0][3, 2], [*descriptors[0], 1])
    assert float(found.depth[6, 5]) == 1
    # A window shows what is there in the whole picture.
    part = drawing.pixels(config, which, [descriptors], camera, Window(8, 8, (4, 4)))
    np.testing.assert_allclose(part.inputs, found.inputs[4:12, 4:12], atol=1e-6)


def test_points_of_a_cell_share_a_descriptor():
    config = dataclasses.replace(CONFIG, shared=1)
    which = drawing.table(
        config, points.make(np.array([[0, 0, 0], [0, 0, 1], [0, 0, 3], [0, 9, 0.0]]), np.ones((4, 3)))
    )
    cells = np.asarray(which.cells[0])
    # A grid of 4 times the median of the mean distances to all others.
    assert which.counts[1] == len(set(cells)) and cells[0] == cells[1]
    own, shared = jnp.eye(4), 10 * jnp.arange(1.0, which.counts[1] + 1)[:, None] * jnp.ones((1, 4))
    found = drawing.descriptors(which, [own, shared], jnp.array([3, 1]))
    np.testing.assert_allclose(found, np.eye(4)[[3, 1]] + 10 * (cells[[3, 1], None] + 1))


def test_a_step_moves_descriptors_that_are_seen_alone():
    hidden = np.concatenate([PLACES, [[0, 0, 0.5], [0, 0, -9.0]]])
    method = made(cloud=points.make(hidden, np.full((COUNT + 2, 3), 0.5)))
    before = jax.jit(method.init)(jax.random.key(0))
    after, values = jax.jit(method.step)(jax.random.key(1), before, batch_of(0, 2))
    moved = np.abs(np.asarray(after.params['descriptors'][0] - before.params['descriptors'][0])).max(-1)
    assert int(after.step) == 1 and np.isfinite(values['loss']) and (moved[-2:] == 0).all()
    assert 0.3 < (moved[:-2] > 0).mean() < 1


@pytest.mark.slow
def test_the_square_is_learned_and_its_points_take_its_colours():
    method = made(dataclasses.replace(CONFIG, crop=12))
    state = jax.jit(method.init)(jax.random.key(0))
    advance = jax.jit(method.step)
    batches = [batch_of(k) for k in range(len(EYES))]
    for k in range(150):
        state, _ = advance(jax.random.key(k), state, batches[k % len(EYES)])
    # A view from between them.
    shot = Shot(camera_at(0.1, 0.0), jnp.ones(3))
    drawn, truth = jax.jit(method.render)(state, shot), photograph(shot.camera)
    assert drawn.rgb.shape == (15, 18, 3) and drawn.alpha.shape == (15, 18)
    # Outlines of so few pixels say more of where points happen to lie.
    inner = ndimage.binary_erosion((truth < 1).any(-1))
    example = Example('a', shot, np.rint(255 * truth).astype(np.uint8), 255 * inner.astype(np.uint8))
    values, pictures = method.evaluate(state, example)
    assert values['psnr_masked'] > 21 and values['psnr'] > 14
    assert pictures['prediction'].shape == (15, 18, 3)
    colors = np.asarray(learned(CONFIG, CLOUD, state).features)
    for axis in range(2):
        assert np.corrcoef(colors[:, axis], PLACES[:, axis])[0, 1] > 0.8


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match='model.crop: got 16, expected at most 15'):
        made(dataclasses.replace(CONFIG, crop=16))
    with pytest.raises(InputError, match='cloud.features: got shape'):
        made(cloud=dataclasses.replace(CLOUD, features=jnp.ones((COUNT, 4))))
    with pytest.raises(InputError, match='positions: 1 of 600 values not finite'):
        made(cloud=dataclasses.replace(CLOUD, positions=CLOUD.positions.at[3, 1].set(jnp.nan)))
    for values, message in (
        ({'channels': 3}, 'channels: got 3, expected at least 4'),
        ({'levels': 3}, 'depth: got 2, expected at least 2 and levels, 3'),
        ({'crop': 6}, 'crop: got 6, expected a multiple of 2.depth, 4'),
        ({'thickness': 0.0}, 'thickness: got 0'),
        ({'harmonics': 5}, 'harmonics: got 5'),
        ({'unet': 0}, 'unet: got 0, expected at least 1'),
    ):
        with pytest.raises(InputError, match=message):
            dataclasses.replace(CONFIG, **values)


def test_points_that_no_view_sees_are_refused():
    check_seen(CLOUD, CAMERAS, tuple('abcdef'))
    for place, message in (
        ([0, 0, -9.0], 'points: all 200 are behind its camera in view a'),
        ([30.0, 0, 0], 'points: all 200 are beyond its picture in view a'),
    ):
        moved = dataclasses.replace(CLOUD, positions=CLOUD.positions + jnp.array(place)[None])
        with pytest.raises(InputError, match=message):
            check_seen(moved, CAMERAS, tuple('abcdef'))
