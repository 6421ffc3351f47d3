import collections
import io
import os
import pickle  # noqa: TID251 - writes the files that the reader must read, and those it must refuse
import struct
import sys
import types
import zipfile

import jax
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.images import lpips, statedict
from tests.oracles import images as oracle

ALEX = {'0': (64, 3, 11), '3': (192, 64, 5), '6': (384, 192, 3), '8': (256, 384, 3), '10': (256, 256, 3)}
VGG = {
    '0': (64, 3), '2': (64, 64), '5': (128, 64), '7': (128, 128), '10': (256, 128), '12': (256, 256), '14': (256, 256),
    '17': (512, 256), '19': (512, 512), '21': (512, 512), '24': (512, 512), '26': (512, 512), '28': (512, 512),
}  # fmt: skip


def synthetic(backbone):
    """Random weights under the published names; He-scaled so that every layer stays alive."""
    rng = np.random.default_rng(0)
    weights, linear = collections.OrderedDict(), collections.OrderedDict()
    for name, shape in (ALEX if backbone == 'alex' else VGG).items():
        shape = shape if len(shape) == 3 else (*shape, 3)
        scale = np.sqrt(2 / (shape[1] * shape[2] ** 2))
        weights[f'features.{name}.weight'] = (scale * rng.normal(size=(*shape, shape[2]))).astype(np.float32)
        weights[f'features.{name}.bias'] = (0.1 * rng.normal(size=shape[0])).astype(np.float32)
    weights['classifier.1.weight'] = np.zeros((2, 2), np.float32)
    for i, channels in enumerate((64, 192, 384, 256, 256) if backbone == 'alex' else (64, 128, 256, 512, 512)):
        linear[f'lin{i}.model.1.weight'] = rng.random((1, channels, 1, 1), np.float32)
    return weights, linear


class Storage:
    def __init__(self, key, array):
        self.key, self.array = key, array


class Tensor:
    def __init__(self, storage, shape, strides):
        self.storage, self.shape, self.strides = storage, shape, strides

    def __reduce__(self):
        rebuild = sys.modules['torch._utils']._rebuild_tensor_v2
        return rebuild, (self.storage, 0, self.shape, self.strides, False, collections.OrderedDict())


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return 'storage', sys.modules['torch'].FloatStorage, obj.key, 'cpu', obj.array.size
        return None


@pytest.fixture
def torch_names(monkeypatch):
    """Modules with the names that PyTorch's pickles mention, so that the standard pickler writes them."""
    torch, inner = types.ModuleType('torch'), types.ModuleType('torch._utils')

    def _rebuild_tensor_v2():
        raise AssertionError('the reader ran a function of the file')

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = 'torch._utils', '_rebuild_tensor_v2'
    inner._rebuild_tensor_v2 = _rebuild_tensor_v2
    torch.FloatStorage = type('FloatStorage', (), {'__module__': 'torch'})
    torch._utils = inner
    monkeypatch.setitem(sys.modules, 'torch', torch)
    monkeypatch.setitem(sys.modules, 'torch._utils', inner)


def dump(obj):
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(obj)
    return stream.getvalue()


def tensors(arrays):
    storages = [Storage(str(i), np.ascontiguousarray(array)) for i, array in enumerate(arrays.values())]
    table = collections.OrderedDict()
    for name, storage, array in zip(arrays, storages, arrays.values()):
        strides = tuple(int(np.prod(array.shape[i + 1 :])) for i in range(array.ndim))
        table[name] = Tensor(storage, array.shape, strides)
    table._metadata = collections.OrderedDict(version=1)
    return table, storages


def write_zip(path, arrays, table_bytes=None):
    table, storages = tensors(arrays)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', dump(table) if table_bytes is None else table_bytes)
        archive.writestr('archive/byteorder', 'little')
        for storage in storages:
            archive.writestr(f'archive/data/{storage.key}', storage.array.tobytes())


def write_legacy(path, arrays):
    table, storages = tensors(arrays)
    system = {'protocol_version': 1001, 'little_endian': True, 'type_sizes': {'short': 2, 'int': 4, 'long': 4}}
    parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, system)]
    parts += [dump(table), pickle.dumps([storage.key for storage in storages], 2)]
    parts += [struct.pack('<q', storage.array.size) + storage.array.tobytes() for storage in storages]
    path.write_bytes(b''.join(parts))


@pytest.mark.parametrize('name', ['state_dict', 'model'])
def test_a_nested_table_is_found_beside_other_entries(tmp_path, torch_names, name):
    arrays = {'a.weight': np.arange(6, dtype=np.float32).reshape(2, 3)}
    table, _ = tensors(arrays)
    write_zip(tmp_path / 'w.pth', arrays, dump({name: table, 'optimizer': {'step': 7}, 'epoch': 3}))
    found = statedict.read(tmp_path / 'w.pth')
    assert list(found) == ['a.weight']
    np.testing.assert_array_equal(found['a.weight'], arrays['a.weight'])


@pytest.mark.parametrize('writer', [write_zip, write_legacy])
def test_state_dicts_read_without_pytorch(tmp_path, torch_names, writer):
    arrays = {
        'a.weight': np.arange(6, dtype=np.float32).reshape(2, 3),
        'b': np.float32(4).reshape(()),
        'c': np.zeros((0, 3), np.float32),
    }
    writer(tmp_path / 'w.pth', arrays)
    found = statedict.read(tmp_path / 'w.pth')
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    data = (tmp_path / 'w.pth').read_bytes()
    for keep in (0.2, 0.6, 0.97):
        (tmp_path / 'cut.pth').write_bytes(data[: int(keep * len(data))])
        with pytest.raises(InputError, match=r'cut\.pth'):
            statedict.read(tmp_path / 'cut.pth')


