import dataclasses
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.geometry import triangles
from neurend.render import rasterize
from neurend.scenes import meshes, primitives, remesh
from neurend.scenes.meshes import Material, Mesh


def _areas(points, faces):
    """[F], of points in two or three dims."""
    a, b, c = np.moveaxis(np.asarray(points, np.float64)[faces], 1, 0)
    u, v = b - a, c - a
    squared = (u * u).sum(-1) * (v * v).sum(-1) - (u * v).sum(-1) ** 2
    return 0.5 * np.sqrt(np.maximum(squared, 0))


def _volume(mesh):
    return np.linalg.det(np.asarray(mesh.vertices, np.float64)[mesh.faces]).sum() / 6


def _assert_closed(mesh):
    found = triangles.topology(meshes.check(mesh).faces)
    assert (found.opposite >= 0).all() and (found.edge_faces >= 0).all()
    return found


@pytest.fixture(scope='module')
def torus():
    """Coloured by place, so that what is carried over is known everywhere; in two materials, and padded."""
    mesh = primitives.torus(1.0, 0.4, 12, 7)
    linear = np.array([[0.3, 0.1, 0], [0, 0.2, 0.5], [0.1, 0, 0.2]])
    return meshes.pad(
        dataclasses.replace(
            mesh,
            colors=np.float32(mesh.vertices @ linear),
            normals=np.asarray(triangles.vertex_normals(mesh.vertices, mesh.faces)),
            material=np.int32(mesh.faces[:, 0] % 2),
            materials=(Material(1, 0, 1), Material(0, 0, 1)),
        ),
        90,
        170,
        110,
    )


@pytest.mark.parametrize('divide', [lambda m: remesh.subdivide(m, 2), lambda m: remesh.subdivide_to(m, 0.17)])
def test_divided_meshes_are_the_same_surface(torus, divide):
    fine = meshes.check(divide(torus))
    bare = Mesh(fine.vertices, fine.faces[fine.faces[:, 0] >= 0])
    whole = Mesh(torus.vertices, torus.faces[:168])
    found = _assert_closed(bare)
    used = len(np.unique(bare.faces))
    assert used - len(found.edges) + len(bare.faces) == 0
    np.testing.assert_allclose(_volume(bare), _volume(whole), rtol=1e-6)
    np.testing.assert_allclose(
        _areas(fine.vertices, bare.faces).sum(), _areas(torus.vertices, whole.faces).sum(), rtol=1e-6
    )
    # Colours are linear in place on every face, UVs cover what they covered, and each material keeps its area.
    linear = np.array([[0.3, 0.1, 0], [0, 0.2, 0.5], [0.1, 0, 0.2]])
    np.testing.assert_allclose(fine.colors, fine.vertices @ linear, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(fine.normals[bare.faces], axis=-1), 1, atol=1e-5)
    uv_faces = fine.uv_faces[fine.faces[:, 0] >= 0]
    np.testing.assert_allclose(_areas(fine.uvs, uv_faces).sum(), 1, rtol=1e-5)
    for k in (0, 1):
        areas = [_areas(m.vertices, m.faces[(m.material == k) & (m.faces[:, 0] >= 0)]).sum() for m in (fine, torus)]
        np.testing.assert_allclose(*areas, rtol=1e-6)
    # The UV of each corner is where the torus has this corner: seams did not come apart.
    u, v = np.moveaxis(fine.uvs[uv_faces], -1, 0)
    angle = np.arctan2(*np.moveaxis(fine.vertices[bare.faces][..., 1::-1], -1, 0)) / (2 * np.pi)
    assert (np.abs((u - angle + 0.5) % 1 - 0.5) < 0.02).all() and v.min() == 0 and v.max() == 1


def test_levels_and_lengths_are_kept(torus):
    fine = remesh.subdivide(torus, 2)
    assert fine.faces.shape == (170 * 16, 3) and (fine.faces >= 0).all(1).sum() == 168 * 16
    # Child k of face f lies in face f.
    once = remesh.subdivide(torus)
    children = once.vertices[once.faces].mean(1).reshape(4, 170, 3)[:, :168]
    np.testing.assert_allclose(children.mean(0), torus.vertices[torus.faces[:168]].mean(1), atol=1e-6)
    assert remesh.subdivide(torus, 0) is torus and remesh.subdivide_to(torus, 10.0) is torus
    for length in (0.3, 0.1):
        fine = remesh.subdivide_to(torus, length)
        ends = fine.vertices[triangles.topology(fine.faces).edges]
        lengths = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1)
        assert 0.5 * length < lengths.max() <= length
    # A long side next to short ones is divided alone, and its neighbour with it.
    strip = Mesh(np.float32([[0, 0, 0], [4, 0, 0], [2, 1, 0], [2, -1, 0]]), np.int32([[0, 1, 2], [1, 0, 3]]))
    assert remesh.subdivide_to(strip, 3.0).faces.shape == (4, 3)


@pytest.mark.parametrize('corner', range(3))
@pytest.mark.parametrize('long', [(3.2,), (2.4,), (1.5,)])
def test_every_way_to_divide_a_triangle_covers_it(corner, long):
    points = np.roll(np.float32([[0, 0, 0], [3.3, 0, 0], [1, 2, 0]]), corner, axis=0)
    mesh = Mesh(points, np.int32([[0, 1, 2]]))
    fine = remesh.subdivide_to(mesh, long[0])
    crosses = np.cross(*(fine.vertices[fine.faces][:, k] - fine.vertices[fine.faces][:, 0] for k in (1, 2)))
    assert (crosses[:, 2] > 0).all()
    np.testing.assert_allclose(crosses[:, 2].sum() / 2, 3.3, rtol=1e-6)


