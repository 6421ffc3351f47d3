import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, paths
from neurend.models.reenactment import face_conditions, face_texture
from neurend.render import texture
from neurend.scenes import primitives

SIZE = 48
_maps = jax.jit(functools.partial(face_conditions.face_maps, width=SIZE, height=SIZE))


def _ball():
    """A unit ball before a camera at distance 4, its UVs its x and y."""
    mesh = primitives.sphere(4)
    points = np.asarray(mesh.vertices, np.float32)
    uvs = (points[:, :2] + 1) / 2
    white, iris = points[:, 1] > 0.5, points[:, 1] < -0.5
    surface = face_conditions.surface(points, np.asarray(mesh.faces), uvs, white=white, iris=iris)
    camera = cameras.make(paths.sphere(1, radius=4.0)[0], 80.0, size=(SIZE, SIZE))
    return surface, camera, jnp.asarray(points)


def _hits(camera):
    """Where the rays of pixels meet the unit ball: points [h w 3], depths and which do, in float64."""
    rays = cameras.rays(camera, cameras.pixel_centers(SIZE, SIZE))
    origin, way = (np.asarray(x, np.float64) for x in (rays.origins, rays.directions))
    a, b, c = (way**2).sum(-1), (origin * way).sum(-1), (origin**2).sum(-1) - 1
    inside = b**2 - a * c > 0
    depth = (-b - np.sqrt(np.where(inside, b**2 - a * c, 0))) / a
    return origin + depth[..., None] * way, depth, inside


def test_maps_of_a_ball_are_the_closed_forms():
    surface, camera, points = _ball()
    maps = jax.device_get(_maps(surface, camera, points))
    hit, depth, inside = _hits(camera)
    assert (maps.mask != inside).mean() < 0.01
    # Away from the outline, where the facets of the mesh and the ball part.
    middle = inside & (np.linalg.norm(hit @ np.asarray(camera.world_from_camera)[:3, :2], axis=-1) < 0.8)
    np.testing.assert_allclose(maps.depth[middle], depth[middle], atol=5e-3)
    np.testing.assert_allclose(maps.code[middle], (hit[middle] + 1) / 2, atol=5e-3)
    np.testing.assert_allclose(maps.uv[middle], (hit[middle, :2] + 1) / 2, atol=5e-3)
    normal = hit @ np.asarray(camera.world_from_camera)[:3, :3]
    np.testing.assert_allclose(maps.normal[middle], normal[middle], atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(maps.normal[maps.mask], axis=-1), 1, atol=1e-5)
    for clear, value in ((hit[..., 1] > 0.6, 1), (hit[..., 1] < -0.6, 0.5), (abs(hit[..., 1]) < 0.4, 0)):
        np.testing.assert_allclose(maps.gaze[middle & clear], value, atol=1e-6)
        assert (middle & clear).any()
    for name in ('uv', 'code', 'normal', 'depth', 'gaze'):
        assert not getattr(maps, name)[~maps.mask].any()


def test_the_condition_shows_texture_over_background():
    surface, camera, points = _ball()
    maps = _maps(surface, camera, points)
    # A texture that is linear in u and v is shown as the position itself.
    steps = (jnp.arange(64) + 0.5) / 64
    across, down = jnp.meshgrid(steps, steps)
    levels = texture.pyramid(jnp.stack([across, 1 - down, jnp.zeros((64, 64))], -1), 1)
    background = jax.random.uniform(jax.random.key(0), (SIZE, SIZE, 3))
    draw = jax.jit(functools.partial(face_conditions.mesh_condition, depths=(3.0, 5.0)))
    condition = np.asarray(draw(maps, levels, background))
    assert condition.shape == (SIZE, SIZE, face_conditions.CHANNELS)
    mask, code = np.asarray(maps.mask), np.asarray(maps.code)
    inner = mask & (np.abs(code - 0.5) < 0.48)[..., :2].all(-1)
    np.testing.assert_allclose(condition[inner][:, :2], code[inner][:, :2], atol=1e-3)
    np.testing.assert_array_equal(condition[~mask][:, :3], np.asarray(background)[~mask])
    np.testing.assert_allclose(condition[mask][:, 9], (5 - np.asarray(maps.depth)[mask]) / 2, atol=1e-5)
    np.testing.assert_allclose(condition[~mask][:, 3:], [[0] * 3 + [0.5] * 3 + [0, 0]] * int((~mask).sum()))


def test_the_mean_texture_is_the_one_that_was_photographed():
    surface, _, points = _ball()
    poses = paths.sphere(6, radius=4.0)

    def pattern(u, v):
        return jnp.stack([0.5 + 0.4 * jnp.sin(5 * u), 0.5 + 0.4 * jnp.cos(4 * v), u * v], -1)

    frames = []
    for k, pose in enumerate(poses):
        camera = cameras.make(pose, 80.0, size=(SIZE, SIZE))
        maps = _maps(surface, camera, points)
        frames.append((maps, pattern(maps.uv[..., 0], maps.uv[..., 1]) + (-1) ** k * 0.05))  # the mean of two lights
    side = 16
    found = np.asarray(face_texture.mean_texture(frames, size=side))
    steps = (np.arange(side) + 0.5) / side
    u, v = np.meshgrid(steps, 1 - steps)
    truth = np.asarray(pattern(u, v))
    seen = np.hypot(u - 0.5, v - 0.5) < 0.4
    np.testing.assert_allclose(found[seen], truth[seen], atol=0.06)
    assert np.isfinite(found).all() and found.min() >= -0.05 and found.max() <= 1.05  # the corners, never seen, too


def test_landmark_lines_lie_over_the_background():
    angle = 2 * math.pi * np.arange(68) / 68
    points = 32 + 20 * np.stack([np.cos(angle), np.sin(angle)], -1)
    background = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3).astype(np.uint8) // 2
    picture = face_conditions.landmark_condition(points, background)
    drawn = (picture != background).any(-1)
    assert (picture[drawn] == 255).all()
    for x, y in points[[0, 8, 16, 20, 30]]:
        assert drawn[int(y), int(x)]
    assert not drawn[:8].any() and 0.02 < drawn.mean() < 0.2
    with pytest.raises(InputError, match='points: got shape'):
        face_conditions.landmark_condition(points[:5], background)
