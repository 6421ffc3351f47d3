import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import posed, realestate
from neurend.images import io


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


def test_clips_are_read_with_their_frames(tmp_path):
    """Of nine frames three, every third about the middle; 24 x 16 cut to 16 x 16 and halved."""
    rng, times = np.random.default_rng(0), 1000 * np.arange(9)
    pictures = rng.integers(0, 256, (9, 1, 1, 3)).repeat(16, 1).repeat(24, 2).astype(np.uint8)
    (tmp_path / 'images' / 'walk').mkdir(parents=True)
    lines = ['https://example.org/v']
    for time, picture in zip(times, pictures):
        io.write(tmp_path / 'images' / 'walk' / f'walk_{time}.jpg', picture)
        lines.append(f'{time} 1 1.5 0.5 0.5 0 0 1 0 0 {-time / 1000} 0 1 0 0 0 0 1 0')
    (tmp_path / 'walk.txt').write_text('\n'.join(lines))
    (tmp_path / 'short.txt').write_text('\n'.join(lines[:5]))
    (clip,) = realestate.clips(tmp_path, size=8, frames=3, stride=3)
    assert clip.names == ('walk_1000', 'walk_4000', 'walk_7000')
    for image, k in zip(clip.images, (1, 4, 7)):
        assert np.abs(image.astype(float) - pictures[k, :8, :8]).max() < 4
    np.testing.assert_allclose(clip.cameras.focal, [[12, 12]] * 3)
    np.testing.assert_allclose(clip.cameras.center, [[4, 4]] * 3)
    np.testing.assert_allclose(clip.cameras.world_from_camera[:, 0, 3], [1, 4, 7], atol=1e-6)
    with pytest.raises(InputError, match='no clip of 11 frames'):
        realestate.clips(tmp_path, size=8, frames=3, stride=5)
    (tmp_path / 'images' / 'walk' / 'walk_4000.jpg').unlink()
    with pytest.raises(InputError, match='walk_4000'):
        realestate.clips(tmp_path, size=8, frames=3, stride=3)
    with pytest.raises(InputError, match='no camera files'):
        realestate.clips(tmp_path / 'images', size=8)


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
