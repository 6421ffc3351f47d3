import numpy as np
import pytest

from neurend import checks
from neurend.geometry import triangles
from neurend.images import io
from neurend.scenes import meshes, obj, primitives
from neurend.scenes.meshes import Mesh

CUBE = """# a square pyramid's two sides and a quad
mtllib paint.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0.5 0.5 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl red wood
f 4/4 3/3 2/2 1/1
usemtl bare
f 1 2 5
f -4//1 -3//1 -1//1
usemtl red wood
f 3/1/1 4/2/1 5/3/1
"""
PAINT = 'newmtl red wood\nKd 1 0.5 0\nPr 0.3\nmap_Kd wood.png\nnewmtl bare\nNs 98\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'mesh.obj').write_text(CUBE)
    (tmp_path / 'paint.mtl').write_text(PAINT)
    io.write(tmp_path / 'wood.png', np.full((4, 6, 3), 0.5))
    return tmp_path


def test_obj_keeps_indices_and_materials_in_any_order(folder):
    mesh = meshes.check(obj.read(folder / 'mesh.obj'))
    assert mesh.faces.tolist() == [[3, 2, 1], [3, 1, 0], [0, 1, 4], [1, 2, 4], [2, 3, 4]]
    assert mesh.uv_faces.tolist() == [[3, 2, 1], [3, 1, 0], [-1] * 3, [-1] * 3, [0, 1, 2]]
    assert mesh.material.tolist() == [0, 0, 1, 1, 0]
    wood, bare = mesh.materials
    assert wood.texture.shape == (4, 6, 3) and bare.texture is None
    np.testing.assert_allclose(wood.color, [1, 0.2140, 0], atol=1e-4)
    np.testing.assert_allclose([wood.roughness, bare.roughness], [0.3, 0.02**0.25], rtol=1e-5)


@pytest.mark.parametrize(
    ('file', 'text', 'message'),
    [
        ('mesh.obj', 'v 0 0 0\nf 1 2 3\n', r'line 2: got .f 1 2 3. \(indices of 1 vertices'),
        ('mesh.obj', 'v 0 zero 0\n', 'line 1: got .v 0 zero 0.'),
        ('mesh.obj', 'v 0 0\n', 'without three coordinates'),
        ('mesh.obj', 'v nan 0 0\n', 'vertices: 1 of 3 values not finite'),
        ('mesh.obj', 'mtllib gone.mtl\n', 'gone.mtl: does not exist. mesh.obj asks for it'),
        ('mesh.obj', 'mtllib ../../etc/passwd\n', 'leaves its folder'),
        ('paint.mtl', 'newmtl a\nmap_Kd gone.png\n', "gone.png: does not exist. material 'a' asks for it"),
        ('paint.mtl', 'newmtl a\nmap_Kd ../gone.png\n', 'leaves its folder'),
        ('paint.mtl', 'newmtl a\nKd one 0 0\n', "material 'a' in .*: a number is none"),
    ],
)
def test_files_that_are_wrong_are_named(folder, file, text, message):
    (folder / file).write_text(text)
    with pytest.raises(checks.InputError, match=message):
        obj.read(folder / 'mesh.obj')


def test_an_empty_file_is_an_empty_mesh(tmp_path):
    (tmp_path / 'mesh.obj').write_text('')
    mesh = obj.read(tmp_path / 'mesh.obj')
    assert mesh.vertices.shape == mesh.faces.shape == (0, 3)
    assert triangles.topology(mesh.faces).opposite.shape == (0, 2)


@pytest.mark.parametrize(
    ('mesh', 'euler', 'volume'),
    [
        (primitives.sphere(4), 2, 4 / 3 * np.pi),
        (primitives.box((1, 2, 3)), 2, 6),
        (primitives.torus(1.0, 0.25, 96, 48), 0, 2 * np.pi**2 * 0.25**2),
    ],
)
def test_primitives_are_closed_and_face_outwards(mesh, euler, volume):
    found = triangles.topology(meshes.check(mesh).faces)
    assert (found.opposite >= 0).all() and (found.edge_faces >= 0).all()
    assert len(mesh.vertices) - len(found.edges) + len(mesh.faces) == euler
    inside = np.linalg.det(mesh.vertices[mesh.faces].astype(np.float64)).sum() / 6
    np.testing.assert_allclose(inside, volume, rtol=0.01)
    normals = np.asarray(triangles.vertex_normals(mesh.vertices, mesh.faces))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)


def test_neighbours_share_their_edge():
    mesh = primitives.sphere(1)
    found = triangles.topology(mesh.faces)
    for edge, faces, beyond in zip(*found):
        for face, vertex in zip(faces, beyond):
            assert {*mesh.faces[face]} == {*edge, vertex}
        assert faces[0] != faces[1]
    assert (np.diff(found.edges, axis=1) > 0).all() and len(np.unique(found.edges, axis=0)) == len(found.edges)
    third = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4], [-1, -1, -1]])
    assert triangles.topology(third).opposite[0].tolist() == [2, 3]


def test_meshes_of_any_size_stack_and_join():
    small, large = primitives.box(), primitives.sphere(1)
    stacked = meshes.stack([small, large])
    assert stacked.vertices.shape == (2, 42, 3) and stacked.faces.shape == (2, 80, 3)
    assert (stacked.faces[0, 12:] == -1).all()
    meshes.check(meshes.pad(small, 10, 20))
    joined = meshes.join([small, large])
    assert joined.faces.shape == (92, 3) and int(joined.faces.max()) == 49
    with pytest.raises(checks.InputError, match='mesh.faces: got 80, expected at most 12'):
        meshes.pad(large, 42, 12)
    with pytest.raises(checks.InputError, match='expected all alike'):
        meshes.stack([small, primitives.torus()])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'faces': np.array([[0, 1, 8]])}, r'mesh.faces: got 8 at \(0, 2\), expected 0 to 7'),
        ({'vertices': np.full((8, 3), np.nan)}, 'mesh.vertices: 24 of 24 values not finite'),
        ({'uvs': np.zeros((4, 2))}, 'got one of them'),
        ({'colors': np.zeros((3, 3))}, 'mesh.colors: got shape'),
        ({'material': np.zeros(12, int)}, 'there are 0 materials'),
    ],
)
def test_unsound_meshes_are_named(change, message):
    box = primitives.box()
    arrays = {'vertices': box.vertices, 'faces': box.faces} | change
    with pytest.raises(checks.InputError, match=message):
        meshes.check(Mesh(**arrays))


def test_gray_textures_become_colours(tmp_path):
    gray = np.random.default_rng(0).integers(0, 256, (4, 5, 1)).astype(np.uint8)
    io.write(tmp_path / 'gray.png', gray)
    (tmp_path / 'one.mtl').write_text('newmtl one\nmap_Kd gray.png\n')
    (tmp_path / 'one.obj').write_text('mtllib one.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl one\nf 1 2 3\n')
    texture = obj.read(tmp_path / 'one.obj').materials[0].texture
    np.testing.assert_allclose(texture, np.repeat(gray / 255, 3, axis=-1), atol=1e-6)