class Malicious:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('name', ['system', 'eval', 'ordered', 'torch', 'attribute'])
@pytest.mark.parametrize('legacy', [False, True])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, torch_names, name, legacy):
    trace = tmp_path / 'executed'
    pickles = {
        'system': pickle.dumps({'a': Malicious(os.system, f'touch {trace}')}),
        'eval': pickle.dumps({'a': Malicious(eval, f'open({str(trace)!r}, "w")')}, 0),
        # Names below an allowed module, or reached through an allowed object, are no way in either.
        'ordered': b'\x80\x04\x8c\x0bcollections\x8c\x15OrderedDict.__class__\x93\x8c\x01x)}\x87R.',
        'torch': b'ctorch.serialization\nload\n(S"x"\ntR.',
        'attribute': b'\x80\x04\x8c\x0ctorch._utils\x8c\x1e_rebuild_tensor_v2.__globals__\x93.',
    }
    if legacy:
        parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {'little_endian': True})]
        (tmp_path / 'evil.pth').write_bytes(b''.join(parts) + pickles[name])
    else:
        write_zip(tmp_path / 'evil.pth', {}, pickles[name])
    with pytest.raises(InputError, match=r'evil\.pth.*refused: its pickle asks for'):
        statedict.read(tmp_path / 'evil.pth')
    assert not trace.exists()


def test_tensors_cannot_reach_past_their_storage_nor_blow_up(tmp_path, torch_names):
    for shape, strides in [((3, 3), (3, 1)), ((10**12,), (0,)), ((2,), (-1,)), ((2, 2), (1,))]:
        table = {'a': Tensor(Storage('0', np.zeros(8, np.float32)), shape, strides)}
        write_zip(tmp_path / 'bad.pth', {'a': np.zeros(8, np.float32)}, dump(table))
        with pytest.raises(InputError, match='tensor a'):
            statedict.read(tmp_path / 'bad.pth')


def test_allowed_names_cannot_be_altered_by_a_file(tmp_path, torch_names):
    # BUILD with a slot state sets attributes on whatever is on the stack, here the class itself.
    poison = b'\x80\x02ccollections\nOrderedDict\nN}X\x06\x00\x00\x00poisonK\x01s\x86b.'
    write_zip(tmp_path / 'poison.pth', {}, poison)
    with pytest.raises(InputError, match='expected a table'):
        statedict.read(tmp_path / 'poison.pth')
    assert not hasattr(collections.OrderedDict, 'poison')


def reference(weights, linear, a, b):
    """LPIPS of AlexNet in float64 NumPy, after the paper's equation 1."""
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])

    def features(x):
        x, out = (2 * x - 1 - shift) / scale, []
        layers = ('0', 4, 2, 0), ('3', 1, 2, 3), ('6', 1, 1, 3), ('8', 1, 1, 0), ('10', 1, 1, 0)
        for name, stride, padding, pool in layers:
            x = oracle.max_pool(x, pool) if pool else x
            kernel, bias = weights[f'features.{name}.weight'], weights[f'features.{name}.bias']
            x = oracle.convolution(x, kernel.astype(np.float64), bias, stride, padding)
            out.append(x / np.linalg.norm(x, axis=-1, keepdims=True))
        return out

    total = 0.0
    for i, (p, q) in enumerate(zip(features(a), features(b))):
        total += ((p - q) ** 2 @ linear[f'lin{i}.model.1.weight'].reshape(-1)).mean()
    return total


def test_alexnet_distance_against_the_oracle(tmp_path, torch_names):
    weights, linear = synthetic('alex')
    write_legacy(tmp_path / 'alex.pth', weights)
    write_zip(tmp_path / 'lin.pth', linear)
    loaded = lpips.load(tmp_path / 'alex.pth', tmp_path / 'lin.pth', backbone='alex')
    a, b = np.random.default_rng(1).random((2, 32, 35, 3), np.float32)
    value = jax.jit(lpips.distance)(loaded, np.stack([a, b]), np.stack([b, b]))
    np.testing.assert_allclose(value, [reference(weights, linear, a, b), 0], rtol=1e-4, atol=1e-7)
    with pytest.raises(InputError, match='at least 31 x 31'):
        lpips.distance(loaded, a[:30], b[:30])


def test_vgg_from_npz_and_missing_keys_are_named(tmp_path):
    weights, linear = synthetic('vgg')
    np.savez(tmp_path / 'vgg.npz', **weights)
    np.savez(tmp_path / 'lin.npz', **linear)
    loaded = lpips.load(tmp_path / 'vgg.npz', tmp_path / 'lin.npz', backbone='vgg')
    a, b = np.random.default_rng(2).random((2, 16, 17, 3), np.float32)
    near, far = jax.jit(lpips.distance)(loaded, np.stack([a, a]), np.stack([a + 0.1 * (b - a), b]))
    assert 0 < near < far
    with pytest.raises(InputError, match=r'lacks.*features\.0\.weight \(64, 3, 11, 11\)'):
        lpips.load(tmp_path / 'vgg.npz', tmp_path / 'lin.npz', backbone='alex')
    np.savez(tmp_path / 'evil.npz', a=np.array([Malicious(os.getcwd)], dtype=object))
    with pytest.raises(InputError, match=r'evil\.npz'):
        statedict.read(tmp_path / 'evil.npz')
