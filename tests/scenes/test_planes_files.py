import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, transforms
from neurend.scenes import planes, planes_files


def image(seed, size=(6, 4)):
    rng = np.random.default_rng(seed)
    pose = transforms.se3_exp(jnp.asarray(rng.normal(size=6), jnp.float32))
    rgba = rng.integers(0, 256, size=(3, size[1], size[0], 4)).astype(np.float32) / 255
    camera = cameras.make(pose, 7.5, size=size)
    return planes.Planes(jnp.asarray(rgba), jnp.asarray(planes.depths(1.25, 40.0, 3)), camera)


def test_what_is_written_is_read(tmp_path):
    images = [image(0), image(1)]
    planes_files.write(tmp_path / 'mpis', images)
    for given, found in zip(images, planes_files.read(tmp_path / 'mpis'), strict=True):
        np.testing.assert_allclose(found.rgba, given.rgba, atol=1e-6)
        np.testing.assert_allclose(found.depths, given.depths, rtol=1e-6)
        np.testing.assert_allclose(found.camera.world_from_camera, given.camera.world_from_camera, atol=1e-6)
        np.testing.assert_allclose(found.camera.focal, given.camera.focal)
        np.testing.assert_array_equal(found.camera.size, [6, 4])


def test_the_bytes_are_those_of_the_format(tmp_path):
    """By hand: the farthest plane first, and axes right, up and backward."""
    made = image(0)
    made = dataclasses.replace(made, camera=cameras.make(jnp.eye(4), 7.5, size=(6, 4)))
    planes_files.write(tmp_path, [made])
    assert (tmp_path / 'metadata.txt').read_text().split() == ['1', '6', '4', '3']
    rows = [[float(x) for x in line.split()] for line in (tmp_path / 'mpi00' / 'metadata.txt').read_text().splitlines()]
    assert rows[0] == [4, 6, 3, 7.5]
    np.testing.assert_allclose(rows[1:5], [[1, 0, 0], [0, -1, 0], [0, 0, -1], [0, 0, 0]])
    np.testing.assert_allclose(rows[5], [40, 1.25], rtol=1e-6)
    first = np.frombuffer((tmp_path / 'mpi00' / 'mpi.b').read_bytes(), np.uint8)[:4]
    np.testing.assert_array_equal(first, np.rint(255 * np.asarray(made.rgba[-1, 0, 0])))


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(InputError, match=r'metadata.*does not exist'):
        planes_files.read(tmp_path)
    planes_files.write(tmp_path, [image(0)])
    (tmp_path / 'mpi00' / 'mpi.b').write_bytes(b'123')
    with pytest.raises(InputError, match='3 bytes, expected 288'):
        planes_files.read(tmp_path)
    (tmp_path / 'mpi00' / 'metadata.txt').write_text('4 6 3\n')
    with pytest.raises(InputError, match='lines of'):
        planes_files.read(tmp_path)
    (tmp_path / 'metadata.txt').write_text('2 6 4 3')
    with pytest.raises(InputError, match='1 folders mpiXX, expected 2'):
        planes_files.read(tmp_path)
    (tmp_path / 'metadata.txt').write_text('2 6 x 3')
    with pytest.raises(InputError, match='not numbers'):
        planes_files.read(tmp_path)


def test_what_the_format_cannot_hold_is_said(tmp_path):
    made = image(0)
    wrong = [
        (dataclasses.replace(made, camera=cameras.make(jnp.eye(4), jnp.array([7.5, 8]), size=(6, 4))), 'focal'),
        (dataclasses.replace(made, camera=cameras.make(jnp.eye(4), 7.5, size=(6, 4), center=jnp.ones(2))), 'middle'),
        (dataclasses.replace(made, depths=jnp.array([1.0, 2.0, 3.0])), 'uniform'),
        (dataclasses.replace(made, rgba=made.rgba[..., :3]), 'rgba'),
    ]
    for planes_image, match in wrong:
        with pytest.raises(InputError, match=match):
            planes_files.write(tmp_path / 'none', [planes_image])
    assert not (tmp_path / 'none').exists()
