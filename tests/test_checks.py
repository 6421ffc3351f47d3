import numpy as np
import pytest

from neurend import checks


def test_shape_binds_names_and_passes_leading_axes():
    assert checks.shape('x', np.zeros((7, 2, 64, 3)), '... n 3') == {'n': 64}
    assert checks.shape('x', np.zeros((64, 3)), '... n 3') == {'n': 64}
    assert checks.shape('x', np.zeros((5, 7, 8, 5)), 'n ... n') == {'n': 5}
    assert checks.shape('x', 1.0, '') == {}
    assert checks.shape('x', np.zeros((4, 9)), 'n _', sizes={'n': 4}) == {'n': 4}


@pytest.mark.parametrize(
    ('came', 'pattern', 'sizes', 'message'),
    [
        ((3, 64), '... n 3', None, r'colors: got shape \(3, 64\), expected \(\.\.\., n, 3\)\. Transpose it'),
        ((3,), '... n 3', None, r'got shape \(3,\), expected \(\.\.\., n, 3\)'),
        ((4, 5), 'n n', None, r'got shape \(4, 5\), expected \(n, n\)'),
        ((5,), 'n', {'n': 4}, r'got shape \(5,\), expected \(n=4,\)'),
        ((1, 2), '3', None, r'got shape \(1, 2\), expected \(3,\)'),
    ],
)
def test_shape_names_what_came_what_was_expected_and_the_remedy(came, pattern, sizes, message):
    with pytest.raises(checks.InputError, match=message):
        checks.shape('colors', np.zeros(came), pattern, 'Transpose it', sizes=sizes)


def test_finite_names_the_first_bad_value():
    checks.finite('poses', np.ones((2, 4, 4)))
    poses = np.ones((2, 4, 4))
    poses[1, 2, 3] = np.nan
    poses[1, 3, 0] = np.inf
    with pytest.raises(checks.InputError, match=r'poses: 2 of 32 .* nan at index \(1, 2, 3\).*Drop that image'):
        checks.finite('poses', poses, 'Drop that image')
    with pytest.raises(checks.InputError, match='near: the value inf, expected finite'):
        checks.finite('near', np.float32(np.inf))


def test_one_of_lists_the_choices():
    checks.one_of('split', 'val', ('train', 'val'))
    with pytest.raises(checks.InputError, match="split: got 'tset', expected one of 'train', 'test'"):
        checks.one_of('split', 'tset', ('train', 'test'))


def test_file_tells_missing_from_folder(tmp_path):
    (tmp_path / 'a.png').write_bytes(b'')
    assert checks.file(tmp_path / 'a.png', 'image') == tmp_path / 'a.png'
    with pytest.raises(checks.InputError, match=r'image .*b\.png: does not exist\. Copy it'):
        checks.file(tmp_path / 'b.png', 'image', 'Copy it')
    with pytest.raises(checks.InputError, match='is a folder, expected a file'):
        checks.file(tmp_path, 'image')


def test_inside_keeps_paths_in_their_folder(tmp_path):
    folder = tmp_path / 'scene'
    (folder / 'train').mkdir(parents=True)
    (tmp_path / 'secret').write_text('s')
    (folder / 'link').symlink_to(tmp_path)
    assert checks.inside(folder, 'train/0.png') == folder / 'train' / '0.png'
    assert checks.inside(folder, './train/../train/0.png') == folder / 'train' / '0.png'
    for path in ('../secret', '/etc/passwd', str(folder / 'train'), 'train/../../secret', 'link/secret', '../scene2/a'):
        with pytest.raises(checks.InputError, match='leaves its folder'):
            checks.inside(folder, path)
    with pytest.raises(checks.InputError, match='cannot be followed'):
        checks.inside(folder, 'a\0b')