def test_decimation_keeps_the_surface_closed_and_in_place():
    pytest.importorskip('fast_simplification', reason="needs the extra 'mesh'")
    sphere = primitives.sphere(4)
    painted = dataclasses.replace(sphere, colors=np.float32(0.5 + 0.5 * sphere.vertices))
    few = remesh.decimate(painted, 640)
    assert few.faces.shape == (640, 3) and few.uvs is None
    _assert_closed(few)
    # As many faces as a subdivided icosahedron between levels 2 and 3, and not much worse.
    distance = np.linalg.norm(few.vertices, axis=-1)
    np.testing.assert_allclose(distance, 1, atol=0.015)
    np.testing.assert_allclose(_volume(few), _volume(sphere), rtol=0.02)
    np.testing.assert_allclose(few.colors, 0.5 + 0.5 * few.vertices, atol=0.05)
    flat = remesh.decimate(meshes.pad(primitives.plane(8), 100, 200, 100), 40)
    assert len(flat.faces) == 40
    np.testing.assert_allclose(_areas(flat.vertices, flat.faces).sum(), 1, rtol=1e-5)
    assert remesh.decimate(sphere, 10**6).faces.shape == sphere.faces.shape


@pytest.mark.parametrize(
    'mesh', [primitives.sphere(2), primitives.torus(1.0, 0.35, 16, 8), meshes.pad(primitives.box(), 10, 14)]
)
def test_unwrapped_faces_do_not_overlap(mesh):
    pytest.importorskip('xatlas', reason="needs the extra 'mesh'")
    flat = meshes.check(remesh.unwrap(mesh, resolution=256, padding=4))
    assert flat.vertices is mesh.vertices and flat.faces is mesh.faces
    real = mesh.faces[:, 0] >= 0
    assert (flat.uv_faces[real] >= 0).all() and (flat.uv_faces[~real] == -1).all()
    assert flat.uvs.min() >= 0 and flat.uvs.max() <= 1
    areas = _areas(flat.uvs, flat.uv_faces[real])
    assert (areas > 0).all() and areas.sum() > 0.3
    # Texels are spread evenly: areas are as on the surface, but for what flattening stretches.
    ratio = areas / _areas(mesh.vertices, mesh.faces[real])
    assert ratio.max() / ratio.min() < 2.5
    # Drawn twice over; all at one size, which compiles once.
    pixels = np.ones((400, 4), np.float32)
    pixels[: len(flat.uvs), :2] = flat.uvs * 512
    faces = np.full((320, 3), -1, np.int32)
    faces[: len(mesh.faces)] = flat.uv_faces
    layers = rasterize.peel(jnp.asarray(pixels), faces, layers=2, width=512, height=512)
    assert (np.asarray(layers.face[1]) == -1).all()
    np.testing.assert_allclose((np.asarray(layers.face[0]) >= 0).mean(), areas.sum(), rtol=0.02)


def test_faces_without_area_do_no_harm():
    ball = primitives.sphere(1)
    mesh = Mesh(ball.vertices, np.concatenate([ball.faces, np.int32([[3, 3, 5], [7, 7, 7]])]))
    fine = meshes.check(remesh.subdivide_to(mesh, 0.3))
    np.testing.assert_allclose(
        _areas(fine.vertices, fine.faces).sum(), _areas(ball.vertices, ball.faces).sum(), rtol=1e-6
    )
    pytest.importorskip('fast_simplification', reason="needs the extra 'mesh'")
    assert 0 < len(meshes.check(remesh.decimate(mesh, 40)).faces) <= 40
    pytest.importorskip('xatlas', reason="needs the extra 'mesh'")
    flat = meshes.check(remesh.unwrap(mesh))
    np.testing.assert_array_equal(flat.faces, mesh.faces)
    assert (flat.uv_faces >= 0).all() and (_areas(flat.uvs, flat.uv_faces[:-2]) > 0).all()


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda m: remesh.subdivide(m, -1), 'levels: got -1'),
        (lambda m: remesh.subdivide(m, 20), 'levels: got 20'),
        (lambda m: remesh.subdivide_to(m, 0.0), 'longest_edge: got 0.0'),
        (lambda m: remesh.subdivide_to(m, float('nan')), 'longest_edge: got nan'),
        (lambda m: remesh.decimate(m, 0), 'faces: got 0'),
        (lambda m: remesh.unwrap(m, padding=-1), 'padding: got 1024 and -1'),
        (lambda m: remesh.unwrap(dataclasses.replace(m, faces=-np.ones_like(m.faces))), 'mesh.faces: got no faces'),
        (lambda m: remesh.unwrap(dataclasses.replace(m, vertices=m.vertices * np.nan)), 'mesh.vertices: 24 of 24'),
        (lambda m: remesh.subdivide(dataclasses.replace(m, faces=m.faces + 1)), 'mesh.faces: got 8'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(checks.InputError, match=message):
        call(primitives.box())


def test_libraries_that_are_missing_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'fast_simplification', None)
    monkeypatch.setitem(sys.modules, 'xatlas', None)
    with pytest.raises(checks.InputError, match='needs fast-simplification, which is not installed'):
        remesh.decimate(primitives.box(), 6)
    with pytest.raises(checks.InputError, match=r"needs xatlas.* pip install 'neurend\[mesh\]'"):
        remesh.unwrap(primitives.box())
