import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.geometry import cameras, paths, triangles
from neurend.render import rasterize
from neurend.scenes import cells, hull, meshes, primitives, proxies, selection
from neurend.scenes.cube import cube
from neurend.scenes.meshes import Mesh

LOW, HIGH = np.array([-1.0, 0.5, 2.0]), np.array([0.0, 3.5, 4.0])
SIZE = 400


def assert_closed(mesh):
    """Every edge is walked once in either direction."""
    directed = np.concatenate([mesh.faces[:, [k, (k + 1) % 3]] for k in range(3)])
    assert len(np.unique(directed, axis=0)) == len(directed)
    np.testing.assert_array_equal(np.unique(directed, axis=0), np.unique(directed[:, ::-1], axis=0))


def volume(mesh):
    """Positive where faces look outwards."""
    return np.linalg.det(np.asarray(mesh.vertices, np.float64)[mesh.faces]).sum() / 6


def uv_areas(mesh):
    """Signed: negative where a face is mirrored."""
    a, b, c = np.moveaxis(np.asarray(mesh.uvs, np.float64)[mesh.uv_faces], 1, 0)
    return np.linalg.det(np.stack([b - a, c - a], axis=-1)) / 2


def heights(mesh, points):
    """Of points [n 3] above the planes of faces: [n F], positive outside."""
    a, b, c = np.moveaxis(np.asarray(mesh.vertices, np.float64)[mesh.faces], 1, 0)
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return points @ normals.T - (a * normals).sum(-1)


def assert_flat(mesh):
    """UVs within the unit square, which no two faces share."""
    assert (mesh.uv_faces >= 0).all() and mesh.uvs.min() >= 0 and mesh.uvs.max() <= 1
    areas = np.abs(uv_areas(mesh))
    pixels = np.ones((2000, 4), np.float32)
    pixels[: len(mesh.uvs), :2] = mesh.uvs * SIZE
    faces = np.full((2000, 3), -1, np.int32)
    faces[: len(mesh.faces)] = mesh.uv_faces
    layers = rasterize.peel(jnp.asarray(pixels), faces, layers=2, width=SIZE, height=SIZE)
    assert (np.asarray(layers.face[1]) == -1).all()
    np.testing.assert_allclose((np.asarray(layers.face[0]) >= 0).mean(), areas.sum(), rtol=0.05)


def corners_of_box():
    return np.stack(np.meshgrid(*np.stack([LOW, HIGH], axis=1), indexing='ij'), axis=-1).reshape(-1, 3)


@pytest.mark.parametrize('count', [1, 4])
def test_boxes_and_balls_are_closed_and_laid_out(count):
    box = meshes.check(proxies.box_about(LOW, HIGH, cells=count, resolution=SIZE, padding=8))
    ball = meshes.check(proxies.sphere_about(LOW, HIGH, cells=count, resolution=SIZE, padding=8))
    for mesh in (box, ball):
        assert mesh.faces.shape == (12 * count**2, 3) and mesh.vertices.shape == (6 * count**2 + 2, 3)
        assert_closed(mesh)
        assert_flat(mesh)
        assert (uv_areas(mesh) > 0).all()
        # Eight texels are between any two sides, half of them at the border.
        sides = mesh.uvs.reshape(6, -1, 2) * SIZE
        low, high = sides.min(1), sides.max(1)
        gaps = np.maximum(low[:, None] - high[None], low[None] - high[:, None]).max(-1)
        np.testing.assert_allclose(gaps[~np.eye(6, dtype=bool)].min(), 8, atol=1e-3)
        np.testing.assert_allclose([low.min(), high.max()], [4, SIZE - 4], atol=1e-3)
    np.testing.assert_allclose(volume(box), np.prod(HIGH - LOW), rtol=1e-5)
    np.testing.assert_allclose([box.vertices.min(0), box.vertices.max(0)], [LOW, HIGH], atol=1e-6)


def test_a_ball_is_round_and_holds_its_box():
    ball = proxies.sphere_about(LOW, HIGH, cells=8)
    radii = np.linalg.norm(ball.vertices - (LOW + HIGH) / 2, axis=-1)
    np.testing.assert_allclose(radii, radii[0], rtol=1e-6)
    diagonal = np.linalg.norm(HIGH - LOW) / 2
    assert diagonal < radii[0] < 1.02 * diagonal
    # No face cuts a corner of the box off, and one at least is as near as may be.
    assert heights(ball, corners_of_box()).max() < 1e-5
    np.testing.assert_allclose(heights(ball, (LOW + HIGH)[None] / 2).max(), -diagonal, rtol=1e-5)
    # Texels are spread evenly, but for what a ball made of a cube cannot.
    ratio = uv_areas(ball) / np.asarray(triangles.areas(ball.vertices, ball.faces))
    assert ratio.max() / ratio.min() < 1.5


