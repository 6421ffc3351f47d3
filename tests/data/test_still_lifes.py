"""Still lifes: rays against solids by hand, depth against parallax, and clips that are functions of the seed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.data import still_lifes
from neurend.geometry import cameras, grids, rotations

SIZE = 24


def scene_of(kind, center, matrix):
    """One surface without waves, and a wall far behind."""
    matrices = jnp.stack([matrix, jnp.eye(3)])
    return still_lifes.StillLife(
        kind=jnp.array([kind, 2]),
        center=jnp.stack([center, jnp.array([0.0, 0.0, 9.0])]),
        local_from_world=matrices,
        base=jnp.array([[0.5, 0.4, 0.3], [0.2, 0.2, 0.2]]),
        waves=jnp.zeros((2, 1, 3)),
        phases=jnp.zeros((2, 1)),
        tints=jnp.zeros((2, 1, 3)),
        sharpness=jnp.ones((2, 1)),
    )


@pytest.mark.parametrize('kind', [0, 1])
def test_rays_meet_a_turned_solid_where_its_surface_is(kind):
    rng = np.random.default_rng(0)
    radii, center = np.array([0.5, 0.9, 0.4]), np.array([0.1, -0.2, 4.0])
    matrix = np.asarray(rotations.exp(jnp.array([0.4, -0.7, 0.2]))).T / radii[:, None]
    origin, directions = np.array([0.2, 0.0, -0.1]), rng.normal(size=(400, 3)) * [0.15, 0.15, 0] + [0, 0, 1]
    scene = scene_of(kind, jnp.asarray(center, jnp.float32), jnp.asarray(matrix, jnp.float32))
    color, t = jax.jit(still_lifes.trace)(scene, jnp.asarray(origin), jnp.asarray(directions))
    color, t = np.asarray(color), np.asarray(t, np.float64)
    # Along every ray, where it is inside first: by steps, in float64.
    steps = np.linspace(2, 6, 4001)
    local = (origin + steps[:, None, None] * directions - center) @ matrix.T
    inside = (np.linalg.norm(local, axis=-1) if kind == 0 else np.abs(local).max(-1)) < 1
    hit = inside.any(0)
    assert 0.2 < hit.mean() < 0.9
    np.testing.assert_allclose(t[hit], steps[inside.argmax(0)][hit], atol=2e-3)
    np.testing.assert_allclose(t[~hit], 9.1, atol=1e-3)
    # Light and shade change brightness alone.
    np.testing.assert_allclose(color[hit] / color[hit][:, :1], np.tile([1, 0.8, 0.6], (hit.sum(), 1)), atol=1e-5)
    assert np.ptp(color[hit][:, 0]) > 0.05


def test_frames_of_a_clip_agree_by_its_depth():
    """What one picture shows, lifted by its depth, has the same colour in the next, but where it is hidden there."""
    rng = np.random.default_rng(3)
    scene, seen = still_lifes.still_life(rng, size=SIZE), still_lifes.line(rng, 2, step=0.1, size=SIZE, shake=0.0)
    reference, other = (jax.tree.map(lambda leaf, k=k: leaf[k], seen) for k in range(2))
    draw = jax.jit(still_lifes.picture, static_argnames=('width', 'height'))
    (before, depth), (after, _) = (draw(scene, camera, width=SIZE, height=SIZE) for camera in (reference, other))
    points = cameras.unproject(reference, cameras.pixel_centers(SIZE, SIZE), depth)
    found, _ = cameras.project(other, points)
    moved = np.asarray(grids.bilinear(after, found))
    columns = np.asarray(found)[..., 0]
    within = (columns > 0.5) & (columns < SIZE - 0.5)
    error = np.abs(moved - before).mean(-1)[within]
    assert np.median(error) < 0.4 * np.median(np.abs(np.asarray(after - before)).mean(-1)[within])


def test_clips_are_functions_of_split_and_number():
    first, second = still_lifes.clips(2, views=2, size=SIZE), still_lifes.clips(1, views=2, size=SIZE)
    np.testing.assert_array_equal(first[0].images, second[0].images)
    assert (np.asarray(first[0].images) != np.asarray(first[1].images)).mean() > 0.5
    other = still_lifes.clips(1, views=2, size=SIZE, split='test')[0]
    assert (np.asarray(first[0].images) != np.asarray(other.images)).mean() > 0.5
    for clip in (*first, other):
        assert 0.5 < clip.near < clip.far < 20 and clip.images[0].shape == (SIZE, SIZE, 3)


def test_the_duck_moves_to_the_left_while_the_camera_moves_to_the_right():
    clip = still_lifes.duck_clip(0, views=3, size=SIZE, step=0.3)
    eyes = np.asarray(clip.cameras.world_from_camera)
    right = eyes[0, :3, 0]
    np.testing.assert_allclose(np.diff(eyes[:, :3, 3], axis=0), np.tile(0.3 * right, (2, 1)), atol=1e-5)
    yellow = [(x[..., 0] > 1.5 * x[..., 2].astype(float)) & (x[..., 0] > 150) for x in clip.images]
    middles = [np.nonzero(each)[1].mean() for each in yellow]
    assert middles[0] > middles[1] + 1 > middles[2] + 2
