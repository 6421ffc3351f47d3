import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.geometry import rotations, triangles
from neurend.scenes import editing, meshes, primitives, selection
from neurend.scenes.meshes import Material, Mesh


def painted(mesh, *names):
    """With everything that a mesh may have; colours by place."""
    return dataclasses.replace(
        mesh,
        colors=np.float32(0.5 + 0.2 * mesh.vertices),
        normals=np.asarray(triangles.vertex_normals(mesh.vertices, mesh.faces)),
        material=np.arange(len(mesh.faces), dtype=np.int32) % len(names),
        materials=tuple(Material(np.ones(3), 0, 1, name=name) for name in names),
    )


RING = painted(primitives.torus(1.0, 0.4, 12, 7), 'red', 'blue')
PADDED = meshes.pad(RING, 90, 170, 110)
BARE = Mesh(RING.vertices, RING.faces)
HALF = RING.vertices[RING.faces].mean(1)[:, 0] > 0


def similarity(scale=1.0):
    matrix = np.eye(4)
    matrix[:3, :3] = scale * np.asarray(rotations.exp(jnp.array([0.3, -0.8, 0.5])))
    matrix[:3, 3] = 4, -1, 2
    return matrix


def faces_of(mesh):
    """What every face looks like: places, UVs, colours, normals of corners and the name of its material."""
    rows = []
    for f in np.flatnonzero(np.asarray(mesh.faces)[:, 0] >= 0):
        corners = mesh.faces[f]
        row = [mesh.vertices[corners], mesh.colors[corners], mesh.normals[corners]]
        row.append(mesh.uvs[mesh.uv_faces[f]] if mesh.uv_faces[f, 0] >= 0 else np.full((3, 2), np.nan))
        name = mesh.materials[0 if mesh.material is None else mesh.material[f]].name
        rows.append((np.concatenate(row, axis=-1), name))
    return rows


def assert_alike(found, wanted):
    assert [name for _, name in found] == [name for _, name in wanted]
    np.testing.assert_allclose([row for row, _ in found], [row for row, _ in wanted], atol=1e-5)


@pytest.mark.parametrize('ring', [RING, PADDED])
def test_what_is_removed_and_what_is_extracted_make_up_the_whole(ring):
    chosen = np.append(HALF, np.zeros(len(ring.faces) - len(HALF), bool))
    rest, part = (meshes.check(f(ring, chosen)) for f in (editing.remove, editing.extract))
    whole = faces_of(RING)
    assert_alike(faces_of(rest), [row for row, c in zip(whole, HALF) if not c])
    assert_alike(faces_of(part), [row for row, c in zip(whole, HALF) if c])
    # Displacements of the whole still fit.
    assert rest.vertices is ring.vertices and part.vertices is ring.vertices
    bare = editing.remove(BARE, HALF)
    assert bare.uvs is None and bare.material is None and len(bare.faces) == (~HALF).sum()
    assert len(editing.remove(BARE, np.ones(168, bool)).faces) == 0


@pytest.mark.parametrize('ring', [RING, PADDED])
def test_compact_drops_what_no_face_uses_and_changes_no_face(ring):
    chosen = np.append(HALF, np.zeros(len(ring.faces) - len(HALF), bool))
    part = editing.extract(ring, chosen)
    small = meshes.check(editing.compact(part))
    assert_alike(faces_of(small), faces_of(part))
    np.testing.assert_array_equal(np.unique(small.faces), np.arange(len(small.vertices)))
    np.testing.assert_array_equal(np.unique(small.uv_faces), np.arange(len(small.uvs)))
    assert len(small.vertices) < len(RING.vertices) and len(small.uvs) < len(RING.uvs)
    whole = editing.compact(ring)
    for field in ('vertices', 'faces', 'uvs', 'uv_faces', 'normals', 'colors', 'material'):
        np.testing.assert_array_equal(getattr(whole, field), getattr(RING, field))
    nothing = editing.compact(editing.remove(RING, np.ones(168, bool)))
    assert nothing.vertices.shape == nothing.faces.shape == (0, 3) and nothing.uvs.shape == (0, 2)
    # Faces without UVs keep none.
    mixed = editing.merge([primitives.box(), primitives.plane()])
    np.testing.assert_array_equal(editing.compact(mixed).uv_faces, mixed.uv_faces)


@pytest.mark.parametrize('scale', [1.0, 0.25])
def test_a_copy_is_moved_and_shares_texels(scale):
    found = meshes.check(editing.duplicate(RING, HALF, similarity(scale)))
    assert found.uvs is RING.uvs
    assert_alike(faces_of(found)[:168], faces_of(RING))
    wanted = []
    turn = similarity()[:3, :3]
    for (row, name), chosen in zip(faces_of(RING), HALF):
        if chosen:
            places = row[:, :3] @ similarity(scale)[:3, :3].T + similarity()[:3, 3]
            wanted.append((np.concatenate([places, row[:, 3:6], row[:, 6:9] @ turn.T, row[:, 9:]], axis=-1), name))
    assert_alike(faces_of(found)[168:], wanted)
    assert len(np.unique(selection.components(found))) == 2
    padded = editing.duplicate(PADDED, np.append(HALF, [True, True]), similarity(scale))
    assert_alike(faces_of(meshes.check(padded)), faces_of(found))
    # Tearing off: the copy stays, the original goes.
    torn = editing.remove(found, np.append(HALF, np.zeros(HALF.sum(), bool)))
    assert_alike(faces_of(torn), [row for row, c in zip(faces_of(RING), HALF) if not c] + wanted)
    assert editing.duplicate(BARE, HALF, np.eye(4)).vertices.shape[0] > 84