def test_a_roughened_mesh_is_off_by_what_was_asked_for():
    pytest.importorskip('fast_simplification', reason="needs the extra 'mesh'")
    pytest.importorskip('xatlas', reason="needs the extra 'mesh'")
    ball = meshes.pad(primitives.sphere(4, 2.0), 2562 + 5, 5120 + 5)
    smooth = proxies.roughened(jax.random.key(0), ball, faces=1000, noise=0.0)
    rough = proxies.roughened(jax.random.key(0), ball, faces=1000, noise=0.02)
    other = proxies.roughened(jax.random.key(1), ball, faces=1000, noise=0.02)
    for mesh in (smooth, rough):
        assert len(meshes.check(mesh).faces) == 1000
        assert_closed(mesh)
    assert_flat(smooth)
    np.testing.assert_allclose(np.linalg.norm(smooth.vertices, axis=-1), 2, atol=0.03)
    np.testing.assert_array_equal(rough.faces, smooth.faces)
    offsets = (rough.vertices - smooth.vertices) / (0.02 * 4 * np.sqrt(3))
    np.testing.assert_allclose(offsets.std(0), 1, atol=0.1)
    np.testing.assert_allclose(offsets.mean(0), 0, atol=0.15)
    assert np.abs(np.corrcoef(offsets.reshape(-1), (other.vertices - smooth.vertices).reshape(-1))[0, 1]) < 0.1


def test_a_convex_hull_holds_all_points_and_is_made_of_some():
    pytest.importorskip('trimesh', reason="needs the extra 'mesh'")
    pytest.importorskip('xatlas', reason="needs the extra 'mesh'")
    points = np.random.default_rng(0).normal(size=(300, 3)) * [1, 2, 0.5] + [5, 0, 0]
    mesh = meshes.check(proxies.hull_of_points(points))
    assert_closed(mesh)
    assert_flat(mesh)
    assert heights(mesh, points).max() < 1e-5 and volume(mesh) > 0
    distances = np.linalg.norm(mesh.vertices[:, None] - points[None], axis=-1).min(1)
    assert distances.max() < 1e-5


def test_points_on_a_surface_give_it_back():
    pytest.importorskip('fast_simplification', reason="needs the extra 'mesh'")
    pytest.importorskip('xatlas', reason="needs the extra 'mesh'")
    rng = np.random.default_rng(1)
    # A ring, so that the surface is neither convex nor like a ball.
    angle, turn = 2 * np.pi * rng.random((2, 20_000))
    reach = 1 + 0.4 * np.cos(turn)
    points = np.stack([reach * np.cos(angle), reach * np.sin(angle), 0.4 * np.sin(turn)], axis=-1)
    points += 0.01 * rng.normal(size=points.shape)
    mesh = meshes.check(proxies.surface_of_points(points, cells=48, reach=3, faces=1500))
    assert len(mesh.faces) <= 1500
    assert_closed(mesh)
    assert_flat(mesh)
    found = triangles.topology(mesh.faces)
    assert len(mesh.vertices) - len(found.edges) + len(mesh.faces) == 0
    off = np.hypot(np.hypot(*mesh.vertices[:, :2].T) - 1, mesh.vertices[:, 2]) - 0.4
    edge = 2.8 / 48
    assert np.abs(off).max() < 2 * edge and np.abs(off.mean()) < edge
    # Larger than it was, and by less than a cell all around.
    assert 0.4**2 < volume(mesh) / (2 * np.pi**2) < (0.4 + edge) ** 2
    # Somewhere else, and of another size, it is the same.
    moved = proxies.surface_of_points(points * 10 + [100, 0, 0], cells=48, reach=3, faces=1500)
    np.testing.assert_allclose(volume(moved), 1000 * volume(mesh), rtol=0.05)


def test_few_points_are_enough():
    pytest.importorskip('fast_simplification', reason="needs the extra 'mesh'")
    pytest.importorskip('xatlas', reason="needs the extra 'mesh'")
    points = np.random.default_rng(2).normal(size=(1000, 3))
    points /= np.linalg.norm(points, axis=-1, keepdims=True)
    mesh = meshes.check(proxies.surface_of_points(points, faces=1500))
    assert_closed(mesh)
    assert selection.components(mesh).max() == 0
    # Where points are far from each other there are dents, no deeper than the reach.
    edge, radii = 2 / 64, np.linalg.norm(mesh.vertices, axis=-1)
    assert 1 - 9 * edge < radii.min() and radii.max() < 1 + 2 * edge and np.abs(radii - 1).mean() < 2 * edge
    np.testing.assert_allclose(volume(mesh), 4 / 3 * np.pi, rtol=0.1)


