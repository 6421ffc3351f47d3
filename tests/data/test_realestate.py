import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import posed, realestate


def test_a_line_by_hand(tmp_path):
    """A camera half a unit to the right, which looks along +z: its translation is that of camera_from_world."""
    (tmp_path / 'clip.txt').write_text('https://example.org/v\n1500 0.5 0.8 0.5 0.4 0 0 1 0 0 -0.5 0 1 0 0 0 0 1 0\n\n')
    found = realestate.read(tmp_path / 'clip.txt', size=(640, 360))
    assert found.url == 'https://example.org/v' and found.timestamps.tolist() == [1500]
    np.testing.assert_allclose(found.cameras.focal, [[320, 288]])
    np.testing.assert_allclose(found.cameras.center, [[320, 144]])
    np.testing.assert_allclose(found.cameras.world_from_camera[0, :3, 3], [0.5, 0, 0], atol=1e-7)
    assert found.cameras.model == 'pinhole'


@pytest.mark.parametrize('distorted', [False, True])
def test_what_is_written_is_read(tmp_path, distorted):
    rng = np.random.default_rng(0)
    rotations = np.stack([np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(4)])
    rotations *= np.sign(np.linalg.det(rotations))[:, None, None]
    poses = np.broadcast_to(np.eye(4), (4, 4, 4)).copy()
    poses[:, :3, :3], poses[:, :3, 3] = rotations, rng.normal(size=(4, 3))
    distortion = np.zeros((4, 6), np.float32)
    distortion[:, :2] = 0.01 * rng.normal(size=(4, 2)) if distorted else 0
    cameras = posed.host_cameras(
        world_from_camera=poses.astype(np.float32),
        focal=rng.uniform(100, 200, size=(4, 2)).astype(np.float32),
        center=rng.uniform(50, 70, size=(4, 2)).astype(np.float32),
        distortion=distortion,
        size=np.full((4, 2), [128, 96], np.int32),
        model='opencv' if distorted else 'pinhole',
    )
    given = realestate.CameraPath('somewhere', np.arange(4) * 33367, cameras)
    realestate.write(tmp_path / 'clip.txt', given)
    found = realestate.read(tmp_path / 'clip.txt', size=(128, 96))
    np.testing.assert_array_equal(found.timestamps, given.timestamps)
    for name in ('world_from_camera', 'focal', 'center', 'distortion', 'size'):
        np.testing.assert_allclose(getattr(found.cameras, name), getattr(cameras, name), atol=2e-6, rtol=1e-5)
    assert found.cameras.model == cameras.model


def test_what_is_wrong_is_said(tmp_path):
    path = tmp_path / 'clip.txt'
    for text, match in (
        ('address\n', 'no frames'),
        ('address\n1 2 3\n', 'line 2: 3 numbers, expected 19'),
        ('address\nx' + ' 1' * 18, 'line 2: not numbers'),
        ('address\n1 .5 .5 .5 .5 0 0' + ' 0' * 12, 'line 2: pose'),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=match):
            realestate.read(path, size=(8, 8))
    with pytest.raises(InputError, match='does not exist'):
        realestate.read(tmp_path / 'none.txt', size=(8, 8))
