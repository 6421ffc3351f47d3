"""Batches of a filmed head: frames come with their own tracking, and those held out never come."""

import dataclasses

import jax
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data.tracked_head import FaceMesh, Performance, TrackedHead
from neurend.data.tracked_shots import before, behind, shot_source
from neurend.geometry import cameras


def head(count=6, train=4):
    numbers = np.arange(count)
    empty = np.zeros((0, 3), np.float32)
    mesh = FaceMesh(empty, empty, empty, empty, empty, empty)
    poses = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1)) * (numbers[:, None, None] + 1).astype(np.float32)
    performance = Performance(numbers[:, None].astype(np.float32), poses)
    images = np.tile(numbers.astype(np.uint8)[:, None, None, None], (1, 2, 3, 3))
    background = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    camera = jax.device_get(cameras.make(np.eye(4, dtype=np.float32), 5.0, size=(3, 2)))
    return TrackedHead(images, background, mesh, ('jawOpen',), performance, camera, train)


@pytest.mark.parametrize('compiled', [False, True])
def test_frames_come_with_their_tracking_camera_and_background(compiled):
    source = shot_source(head(), frames=3)
    draw = jax.jit(source.draw) if compiled else source.draw
    seen = set()
    for k in range(20):
        batch = draw(jax.random.key(k), source.data)
        frame = np.rint(255 * np.asarray(batch.rgb[:, 0, 0, 0])).astype(int)
        expressions, poses = map(np.asarray, batch.deformation)
        np.testing.assert_array_equal(expressions[:, 0], frame)
        np.testing.assert_array_equal(poses[:, 1, 1], frame + 1)
        np.testing.assert_array_equal(batch.camera.focal, np.full((3, 2), 5.0))
        np.testing.assert_allclose(batch.background, np.tile(head().background[None] / 255, (3, 1, 1, 1)), atol=1e-6)
        assert len(set(frame)) == 3
        seen |= set(frame)
    assert seen == set(range(4))


def test_surroundings_are_those_of_the_frames():
    numbers = np.arange(6, dtype=np.uint8)[:, None, None, None]
    among = dataclasses.replace(head(), surroundings=np.broadcast_to(10 + numbers, (6, 2, 3, 4)))
    source = shot_source(among, frames=3)
    for k in range(5):
        batch = source.draw(jax.random.key(k), source.data)
        assert batch.background.shape == (3, 2, 3, 4)
        frame = 255 * np.asarray(batch.rgb[:, 0, 0, 0])
        np.testing.assert_allclose(255 * np.asarray(batch.background)[:, 1, 2, 3], 10 + frame, atol=1e-3)
    assert [each[0, 0, 0] for each in behind(among, np.array([5, 0, 5]))] == [15, 10, 15]
    np.testing.assert_array_equal(behind(head(), np.array([1, 2]))[1], head().background)


def test_windows_hold_the_frames_before():
    source = shot_source(head(), frames=2, window=3)
    for k in range(10):
        batch = source.draw(jax.random.key(k), source.data)
        frame = np.rint(255 * np.asarray(batch.rgb[:, 0, 0, 0])).astype(int)
        expressions, poses = map(np.asarray, batch.deformation)
        expected = np.maximum(frame[:, None] - [0, 1, 2], 0)
        np.testing.assert_array_equal(expressions[..., 0], expected)
        np.testing.assert_array_equal(poses[..., 1, 1], expected + 1)
    with pytest.raises(InputError, match='window: got 0 frames, expected at least 1'):
        before(np.arange(3), 0)


def test_more_frames_than_there_are():
    with pytest.raises(InputError, match='frames: got 5, expected 1 to 4'):
        shot_source(head(), frames=5)
    with pytest.raises(InputError, match='frames: got 0'):
        shot_source(dataclasses.replace(head(), train=2), frames=0)
