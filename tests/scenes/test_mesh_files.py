import base64
import dataclasses
import json
import struct
import sys

import numpy as np
import pytest

from neurend import checks
from neurend.geometry import triangles
from neurend.images import io
from neurend.scenes import mesh_files, meshes, primitives
from neurend.scenes.meshes import Material, Mesh


@pytest.fixture(scope='session')
def trimesh():
    return pytest.importorskip('trimesh', reason="needs the extra 'mesh'")


@pytest.fixture(scope='module')
def painted():
    """A torus with a seam, colours, materials that take turns, and faces without UVs and without area."""
    rng = np.random.default_rng(0)
    torus = primitives.torus(1.0, 0.3, 7, 5)
    uv_faces = torus.uv_faces.copy()
    uv_faces[::9] = -1
    faces = torus.faces.copy()
    faces[3] = faces[3, 0]
    return dataclasses.replace(
        torus,
        faces=faces,
        uv_faces=uv_faces,
        colors=np.float32(rng.uniform(size=torus.vertices.shape)),
        material=np.int32(np.arange(len(faces)) // 2 % 3),
        materials=(
            Material(
                np.float32([0.001, 0.3, 1]), np.float32(0.5), np.float32(0.25), rng.uniform(size=(4, 6, 3)), 'wood'
            ),
            Material(np.float32([1, 0.1, 0.01]), np.float32(0), np.float32(1), None, 'red # paint'),
            Material(np.float32([1, 0.1, 0.012]), np.float32(0), np.float32(1), rng.uniform(size=(3, 3, 3)), 'wood'),
        ),
    )


def _same_materials(got, wanted, names):
    assert tuple(m.name for m in got) == names
    for a, b in zip(got, wanted):
        np.testing.assert_allclose(a.color, b.color, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose([a.metallic, a.roughness], [b.metallic, b.roughness], rtol=1e-6)
        assert (a.texture is None) == (b.texture is None)
        if a.texture is not None:
            np.testing.assert_allclose(a.texture, b.texture, atol=0.51 / 255)


def test_obj_comes_back_with_its_indices(tmp_path, painted):
    path = tmp_path / 'my mesh#1.obj'
    mesh_files.write(path, painted)
    mesh = meshes.check(mesh_files.read(path))
    for name in ('vertices', 'faces', 'uvs', 'uv_faces', 'colors', 'material'):
        np.testing.assert_array_equal(getattr(mesh, name), getattr(painted, name), err_msg=name)
    _same_materials(mesh.materials, painted.materials, ('wood', 'red___paint', 'wood_'))
    # A material is named where it begins, and nowhere else.
    turns = 1 + np.count_nonzero(np.diff(painted.material))
    assert path.read_text().count('usemtl') == turns
    # A mesh of places alone needs no other file.
    mesh_files.write(tmp_path / 'bare.obj', primitives.box())
    assert 'mtllib' not in (tmp_path / 'bare.obj').read_text()


def test_glb_comes_back_by_materials(tmp_path, painted, trimesh):
    mesh_files.write(tmp_path / 'a.glb', painted)
    mesh = meshes.check(mesh_files.read(tmp_path / 'a.glb'))
    assert len(mesh.vertices) == len(painted.vertices)  # one at seams, and between materials
    order = np.lexsort(((painted.uv_faces >= 0).all(1), painted.material))
    np.testing.assert_array_equal(mesh.vertices[mesh.faces], painted.vertices[painted.faces[order]])
    np.testing.assert_array_equal(mesh.material, painted.material[order])
    assert ((mesh.uv_faces >= 0) == (painted.uv_faces[order] >= 0)).all()
    some = (mesh.uv_faces >= 0).all(1)
    wanted = painted.uvs[painted.uv_faces[order][some]]
    np.testing.assert_allclose(mesh.uvs[mesh.uv_faces[some]], wanted, atol=1e-7)
    wanted = painted.colors[painted.faces[order]]
    np.testing.assert_allclose(mesh.colors[mesh.faces], wanted, atol=0.51 / 255)
    _same_materials(mesh.materials, painted.materials, ('wood', 'red # paint', 'wood'))


def test_ply_keeps_places_faces_and_colors(tmp_path, painted, trimesh):
    mesh_files.write(tmp_path / 'a.ply', meshes.pad(painted, 40, 90, 60))
    assert b'binary' in (tmp_path / 'a.ply').read_bytes()[:40]
    mesh = mesh_files.read(tmp_path / 'a.ply')
    np.testing.assert_array_equal(mesh.vertices[:35], painted.vertices)
    np.testing.assert_array_equal(mesh.faces, painted.faces)
    encoded = [
        np.where(c < 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055) for c in (mesh.colors, painted.colors)
    ]
    np.testing.assert_allclose(encoded[0][:35], encoded[1], atol=0.51 / 255)
    mesh_files.write(tmp_path / 'b.ply', primitives.box())
    assert mesh_files.read(tmp_path / 'b.ply').colors is None


def test_plain_formats_written_by_hand(tmp_path, trimesh):
    box = primitives.box((1, 2, 3))
    rows = b''.join(struct.pack('<12fH', *np.zeros(3), *corner.ravel(), 0) for corner in box.vertices[box.faces])
    (tmp_path / 'a.stl').write_bytes(bytes(80) + struct.pack('<I', 12) + rows)
    mesh = mesh_files.read(tmp_path / 'a.stl')
    assert mesh.vertices.shape == (8, 3) and (triangles.topology(mesh.faces).opposite >= 0).all()
    np.testing.assert_array_equal(mesh.vertices[mesh.faces], box.vertices[box.faces])
    (tmp_path / 'a.off').write_text(
        'OFF # a square and a triangle\n\n5 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 1 0\n4 0 1 2 3\n3 0 2 4'
    )
    mesh = mesh_files.read(tmp_path / 'a.off')
    assert len(mesh.vertices) == 5  # as they are: two in one place
    areas = np.asarray(triangles.areas(mesh.vertices, mesh.faces))
    np.testing.assert_allclose(areas, [0.5] * 3)
    io.write(tmp_path / 'paint.png', np.zeros((2, 2, 3)))
    names = ''.join(f'property float {name}\n' for name in 'xyzuv')
    header = f'ply\nformat ascii 1.0\ncomment TextureFile paint.png\nelement vertex 4\n{names}'
    header += 'element face 2\nproperty list uchar int vertex_indices\nend_header\n'
    (tmp_path / 'a.ply').write_text(header + '0 0 0 0 1\n1 0 0 0.5 1\n0 1 0 0 0.25\n0 0 0 1 1\n3 0 1 2\n3 3 1 2\n')
    mesh = mesh_files.read(tmp_path / 'a.ply')
    assert mesh.faces.tolist() == [[0, 1, 2]] * 2 and mesh.uvs[mesh.uv_faces[:, 0]].tolist() == [[0, 1], [1, 1]]
    assert mesh.materials[0].texture.shape == (2, 2, 3)


SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], '<f4')
CORNERS = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], '<f4')  # from the top left, downwards
SHADES = np.array([[65535, 0, 0], [0, 65535, 0], [0, 0, 65535], [13107, 26214, 39321]], '<u2')


