import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import densepose, openpose
from neurend.images import io


def test_channels_and_scaling(tmp_path):
    iuv = np.array([[[24, 0, 255], [6, 51, 102], [0, 0, 0]]], np.uint8)
    io.write(tmp_path / 'a.png', iuv[..., ::-1])
    read = densepose.read(tmp_path / 'a.png')
    np.testing.assert_array_equal(read, iuv)
    np.testing.assert_allclose(densepose.condition(read), [[[1, 0, 1], [0.25, 0.2, 0.4], [0, 0, 0]]], rtol=1e-6)


def test_reference_frames_have_parts_where_the_joints_are(data_root):
    folder = data_root / 'body_pose'
    clip = openpose.read_folder(folder / 'openpose')
    for name, person in zip(clip.names, clip.people):
        iuv = densepose.read(folder / 'densepose' / f'{name}.png')
        assert iuv.shape == (1080, 1920, 3)

        def part(joint, person=person, iuv=iuv):
            x, y, _ = person.body[joint].astype(int)
            return iuv[y, x, 0]

        assert part(0) in (23, 24)  # nose: head
        assert part(1) in (1, 2)  # neck: torso
        assert part(10) in (7, 8, 9, 10, 11, 12, 13, 14)  # right knee: upper or lower leg


def test_bad_maps(tmp_path):
    iuv = np.full((2, 2, 3), 20, np.uint8)
    iuv[0, 0, 2] = 200
    io.write(tmp_path / 'rgb.png', iuv)
    with pytest.raises(InputError, match=r'rgb\.png: its blue channel reaches 200'):
        densepose.read(tmp_path / 'rgb.png')
    io.write(tmp_path / 'gray.png', iuv[..., :1])
    with pytest.raises(InputError, match=r'gray\.png: 1 channels'):
        densepose.read(tmp_path / 'gray.png')
    with pytest.raises(InputError, match='got float32'):
        densepose.condition(iuv.astype(np.float32))
    with pytest.raises(InputError, match='parts to 200'):
        densepose.condition(iuv[..., ::-1])
