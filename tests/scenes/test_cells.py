import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import triangles
from neurend.scenes import cells


def volume(mesh):
    """By the divergence theorem; negative if faces run the wrong way round."""
    a, b, c = np.moveaxis(np.asarray(mesh.vertices, np.float64)[mesh.faces], 1, 0)
    return np.sum(a * np.cross(b, c)) / 6


def test_any_cells_have_their_volume_and_their_exposed_area():
    occupied = np.random.default_rng(0).random((5, 4, 6)) < 0.4
    mesh = cells.surface(occupied, low=np.array([-1.0, 2.0, 0.5]), edge=0.3)
    assert volume(mesh) == pytest.approx(occupied.sum() * 0.3**3, rel=1e-4)
    padded = np.pad(occupied, 1).astype(int)
    exposed = sum(np.abs(np.diff(padded, axis=axis)).sum() for axis in range(3))
    assert float(triangles.areas(mesh.vertices, mesh.faces).sum()) == pytest.approx(exposed * 0.3**2, rel=1e-4)
    corners = np.argwhere(occupied)
    np.testing.assert_allclose(mesh.vertices.min(0), np.array([-1.0, 2, 0.5]) + 0.3 * corners.min(0), atol=1e-6)
    np.testing.assert_allclose(mesh.vertices.max(0), np.array([-1.0, 2, 0.5]) + 0.3 * (corners.max(0) + 1), atol=1e-6)


def test_a_ball_is_closed_and_smoothing_brings_its_normals_to_those_of_the_sphere():
    axis = np.arange(24) + 0.5 - 12
    ball = np.sum(np.square(np.stack(np.meshgrid(axis, axis, axis, indexing='ij'))), axis=0) < 9**2
    errors = []
    for smoothing in (0, 6):
        mesh = cells.surface(ball, low=np.full(3, -12.0), edge=1.0, smoothing=smoothing)
        directed = np.concatenate([mesh.faces[:, [k, (k + 1) % 3]] for k in range(3)])
        # Closed: every edge is walked once in either direction.
        assert len(np.unique(directed, axis=0)) == len(directed)
        np.testing.assert_array_equal(np.unique(directed, axis=0), np.unique(directed[:, ::-1], axis=0))
        normals = np.asarray(triangles.vertex_normals(mesh.vertices, mesh.faces))
        outward = mesh.vertices / np.linalg.norm(mesh.vertices, axis=-1, keepdims=True)
        errors.append(np.degrees(np.arccos(np.clip((normals * outward).sum(-1), -1, 1))).mean())
    assert errors[1] < 5 < errors[0]
    assert volume(mesh) == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.1)


def test_a_vertex_goes_to_the_mean_of_its_neighbours():
    mesh = cells.surface(np.ones((2, 1, 1), bool), low=np.zeros(3), edge=1.0, smoothing=1)
    found = {tuple(np.round(vertex, 5)) for vertex in mesh.vertices.tolist()}
    # A corner has three neighbours; one in the middle of a long edge has two along it and two across.
    assert {(1.0, 0.25, 0.25), tuple(np.round([1 / 3, 1 / 3, 1 / 3], 5))} <= found


def test_nothing_has_no_surface():
    with pytest.raises(InputError, match='cells: got none'):
        cells.surface(np.zeros((2, 2, 2), bool), low=np.zeros(3), edge=1.0)