def test_moving_moves_the_part_and_nothing_else():
    two = editing.merge([RING, painted(primitives.sphere(1), 'green')])
    ball = selection.by_material(two, 'green')
    moved = meshes.check(editing.move(two, ball, similarity(2.0)))
    np.testing.assert_array_equal(moved.vertices[:84], RING.vertices)
    np.testing.assert_array_equal(moved.normals[:84], RING.normals)
    places = primitives.sphere(1).vertices @ similarity(2.0)[:3, :3].T + similarity()[:3, 3]
    np.testing.assert_allclose(moved.vertices[84:], places, atol=1e-5)
    directions = (places - similarity()[:3, 3]) / 2
    np.testing.assert_allclose(moved.normals[84:], directions, atol=0.03)
    assert moved.faces is two.faces and moved.uvs is two.uvs and moved.vertices.dtype == np.float32
    # Of a connected mesh the vertices of the selection move, and those alone.
    stretched = editing.move(BARE, HALF, similarity())
    used = np.isin(np.arange(84), RING.faces[HALF])
    assert (np.abs(stretched.vertices - RING.vertices).max(1) > 0.1).tolist() == used.tolist()


def test_displacing_adds_and_has_gradients():
    offsets = np.random.default_rng(0).normal(size=(84, 3)).astype(np.float32)
    found = editing.displace(RING, offsets)
    np.testing.assert_allclose(found.vertices, RING.vertices + offsets, atol=1e-6)
    assert found.normals is None and found.uvs is RING.uvs and found.colors is RING.colors
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(editing.displace(RING, x).vertices ** 2)))(jnp.asarray(offsets))
    np.testing.assert_allclose(gradient, 2 * (RING.vertices + offsets), rtol=1e-5, atol=1e-6)


def test_merging_keeps_every_face_as_it_looks():
    ball = painted(primitives.sphere(1), 'green')
    found = meshes.check(editing.merge([PADDED, ball, RING]))
    assert_alike(faces_of(found), faces_of(RING) + [*zip(*_without_uvs(ball))] + faces_of(RING))
    # The materials of the ring come once.
    assert [material.name for material in found.materials] == ['red', 'blue', 'green']
    assert (found.uv_faces[170:250] == -1).all()


def _without_uvs(mesh):
    rows = [
        np.concatenate([mesh.vertices[c], mesh.colors[c], mesh.normals[c], np.full((3, 2), np.nan)], axis=-1)
        for c in mesh.faces
    ]
    return rows, [mesh.materials[0].name] * len(rows)


def test_what_some_lack_is_filled_in():
    box = primitives.box()
    found = meshes.check(editing.merge([box, RING]))
    np.testing.assert_array_equal(found.colors[:8], 1)
    np.testing.assert_allclose(found.normals[:8], triangles.vertex_normals(box.vertices, box.faces), atol=1e-6)
    assert [m.name for m in found.materials] == ['', 'red', 'blue'] and (found.material[:12] == 0).all()
    np.testing.assert_array_equal(found.materials[0].color, 1)
    bare = meshes.check(editing.merge([BARE, box]))
    assert bare.uvs is bare.colors is bare.normals is bare.material is None and bare.materials == ()
    np.testing.assert_array_equal(bare.faces[168:], box.faces + 84)
    same = painted(box, 'grey')
    twice = meshes.check(editing.merge([same, dataclasses.replace(same, material=None)]))
    assert len(twice.materials) == 1


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: editing.remove(RING, HALF[:5]), r'selection: got shape \(5,\), expected \(F=168,\)'),
        (lambda: editing.extract(RING, np.flatnonzero(HALF)), r'selection: got shape'),
        (lambda: editing.extract(RING, HALF.astype(int)), 'selection: got int64, expected bool'),
        (lambda: editing.move(RING, HALF, np.diag([1.0, 1, 2, 1])), 'expected a similarity'),
        (lambda: editing.move(RING, HALF, np.diag([-1.0, 1, 1, 1])), 'expected a similarity'),
        (lambda: editing.move(RING, HALF, np.zeros((4, 4))), 'expected a similarity'),
        (lambda: editing.duplicate(RING, HALF, np.diag([1.0, 1, 1, 2])), 'expected a similarity'),
        (lambda: editing.duplicate(RING, HALF, np.eye(3)), r'world_from_world: got shape \(3, 3\)'),
        (lambda: editing.duplicate(RING, HALF, np.full((4, 4), np.nan)), 'world_from_world: 16 of 16'),
        (lambda: editing.displace(RING, np.zeros((83, 3))), r'offsets: got shape \(83, 3\), expected \(V=84, 3\)'),
        (lambda: editing.merge([]), 'parts: got none'),
        (lambda: editing.merge([dataclasses.replace(BARE, faces=BARE.faces + 84)]), 'mesh.faces: got'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(checks.InputError, match=message):
        call()
