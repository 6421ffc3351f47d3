import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.geometry import arap, rotations, triangles
from neurend.scenes import primitives, remesh
from tests.oracles import arap as oracle

# 162 vertices, not all at the same distance from their neighbours.
BALL = primitives.sphere(2)
POINTS = np.asarray(BALL.vertices * np.float32([1.0, 0.7, 1.4]))
TOP, BOTTOM = np.flatnonzero(POINTS[:, 2] > 1.0), np.flatnonzero(POINTS[:, 2] < -1.0)
ENDS = np.concatenate([TOP, BOTTOM])


def turned(vector):
    return np.asarray(rotations.exp(jnp.asarray(vector, jnp.float32)), np.float64)


def twisted():
    """Positions of the ends: the top turned, lifted and shifted."""
    top = POINTS[TOP] @ turned([0.3, -0.5, 0.9]).T + [0.4, 0.0, 0.5]
    return np.concatenate([top, POINTS[BOTTOM]])


def test_places_and_energies_are_those_of_the_dense_system():
    for iterations in (0, 3):
        wanted = oracle.deform(POINTS.astype(np.float64), BALL.faces, ENDS, twisted(), iterations)
        found = np.asarray(arap.deform(POINTS, BALL.faces, ENDS, twisted(), iterations=iterations))
        np.testing.assert_array_equal(found[ENDS], twisted().astype(np.float32))
        np.testing.assert_allclose(found, wanted, atol=5e-4)
        np.testing.assert_allclose(
            arap.energy(POINTS, found, BALL.faces),
            oracle.energy(POINTS.astype(np.float64), found.astype(np.float64), BALL.faces),
            rtol=1e-4,
        )


def test_cotangents_are_those_of_the_angles():
    found = np.zeros((len(POINTS), len(POINTS)))
    each = np.asarray(arap.cotangents(POINTS, BALL.faces))
    for k in range(3):
        i, j = BALL.faces[:, (k + 1) % 3], BALL.faces[:, (k + 2) % 3]
        np.add.at(found, (i, j), each[:, k])
        np.add.at(found, (j, i), each[:, k])
    np.testing.assert_allclose(found, oracle.weights(POINTS.astype(np.float64), BALL.faces), atol=1e-5)


def test_the_energy_never_rises():
    def at(iterations):
        found = arap.deform(POINTS, BALL.faces, ENDS, twisted(), iterations=iterations)
        return float(arap.energy(POINTS, found, BALL.faces))

    energies = np.array([at(n) for n in (*range(9), 20, 40, 100)])
    assert (np.diff(energies) <= 1e-5 * energies[:-1]).all()
    assert energies[-1] < 0.9 * energies[0]
    assert float(arap.energy(POINTS, POINTS, BALL.faces)) < 1e-9


@pytest.mark.parametrize('vector', [(0.0, 0.0, 0.0), (0.2, -0.4, 0.1), (1.5, 2.0, -1.6)])
def test_handles_that_move_rigidly_take_everything_with_them(vector):
    rigid = POINTS @ turned(vector).T + [3.0, -2.0, 0.5]
    found = arap.deform(POINTS, BALL.faces, ENDS, rigid[ENDS])
    np.testing.assert_allclose(found, rigid, atol=1e-5)


def test_what_handles_leave_open_stays_as_it_is():
    # One handle, and two in line, say nothing about turns; parts without a handle go along.
    single = arap.deform(POINTS, BALL.faces, np.array([5]), POINTS[[5]] + np.float32([[1, 2, 3]]))
    np.testing.assert_allclose(single, POINTS + [[1, 2, 3]], atol=1e-5)
    axis = np.array([np.argmax(POINTS[:, 2]), np.argmin(POINTS[:, 2])])
    pair = arap.deform(POINTS, BALL.faces, axis, POINTS[axis] @ turned([0.4, 0, 0]).T)
    np.testing.assert_allclose(pair, POINTS @ turned([0.4, 0, 0]).T, atol=2e-5)
    twice = np.concatenate([POINTS, POINTS + np.float32([[5, 0, 0]]), np.float32([[9, 9, 9]])])
    faces = np.concatenate([BALL.faces, BALL.faces + len(POINTS), np.full((3, 3), -1)])
    rigid = twice @ turned([0.2, 0.3, 0.4]).T
    found = arap.deform(twice, faces, ENDS, rigid[ENDS])
    np.testing.assert_allclose(found, rigid, atol=2e-5)


