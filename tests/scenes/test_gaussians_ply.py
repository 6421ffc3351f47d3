"""Gaussians in PLY files: what is written comes back, in the published layout, and what is wrong is said."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.scenes import gaussians, gaussians_ply


def _some(degree, count=7):
    rng = np.random.default_rng(degree)
    made = gaussians.make(
        rng.normal(size=(count, 3)), rng.uniform(0.1, 2, (count, 3)), rotations=rng.normal(size=(count, 4)),
        opacities=rng.uniform(0.1, 0.9, count), colors=rng.uniform(size=(count, 3)), degree=degree,
    )  # fmt: skip
    return made.replace(harmonics=jnp.asarray(rng.normal(size=made.harmonics.shape), jnp.float32))


@pytest.mark.parametrize('degree', range(4))
def test_what_is_written_comes_back(tmp_path, degree):
    made = _some(degree)
    live = np.array([True, False, True, True, True, False, True])
    gaussians_ply.write(tmp_path / 'scene.ply', made.replace(live=jnp.asarray(live)))
    found = gaussians_ply.read(tmp_path / 'scene.ply')
    assert found.degree == degree and found.live.all()
    for name in ('means', 'log_scales', 'rotations', 'logits', 'harmonics'):
        np.testing.assert_array_equal(getattr(found, name), np.asarray(getattr(made, name))[live])


def test_the_layout_is_the_published_one(tmp_path):
    made = _some(1, count=2)
    gaussians_ply.write(tmp_path / 'scene.ply', made)
    header, _, body = (tmp_path / 'scene.ply').read_bytes().partition(b'end_header\n')
    names = re.findall(r'property float (\S+)', header.decode())
    assert (
        names
        == (
            'x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 f_rest_0 f_rest_1 f_rest_2 f_rest_3 f_rest_4 f_rest_5 f_rest_6 '
            'f_rest_7 f_rest_8 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3'
        ).split()
    )
    second = dict(zip(names, np.frombuffer(body, '<f4').reshape(2, -1)[1]))
    # Green's second harmonic comes after the three of red.
    assert second['f_rest_4'] == made.harmonics[1, 2, 1] and second['f_rest_2'] == made.harmonics[1, 3, 0]
    assert second['opacity'] == made.logits[1] and second['rot_0'] == made.rotations[1, 0]


def test_other_orders_and_types_are_read(tmp_path):
    made = _some(0, count=3)
    names = ['rot_3', 'rot_2', 'rot_1', 'rot_0', 'opacity', 'f_dc_2', 'f_dc_1', 'f_dc_0', 'red', 'scale_0', 'scale_1']
    names += ['scale_2', 'z', 'y', 'x']
    kind = np.dtype([(name, '>u1' if name == 'red' else '>f8') for name in names])
    rows = np.zeros(3, kind)
    for k in range(4):
        rows[f'rot_{k}'] = made.rotations[:, k]
    for k, axis in enumerate('xyz'):
        rows[axis], rows[f'scale_{k}'], rows[f'f_dc_{k}'] = (
            made.means[:, k],
            made.log_scales[:, k],
            made.harmonics[:, 0, k],
        )
    rows['opacity'] = made.logits
    fields = [f'property {"uchar" if name == "red" else "double"} {name}' for name in names]
    header = ['ply', 'format binary_big_endian 1.0', 'comment by hand', 'element vertex 3', *fields, 'end_header', '']
    (tmp_path / 'other.ply').write_bytes('\n'.join(header).encode() + rows.tobytes())
    found = gaussians_ply.read(tmp_path / 'other.ply')
    for name in ('means', 'log_scales', 'rotations', 'logits', 'harmonics'):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    path = tmp_path / 'scene.ply'
    gaussians_ply.write(path, _some(1))
    whole = path.read_bytes()
    for changed, message in (
        (whole.replace(b'property float opacity\n', b''), 'lacks the fields opacity, expected a PLY of Gaussians'),
        (whole.replace(b'f_rest_8', b'f_west_8'), 'lacks the fields f_rest_8'),
        (whole.replace(b' scale_', b' size_'), 'lacks the fields scale_0, scale_1, scale_2'),
        (whole[:-1], 'ends early'),
        (whole.replace(b'binary_little_endian', b'ascii'), 'Export it as binary PLY'),
        (whole.replace(b'element vertex', b'element face'), "its first element is 'element face 7'"),
        (whole.replace(b'property float x', b'property list uchar int x'), 'expected single numbers at vertices'),
        (whole.replace(b'property float ny', b'property float x'), 'is there twice'),
        (b'solid', 'no PLY file'),
    ):
        path.write_bytes(changed)
        with pytest.raises(checks.InputError, match=message):
            gaussians_ply.read(path)
    head = whole.index(b'end_header\n') + 11
    path.write_bytes(whole[:head] + np.float32(np.nan).tobytes() + whole[head + 4 :])
    with pytest.raises(checks.InputError, match=r'scene.ply: means: 1 of 7 Gaussians not finite, the first at index 0'):
        gaussians_ply.read(path)
    with pytest.raises(checks.InputError, match='does not exist'):
        gaussians_ply.read(tmp_path / 'none.ply')
    with pytest.raises(checks.InputError, match='none is live'):
        gaussians_ply.write(path, _some(0).replace(live=jnp.zeros(7, bool)))
