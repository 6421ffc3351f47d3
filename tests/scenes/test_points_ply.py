"""Points in PLY files: what is written comes back, what others write is read, and what is wrong is said."""

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.scenes import points, points_ply


def some(count=5):
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (count, 3)) / np.float32(255)
    return points.make(rng.normal(size=(count, 3)), colors, radii=rng.uniform(0.1, 1, count))


def text(*fields, rows, form='ascii'):
    header = ['ply', f'format {form} 1.0', f'element vertex {len(rows)}', *(f'property {field}' for field in fields)]
    return '\n'.join([*header, 'end_header', *rows, '']).encode()


PLACE, COLOR = ('double x', 'double y', 'double z'), ('uchar red', 'uchar green', 'uchar blue')


def test_what_is_written_comes_back(tmp_path):
    cloud = some()
    points_ply.write(tmp_path / 'cloud.ply', cloud)
    found = points_ply.read(tmp_path / 'cloud.ply')
    for name in ('positions', 'features', 'radii'):
        np.testing.assert_array_equal(getattr(found, name), getattr(cloud, name))
    assert b'property uchar red\n' in (tmp_path / 'cloud.ply').read_bytes()


def test_texts_with_other_fields_and_faces_are_read(tmp_path):
    path = tmp_path / 'scan.ply'
    path.write_bytes(
        text(*COLOR, 'float quality', *PLACE, rows=['255 0 51 0.5 1 2 3', '0 255 0 0.5 -1 2.5 3e1']) + b'3 0 1 0\n'
    )
    found = points_ply.read(path)
    np.testing.assert_allclose(found.positions, [[1, 2, 3], [-1, 2.5, 30]])
    np.testing.assert_allclose(found.features, [[1, 0, 0.2], [0, 1, 0]], rtol=1e-6)
    np.testing.assert_allclose(found.radii, points.spacing(np.asarray(found.positions)) / 2)
    # Colours that are no integers are in [0, 1] already.
    path.write_bytes(text(*PLACE, 'float red', 'float green', 'ushort blue', rows=['0 0 0 0.25 0.5 65535']))
    np.testing.assert_allclose(points_ply.read(path).features, [[0.25, 0.5, 1]])


def test_what_is_wrong_is_said(tmp_path):
    path = tmp_path / 'scan.ply'
    row = '0 0 1 9 9 9'
    for data, message in (
        (text(*PLACE, rows=['0 0 0']), 'scan.ply: lacks the fields red, green, blue, expected a PLY of points'),
        (text(*PLACE[:2], *COLOR, rows=['0 0 9 9 9']), 'lacks the fields z, expected'),
        (text(*PLACE, *COLOR, rows=[]), 'holds none'),
        (text(*PLACE, *COLOR, rows=[row, row[:-2]]), 'ends early'),
        (text(*PLACE, *COLOR, rows=[row, row.replace('1', 'one')]), 'are no numbers'),
        (text(*PLACE, *COLOR, rows=[row, row.replace('1', 'nan')]), 'scan.ply: positions: 1 of 6 values not finite'),
        (text(*PLACE, *COLOR, 'float radius', rows=[f'{row} 0']), 'radii: got 0'),
        (text(*PLACE, *COLOR, rows=[row], form='utf8'), 'expected format binary_little_endian'),
        (text(*PLACE, *COLOR, rows=[row], form='binary_little_endian'), 'ends early'),
        (text(*PLACE, *COLOR, 'list uchar int seen', rows=[row]), 'expected single numbers at vertices'),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=message):
            points_ply.read(path)
    with pytest.raises(InputError, match='does not exist'):
        points_ply.read(tmp_path / 'none.ply')
    with pytest.raises(InputError, match='Give each point a colour'):
        points_ply.write(path, some().replace(features=np.ones((5, 8), np.float32)))
