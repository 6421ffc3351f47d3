import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neurend import checks
from neurend.geometry import surface
from neurend.scenes import primitives

COUNT = 20000
BOX = primitives.box((1, 2, 3))
# With padding, and a face without area.
FACES = np.concatenate([[[-1, -1, -1]], BOX.faces[:6], [[0, 0, 5]], BOX.faces[6:], [[3, 3, 3], [-1, -1, -1]]])
_sample = jax.jit(surface.sample, static_argnames='count')
_chamfer = jax.jit(surface.chamfer, static_argnames=('squared', 'chunk'))


@pytest.fixture(scope='module')
def drawn():
    return jax.device_get(_sample(jax.random.key(0), BOX.vertices, FACES, count=COUNT))


def test_points_are_spread_by_area(drawn):
    a, b, c = np.moveaxis(BOX.vertices.astype(np.float64)[np.maximum(FACES, 0)], 1, 0)
    areas = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=-1) * (FACES[:, 0] >= 0)
    share = areas / 22
    found = np.bincount(drawn.face, minlength=len(FACES)) / COUNT
    assert (drawn.face >= 0).all() and not found[areas == 0].any()
    # Five standard deviations of a binomial distribution.
    assert (np.abs(found - share) <= 5 * np.sqrt(share * (1 - share) / COUNT)).all()
    # The moments of the uniform distribution over a triangle.
    moments = drawn.barycentrics.T.astype(np.float64) @ drawn.barycentrics / COUNT
    np.testing.assert_allclose(drawn.barycentrics.mean(0), 1 / 3, atol=0.01)
    np.testing.assert_allclose(moments, (1 + np.eye(3)) / 12, atol=0.005)
    assert drawn.barycentrics.min() >= 0
    np.testing.assert_allclose(drawn.barycentrics.sum(-1), 1, atol=1e-6)
    # Every point is on a wall of the box, where its face and barycentrics say.
    np.testing.assert_allclose((np.abs(drawn.points) / [0.5, 1, 1.5]).max(-1), 1, atol=1e-6)
    corners = BOX.vertices[FACES[drawn.face]]
    np.testing.assert_allclose(drawn.points, (drawn.barycentrics[..., None] * corners).sum(1), atol=1e-6)


def test_points_move_with_the_vertices(drawn):
    def mean(vertices):
        return surface.sample(jax.random.key(0), vertices, FACES, COUNT).points.mean(0)[0]

    wanted = np.zeros(8)
    np.add.at(wanted, FACES[drawn.face], drawn.barycentrics / COUNT)
    gradient = jax.jit(jax.grad(mean))(jnp.asarray(BOX.vertices))
    np.testing.assert_allclose(gradient, wanted[:, None] * [1, 0, 0], atol=1e-5)
    change = jax.jit(lambda v: jax.jvp(mean, (v,), (jnp.ones_like(v),))[1])(jnp.asarray(BOX.vertices))
    np.testing.assert_allclose(change, 1, rtol=1e-5)


def test_meshes_without_area_and_batches():
    keys = jax.random.split(jax.random.key(1), 3)
    vertices = jnp.stack([jnp.asarray(BOX.vertices), jnp.zeros((8, 3)), 5 + BOX.vertices])
    batch = jax.jit(jax.vmap(lambda k, v: surface.sample(k, v, FACES, 50)))(keys, vertices)
    single = _sample(keys[2], vertices[2], FACES, count=50)
    for got, wanted in zip(batch, single):
        np.testing.assert_allclose(got[2], wanted, rtol=1e-5)
    assert (batch.face[1] == -1).all() and not batch.points[1].any() and not batch.barycentrics[1].any()
    slope = jax.jit(jax.grad(lambda v: surface.sample(keys[0], v, FACES, 50).points.sum()))
    assert not slope(vertices[1]).any()
    assert (surface.sample(keys[0], jnp.zeros((0, 3)), jnp.zeros((0, 3), int), 4).face == -1).all()