@pytest.fixture(scope='module')
def silhouettes():
    """Cameras and the outlines of a ball of radius 0.8, seen from 4 away."""
    size, count = 48, 24
    views = jax.tree.map(np.asarray, cameras.make(paths.sphere(count, radius=4.0), 1.2 * size, size=(size, size)))
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    return views, [np.hypot(x, y) < 1.2 * size * 0.8 / np.sqrt(16 - 0.64)] * count


def test_a_hull_of_outlines_is_about_the_ball(silhouettes):
    pytest.importorskip('fast_simplification', reason="needs the extra 'mesh'")
    pytest.importorskip('xatlas', reason="needs the extra 'mesh'")
    views, discs = silhouettes
    options = {'radius': 2.0, 'nearest': 2.0, 'cells': 48}
    whole = meshes.check(proxies.hull_surface(views, discs, **options))
    radii = np.linalg.norm(whole.vertices, axis=-1)
    assert whole.uvs is None and radii.min() > 0.75 and radii.max() < 1.1
    few = meshes.check(proxies.visual_hull(views, discs, **options, faces=1000))
    assert len(few.faces) <= 1000
    assert_flat(few)
    np.testing.assert_allclose(volume(few), volume(whole), rtol=0.03)


def test_the_second_carving_spends_its_cells_on_what_is_there(silhouettes):
    views, discs = silhouettes
    once = hull.carve(views, discs, radius=2.0, cells=48, nearest=2.0)
    plain = cells.surface(np.asarray(once.cells), low=np.asarray(once.low), edge=float(once.edge))
    twice = proxies.hull_surface(views, discs, radius=2.0, nearest=2.0, cells=48, smoothing=0)
    assert len(twice.faces) > 2 * len(plain.faces)
    assert volume(primitives.sphere(3, 0.8)) < volume(twice) < volume(primitives.sphere(3, 1.0))


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: proxies.box_about(HIGH, LOW), r'expected low below high'),
        (lambda: proxies.box_about((0, 0), LOW), r'low: got shape \(2,\)'),
        (lambda: proxies.sphere_about(LOW, HIGH * np.nan), 'high: 3 of 3 values not finite'),
        (lambda: proxies.sphere_about(LOW, HIGH, cells=0), 'got 0, 1024 and 2'),
        (lambda: cube(padding=200), 'got 1, 1024 and 200'),
        (lambda: proxies.roughened(jax.random.key(0), primitives.box(), faces=6, noise=-1.0), 'noise: got -1.0'),
        (lambda: proxies.roughened(jax.random.key(0), primitives.box(), faces=0, noise=0.0), 'faces: got 0'),
        (lambda: proxies.hull_of_points(primitives.plane(4).vertices), 'points: got 25 in one plane'),
        (lambda: proxies.hull_of_points(np.eye(3)), 'points: got 3 in one plane'),
        (lambda: proxies.surface_of_points(np.zeros((9, 3))), 'points: got 9 in one plane'),
        (lambda: proxies.surface_of_points(np.zeros((9, 2))), r'points: got shape \(9, 2\)'),
        (lambda: proxies.surface_of_points(np.full((9, 3), np.inf)), 'points: 27 of 27 values not finite'),
        (lambda: proxies.surface_of_points(np.eye(4)[:, :3], cells=0), 'cells: got 0'),
        (lambda: proxies.surface_of_points(np.eye(4)[:, :3], reach=-1), 'reach: got -1'),
        (lambda: proxies.hull_surface(None, [], radius=1.0, nearest=1.0, cells=2), 'cells: got 2'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(checks.InputError, match=message):
        call()


def test_libraries_that_are_missing_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'trimesh', None)
    monkeypatch.setitem(sys.modules, 'xatlas', None)
    with pytest.raises(checks.InputError, match=r"needs trimesh.* pip install 'neurend\[mesh\]'"):
        proxies.hull_of_points(primitives.box().vertices)
    with pytest.raises(checks.InputError, match='needs xatlas'):
        proxies.roughened(jax.random.key(0), primitives.box(), faces=12, noise=0.1)
    # Boxes and balls need none.
    assert isinstance(proxies.box_about(LOW, HIGH), Mesh)
