import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neurend import checks
from neurend.geometry import triangles
from neurend.losses import meshes
from neurend.scenes import primitives

# Two equilateral triangles that share a side, folded by an angle about it (the x axis); all sides have length 1.
HEIGHT = 0.75**0.5
FACES = np.int32([[0, 1, 2], [1, 0, 3]])
FOUND = triangles.topology(FACES)


@jax.jit
def _losses(vertices, faces, edges, edge_faces):
    """All of them, compiled at once: smoothness, squared lengths, lengths against 0.75, and folds."""
    return jnp.stack(
        [
            meshes.laplacian(vertices, edges),
            meshes.edge_length(vertices, edges),
            meshes.edge_length(vertices, edges, 0.75),
            meshes.normal_consistency(vertices, faces, edge_faces),
        ]
    )


_slopes = jax.jit(jax.jacrev(_losses))


def _of(mesh):
    found = triangles.topology(mesh.faces)
    return np.asarray(_losses(mesh.vertices, mesh.faces, found.edges, found.edge_faces))


def _folded(angle):
    return jnp.array([[0.0, 0, 0], [1, 0, 0], [0.5, HEIGHT, 0], [0.5, -HEIGHT * np.cos(angle), HEIGHT * np.sin(angle)]])


def _padded(faces):
    """The same faces and neighbours with padding, which must not count."""
    found = triangles.topology(faces)
    pad = np.full((4, 2), -1, np.int32)
    faces = np.concatenate([faces, np.full((3, 3), -1, np.int32)])
    return faces, np.concatenate([found.edges, pad]), np.concatenate([found.edge_faces, pad])


@pytest.mark.parametrize('angle', [0.0, 0.3, np.pi / 2, 3.0])
def test_two_triangles_have_closed_forms(angle):
    vertices = _folded(angle)
    smooth, squared, compared, folds = _losses(vertices, FACES, FOUND.edges, FOUND.edge_faces)
    np.testing.assert_allclose([squared, compared, folds], [1, 1 / 16, 1 - np.cos(angle)], rtol=1e-5, atol=1e-6)
    # Vertices 0 and 1 have three neighbours each, 2 and 3 those two.
    points = np.asarray(vertices, np.float64)
    distances = [points[[1, 2, 3]].mean(0) - points[0], points[[0, 2, 3]].mean(0) - points[1]]
    distances += [points[[0, 1]].mean(0) - points[k] for k in (2, 3)]
    np.testing.assert_allclose(smooth, np.square(distances).sum() / 4, rtol=1e-5)


def test_a_box_and_a_sphere_have_closed_forms():
    # 18 edges: four of each length, each between walls at right angles, and six diagonals within walls.
    _, squared, _, folds = _of(primitives.box((1, 2, 3)))
    np.testing.assert_allclose(folds, 12 / 18, rtol=1e-5)
    np.testing.assert_allclose(squared, (4 * (1 + 4 + 9) + 2 * (5 + 10 + 13)) / 18, rtol=1e-5)
    # An icosahedron: the centroid of a vertex's neighbours lies on its axis, at 1/sqrt(5) of the radius, and the angle
    # between normals of neighbours has the cosine sqrt(5)/3.
    smooth, _, _, folds = _of(primitives.sphere(0, radius=2.0))
    np.testing.assert_allclose([smooth, folds], [(2 - 2 / 5**0.5) ** 2, 1 - 5**0.5 / 3], rtol=1e-5)


def test_padding_does_not_count_and_nothing_costs_nothing():
    ball = primitives.sphere(1)
    found = triangles.topology(ball.faces)
    faces, edges, edge_faces = _padded(ball.faces)
    vertices = jnp.asarray(np.concatenate([ball.vertices, np.full((3, 3), 7.0, np.float32)]))
    plain = _losses(ball.vertices, ball.faces, found.edges, found.edge_faces)
    np.testing.assert_allclose(_losses(vertices, faces, edges, edge_faces), plain, rtol=1e-5)
    slopes = _slopes(vertices, faces, edges, edge_faces)
    assert not slopes[:, -3:].any() and np.isfinite(slopes).all()
    nothing = (vertices, -np.ones_like(faces), -np.ones_like(edges), -np.ones_like(edge_faces))
    assert not _losses(*nothing).any() and not _slopes(*nothing).any()


def test_gradients_in_both_modes_and_in_batches():
    rng = np.random.default_rng(0)
    ball = primitives.sphere(0)
    faces, edges, edge_faces = _padded(ball.faces)

    def total(v, target):
        return (
            meshes.laplacian(v, edges)
            + meshes.edge_length(v, edges, target)
            + meshes.normal_consistency(v, faces, edge_faces)
        )

    with jax.enable_x64(True):
        vertices = jnp.asarray(ball.vertices + 0.1 * rng.normal(size=ball.vertices.shape))
        total = jax.jit(total)
        jax.test_util.check_grads(total, (vertices, 0.9), order=1, modes=('fwd', 'rev'), eps=1e-6, rtol=1e-6)
        batch = jax.jit(jax.vmap(total, in_axes=(0, None)))(jnp.stack([vertices, 2 * vertices]), 0.9)
        np.testing.assert_allclose(batch, [total(vertices, 0.9), total(2 * vertices, 0.9)], rtol=1e-12)


def test_faces_without_area_and_vertices_in_one_place_stay_finite():
    vertices = _folded(0.5).at[3].set(jnp.array([0.5, 0, 0])).at[2].set(jnp.array([0.5, 0, 0]))
    vertices = jnp.concatenate([vertices, vertices[2:3]])
    faces = np.int32([[0, 1, 2], [1, 0, 3], [2, 4, 4]])
    found = triangles.topology(faces)

    arguments = (vertices, faces, found.edges, found.edge_faces)
    assert np.isfinite(_losses(*arguments)).all() and np.isfinite(_slopes(*arguments)).all()
    # Neighbours of which one has no area are left out.
    one_flat = _folded(0.5).at[3].set(jnp.array([0.5, 0, 0]))
    assert _losses(one_flat, FACES, FOUND.edges, FOUND.edge_faces)[3] == 0


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda v: meshes.laplacian(v[None], FOUND.edges), r'values: got shape \(1, 4, 3\)'),
        (lambda v: meshes.edge_length(v, FACES), r'edges: got shape \(2, 3\)'),
        (lambda v: meshes.normal_consistency(v, FOUND.edges, FOUND.edge_faces), r'faces: got shape \(5, 2\)'),
        (lambda v: meshes.normal_consistency(v, FACES, FACES), r'edge_faces: got shape \(2, 3\)'),
    ],
)
def test_wrong_shapes_are_named(call, message):
    with pytest.raises(checks.InputError, match=message):
        call(_folded(0.5))