@pytest.mark.parametrize('squared', [True, False])
def test_chamfer_is_that_of_all_pairs(squared):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(70, 3)), rng.normal(size=(45, 3)) + 0.5
    pairs = np.linalg.norm(a[:, None] - b[None], axis=-1)
    wanted = [(pairs.min(axis) ** (2 if squared else 1)).mean() for axis in (1, 0)]
    for chunk in (1, 32, 1000):
        got = _chamfer(jnp.float32(a), jnp.float32(b), squared=squared, chunk=chunk)
        np.testing.assert_allclose(got, wanted, rtol=1e-5)
    index = surface.nearest(jnp.float32(a), jnp.float32(b))
    np.testing.assert_array_equal(index, pairs.argmin(1))
    assert surface.nearest(jnp.zeros((1, 3)), jnp.ones((4, 3))).tolist() == [0]


def test_gradients_go_to_both_sets():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        a, b = jnp.asarray(rng.normal(size=(11, 3))), jnp.asarray(rng.normal(size=(7, 3)))
        for squared in (True, False):
            both = jax.jit(lambda a, b, s=squared: surface.chamfer(a, b, squared=s))
            jax.test_util.check_grads(both, (a, b), order=1, modes=('fwd', 'rev'), eps=1e-6, rtol=1e-6)
        # Of one direction alone, by hand.
        index = np.linalg.norm(a[:, None] - b[None], axis=-1).argmin(1)
        to_a, to_b = jax.jit(jax.grad(lambda a, b: surface.chamfer(a, b)[0], argnums=(0, 1)))(a, b)
        wanted = np.zeros((7, 3))
        np.add.at(wanted, index, -2 * (np.asarray(a) - np.asarray(b)[index]) / 11)
        np.testing.assert_allclose(to_a, 2 * (np.asarray(a) - np.asarray(b)[index]) / 11, rtol=1e-12)
        np.testing.assert_allclose(to_b, wanted, rtol=1e-12)
        batch = jax.jit(jax.vmap(lambda a: surface.chamfer(a, b)[1]))(jnp.stack([a, a + 1]))
        np.testing.assert_allclose(batch[1], surface.chamfer(a + 1, b)[1], rtol=1e-12)
    same = jnp.ones((4, 3))
    assert not jax.jit(jax.grad(lambda a: sum(surface.chamfer(a, same, squared=False))))(same).any()


def test_spheres_are_as_far_apart_as_their_radii():
    rays = primitives.sphere(3).vertices
    np.testing.assert_allclose(_chamfer(rays, 1.1 * rays, squared=False), 0.1, rtol=1e-5)
    np.testing.assert_allclose(_chamfer(rays, 1.1 * rays), 0.01, rtol=1e-4)
    # Of N points at random the nearest lies at an angle whose square has the mean 4/N, and the squared distance
    # between spheres of radii r and s grows by r s times this.
    ball = primitives.sphere(5)
    points = _sample(jax.random.key(2), ball.vertices, ball.faces, count=COUNT).points
    points = 1.1 * points / jnp.linalg.norm(points, axis=-1, keepdims=True)
    nearest, _ = _chamfer(rays, points)
    np.testing.assert_allclose(nearest - 0.01, 1.1 * 4 / COUNT, rtol=0.25)


def test_memory_stays_bounded():
    shapes = [jax.ShapeDtypeStruct((10_000, 3), jnp.float32)] * 2
    slopes = jax.jit(jax.grad(lambda a, b: sum(surface.chamfer(a, b)), argnums=(0, 1)))
    compiled = slopes.lower(*shapes).compile()
    # All pairs of distances would take 400 MB.
    assert compiled.memory_analysis().temp_size_in_bytes < 40e6


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda k: surface.sample(k, jnp.zeros((2, 4, 3)), FACES, 5), r'vertices: got shape \(2, 4, 3\)'),
        (lambda k: surface.sample(k, BOX.vertices, jnp.zeros((4, 4), int), 5), r'faces: got shape \(4, 4\)'),
        (lambda k: surface.chamfer(jnp.zeros((4, 3)), jnp.zeros((4, 2))), r'others: got shape \(4, 2\)'),
        (lambda k: surface.chamfer(jnp.zeros((4, 3)), jnp.zeros((0, 3))), 'others: got no points'),
        (lambda k: surface.chamfer(jnp.zeros((0, 3)), jnp.zeros((4, 3))), 'others: got no points'),
        (lambda k: surface.nearest(jnp.zeros((4, 3)), jnp.zeros((4, 3)), chunk=0), 'chunk: got 0'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(checks.InputError, match=message):
        call(jax.random.key(0))