def _gltf(folder, **changes):
    """A square in two triangles of different materials, in a node that is turned and mirrored, and moved by another."""
    shades = np.concatenate([SHADES, np.full((4, 1), 65535)], axis=1).astype('<u2')
    blobs = [SQUARE, CORNERS, shades, np.array([0, 1, 2], '<u4'), np.array([0, 2, 3], '<u4')]
    kinds = [(5126, 'VEC3'), (5126, 'VEC2'), (5123, 'VEC4'), (5125, 'SCALAR'), (5125, 'SCALAR')]
    offsets = np.cumsum([0, *(blob.nbytes for blob in blobs)]).tolist()
    (folder / 'a b.bin').write_bytes(b''.join(blob.tobytes() for blob in blobs))
    io.write(folder / 'paint.png', np.float32([[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 1]]]))
    io.write(folder / 'metal.png', np.uint8([[[0, 51, 102], [0, 153, 204]]]))
    attributes = {'POSITION': 0, 'TEXCOORD_0': 1, 'COLOR_0': 2}
    pbr = {'baseColorTexture': {'index': 0}, 'metallicRoughnessTexture': {'index': 1}, 'roughnessFactor': 0.5}
    header = {
        'asset': {'version': '2.0'},
        'scene': 0,
        'scenes': [{'nodes': [0]}],
        'nodes': [
            {'translation': [10, 0, 0], 'children': [1]},
            {'mesh': 0, 'rotation': [0, 0, 0.5**0.5, 0.5**0.5], 'scale': [-2, 1, 1]},
        ],
        'meshes': [
            {
                'primitives': [
                    {'attributes': attributes, 'indices': 3, 'material': 1},
                    {'attributes': attributes, 'indices': 4, 'material': 0},
                ]
            }
        ],
        'materials': [
            {'name': 'bare', 'pbrMetallicRoughness': {'baseColorFactor': [0.001, 0.5, 1, 1], 'metallicFactor': 0}},
            {'name': 'painted', 'pbrMetallicRoughness': pbr},
        ],
        'textures': [{'source': 0}, {'source': 1}],
        'images': [{'uri': 'paint.png'}, {'uri': 'metal.png'}],
        'accessors': [
            {'bufferView': k, 'componentType': kind, 'type': shape, 'count': blob.size // max(blob.shape[1:] or [1])}
            for k, (blob, (kind, shape)) in enumerate(zip(blobs, kinds))
        ],
        'bufferViews': [
            {'buffer': 0, 'byteOffset': begin, 'byteLength': blob.nbytes} for begin, blob in zip(offsets, blobs)
        ],
        'buffers': [{'uri': 'a%20b.bin', 'byteLength': offsets[-1]}],
    } | changes
    (folder / 'a.gltf').write_text(json.dumps(header))
    return folder / 'a.gltf'


def test_gltf_scene_transforms_materials_and_the_way_up(tmp_path, trimesh):
    mesh = meshes.check(mesh_files.read(_gltf(tmp_path)))
    # Mirrored and stretched in x, then turned by a quarter about z: (x, y) to (-y, -2 x), then moved.
    wanted = np.stack([10 - SQUARE[:, 1], -2 * SQUARE[:, 0], 0 * SQUARE[:, 2]], axis=1)
    assert mesh.faces.shape == (2, 3) and mesh.vertices.shape == (4, 3)  # merged between primitives
    np.testing.assert_allclose(mesh.vertices, wanted, atol=1e-6)
    # What faced +z still does: mirroring turns faces over, and the order of their corners makes up for it.
    normals = np.cross(*(mesh.vertices[mesh.faces][:, k] - mesh.vertices[mesh.faces][:, 0] for k in (1, 2)))
    assert (normals[:, 2] > 0).all()
    np.testing.assert_allclose(mesh.uvs[mesh.uv_faces], SQUARE[mesh.faces][..., :2], atol=1e-6)
    np.testing.assert_allclose(mesh.colors, SHADES / 65535, atol=0.51 / 255)
    painted, bare = (mesh.materials[k] for k in mesh.material)
    assert (painted.name, bare.name) == ('painted', 'bare')
    np.testing.assert_allclose(bare.color, [0.001, 0.5, 1], rtol=1e-6)
    assert (bare.metallic, bare.roughness, bare.texture) == (0, 1, None)
    np.testing.assert_allclose([painted.metallic, painted.roughness], [0.6, 0.2], rtol=1e-6)
    assert painted.texture[0, 1].tolist() == [0, 1, 0] and painted.texture[1, 0].tolist() == [0, 0, 1]


def test_data_in_the_file_itself_and_materials_that_some_lack(tmp_path, trimesh):
    path = _gltf(tmp_path)
    header = json.loads(path.read_text())
    data = base64.b64encode((tmp_path / 'a b.bin').read_bytes()).decode()
    header['buffers'][0]['uri'] = f'data:application/octet-stream;base64,{data}'
    del header['meshes'][0]['primitives'][0]['material']
    path.write_text(json.dumps(header))
    (tmp_path / 'a b.bin').unlink()
    mesh = meshes.check(mesh_files.read(path))
    assert [mesh.materials[k].name for k in mesh.material] == ['', 'bare']
    assert mesh.materials[mesh.material[0]].metallic == 1  # the format's default


@pytest.mark.parametrize('mode', range(4))
def test_points_and_lines_are_passed_over(tmp_path, trimesh, mode):
    path = _changed(_gltf(tmp_path), ('meshes', 0, 'primitives', 0, 'mode'), mode)
    mesh = meshes.check(mesh_files.read(path))
    assert len(mesh.faces) == 1 and [material.name for material in mesh.materials] == ['bare']


def _changed(path, keys, value):
    header = json.loads(path.read_text())
    place = header
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(header))
    return path


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'buffers': [{'uri': '../secret.bin', 'byteLength': 216}]}, "'../secret.bin' .*leaves its folder"),
        ({'buffers': [{'uri': '%2e%2e/secret.bin', 'byteLength': 216}]}, 'leaves its folder'),
        ({'buffers': [{'uri': '/etc/passwd', 'byteLength': 216}]}, 'leaves its folder'),
        ({'buffers': [{'uri': 'http://localhost/a.bin', 'byteLength': 216}]}, 'does not exist. a.gltf asks for it'),
        ({'buffers': [{'uri': 'gone.bin', 'byteLength': 216}]}, 'gone.bin: does not exist. a.gltf asks for it'),
        ({'buffers': [{'uri': 'link.bin', 'byteLength': 216}]}, 'leaves its folder'),
        ({'images': [{'uri': '../secret.bin'}, {'uri': 'metal.png'}]}, 'leaves its folder'),
        ({'images': [{'uri': 'gone.png'}, {'uri': 'metal.png'}]}, 'gone.png: does not exist. a.gltf asks for it'),
        (
            {'images': [{'uri': 'a%20b.bin'}, {'uri': 'metal.png'}]},
            "material 'painted': a texture is missing or damaged",
        ),
        ({'textures': []}, "material 'painted': a texture is missing or damaged"),
        ({'extensionsRequired': ['KHR_draco_mesh_compression']}, 'holds the extension KHR_draco_mesh_compression'),
        ({'meshes': []}, 'holds no triangles|damaged'),
        ({'accessors': []}, 'damaged, or no .gltf file'),
        ({'asset': {'version': '1.0'}}, 'damaged, or no .gltf file'),
    ],
)
def test_gltf_that_is_wrong_is_named(tmp_path, trimesh, changes, message):
    folder = tmp_path / 'mesh'
    folder.mkdir()
    (tmp_path / 'secret.bin').write_bytes(bytes(216))
    (folder / 'link.bin').symlink_to(tmp_path / 'secret.bin')
    with pytest.raises(checks.InputError, match=message):
        mesh_files.read(_gltf(folder, **changes))


