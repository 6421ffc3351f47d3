import dataclasses

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import categories, posed, shepard_metzler
from tests.data import writers


def scene(n, *, seed=0, alpha=False):
    t = writers.truth(n, mixed=False, distorted=False, seed=seed)
    poses = t.poses.copy()
    poses[:, :3, 3] -= [1, 2, 3]
    images = t.images
    if alpha:
        images = tuple(np.dstack([image, np.full(image.shape[:2], 51 * k, np.uint8)]) for k, image in enumerate(images))
    cameras = posed.host_cameras(
        world_from_camera=poses.astype(np.float32),
        focal=t.focal,
        center=t.center,
        distortion=t.distortion,
        size=np.array(t.sizes, np.int32),
        model='pinhole',
    )
    names = tuple(writers.name(k) for k in range(n))
    return posed.PosedImages(names, images, cameras, None, 1.0, 9.0, np.eye(4))


def test_scenes_become_a_category_and_come_back():
    parts = {'a': scene(4), 'b': scene(4, seed=1)}
    category = categories.gather(parts, scale=2.0)
    assert (len(category), category.num_views, category.scale) == (2, 4, 2.0)
    back = category.instance(1)
    np.testing.assert_array_equal(np.stack(back.images), np.stack(parts['b'].images))
    np.testing.assert_array_equal(back.cameras.world_from_camera, parts['b'].cameras.world_from_camera)
    distance = np.linalg.norm(back.cameras.world_from_camera[:, :3, 3], axis=-1)
    np.testing.assert_allclose([back.near, back.far], [distance.min() - 3**0.5, distance.max() + 3**0.5], rtol=1e-6)


def test_instances_and_views_are_picked_in_order():
    category = categories.gather({name: scene(3, seed=k) for k, name in enumerate('abc')}, scale=1.0)
    picked = category.instances([2, 0]).views([1, 2])
    assert picked.names == ('c', 'a')
    np.testing.assert_array_equal(picked.images, category.images[[2, 0]][:, [1, 2]])
    np.testing.assert_array_equal(picked.cameras.size, category.cameras.size[[2, 0]][:, [1, 2]])
    np.testing.assert_array_equal(
        picked.cameras.world_from_camera, category.cameras.world_from_camera[[2, 0]][:, [1, 2]]
    )


def test_unequal_counts_are_refused_or_thinned():
    parts = {'many': scene(9), 'few': scene(4)}
    with pytest.raises(InputError, match='few has 4, many 9.*views=4'):
        categories.gather(parts, scale=1.0)
    with pytest.raises(InputError, match='views: got 5, expected 1 to 4'):
        categories.gather(parts, scale=1.0, views=5)
    thinned = categories.gather(parts, scale=1.0, views=3)
    np.testing.assert_array_equal(thinned.images[0], np.stack(parts['many'].images)[[0, 4, 8]])
    np.testing.assert_array_equal(thinned.images[1, [0, 2]], np.stack(parts['few'].images)[[0, 3]])


def test_transparent_pixels_are_put_on_white():
    category = categories.gather({'a': scene(6, alpha=True)}, scale=1.0)
    opaque = np.stack([image[..., :3] for image in scene(6).images]).astype(float)
    share = np.arange(6).reshape(6, 1, 1, 1) / 5
    np.testing.assert_allclose(category.images[0], opaque * share + 255 * (1 - share), atol=0.51)


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match='scenes: none'):
        categories.gather({}, scale=1.0)
    small = dataclasses.replace(
        scene(3),
        images=tuple(image[:8] for image in scene(3).images),
        cameras=dataclasses.replace(scene(3).cameras, size=np.tile(np.array([20, 8], np.int32), (3, 1))),
    )
    with pytest.raises(InputError, match='sizes 20x8, 20x16'):
        categories.gather({'a': scene(3), 'b': small}, scale=1.0)
    whole = categories.gather({'a': scene(3)}, scale=1.0)
    for change, match in (
        ({'names': ('a', 'b')}, 'names'),
        ({'images': whole.images.astype(np.float32)}, 'uint8'),
        ({'images': whole.images[:, :2]}, 'world_from_camera'),
        ({'images': whole.images[:, :, :, :8]}, 'size'),
        ({'scale': 0.0}, 'scale'),
    ):
        with pytest.raises(InputError, match=match):
            dataclasses.replace(whole, **change)


