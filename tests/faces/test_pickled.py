import os
import pickle  # noqa: TID251 - what the reader has to read

import numpy as np
import pytest
from scipy import sparse

from neurend import checks
from neurend.faces import pickled
from tests.faces import flame_files


@pytest.mark.parametrize(('protocol', 'python2'), [(0, False), (1, False), (2, False), (2, True), (4, False)])
def test_arrays_of_three_libraries_come_back(tmp_path, protocol, python2):
    table = flame_files.arrays(np.random.default_rng(0))
    read = pickled.read(flame_files.write(tmp_path / 'model.pkl', table, protocol=protocol, python2=python2))
    for name, array in table.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    assert read['bs_style'] == 'lbs'


def test_orders_kinds_and_scalars(tmp_path):
    table = {
        'columns': np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        'big': np.arange(3, dtype='>i4'),
        'rows': sparse.csr_matrix(np.eye(3)[[2, 0]]),
        'scalar': np.float32(2.5),
        'listed': [np.ones(2), 'text'],
    }
    path = tmp_path / 'table.pkl'
    path.write_bytes(pickle.dumps(table, 2))
    read = pickled.read(path)
    for name in ('columns', 'big', 'scalar'):
        np.testing.assert_array_equal(read[name], table[name])
    np.testing.assert_array_equal(read['rows'], np.eye(3)[[2, 0]])
    assert read['listed'][1] == 'text'


class Attack:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('kind', ['pkl', 'npy'])
def test_a_malicious_pickle_is_refused_and_nothing_is_executed(tmp_path, kind):
    ran = tmp_path / 'ran'
    for attack in (
        Attack(os.system, f'touch {ran}'),
        Attack(eval, f'open({str(ran)!r}, "w")'),
        Attack(open, str(ran), 'w'),
    ):
        path = tmp_path / f'attack.{kind}'
        if kind == 'pkl':
            path.write_bytes(pickle.dumps({'v_template': attack}, 2))
        else:
            np.save(path, {'v_template': attack}, allow_pickle=True)
        with pytest.raises(
            checks.InputError, match=r'refused: its pickle asks for (posix.system|builtins|__builtin__|_?io)'
        ):
            pickled.read(path)
        assert not ran.exists()


def test_a_pickle_that_sets_state_on_what_it_is_given_changes_nothing(tmp_path):
    # The class itself as the object whose state is set: GLOBAL, an empty dict with one entry, BUILD.
    path = tmp_path / 'state.pkl'
    path.write_bytes(b"cnumpy.core.multiarray\nscalar\n}S'value'\nI1\nsb.")
    with pytest.raises(checks.InputError):
        pickled.read(path)
    sound = tmp_path / 'sound.pkl'
    sound.write_bytes(pickle.dumps({'a': np.float32(3)}, 2))
    assert pickled.read(sound)['a'] == 3


def test_what_is_cut_short_or_no_table_is_said(tmp_path):
    path = flame_files.write(tmp_path / 'model.pkl', flame_files.arrays(np.random.default_rng(1)))
    whole = path.read_bytes()
    for count in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:count])
        with pytest.raises(checks.InputError, match='damaged, cut short or no pickle'):
            pickled.read(path)
    path.write_bytes(pickle.dumps([1, 2], 2))
    with pytest.raises(checks.InputError, match='holds a list, expected a table of named arrays'):
        pickled.read(path)
    with pytest.raises(checks.InputError, match='does not exist'):
        pickled.read(tmp_path / 'none.pkl')


def test_arrays_that_do_not_fit_their_bytes_are_refused(tmp_path):
    path = tmp_path / 'table.pkl'
    text = pickle.dumps({'a': np.zeros(7, np.uint8)}, 2)
    assert text.count(b'K\x07') == 1
    path.write_bytes(text.replace(b'K\x07', b'K\x63'))
    with pytest.raises(checks.InputError, match=r'an array of shape \(99,\) has 7 bytes, expected 99'):
        pickled.read(path)
    matrix = sparse.csc_matrix(np.eye(3))
    matrix.indices[:] = 5
    path.write_bytes(pickle.dumps({'a': matrix}, 2))
    with pytest.raises(checks.InputError, match='a sparse matrix of 3 x 3 has indices that do not fit'):
        pickled.read(path)
