"""Device sampling: every drawn pixel has the colour, camera and ray of its place, whatever the sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import batches, posed
from neurend.geometry import cameras as cameras_lib

SIZES = ((5, 4), (3, 6), (7, 2))


def scene(sizes=SIZES, *, channels=4, masks=False, seed=0):
    rng = np.random.default_rng(seed)
    n = len(sizes)
    poses = np.tile(np.eye(4, dtype=np.float32), (n, 1, 1))
    poses[:, :3, 3] = rng.normal(size=(n, 3))
    sizes = np.asarray(sizes, np.int32)
    camera = cameras_lib.Camera(
        world_from_camera=poses,
        focal=rng.uniform(4, 8, (n, 2)).astype(np.float32),
        center=sizes / np.float32(2),
        distortion=np.zeros((n, 6), np.float32),
        size=sizes,
        model='pinhole',
    )
    images = tuple(rng.integers(0, 256, (h, w, channels), dtype=np.uint8) for w, h in sizes)
    return posed.PosedImages(
        names=tuple(f'{i}.png' for i in range(n)),
        images=images,
        cameras=camera,
        masks=tuple(rng.integers(0, 256, (h, w), dtype=np.uint8) for w, h in sizes) if masks else None,
        near=1.0,
        far=2.0,
        scene_from_source=np.eye(4),
    )


@pytest.mark.parametrize('sizes', [SIZES, ((4, 3),) * 3])
def test_every_draw_agrees_with_its_place(sizes):
    images = scene(sizes, masks=True)
    source = batches.device_source(images, num_rays=300, background='random')
    batch = jax.tree.map(np.asarray, jax.jit(source.draw)(jax.random.key(1), source.data))
    seen = set()
    for k in range(300):
        i, (x, y) = int(batch.index[k]), np.asarray(batch.pixels[k])
        seen.add((i, x, y))
        pixel = images.images[i][int(y), int(x)].astype(np.float32) / 255
        behind = np.asarray(batch.background[k])
        np.testing.assert_allclose(batch.rgb[k], pixel[:3] * pixel[3] + behind * (1 - pixel[3]), atol=1e-6)
        np.testing.assert_allclose(batch.mask[k], images.masks[i][int(y), int(x)] / 255, atol=1e-6)
    own = images.camera(batch.index)
    plane = (batch.pixels - own.center) / own.focal
    np.testing.assert_allclose(batch.rays.origins, own.world_from_camera[:, :3, 3], atol=1e-6)
    # The poses of this scene do not turn.
    np.testing.assert_allclose(batch.rays.directions, np.concatenate([plane, np.ones((300, 1))], -1), atol=1e-6)
    np.testing.assert_array_equal(batch.rays.index, batch.index)
    assert len(seen) > 0.9 * sum(w * h for w, h in sizes)


def test_uniform_over_pixels_not_images():
    images = scene(((20, 20), (10, 10)))
    source = batches.device_source(images, num_rays=20000, cast_rays=False)
    batch = jax.jit(source.draw)(jax.random.key(0), source.data)
    assert batch.rays is None
    np.testing.assert_allclose(np.mean(batch.index == 0), 0.8, atol=0.02)


def test_locate_inverts_the_packing():
    data = batches.pack(scene())
    rows = np.arange(len(data.rows))
    index, pixels = batches.locate(data, rows)
    x, y = (pixels - 0.5).astype(int).T
    np.testing.assert_array_equal(data.offsets[index] + y * data.cameras.size[index, 0] + x, rows)
    for a, b in zip(batches.locate(data, jnp.asarray(rows)), (index, pixels)):
        np.testing.assert_array_equal(a, b)


def test_image_per_batch_and_active():
    images = scene()
    source = batches.device_source(images, num_rays=64, image_per_batch=True, cast_rays=False)
    draw = jax.jit(source.draw)
    drawn = {np.unique(draw(jax.random.key(s), source.data).index).item() for s in range(20)}
    assert drawn == {0, 1, 2}
    active = np.array([3, 21, 40])
    source = batches.device_source(images, num_rays=64, active=active, cast_rays=False)
    batch = jax.jit(source.draw)(jax.random.key(0), source.data)
    rows = source.data.offsets[batch.index] + (np.asarray(batch.pixels) - 0.5) @ [1, 0]
    rows = rows + np.floor(np.asarray(batch.pixels)[:, 1]) * np.asarray(images.cameras.size)[batch.index, 0]
    assert set(rows.astype(int)) == set(active)


def test_precrop_is_the_middle():
    images = scene(((8, 4), (4, 8)))
    rows = batches.center_pixels(images, 0.5)
    index, pixels = batches.locate(batches.pack(images), rows)
    assert len(rows) == 16
    offsets = np.abs(pixels - np.asarray(images.cameras.size)[index] / 2)
    assert (offsets < np.asarray(images.cameras.size)[index] / 4).all()


def test_mask_as_alpha():
    images = scene(channels=3, masks=True)
    source = batches.device_source(images, num_rays=64, background=(0.2, 0.4, 0.6), mask_as_alpha=True, cast_rays=False)
    batch = jax.jit(source.draw)(jax.random.key(0), source.data)
    np.testing.assert_array_equal(batch.alpha, batch.mask)
    plain = batches.device_source(images, num_rays=64, background='black', cast_rays=False)
    truth = jax.jit(plain.draw)(jax.random.key(0), plain.data)
    m = np.asarray(batch.mask)[:, None]
    np.testing.assert_allclose(batch.rgb, np.asarray(truth.rgb) * m + np.array([0.2, 0.4, 0.6]) * (1 - m), atol=1e-6)
    np.testing.assert_array_equal(truth.alpha, 1)


def test_gradients_reach_the_cameras():
    images = scene()
    source = batches.device_source(images, num_rays=16, cast_rays=False)
    batch = jax.jit(source.draw)(jax.random.key(0), source.data)

    def total(focal):
        return batches.cast(images.cameras.replace(focal=focal), batch.index, batch.pixels).directions.sum()

    gradient = np.asarray(jax.jit(jax.grad(total))(jnp.asarray(images.cameras.focal)))
    plane = (np.asarray(batch.pixels) - images.cameras.center[batch.index]) / images.cameras.focal[batch.index]
    expected = np.zeros_like(gradient)
    np.add.at(expected, np.asarray(batch.index), -plane / images.cameras.focal[batch.index])
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_rays': 0}, 'num_rays'),
        ({'background': 'blue'}, 'background'),
        ({'background': (1.0, 0.0)}, r'background: got shape \(2,\)'),
        ({'active': np.array([10**6])}, 'active'),
        ({'active': np.array([], np.int32)}, 'active'),
        ({'active': np.array([0]), 'image_per_batch': True}, 'more than one'),
        ({'precrop': 1.5}, 'fraction'),
        ({'mask_as_alpha': True}, 'no masks'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        batches.device_source(scene(), **{'num_rays': 4, **options})
