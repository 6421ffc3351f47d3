import numpy as np
import pytest

from neurend import checks
from neurend.export import arkit
from neurend.faces import procedural


@pytest.fixture
def ict_names(data_root):
    path = data_root / 'ict_face' / 'ict_face.npz'
    if not path.exists():
        pytest.skip(f'no {path}')
    with np.load(path) as arrays:
        return tuple(arrays['expression_names'].tolist())


def test_there_are_52_names_and_the_53_of_ict_fill_all_but_the_tongue(ict_names):
    assert len(set(arkit.NAMES)) == 52 and len(ict_names) == 53
    table = arkit.from_ict(np.ones((1, 53)), ict_names)
    assert [name for name, value in zip(arkit.NAMES, table[0]) if value != 1] == ['tongueOut']


def test_pairs_are_averaged_one_way_and_doubled_the_other(ict_names):
    values = np.random.default_rng(0).random((4, 53)).astype(np.float32)
    table = arkit.from_ict(values, ict_names)
    at = ict_names.index
    brow = table[:, arkit.NAMES.index('browInnerUp')]
    np.testing.assert_allclose(brow, values[:, [at('browInnerUp_L'), at('browInnerUp_R')]].mean(1), rtol=1e-6)
    np.testing.assert_array_equal(table[:, arkit.NAMES.index('eyeBlinkRight')], values[:, at('eyeBlink_R')])
    back = arkit.to_ict(table, ict_names)
    alike = [k for k, name in enumerate(ict_names) if name[:-2] not in ('browInnerUp', 'cheekPuff')]
    np.testing.assert_array_equal(back[:, alike], values[:, alike])
    np.testing.assert_array_equal(back[:, at('browInnerUp_L')], brow)
    np.testing.assert_allclose(arkit.from_ict(back, ict_names), table, rtol=1e-6)


def test_files_come_back_and_columns_may_be_anywhere(tmp_path):
    values = arkit.from_ict(np.random.default_rng(1).random((5, 17)), procedural.NAMES)
    path = tmp_path / 'speech.csv'
    arkit.write(path, values, fps=25)
    table = arkit.read(path)
    np.testing.assert_allclose(table.times, np.arange(5) / 25)
    np.testing.assert_allclose(table.coefficients, values, atol=1e-6)
    rows = [line.split(',') for line in path.read_text().splitlines()]
    rows[0] = [name[0].upper() + name[1:] for name in rows[0]]
    tongue = rows[0].index('TongueOut')
    kept = [[*row[:0:-1], '7' if k else 'HeadYaw', row[0]] for k, row in enumerate(rows)]
    kept = [row[: len(row) - 2 - tongue] + row[len(row) - 1 - tongue :] for row in kept]
    path.write_text('\n'.join(','.join(row) for row in kept))
    np.testing.assert_array_equal(arkit.read(path).coefficients, table.coefficients)


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(checks.InputError, match="expression 'expression000' has no counterpart"):
        arkit.from_ict(np.zeros((1, 1)), ['expression000'])
    for name in ('tongueOut', 'browInnerUp', 'jawOpen_L', 'mouthSmile'):
        with pytest.raises(checks.InputError, match='has no counterpart'):
            arkit.to_ict(np.zeros((1, 52)), [name])
    with pytest.raises(checks.InputError, match=r'expressions: got shape \(2, 76\), expected \(t, 17\)'):
        arkit.from_ict(np.zeros((2, 76)), procedural.NAMES)
    path = tmp_path / 'table.csv'
    with pytest.raises(checks.InputError, match='from_ict gives such'):
        arkit.write(path, np.full((1, 52), 1.5), fps=25)
    assert not path.exists()
    arkit.write(path, np.zeros((2, 52)), fps=25)
    lines = path.read_text().splitlines()
    path.write_text('\n'.join([*lines[:2], lines[2][:20]]))
    with pytest.raises(checks.InputError, match=r'line 3: \w+ is missing or no number'):
        arkit.read(path)
    path.write_text('a,b\n1,2\n')
    with pytest.raises(checks.InputError, match='lacks time, browDownLeft'):
        arkit.read(path)
    path.write_text('')
    with pytest.raises(checks.InputError, match='lacks time'):
        arkit.read(path)
