"""Lifting, its adjoint, camera volumes and visibility, against loops in float64 and what geometry says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.geometry import cameras, paths, transforms
from neurend.render import lift
from neurend.render.lift import Cube

_lift = jax.jit(lift.lift)
_resample = jax.jit(lift.resample, static_argnums=4, static_argnames='offset')

CUBE = Cube(jnp.array([0.1, -0.2, 0.05]), jnp.float32(1.6))
RNG = np.random.default_rng(0)


def camera_at(*eye, size=(10, 8), focal=9.0):
    pose = transforms.look_at(np.array(eye), np.asarray(CUBE.center), np.array([0.0, 0, 1]))
    return cameras.make(pose, focal, size=size)


def projected(camera, points):
    """Pixels and depths, in float64."""
    pose, focal, center = (np.asarray(x, np.float64) for x in (camera.world_from_camera, camera.focal, camera.center))
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    return local[:, :2] / local[:, 2:] * focal + center, local[:, 2]


def interpolated(values, position):
    """Multilinear in values [*sides c], value i at i, one point after the other; borders continue."""
    out = []
    for place in position:
        total = 0.0
        for corner in np.ndindex((2,) * len(place)):
            index, weight = [], 1.0
            for x, side, one in zip(place, values.shape, corner):
                x = np.clip(x, 0, side - 1)
                low = min(int(np.floor(x)), side - 2)
                index.append(low + one)
                weight *= x - low if one else 1 - (x - low)
            total = total + weight * values[tuple(index)]
        out.append(total)
    return np.stack(out)


def test_lifting_is_that_of_a_loop():
    camera = camera_at(1.5, 1.2, 0.8, focal=14.0)
    features = RNG.normal(size=(8, 10, 3))
    points = np.asarray(lift.cell_centers(CUBE, 5), np.float64).reshape(-1, 3)
    found, seen = _lift(jnp.asarray(features, jnp.float32), camera, jnp.asarray(points, jnp.float32))
    pixels, depth = projected(camera, points)
    inside = (depth > 0) & ((pixels >= 0) & (pixels <= [10, 8])).all(-1)
    assert 0.2 < inside.mean() < 1
    np.testing.assert_array_equal(seen, inside)
    expected = interpolated(features, pixels[:, ::-1] - 0.5) * inside[:, None]
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize('offset', [0.5, 0.0])
def test_camera_volumes_are_those_of_a_loop(offset):
    camera, volume = camera_at(1.5, 1.2, 0.8), RNG.normal(size=(4, 4, 4, 2))
    depths = lift.plane_depths(camera, CUBE, 6)
    found = _resample(jnp.asarray(volume, jnp.float32), CUBE, camera, depths, (10, 8), offset=offset)
    pose = np.asarray(camera.world_from_camera, np.float64)
    y, x, z = np.meshgrid(np.arange(8) + 0.5, np.arange(10) + 0.5, np.asarray(depths, np.float64), indexing='ij')
    local = np.stack([(x - 5) / 9 * z, (y - 4) / 9 * z, z], axis=-1).reshape(-1, 3)
    points = local @ pose[:3, :3].T + pose[:3, 3]
    position = ((points - np.asarray(CUBE.center)) / float(CUBE.side) + 0.5) * 4
    inside = ((position >= 0) & (position <= 4)).all(-1)
    # Points on a face of the cube may fall to either side in single precision.
    clear = np.abs(position[:, :, None] - [0, 4]).min((1, 2)) > 1e-4
    assert 0.1 < inside.mean() < 0.9 and clear.mean() > 0.99
    expected = (interpolated(volume, position - offset) * inside[:, None]).reshape(8, 10, 6, 2)
    np.testing.assert_allclose(np.asarray(found)[clear.reshape(8, 10, 6)], expected[clear.reshape(8, 10, 6)], atol=3e-5)


def test_a_feature_on_a_surface_returns_to_its_pixel():
    """Painted where a pixel of one camera sees a known depth, it is where another camera sees that point."""
    first, second = (
        camera_at(2.5, 0.3, 0.4, size=(32, 32), focal=40.0),
        camera_at(0.4, 2.4, 0.9, size=(32, 32), focal=40.0),
    )
    point = cameras.unproject(first, jnp.array([15.5, 18.5]), jnp.float32(2.4))
    painted = jnp.zeros((32, 32, 1)).at[18, 15].set(1.0)
    # The cells of the volume on which that pixel projects, cut off at the depth of the surface.
    centers = lift.cell_centers(CUBE, 32)
    volume, _ = _lift(painted, first, centers)
    near = jnp.linalg.norm(centers - point[None, None, None], axis=-1) < 0.1
    volume = volume * near[..., None]
    for camera in (first, second):
        depths = lift.plane_depths(camera, CUBE, 64)
        seen = _resample(volume, CUBE, camera, depths, (32, 32))
        where = np.unravel_index(int(np.argmax(np.asarray(seen).sum((2, 3)))), (32, 32))
        pixel, depth = cameras.project(camera, point)
        assert np.abs(np.array(where[::-1]) + 0.5 - np.asarray(pixel)).max() < 1.6
        stops, soft = lift.visibility(60 * seen[..., 0], depths)
        assert abs(float(soft[where]) - float(depth)) < 0.06
        np.testing.assert_allclose(np.asarray(stops).sum(-1), 1, atol=1e-5)


def test_a_constant_stays_constant_inside_and_is_zero_outside():
    camera = camera_at(1.8, -1.0, 0.9)
    lifted, seen = _lift(jnp.full((8, 10, 2), 0.7), camera, lift.cell_centers(CUBE, 6))
    np.testing.assert_allclose(lifted, np.where(np.asarray(seen)[..., None], [0.7, 0.7], 0), atol=1e-6)
    depths = lift.plane_depths(camera, CUBE, 9)
    volume = np.asarray(_resample(jnp.full((6, 6, 6, 2), 0.7), CUBE, camera, depths, (10, 8)))
    inside = volume[..., 0] > 0
    assert 0.1 < inside.mean() < 0.9
    np.testing.assert_allclose(volume, np.where(inside[..., None], [0.7, 0.7], 0), atol=1e-6)


def test_scattering_is_the_adjoint():
    camera, points = camera_at(1.0, 1.4, 0.9, focal=16.0), lift.cell_centers(CUBE, 5)
    features, values = RNG.normal(size=(8, 10, 3)), RNG.normal(size=(5, 5, 5, 3))
    features, values = jnp.asarray(features, jnp.float32), jnp.asarray(values, jnp.float32)
    spread = lift.splat(values, camera, points, (10, 8))
    assert spread.shape == (8, 10, 3)
    one, other = jnp.sum(spread * features), jnp.sum(values * _lift(features, camera, points)[0])
    np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.slow
def test_derivatives_also_in_the_camera():
    """Against finite differences in float64; the steps stay within cells."""
    with jax.enable_x64(True):
        base = jax.tree.map(
            lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64 if np.asarray(leaf).dtype.kind == 'f' else None),
            camera_at(1.9, 1.1, 0.7),
        )
        cube = Cube(jnp.asarray(np.asarray(CUBE.center), jnp.float64), jnp.float64(1.6))
        features, volume = jnp.asarray(RNG.normal(size=(8, 10, 2))), jnp.asarray(RNG.normal(size=(4, 4, 4, 2)))
        points = lift.cell_centers(cube, 3) + 0.013

        def moved(change):
            pose = base.world_from_camera.at[:3, 3].add(change[:3])
            return base.replace(world_from_camera=pose, focal=base.focal + change[3])

        def total(change, features, volume, logits):
            camera = moved(change)
            lifted, _ = lift.lift(features, camera, points)
            depths = lift.plane_depths(camera, cube, 5)
            seen = lift.resample(volume, cube, camera, depths, (10, 8))
            weights, depth = lift.visibility(logits + seen[..., 0], depths)
            return jnp.sum(jnp.sin(lifted)) + jnp.sum(jnp.cos(lift.collapse(weights, seen))) + jnp.sum(depth)

        inputs = [jnp.zeros(4), features, volume, jnp.asarray(RNG.normal(size=(8, 10, 5)))]
        gradient = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)))(*inputs)
        value_of = jax.jit(total)
        for k, (value, slope) in enumerate(zip(inputs, gradient)):
            way = RNG.normal(size=value.shape)
            way = jnp.asarray(way / np.linalg.norm(way))
            ends = [value_of(*inputs[:k], value + step * way, *inputs[k + 1 :]) for step in (1e-6, -1e-6)]
            np.testing.assert_allclose((ends[0] - ends[1]) / 2e-6, jnp.sum(slope * way), rtol=2e-5, atol=1e-6)


def test_the_mean_of_views_knows_no_order():
    points = lift.cell_centers(CUBE, 5)
    views = [
        _lift(jnp.asarray(RNG.normal(size=(8, 10, 3)), jnp.float32), camera, points)
        for camera in (camera_at(1.5, 1.2, 0.8, focal=16.0), camera_at(-1.0, 1.1, 0.3), camera_at(0.2, 0.1, 2.0))
    ]
    one, seen = lift.mean(views)
    other, _ = lift.mean([views[k] for k in (2, 0, 1)])
    np.testing.assert_allclose(one, other, atol=1e-6)
    sums = sum(np.asarray(features) for features, _ in views)
    counts = sum(np.asarray(each).astype(int) for _, each in views)
    np.testing.assert_allclose(one, sums / np.maximum(counts, 1)[..., None], atol=1e-6)
    np.testing.assert_array_equal(seen, counts > 0)


def test_world_and_cameras_may_move_together():
    volume = jnp.asarray(RNG.normal(size=(4, 4, 4, 2)), jnp.float32)
    camera, shift = camera_at(1.5, 1.2, 0.8), jnp.array([0.5, -1.0, 2.0])
    moved = camera.replace(world_from_camera=camera.world_from_camera.at[:3, 3].add(shift))
    cubes = CUBE, Cube(CUBE.center + shift, CUBE.side)
    found = [
        _resample(volume, cube, each, lift.plane_depths(each, cube, 6), (10, 8))
        for cube, each in zip(cubes, (camera, moved))
    ]
    different = np.abs(np.asarray(found[0] - found[1])).max(-1) > 1e-4
    assert different.mean() < 0.01  # on the faces of the cube


def test_a_camera_inside_sees_what_is_before_it():
    """Planes lie in front of it and rise, and the volume is resampled without a value that is not finite."""
    pose = paths.orbit(1, radius=0.3)[0].at[:3, 3].add(CUBE.center)
    camera = cameras.make(pose, 6.0, size=(8, 8))
    depths = np.asarray(lift.plane_depths(camera, CUBE, 8))
    assert (depths > 0).all() and (np.diff(depths) > 0).all()

    def total(volume, shift):
        moved = camera.replace(world_from_camera=camera.world_from_camera.at[:3, 3].add(shift))
        lifted, _ = _lift(jnp.ones((8, 8, 1)), moved, lift.cell_centers(CUBE, 4))
        seen = _resample(volume, CUBE, moved, lift.plane_depths(moved, CUBE, 8), (8, 8))
        return jnp.sum(seen) + jnp.sum(lifted)

    slopes = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    value, gradient = slopes(jnp.ones((4, 4, 4, 1)), jnp.zeros(3))
    assert float(value) > 10
    assert all(np.isfinite(np.asarray(each)).all() for each in gradient)
