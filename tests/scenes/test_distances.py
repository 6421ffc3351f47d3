import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.scenes import distances, level_sets, mesh_extra, primitives

POINTS = jnp.asarray(np.random.default_rng(0).uniform(-2, 2, (400, 3)), jnp.float32)


@pytest.mark.parametrize(
    ('fn', 'mesh'),
    [
        (distances.sphere(0.9), primitives.sphere(5, 0.9)),
        (distances.torus(1.0, 0.35), primitives.torus(1.0, 0.35, 200, 100)),
        (distances.box((1.0, 0.6, 1.4)), None),
    ],
    ids=['sphere', 'torus', 'box'],
)
def test_distances_are_those_to_the_surface(fn, mesh):
    if mesh is None:
        steps = np.linspace(-0.5, 0.5, 61)
        a, b = (part.ravel() for part in np.meshgrid(steps, steps))
        faces = [np.roll(np.stack([a, b, np.full_like(a, s)], -1), k, -1) for k in range(3) for s in (-0.5, 0.5)]
        surface = np.concatenate(faces) * [1.0, 0.6, 1.4]
    else:
        surface = mesh.vertices
    away = np.sqrt(((np.asarray(POINTS)[:, None] - surface[None]) ** 2).sum(-1)).min(1)
    # Points of a surface are never nearer than it is, and little farther.
    found = np.abs(fn(POINTS))
    assert (away - found).min() > -1e-3 and (away - found).max() < 0.04
    gradient = jax.grad(lambda x: fn(x).sum())(POINTS)
    np.testing.assert_allclose(jnp.linalg.norm(gradient, axis=-1), 1, atol=1e-4)


def test_inside_is_negative_and_a_union_is_all_of_its_parts():
    center = jnp.array([1.0, 0.0, 0.0])
    ball, cube = distances.sphere(0.5), distances.box((1.0, 1.0, 1.0), center)
    both = distances.union(ball, cube)(POINTS)
    np.testing.assert_array_equal(both, jnp.minimum(ball(POINTS), cube(POINTS)))
    inside = (np.abs(POINTS - center[None]).max(-1) < 0.5) | (np.linalg.norm(POINTS, axis=-1) < 0.5)
    np.testing.assert_array_equal(both < 0, inside)


def test_a_grid_of_distances_is_near_them_and_never_too_large():
    truth = distances.torus(0.6, 0.2)
    low, high = (-1.0, -1.0, -0.5), (1.0, 1.0, 0.5)
    values = jnp.asarray(level_sets.sample(truth, low, high, 40))
    grid = distances.grid(values, low, high)
    inside = jnp.all(jnp.abs(POINTS) < jnp.asarray(high)[None], axis=-1)
    assert 20 < inside.sum() < 200
    np.testing.assert_allclose(grid(POINTS)[inside], truth(POINTS)[inside], atol=4e-3)
    far = np.asarray(grid(POINTS) - truth(POINTS))[~np.asarray(inside)]
    assert far.max() < 4e-3 and (np.asarray(grid(POINTS))[~np.asarray(inside)] > 0).all()
    # It meets itself at the faces of the box.
    edge = jnp.array([[1.0, 0.3, 0.1], [-0.2, 0.4, 0.5]])
    np.testing.assert_allclose(grid(edge * (1 + 1e-6)), grid(edge), atol=1e-4)
    gradient = jax.grad(lambda v: distances.grid(v, low, high)(POINTS).sum())(values)
    assert np.isfinite(gradient).all()


def test_level_sets_lie_on_the_surface_and_face_outward():
    pytest.importorskip('skimage')
    low, high = (-1.2, -1.2, -1.3), (1.2, 1.2, 1.1)
    values = level_sets.sample(distances.sphere(0.9), low, high, 32)
    for mesh in (
        level_sets.from_grid(values, low, high),
        level_sets.from_grid(-values, low, high, inside='above'),
        level_sets.from_grid(np.exp(-values), low, high, level=1.0, inside='above'),
    ):
        np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=-1), 0.9, atol=4e-3)
        a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
        volume = (a * np.cross(b, c)).sum() / 6
        assert volume == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.01)
        edges = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=-1)
        assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_what_stops_a_level_set(monkeypatch):
    values = np.random.default_rng(0).uniform(size=(4, 4, 4))
    with pytest.raises(InputError, match='no surface in the box'):
        level_sets.from_grid(values, np.zeros(3), np.ones(3), level=2.0)
    with pytest.raises(InputError, match='not finite'):
        level_sets.from_grid(np.full((3, 3, 3), np.nan), np.zeros(3), np.ones(3))
    with pytest.raises(InputError, match='at least 2'):
        level_sets.from_grid(np.zeros((1, 3, 3)), np.zeros(3), np.ones(3))
    with pytest.raises(InputError, match='inside'):
        level_sets.from_grid(values, np.zeros(3), np.ones(3), inside='left')
    with pytest.raises(InputError, match='cells'):
        level_sets.sample(distances.sphere(), np.zeros(3), np.ones(3), 0)
    with pytest.raises(InputError, match='at least 2'):
        distances.grid(jnp.zeros((1, 2, 2)), (0.0, 0, 0), (1.0, 1, 1))

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(mesh_extra.importlib, 'import_module', missing)
    with pytest.raises(InputError, match=r'needs scikit-image.*neurend\[mesh\]'):
        level_sets.from_grid(values, np.zeros(3), np.ones(3), level=0.5)
