import dataclasses

import numpy as np
import pytest

from neurend import checks
from neurend.scenes import editing, meshes, primitives, selection
from neurend.scenes.meshes import Material, Mesh


def chain(count):
    """A strip of triangles, whose vertices are numbered at random: the hardest order for labels."""
    order = np.random.default_rng(0).permutation(count + 2)
    faces = np.stack([order[:-2], order[1:-1], order[2:]], axis=1)
    return Mesh(np.zeros((count + 2, 3), np.float32), faces.astype(np.int32))


def test_components_are_those_of_a_walk_over_shared_vertices():
    rng = np.random.default_rng(1)
    faces = rng.integers(0, 120, (60, 3)).astype(np.int32)
    faces[7] = -1
    found = selection.components(Mesh(np.zeros((120, 3), np.float32), faces))
    wanted, number = np.full(60, -1), 0
    for start in range(60):
        if wanted[start] >= 0 or faces[start, 0] < 0:
            continue
        reached = set(faces[start])
        while True:
            touching = [f for f in range(60) if faces[f, 0] >= 0 and reached & set(faces[f])]
            more = set(faces[touching].reshape(-1))
            if more == reached:
                break
            reached = more
        wanted[touching] = number
        number += 1
    assert 1 < number < 59
    np.testing.assert_array_equal(found, wanted)


def test_long_and_many_components_are_found():
    long = chain(100_000)
    assert not selection.components(long).any()
    many = np.arange(30_000, dtype=np.int32).reshape(-1, 3)[::-1]
    found = selection.components(Mesh(np.zeros((30_000, 3), np.float32), many))
    np.testing.assert_array_equal(found, np.arange(10_000))
    assert selection.components(Mesh(np.zeros((3, 3), np.float32), np.zeros((0, 3), np.int32))).shape == (0,)


def test_a_box_selects_faces_that_are_whole_inside():
    mesh = meshes.pad(primitives.plane(4), 30, 40, 25)
    found = selection.in_box(mesh, (-0.5, -0.5, -1), (0.0, 0.25, 1))
    centers = mesh.vertices[mesh.faces].mean(1)
    wanted = (centers[:, 0] < 0) & (centers[:, 1] < 0.25) & (mesh.faces[:, 0] >= 0)
    assert found.sum() == 2 * 2 * 3
    np.testing.assert_array_equal(found, wanted)
    assert not selection.in_box(mesh, (-0.5, -0.5, 0.1), (0.5, 0.5, 1)).any()


def test_materials_select_by_name():
    box = primitives.box()
    paints = tuple(Material(np.ones(3), 0, 1, name=name) for name in ('red', 'blue', 'red'))
    mesh = dataclasses.replace(box, material=np.arange(12, dtype=np.int32) % 3, materials=paints)
    np.testing.assert_array_equal(selection.by_material(mesh, 'red'), np.arange(12) % 3 != 1)
    np.testing.assert_array_equal(selection.by_material(mesh, 'blue'), np.arange(12) % 3 == 1)
    single = meshes.pad(dataclasses.replace(box, materials=paints[1:2]), 8, 14)
    np.testing.assert_array_equal(selection.by_material(single, 'blue'), np.arange(14) < 12)
    with pytest.raises(checks.InputError, match="name: got 'green', expected one of 'red', 'blue', 'red'"):
        selection.by_material(mesh, 'green')


def test_the_nearest_component_is_nearest_by_its_surface_not_by_its_vertices():
    # A large floor, whose vertices are far away, and a small box a little above another place of it.
    floor = primitives.plane(1, 20.0)
    box = dataclasses.replace(primitives.box(), vertices=primitives.box().vertices + np.float32([0, 0, 3]))
    mesh = editing.merge([meshes.pad(floor, 6, 4, 4), box])
    np.testing.assert_array_equal(selection.by_component(mesh, (0, 0, 1.2)), [True, True, False, False] + [False] * 12)
    np.testing.assert_array_equal(selection.by_component(mesh, (0.2, 0.1, 1.3)), [False] * 4 + [True] * 12)
    np.testing.assert_array_equal(selection.by_component(mesh, (0.9, 0, 3)), [False] * 4 + [True] * 12)


def test_distances_are_those_of_dense_samples():
    rng = np.random.default_rng(2)
    corners = rng.normal(size=(20, 3, 3))
    corners[:3, 2] = corners[:3, 1]  # without area
    corners[0] = corners[0, :1]
    steps = np.linspace(0, 1, 101)
    u, v = (each.reshape(-1) for each in np.meshgrid(steps, steps))
    weights = np.stack([1 - u, u * (1 - v), u * v], axis=-1)
    for point in rng.normal(size=(6, 3)):
        sampled = np.sqrt(((np.einsum('kc,ncd->nkd', weights, corners) - point) ** 2).sum(-1).min(1))
        exact = np.sqrt(selection._squared_distances(point, corners))
        assert (exact <= sampled + 1e-9).all()
        np.testing.assert_allclose(exact, sampled, atol=0.01)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda m: selection.in_box(m, (0, 0), (1, 1, 1)), r'low: got shape \(2,\)'),
        (lambda m: selection.by_component(m, (0, 0)), r'point: got shape \(2,\)'),
        (lambda m: selection.components(dataclasses.replace(m, faces=m.faces + 1)), 'mesh.faces: got 8'),
        (lambda m: selection.by_component(dataclasses.replace(m, faces=-np.ones_like(m.faces)), (0, 0, 0)), 'no faces'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(checks.InputError, match=message):
        call(primitives.box())