@pytest.mark.parametrize(
    ('keys', 'value', 'message'),
    [
        (('accessors', 0, 'sparse'), {'count': 1}, r'a sparse accessor \(POSITION\)'),
        (('accessors', 1, 'componentType'), 5123, 'integers for TEXCOORD_0'),
        (('meshes', 0, 'primitives', 0, 'mode'), 6, 'fans of triangles'),
        (('materials', 1, 'pbrMetallicRoughness', 'baseColorTexture', 'texCoord'), 1, 'a second set of UVs'),
        (
            ('materials', 1, 'pbrMetallicRoughness', 'baseColorTexture', 'extensions'),
            {'KHR_texture_transform': {'scale': [2, 2]}},
            'the extension KHR_texture_transform',
        ),
        (('accessors', 3, 'count'), 4, 'damaged, or no .gltf file'),
        (('meshes', 0, 'primitives', 0, 'indices'), 2, 'a face refers to none of 4 vertices|damaged'),
    ],
)
def test_gltf_that_would_be_misread_is_refused(tmp_path, trimesh, keys, value, message):
    path = _changed(_gltf(tmp_path), keys, value)
    with pytest.raises(checks.InputError, match=message):
        mesh_files.read(path)


PLY = 'ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n'
PLY += 'element face {}\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n{} 1 0\n{}'


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('a.ply', PLY.format(1, 'nan', '3 0 1 2'), 'vertices: 1 of 9 values not finite'),
        ('a.ply', PLY.format(1, '0', '3 0 1 3'), 'a face refers to none of 3 vertices'),
        ('a.ply', PLY.format(1, '0', '3 0 1 -1'), 'a face refers to none of 3 vertices'),
        ('a.ply', PLY.format(0, '0', ''), 'holds no triangles'),
        ('a.ply', PLY.format(1, 'zero', '3 0 1 2'), 'damaged, or no .ply file'),
        (
            'a.ply',
            PLY.format(1, '0', '3 0 1 2').replace('element v', 'comment TextureFile ../b.png\nelement v'),
            'leaves',
        ),
        ('a.ply', 'solid', 'damaged, or no .ply file'),
        ('a.stl', 'solid a\nendsolid a\n', 'holds no triangles'),
        ('a.off', 'OFF\n0 0 0\n', 'holds no triangles|damaged'),
        ('a.off', '', 'damaged, or no .off file'),
        ('a.glb', 'glTF', 'damaged, or no .glb file'),
        ('a.gltf', '{"asset": ', 'damaged, or no .gltf file'),
        ('a.fbx', '', r"got suffix '.fbx', expected one of .obj, .ply, .glb, .gltf, .off, .stl"),
    ],
)
def test_files_that_are_wrong_are_named(tmp_path, trimesh, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(checks.InputError, match=message):
        mesh_files.read(tmp_path / name)


@pytest.mark.parametrize('name', ['ascii.ply', 'binary.ply', 'ascii.stl', 'binary.stl', 'a.off', 'a.glb'])
def test_truncated_files_are_refused(tmp_path, painted, trimesh, name):
    kind = name[-4:]
    if kind == '.glb':
        mesh_files.write(tmp_path / name, painted)
        data = (tmp_path / name).read_bytes()
    else:
        options = {'encoding': 'ascii'} if name == 'ascii.ply' else {}
        file_type = 'stl_ascii' if name == 'ascii.stl' else kind[1:]
        data = trimesh.Trimesh(painted.vertices, painted.faces, process=False).export(file_type=file_type, **options)
        data = data if isinstance(data, bytes) else data.encode()
    # The last line break may be missing.
    cuts = [*range(0, len(data) - 20, len(data) // 20), *(len(data.rstrip()) - np.arange(5, 12)), len(data) - 7]
    for cut in cuts:
        (tmp_path / name).write_bytes(data[:cut])
        with pytest.raises(checks.InputError, match='damaged|holds no triangles'):
            mesh_files.read(tmp_path / name)
    (tmp_path / name).write_bytes(data)
    assert len(mesh_files.read(tmp_path / name).faces) == len(painted.faces)


def test_files_and_libraries_that_are_missing_are_named(tmp_path, monkeypatch):
    with pytest.raises(checks.InputError, match=r'mesh .*gone.glb: does not exist'):
        mesh_files.read(tmp_path / 'gone.glb')
    monkeypatch.setitem(sys.modules, 'trimesh', None)
    (tmp_path / 'a.off').write_text('OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n')
    with pytest.raises(checks.InputError, match=r"needs trimesh.* pip install 'neurend\[mesh\]'"):
        mesh_files.read(tmp_path / 'a.off')
    with pytest.raises(checks.InputError, match='needs trimesh'):
        mesh_files.write(tmp_path / 'a.glb', primitives.box())


@pytest.mark.parametrize(
    ('name', 'mesh', 'message'),
    [
        ('a.off', primitives.box(), r"got suffix '.off', expected one of .obj, .ply, .glb"),
        ('gone/a.obj', primitives.box(), 'cannot be written'),
        ('a.obj', Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]])), 'mesh.vertices: 9 of 9 values not finite'),
        ('a.obj', Mesh(np.zeros((3, 3)), np.array([[0, 1, 3]])), r'mesh.faces: got 3 at \(0, 2\)'),
        ('a.obj', Mesh(np.zeros((3, 3)), np.full((2, 3), -1)), 'mesh.faces: got no faces'),
        ('a.obj', Mesh(np.zeros((0, 3)), np.zeros((0, 3), int)), 'mesh.faces: got no faces'),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, name, mesh, message):
    with pytest.raises(checks.InputError, match=message):
        mesh_files.write(tmp_path / name, mesh)
    assert list(tmp_path.iterdir()) == []