def test_figures_are_bent_walks_that_do_not_meet_themselves():
    shapes = [shepard_metzler.figure(seed) for seed in range(50)]
    for shape in shapes:
        cells = shape.centers / shepard_metzler.SIDE
        steps = np.diff(cells, axis=0)
        np.testing.assert_allclose(np.abs(steps).sum(-1), 1, atol=1e-12)
        assert np.count_nonzero(np.abs(np.diff(steps, axis=0)).sum(-1) > 0.5) >= 2
        apart = np.abs(cells[:, None] - cells[None]).sum(-1) + 9 * np.eye(len(cells))
        assert apart.min() > 0.99
        np.testing.assert_allclose(cells.min(0), -cells.max(0), atol=1e-12)
        assert np.ptp(cells, axis=0).max() <= shepard_metzler.EXTENT - 1 + 1e-9
    assert len({tuple(np.round(shape.centers, 6).ravel()) for shape in shapes}) > 40


def test_the_tracer_agrees_with_marching_in_small_steps():
    rng = np.random.default_rng(0)
    shape = shepard_metzler.figure(3)
    origin = np.array([1.5, -2.2, 1.1])
    directions = rng.uniform(-0.6, 0.6, (150, 3)) - origin
    t, face = shepard_metzler.trace(shape, origin, directions)
    fine = np.linspace(0.5, 1.5, 1001)
    points = origin + fine[:, None, None] * directions
    inside = (np.abs(points[:, :, None] - shape.centers).max(-1) < shepard_metzler.SIDE / 2).any(-1)
    met, both = inside.any(0), inside.any(0) & (face >= 0)
    assert both.sum() > 40
    # A corner may be thinner than a step.
    assert (met != (face >= 0)).sum() <= 2
    late = fine[inside.argmax(0)][both] - t[both]
    assert late.min() > -1e-9 and (late > 1.001e-3).sum() <= 2
    assert np.isinf(t[face < 0]).all()
    # The hit lies on the face that is named, which looks towards the ray's origin.
    hit = origin + t[both, None] * directions[both]
    cube, side = np.divmod(face[both], 6)
    axis, sign = side % 3, 1 - 2 * (side // 3)
    offset = (hit - shape.centers[cube])[np.arange(len(hit)), axis]
    np.testing.assert_allclose(offset, sign * shepard_metzler.SIDE / 2, atol=1e-9)
    assert (directions[both][np.arange(len(hit)), axis] * sign < 0).all()


def test_a_cube_seen_head_on_covers_its_square():
    shape = shepard_metzler.Figure(np.zeros((1, 3)), np.array([[1.0, 0.5, 0.0]]))
    camera = shepard_metzler.cameras(0, 1, size=61)[0]
    pose = np.eye(4)
    pose[2, 3] = -shepard_metzler.RADIUS
    image = shepard_metzler.render(shape, dataclasses.replace(camera, world_from_camera=pose)) / 255
    length = camera.focal[0] * shepard_metzler.SIDE / (shepard_metzler.RADIUS - shepard_metzler.SIDE / 2)
    assert image[30, 30, 2] == 0
    np.testing.assert_allclose((1 - image[..., 2]).sum(), length**2, rtol=0.02)
    np.testing.assert_allclose(image, image[::-1, ::-1], atol=1e-9)


def test_categories_of_figures_fill_their_pictures_and_their_cube():
    category = shepard_metzler.category(4, views=5, size=24)
    images = category.images
    for border in (images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]):
        assert (border == 255).all()
    assert 0.05 < (images.min(-1) < 255).mean() < 0.4
    eyes = category.cameras.world_from_camera[..., :3, 3]
    np.testing.assert_allclose(np.linalg.norm(eyes, axis=-1), shepard_metzler.RADIUS, rtol=1e-5)
    np.testing.assert_allclose(category.cameras.world_from_camera[..., :3, 2], -eyes / 3, atol=1e-6)
    cubes = shepard_metzler.figure((0, 0, 0)).centers
    assert np.abs(cubes).max() + shepard_metzler.SIDE / 2 <= category.scale / 2 + 1e-9


def test_figures_depend_on_split_and_number_alone():
    some, more = (shepard_metzler.category(n, views=2, size=16, first=k) for n, k in ((2, 1), (3, 0)))
    assert some.names == more.names[1:]
    np.testing.assert_array_equal(some.images, more.images[1:])
    other = shepard_metzler.category(2, views=2, size=16, split='test')
    assert not set(other.names) & set(more.names)
    assert (other.images[0] != more.images[0]).any()
    for options, match in (({'split': 'rest'}, 'split'), ({'views': 0}, 'views'), ({'cubes': 3}, 'cubes')):
        with pytest.raises(InputError, match=match):
            shepard_metzler.category(1, **options)
