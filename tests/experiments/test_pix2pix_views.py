"""Novel views by image translation: what tells where a picture is seen from, and what a run leaves."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import (
    pix2pix_views,
    view_conditions,
)
from neurend import app
from neurend.checks import InputError
from neurend.data import posed, scenes, synthetic
from neurend.geometry import cameras, paths
from neurend.scenes import mesh_files, primitives
from tests.experiments.test_pix2pix import TINY, run


def looking(size=16):
    poses = paths.sphere(6, radius=4.0)
    return jax.tree.map(np.asarray, cameras.make(poses, 1.2 * size, size=(size, size)))


def scene_of(views, images):
    names = tuple(map(str, range(len(images))))
    return posed.PosedImages(names, tuple(images), views, None, 2.0, 6.0, np.eye(4, dtype=np.float32))


def test_the_camera_is_told_by_its_rays_and_its_place():
    views = looking()
    scene = scene_of(views, [np.zeros((16, 16, 3), np.uint8)] * 6)
    condition = jax.jit(view_conditions.from_camera(scene))
    reach = np.abs(views.world_from_camera[:, :3, 3]).max()
    for k in range(6):
        found = 2 * np.asarray(condition(jax.tree.map(jnp.asarray, scene.camera(k)))) - 1
        pose = views.world_from_camera[k].astype(np.float64)
        y, x = np.mgrid[:16, :16] + 0.5
        local = np.stack([(x - 8) / 19.2, (y - 8) / 19.2, np.ones_like(x)], axis=-1)
        world = local @ pose[:3, :3].T
        world /= np.linalg.norm(world, axis=-1, keepdims=True)
        np.testing.assert_allclose(found[..., :3], world, atol=1.01 / 255)
        np.testing.assert_allclose(found[..., 3:], np.broadcast_to(pose[:3, 3] / reach, (16, 16, 3)), atol=1.01 / 255)
    stored = view_conditions.drawn(condition, scene)
    np.testing.assert_allclose(stored[5] / 255, (found + 1) / 2, atol=1e-6)


def test_a_proxy_shows_its_normals_and_positions():
    size = 32
    views = looking(size)
    sphere = primitives.sphere(4, radius=1.0)
    condition = jax.jit(view_conditions.from_mesh(sphere, (size, size)))
    camera = views[2]
    found = np.asarray(condition(jax.tree.map(jnp.asarray, camera)))
    rays = cameras.rays(jax.tree.map(jnp.asarray, camera), cameras.pixel_centers(size, size))
    origin, direction = np.asarray(rays.origins, np.float64), np.asarray(rays.viewdirs, np.float64)
    b = np.sum(origin * direction, axis=-1)
    root = b**2 - np.sum(origin**2, axis=-1) + 1
    inside, outside = root > 0.02, root < -0.02
    assert inside.sum() > 100 and outside.sum() > 100
    points = origin + (-b - np.sqrt(np.maximum(root, 0)))[..., None] * direction
    np.testing.assert_array_equal(found[outside], 0)
    np.testing.assert_array_equal(found[inside][:, 6], 1)
    # On a unit sphere about the origin normals are positions; its box has sides of 2.
    np.testing.assert_allclose(2 * found[inside][:, :3] - 1, points[inside], atol=0.05)
    np.testing.assert_allclose(2 * found[inside][:, 3:6] - 1, points[inside], atol=0.05)


def test_the_proxy_is_the_hull_of_the_outlines_or_a_mesh_in_the_world_of_the_files(tmp_path):
    size, count = 48, 24
    views = jax.tree.map(np.asarray, cameras.make(paths.sphere(count, radius=4.0), 1.2 * size, size=(size, size)))
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    # The outline of a ball of radius 0.8, seen from 4 away.
    disc = np.hypot(x, y) < 1.2 * size * 0.8 / np.sqrt(16 - 0.64)
    image = np.concatenate([np.zeros((size, size, 3), np.uint8), 255 * disc[..., None].astype(np.uint8)], axis=-1)
    mesh = view_conditions.proxy(scene_of(views, [image] * count), '')
    radii = np.linalg.norm(mesh.vertices, axis=-1)
    assert radii.min() > 0.75 and radii.max() < 1.05
    bare = scene_of(views, [image[..., :3]] * count)
    with pytest.raises(InputError, match='neither masks nor alpha'):
        view_conditions.proxy(bare, '')
    mesh_files.write(tmp_path / 'box.obj', primitives.box())
    similarity = np.diag([2.0, 2, 2, 1]).astype(np.float32)
    similarity[:3, 3] = 1, 2, 3
    given = view_conditions.proxy(dataclasses.replace(bare, scene_from_source=similarity), str(tmp_path / 'box.obj'))
    np.testing.assert_allclose(given.vertices.min(0), [0, 1, 2], atol=1e-6)
    np.testing.assert_allclose(given.vertices.max(0), [2, 3, 4], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('condition', ['camera', 'proxy'])
def test_views_are_learned_loaded_and_drawn(tmp_path, condition):
    folder = synthetic.write_scene(tmp_path / 'scene', size=32, train=12, val=1, test=2)
    settings = pix2pix_views.Config(
        data_dir=str(folder),
        workdir=str(tmp_path / 'run'),
        factor=2,
        condition=condition,
        batch=2,
        model=dataclasses.replace(TINY, adversarial=0.0),
        run=run(60),
        frames=2,
    )
    app.write_record(settings, tmp_path / 'run', 'config.flags')
    table = pix2pix_views.main(settings)
    assert (tmp_path / 'run' / 'turntable.mp4').is_file()
    # Of what tiny filters can tell from rays, white is the best; normals and outlines tell more.
    test = scenes.read(folder, split='test', factor=2)
    truths = [posed.composite(image, 1.0) for image in test.images]
    flat, margin = (0.5, 3) if condition == 'camera' else (1.0, 1)
    guess = np.mean([-10 * np.log10(np.mean(np.square(flat - truth))) for truth in truths])
    assert table.mean['psnr'] > guess + margin
    _, setup, state = pix2pix_views.load(str(tmp_path / 'run'))
    seen = pix2pix_views.seen(setup)
    for k, truth in enumerate(truths):
        picture = np.asarray(seen.render(state, jax.tree.map(jnp.asarray, test.camera(k))).rgb)
        psnr = -10 * np.log10(np.mean(np.square(np.clip(picture, 0, 1) - truth)))
        assert psnr == pytest.approx(table.rows[test.names[k]]['psnr'], abs=0.02)


def test_the_nearest_photograph_is_the_one_from_the_nearest_place():
    views = looking(16)
    images = [np.full((16, 16, 3), 40 * k, np.uint8) for k in range(6)]
    train = scene_of(views, images)
    shifted = dataclasses.replace(views[3:4], world_from_camera=views.world_from_camera[3:4].copy())
    shifted.world_from_camera[0, :3, 3] += 0.1
    test = scene_of(shifted, [np.full((16, 16, 3), 150, np.uint8)])
    found = pix2pix_views.nearest_photograph(train, test)
    assert found['psnr'] == pytest.approx(-20 * np.log10(30 / 255), abs=0.01)
