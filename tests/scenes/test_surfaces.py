"""Points and Gaussians on meshes."""

import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import triangles
from neurend.scenes import primitives, surfaces
from neurend.scenes.meshes import Mesh

TORUS = primitives.torus(around=12, across=8)
COLORS = np.random.default_rng(0).uniform(size=(len(TORUS.vertices), 3)).astype(np.float32)


def test_discs_cover_their_faces():
    cloud = surfaces.points(TORUS, COLORS)
    corners = np.asarray(TORUS.vertices)[TORUS.faces]
    away = np.linalg.norm(corners - np.asarray(cloud.positions)[:, None], axis=-1)
    np.testing.assert_allclose(away.max(1), cloud.radii, rtol=1e-4)
    np.testing.assert_allclose(cloud.features, COLORS[TORUS.faces].mean(1), rtol=1e-5)
    beneath = surfaces.points(TORUS, COLORS, inset=1.0)
    normals = np.asarray(triangles.face_normals(jnp.asarray(TORUS.vertices), TORUS.faces))
    np.testing.assert_allclose(
        cloud.positions - beneath.positions, normals * np.asarray(cloud.radii)[:, None], atol=1e-6
    )


def test_gaussians_have_the_moments_of_their_faces():
    spread = 1.7
    scene = surfaces.gaussians(TORUS, COLORS, spread=spread, thickness=1e-3)
    rng = np.random.default_rng(1)
    for k in (0, 50, 101):
        a, b, c = np.asarray(TORUS.vertices, np.float64)[TORUS.faces[k]]
        # Points that are spread evenly over the face.
        u, v = rng.uniform(size=(2, 200000))
        u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
        points = a + u[:, None] * (b - a) + v[:, None] * (c - a)
        moments = spread**2 * np.cov(points.T)
        np.testing.assert_allclose(scene.covariances[k], moments, atol=0.02 * np.trace(moments))
        np.testing.assert_allclose(scene.means[k], points.mean(0), atol=2e-3)
    np.testing.assert_allclose(scene.harmonics[:, 0] / np.sqrt(4 * np.pi) + 0.5, COLORS[TORUS.faces].mean(1), atol=1e-5)
    assert np.asarray(scene.opacities) == pytest.approx(0.98, abs=1e-5)


def test_faces_without_area_and_padding_are_left_out():
    odd = Mesh(
        np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]]),
        np.int32([[0, 1, 2], [-1, -1, -1], [0, 1, 3], [0, 0, 1]]),
    )
    for make in (surfaces.points, surfaces.gaussians):
        made = make(odd, np.ones((4, 3)))
        assert len(made.positions if make is surfaces.points else made.means) == 1
    with pytest.raises(InputError, match='faces without area'):
        surfaces.points(Mesh(odd.vertices, odd.faces[1:]), np.ones((4, 3)))
    with pytest.raises(InputError, match='features: got shape'):
        surfaces.points(odd, np.ones((3, 3)))
    with pytest.raises(InputError, match='spread, thickness'):
        surfaces.gaussians(odd, np.ones((4, 3)), spread=0)
    broken = Mesh(np.where(np.eye(4, 3) > 0, np.nan, odd.vertices), odd.faces)
    with pytest.raises(InputError, match='mesh.vertices'):
        surfaces.gaussians(broken, np.ones((4, 3)))