def bar():
    mesh = remesh.subdivide_to(primitives.box((4.0, 0.6, 0.6)), 0.45)
    x = mesh.vertices[:, 0]
    return mesh, np.flatnonzero(x < -1.99), np.flatnonzero(x > 1.99)


def test_a_bar_bent_by_its_ends_keeps_its_edges():
    mesh, left, right = bar()
    points = mesh.vertices
    # The right end turned by a right angle and put where a bent bar of the same length would have it.
    turn, shift = turned([0, 0, np.pi / 2]), np.array([0.5, 2.5, 0])
    bent = (points - [2.0, 0, 0]) @ turn.T + shift
    handles = np.concatenate([left, right])
    positions = np.concatenate([points[left], bent[right]])
    found = np.asarray(arap.deform(points, mesh.faces, handles, positions, iterations=100))
    share = (points[:, :1] + 2) / 4
    blended = (1 - share) * points + share * bent
    edges = triangles.topology(mesh.faces).edges

    def stretch(places):
        lengths = [np.linalg.norm(p[edges[:, 0]] - p[edges[:, 1]], axis=-1) for p in (places, points)]
        return np.sqrt(np.mean((lengths[0] / lengths[1] - 1) ** 2))

    assert stretch(found) < 0.35 * stretch(blended)
    assert arap.energy(points, found, mesh.faces) < 0.2 * arap.energy(points, blended, mesh.faces)


def test_needles_and_faces_without_area_do_no_harm():
    # A face without area at each corner of a face, and a needle between two neighbours.
    faces, count = BALL.faces, len(POINTS)
    a, b = faces[0, 0], faces[0, 1]
    needle = POINTS[a] + 0.5 * (POINTS[b] - POINTS[a]) + np.float32([0, 0, 1e-7])
    points = np.concatenate([POINTS, needle[None]])
    faces = np.concatenate([faces, [[a, b, count], [a, a, b], [b, b, b]]])
    weights = np.asarray(arap.cotangents(points, faces))
    assert np.isfinite(weights).all() and np.abs(weights).max() < 1 / 0.001
    # Each face's share of the energy is convex: weights as a quadratic form have no negative direction.
    for w in weights[-4:].astype(np.float64):
        matrix = np.diag(w.sum() - w) - (w.sum() - w[:, None] - w[None]) * (1 - np.eye(3))
        assert np.linalg.eigvalsh(matrix).min() >= -1e-4 * np.abs(w).max()
    energies = []
    for iterations in (0, 1, 2, 5, 20):
        found = arap.deform(points, faces, ENDS, twisted(), iterations=iterations)
        energies.append(float(arap.energy(points, found, faces)))
    assert np.isfinite(energies).all() and (np.diff(energies) <= 1e-5 * np.array(energies[:-1])).all()


def test_it_compiles_and_batches():
    targets = jnp.stack([twisted(), POINTS[ENDS]]).astype(jnp.float32)
    both = jax.jit(jax.vmap(lambda p: arap.deform(POINTS, BALL.faces, ENDS, p, iterations=3)))(targets)
    one = jax.jit(arap.deform)(POINTS, BALL.faces, ENDS, targets[0], iterations=3)
    np.testing.assert_allclose(both[0], one, atol=1e-5)
    np.testing.assert_allclose(both[1], POINTS, atol=1e-5)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'handles': np.zeros(0, int), 'positions': np.zeros((0, 3))}, 'handles: got none'),
        ({'handles': np.array([1, 1])}, r'handles: got \[1, 1\], expected each once, from 0 to 161'),
        ({'handles': np.array([1, 162])}, r'handles: got \[1, 162\]'),
        ({'positions': np.zeros((3, 3))}, r'positions: got shape \(3, 3\), expected \(k=2, 3\)'),
        ({'faces': np.zeros((3, 2), int)}, r'faces: got shape \(3, 2\)'),
    ],
)
def test_wrong_arguments_are_named(change, message):
    given = {'vertices': POINTS, 'faces': BALL.faces, 'handles': np.array([0, 1]), 'positions': np.zeros((2, 3))}
    with pytest.raises(checks.InputError, match=message):
        arap.deform(**given | change)
