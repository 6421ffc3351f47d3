"""Files are read back by the format's own rules: a header, chunks, accessors into views of a buffer."""

import dataclasses
import json
import struct

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from neurend import checks
from neurend.export import gltf
from neurend.faces import blendshapes, procedural


def parsed(path):
    """The header, and a function that gives an accessor's numbers after checking them against the format."""
    data = path.read_bytes()
    magic, version, length = struct.unpack_from('<4sII', data)
    assert (magic, version, length) == (b'glTF', 2, len(data)) and length % 4 == 0
    size, kind = struct.unpack_from('<I4s', data, 12)
    header = json.loads(data[20 : 20 + size])
    assert kind == b'JSON'
    rest, kind = struct.unpack_from('<I4s', data, 20 + size)
    binary = data[28 + size :]
    assert kind == b'BIN\0' and len(binary) == rest == header['buffers'][0]['byteLength']

    def numbers(index):
        accessor = header['accessors'][index]
        view = header['bufferViews'][accessor['bufferView']]
        width = {'SCALAR': 1, 'VEC2': 2, 'VEC3': 3, 'VEC4': 4}[accessor['type']]
        dtype = {5126: '<f4', 5125: '<u4'}[accessor['componentType']]
        assert view['byteOffset'] % 4 == 0 and view['byteLength'] == 4 * width * accessor['count']
        values = np.frombuffer(binary, dtype, width * accessor['count'], view['byteOffset']).reshape(-1, width)
        for name, of in (('min', np.min), ('max', np.max)):
            if name in accessor:
                np.testing.assert_array_equal(np.float32(accessor[name]), of(values, 0).astype(np.float32))
        return values

    return header, numbers


@pytest.fixture(scope='module')
def model():
    return procedural.face()


def test_played_back_it_is_the_performance(tmp_path, model):
    rng = np.random.default_rng(0)
    expressions = rng.random((6, len(model.names))).astype(np.float32)
    poses = np.tile(np.eye(4), (6, 1, 1))
    turns = Rotation.from_euler(
        'y', np.linspace(0, 350, 6)[:, None], degrees=True
    )  # past half a turn, where signs change
    poses[:, :3, :3], poses[:, :3, 3] = turns.as_matrix(), rng.normal(size=(6, 3))
    path = tmp_path / 'face.glb'
    gltf.write(path, model, expressions, fps=25, world_from_head=poses)
    header, numbers = parsed(path)
    primitive = header['meshes'][0]['primitives'][0]
    assert header['meshes'][0]['extras']['targetNames'] == list(model.names)
    assert 'min' in header['accessors'][primitive['attributes']['POSITION']]
    base = numbers(primitive['attributes']['POSITION'])
    targets = np.stack([numbers(target['POSITION']) for target in primitive['targets']])
    (animation,) = header['animations']
    tracks = {}
    for channel in animation['channels']:
        sampler = animation['samplers'][channel['sampler']]
        np.testing.assert_allclose(numbers(sampler['input'])[:, 0], np.arange(6) / 25, atol=1e-6)
        tracks[channel['target']['path']] = numbers(sampler['output'])
    weights = tracks['weights'].reshape(6, -1)
    assert (np.sum(tracks['rotation'][1:] * tracks['rotation'][:-1], -1) > 0).all()
    for k in range(6):
        local = base + np.tensordot(weights[k], targets, 1)
        world = Rotation.from_quat(tracks['rotation'][k]).apply(local) + tracks['translation'][k]
        points = np.asarray(blendshapes.vertices(model, expressions=jnp.asarray(expressions[k])))
        np.testing.assert_allclose(world, 0.01 * (points @ poses[k, :3, :3].T + poses[k, :3, 3]), atol=1e-5)
    np.testing.assert_array_equal(numbers(primitive['indices']).reshape(-1, 3), model.faces)


def test_uvs_count_from_the_top_normals_are_unit_and_colours_linear(tmp_path, model):
    gltf.write(tmp_path / 'face.glb', model, np.zeros((1, 17)), fps=25)
    header, numbers = parsed(tmp_path / 'face.glb')
    attributes = {k: numbers(v) for k, v in header['meshes'][0]['primitives'][0]['attributes'].items()}
    np.testing.assert_allclose(
        attributes['TEXCOORD_0'], np.stack([model.uvs[:, 0], 1 - model.uvs[:, 1]], -1), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.norm(attributes['NORMAL'], axis=-1), 1, atol=1e-3)
    np.testing.assert_allclose(attributes['COLOR_0'], ((model.colors + 0.055) / 1.055) ** 2.4, atol=2e-3)
    assert [c['target']['path'] for c in header['animations'][0]['channels']] == ['weights']


def test_another_program_reads_it(tmp_path, model):
    trimesh = pytest.importorskip('trimesh', reason='trimesh is not installed: pip install neurend[mesh]')
    gltf.write(tmp_path / 'face.glb', model, np.zeros((2, 17)), fps=25)
    mesh = trimesh.load(tmp_path / 'face.glb', force='mesh', process=False)
    np.testing.assert_allclose(mesh.vertices, 0.01 * model.template, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, model.faces)


def test_a_face_without_expressions_has_no_targets(tmp_path, model):
    still = dataclasses.replace(model, expressions=model.expressions[:0], names=(), uvs=None, colors=None)
    gltf.write(tmp_path / 'face.glb', still, np.zeros((1, 0)), fps=25)
    header, _ = parsed(tmp_path / 'face.glb')
    assert 'targets' not in header['meshes'][0]['primitives'][0] and 'animations' not in header


@pytest.mark.parametrize(
    ('name', 'expressions', 'options', 'message'),
    [
        ('face.gltf', np.zeros((1, 17)), {}, "got suffix '.gltf', expected .glb"),
        ('face.glb', np.zeros((1, 53)), {}, r'expressions: got shape \(1, 53\), expected \(t, 17\)'),
        ('face.glb', np.zeros((0, 17)), {}, 'got no frame'),
        ('face.glb', np.full((1, 17), np.nan), {}, 'not finite'),
        (
            'face.glb',
            np.zeros((2, 17)),
            {'world_from_head': np.eye(4)[None]},
            r'world_from_head: got shape \(1, 4, 4\)',
        ),
        ('face.glb', np.zeros((1, 17)), {'fps': 0}, 'expected more than 0'),
    ],
)
def test_what_is_wrong_is_said(tmp_path, model, name, expressions, options, message):
    with pytest.raises(checks.InputError, match=message):
        gltf.write(tmp_path / name, model, expressions, **{'fps': 25, **options})
    assert not (tmp_path / name).exists()