def test_a_file_appears_whole_or_not_at_all(tmp_path, painted, monkeypatch):
    mesh_files.write(tmp_path / 'a.obj', painted)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {*before} == {'a.obj', 'a.mtl', 'a_0.png', 'a_2.png'}

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.replace', full)
    with pytest.raises(checks.InputError, match='No space left'):
        mesh_files.write(tmp_path / 'a.obj', primitives.box())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_duck_has_its_texture(data_root, trimesh):
    path = data_root / 'meshes' / 'Duck.glb'
    if not path.exists():
        pytest.skip(f'no {path}')
    mesh = meshes.check(mesh_files.read(path))
    assert mesh.materials[0].texture.shape == (512, 512, 3)
    # One closed surface, once its seams are sewn.
    found = triangles.topology(mesh.faces)
    assert (found.opposite >= 0).all() and len(mesh.vertices) - len(found.edges) + len(mesh.faces) == 2
    geometry = trimesh.load_mesh(path)
    np.testing.assert_allclose(mesh.vertices[mesh.faces], geometry.vertices[geometry.faces], atol=1e-6)
    np.testing.assert_allclose(mesh.uvs[mesh.uv_faces], geometry.visual.uv[geometry.faces], atol=1e-6)
    # Its beak, which is farthest in +x, is orange; its middle is yellow: more green.
    texture = mesh.materials[0].texture

    def shade(face):
        u, v = mesh.uvs[mesh.uv_faces[face]].mean(0)
        return texture[int((1 - v) * 512), int(u * 512)]

    centers = mesh.vertices[mesh.faces].mean(1)
    beak, tail = shade(centers[:, 0].argmax()), shade(centers[:, 0].argmin())
    assert beak[0] > 0.8 and 0.2 < beak[1] < 0.65 and tail[1] > 0.6 > tail[2]
