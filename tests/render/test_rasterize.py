import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neurend import checks
from neurend.render import rasterize
from tests.oracles import rasterize as oracle

WIDTH, HEIGHT = 24, 20


@jax.jit
def _draw(vertices, faces):
    return rasterize.rasterize(vertices, faces, width=WIDTH, height=HEIGHT)


def _scene(seed):
    """Twelve triangles: any, slivers, one before another, coplanar ones, across the camera's plane, behind it."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(-8, 32, (12, 3, 2))
    w = rng.uniform(0.5, 4, (12, 3))
    place[3, 2] = place[3, 0] + rng.uniform(0.4, 0.6) * (place[3, 1] - place[3, 0]) + rng.normal(size=2) * 0.01
    place[4] = place[4, :1] + rng.normal(size=(3, 2))
    w[5] = w[6] = 2.0
    place[7] = place[7] * 500
    points = np.concatenate([place * w[..., None], np.full((12, 3, 1), -1.0), w[..., None]], axis=-1)
    crossing = rng.normal(size=(3, 3, 3)) * np.array([2, 2, 1.5])
    points[8:11] = _pinhole(crossing)
    points[11] = _pinhole(rng.normal(size=(3, 3)) - np.array([0, 0, 5]))
    return points.reshape(-1, 4).astype(np.float32), np.arange(36, dtype=np.int32).reshape(12, 3)


def _pinhole(points, focal=20.0):
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([x * focal + WIDTH / 2 * z, y * focal + HEIGHT / 2 * z, -np.ones_like(z), z], axis=-1)


def test_agrees_with_float64_on_random_scenes():
    covered = 0
    for seed in range(1000):
        vertices, faces = _scene(seed)
        face = np.asarray(_draw(vertices, faces).face)
        good = oracle.acceptable(face, vertices, faces, WIDTH, HEIGHT)
        assert good.all(), (seed, np.argwhere(~good)[:5], face[~good][:5])
        covered += np.unique(face).size
    assert covered > 5000


@pytest.mark.parametrize('grid', ['random', 'centres', 'edges'])
def test_every_pixel_of_a_divided_square_is_hit_once(grid):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        place = np.stack(np.meshgrid(np.linspace(-1, 25, 8), np.linspace(-1, 21, 8)), axis=-1)
        place[1:-1, 1:-1] += rng.uniform(-1, 1, (6, 6, 2))
        if grid != 'random':
            place[1:-1, 1:-1] = np.round(place[1:-1, 1:-1]) + (0.5 if grid == 'centres' else 0)
        place[0, :, 1], place[-1, :, 1], place[:, 0, 0], place[:, -1, 0] = -1, 21, -1, 25
        faces = _divided(8, rng)
        layers = _peel(_flat(place.reshape(-1, 2)), faces)
        assert (np.asarray(layers.face[0]) >= 0).all(), (seed, np.argwhere(layers.face[0] < 0))
        assert (np.asarray(layers.face[1]) < 0).all(), (seed, np.argwhere(layers.face[1] >= 0))


@jax.jit
def _peel(vertices, faces):
    return rasterize.peel(vertices, faces, layers=4, width=WIDTH, height=HEIGHT)


def _flat(place):
    return np.concatenate([place, np.full((len(place), 1), -1.0), np.ones((len(place), 1))], axis=-1).astype(np.float32)


def _divided(n, rng):
    """Two triangles for each cell of a grid of n x n vertices, cut along either diagonal, with any first corner."""
    faces = []
    for i in range(n - 1):
        for j in range(n - 1):
            a, b, c, d = i * n + j, i * n + j + 1, (i + 1) * n + j + 1, (i + 1) * n + j
            pair = [[a, b, c], [a, c, d]] if rng.random() < 0.5 else [[a, b, d], [b, c, d]]
            faces += [np.roll(face, rng.integers(3))[:: rng.choice([-1, 1])] for face in pair]
    return np.array(faces, np.int32)


@pytest.mark.parametrize('step', [None, 1.0, 0.5])
def test_closed_meshes_are_entered_as_often_as_left(step):
    # Corners anywhere, on pixels' corners or centres.
    corners = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1], indexing='ij'), axis=-1).reshape(-1, 3)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = np.array([[q[0], q[k], q[k + 1]] for q in quads for k in (1, 2)], np.int32)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        points = corners * rng.uniform(0.3, 1, 3) + rng.normal(size=(8, 3)) * 0.1 + np.array([0, 0, 3])
        vertices = _pinhole(points)
        if step:
            vertices[:, :2] = np.round(vertices[:, :2] / vertices[:, 3:] / step) * step * vertices[:, 3:]
        face = np.asarray(_peel(vertices.astype(np.float32), faces).face)
        place = np.round(vertices[:, :2] / vertices[:, 3:] * 256) / 256
        (ax, ay), (bx, by) = ((place[faces[:, k]] - place[faces[:, 0]]).T for k in (1, 2))
        sign = np.sign(ax * by - ay * bx)
        entered = np.where(face >= 0, sign[face], 0).sum(0)
        hits = (face >= 0).sum(0)
        assert ((entered == 0) & (hits % 2 == 0)).all(), (seed, np.argwhere(entered != 0))
        assert hits.max() >= 2 and (hits > 0).sum() > 20


def test_layers_are_what_sorting_gives():
    for seed in range(50):
        vertices, faces = _scene(seed)
        layers = _peel(vertices, faces)
        face, depth = np.asarray(layers.face), np.asarray(layers.depth)
        sure, possible, want, slack = oracle.candidates(vertices, faces, WIDTH, HEIGHT)
        rows, columns = np.indices((HEIGHT, WIDTH))
        for k in range(4):
            chosen = np.maximum(face[k], 0)
            there = np.where(face[k] >= 0, want[chosen, rows, columns], 0)
            close = np.abs(np.where(face[k] >= 0, depth[k], 0) - there) <= slack[chosen, rows, columns]
            assert close.all()
        assert (depth[1:] >= depth[:-1]).all()
        for k in range(1, 4):
            assert ((face[k] < 0) | (face[:k] != face[k]).all(0)).all()
        count = (face >= 0).sum(0)
        assert (count >= np.minimum(sure.sum(0), 4)).all() and (count <= possible.sum(0)).all()


def test_order_of_faces_does_not_matter():
    for seed in range(20):
        vertices, faces = _scene(seed)
        order = np.random.default_rng(seed).permutation(len(faces))
        straight, permuted = _draw(vertices, faces), _draw(vertices, faces[order])
        np.testing.assert_array_equal(straight.depth, permuted.depth)
        before, after = np.asarray(straight.face), np.where(permuted.face >= 0, order[permuted.face], -1)
        coplanar = np.isin(before, [5, 6]) & np.isin(after, [5, 6])
        assert ((before == after) | coplanar).all()


def test_of_equal_depths_the_first_face_shows_and_the_others_follow():
    vertices = _flat(np.array([[0, 0], [24, 0], [0, 20]]))
    layers = _peel(vertices, np.tile([[0, 1, 2]], (3, 1)))
    shown = layers.face[0] >= 0
    for k in range(3):
        assert (layers.face[k][shown] == k).all()
    assert (layers.face[3] == -1).all()


def test_weights_of_a_tilted_plane_are_perspective_correct():
    # A plane z = 2 + x through a pinhole camera: where a pixel's ray meets it is known.
    corners = np.array([[-1.5, -1, 0.5], [3, -1, 5], [3, 9, 5], [-1.5, 9, 0.5]])
    fragments = _draw(_pinhole(corners).astype(np.float32), np.array([[0, 1, 2], [0, 2, 3]]))
    face, weights = np.asarray(fragments.face), np.asarray(fragments.barycentrics)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    met = (weights[..., None] * corners[faces[face]]).sum(-2)
    x = (np.arange(WIDTH) + 0.5 - WIDTH / 2) / 20
    depth = 2 / (1 - x)
    shown = face >= 0
    assert shown.sum() > 100
    np.testing.assert_allclose(met[..., 2][shown], np.broadcast_to(depth, face.shape)[shown], rtol=1e-5)
    np.testing.assert_allclose(met[..., 0][shown], np.broadcast_to(x * depth, face.shape)[shown], atol=1e-5)


def test_derivatives_of_weights_are_their_differences():
    with jax.enable_x64(True):
        vertices, faces = _scene(3)
        vertices, face = jnp.float64(vertices), jnp.asarray(_draw(vertices, faces).face)
        _, derivatives = rasterize.barycentrics(vertices, faces, face, jnp.zeros(2, jnp.int32))
        for axis in range(2):
            step = 1e-4 * np.eye(4)[axis]
            moved = (vertices + sign * step[None] * vertices[:, 3:] for sign in (1, -1))
            before, after = (rasterize.barycentrics(v, faces, face, jnp.zeros(2, jnp.int32))[0] for v in moved)
            inside = np.asarray(jnp.min(jnp.minimum(before, after), axis=-1) > 0) & np.asarray(face >= 0)
            assert inside.sum() > 50
            want = np.asarray(after - before)[inside] / 2e-4
            np.testing.assert_allclose(np.asarray(derivatives)[inside][..., axis], want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('cull', ['back', 'front'])
def test_culling_leaves_out_one_side(cull):
    vertices, faces = _scene(1)
    fragments = rasterize.rasterize(vertices, faces, width=WIDTH, height=HEIGHT, cull=cull)
    matrices = vertices[faces][..., [0, 1, 3]].astype(np.float64)
    clockwise = np.linalg.det(matrices) > 0
    kept = faces.copy()
    kept[clockwise if cull == 'back' else ~clockwise] = -1
    np.testing.assert_array_equal(fragments.face, _draw(vertices, kept).face)
    assert (np.asarray(fragments.face) >= 0).any()


@pytest.mark.slow
def test_tiles_make_the_same_picture():
    vertices, faces = _scene(5)
    whole = rasterize.rasterize(vertices, faces, width=50, height=37)
    tiled = rasterize.in_tiles(
        lambda corner: rasterize.rasterize(vertices, faces, width=16, height=16, corner=corner), 50, 37, side=16
    )
    np.testing.assert_array_equal(whole.face, tiled.face)
    np.testing.assert_allclose(whole.barycentrics, tiled.barycentrics, atol=1e-5)


def test_large_and_small_triangles_together():
    # Sizes from a hundredth of a pixel to a thousand pixels take different ways through the code.
    rng = np.random.default_rng(0)
    size = np.geomspace(0.01, 2000, 64)[:, None, None]
    place = rng.uniform(0, 90, (64, 1, 2)) + rng.normal(size=(64, 3, 2)) * size
    vertices = np.concatenate([place, -np.ones((64, 3, 1)), np.ones((64, 3, 1))], axis=-1)
    vertices[..., 2] = np.linspace(-1, 0, 64)[:, None]
    faces = np.arange(192).reshape(64, 3)
    vertices = vertices.reshape(-1, 4).astype(np.float32)
    face = np.asarray(rasterize.rasterize(vertices, faces, width=100, height=90).face)
    assert oracle.acceptable(face, vertices, faces, 100, 90).all()
    assert len(np.unique(face)) > 15


@pytest.mark.slow
def test_scenes_and_cameras_in_one_call():
    scenes = [_scene(seed) for seed in range(4)]
    vertices = np.stack([scene[0] for scene in scenes]).reshape(2, 2, -1, 4)
    faces = np.stack([scene[1] for scene in scenes]).reshape(2, 2, -1, 3)
    together = rasterize.rasterize(vertices, faces, width=WIDTH, height=HEIGHT)
    mapped = jax.vmap(jax.vmap(_draw))(vertices, faces)
    for k, scene in enumerate(scenes):
        alone = _draw(*scene)
        for many in (together, mapped):
            np.testing.assert_array_equal(many.face[k // 2, k % 2], alone.face)
            np.testing.assert_allclose(many.barycentrics[k // 2, k % 2], alone.barycentrics, atol=1e-6)
    shared = rasterize.rasterize(vertices, scenes[0][1], width=WIDTH, height=HEIGHT)
    np.testing.assert_array_equal(shared.face, together.face)


def test_nothing_but_sizes_compiles_anew():
    traces = []

    @jax.jit
    def draw(vertices, faces):
        traces.append(1)
        return rasterize.rasterize(vertices, faces, width=WIDTH, height=HEIGHT).face

    counts = [int((draw(*_scene(seed)) >= 0).sum()) for seed in range(5)]
    counts.append(int((draw(*(part * 0 for part in _scene(0))) >= 0).sum()))
    assert len(traces) == 1 and len(set(counts)) > 3


@pytest.mark.slow
def test_gradients_agree_with_differences():
    vertices, faces = _scene(2)
    with jax.enable_x64(True):
        face = _draw(vertices, faces).face
        target = np.random.default_rng(0).normal(size=(HEIGHT, WIDTH, 3))
        inside = np.asarray(_draw(vertices, faces).barycentrics).min(-1) > 1e-3

        def loss(vertices):
            weights, _ = rasterize.barycentrics(vertices, jnp.asarray(faces), face, jnp.zeros(2, jnp.int32))
            return jnp.sum(jnp.where(inside[..., None], weights * target, 0))

        jax.test_util.check_grads(loss, (jnp.float64(vertices),), order=2, modes=('fwd', 'rev'), eps=1e-5, rtol=1e-3)


@pytest.mark.parametrize('damage', ['nan', 'infinite', 'index', 'negative'])
def test_damaged_triangles_do_not_show_and_do_no_harm(damage):
    vertices, faces = (part.copy() for part in _scene(7))
    healthy = faces[:, 0] != faces[5, 0]
    if damage in ('nan', 'infinite'):
        vertices[faces[5, 1], 0 if damage == 'nan' else 3] = np.nan if damage == 'nan' else np.inf
    else:
        faces[5, 1] = 36 if damage == 'index' else -7
    fragments = _draw(vertices, faces)
    want = faces.copy()
    want[~healthy] = -1
    np.testing.assert_array_equal(fragments.face, _draw(np.nan_to_num(vertices, posinf=1), want).face)
    grads = jax.grad(lambda v: jnp.sum(rasterize.rasterize(v, faces, width=WIDTH, height=HEIGHT).barycentrics[..., 0]))(
        jnp.asarray(vertices)
    )
    assert np.isfinite(np.delete(np.asarray(grads), faces[5] % 36, axis=0)).all()


def test_faces_without_area_and_vertices_in_the_cameras_plane():
    vertices, faces = (part.copy() for part in _scene(7))
    want = _draw(vertices, faces).face
    extra = np.array([[0, 0, 1], [3, 3, 3]], np.int32)
    vertices = np.concatenate([vertices, [[3, 4, -1, 0], [0, 0, 0, 0]]]).astype(np.float32)
    faces = np.concatenate([faces, extra, [[37, 37, 36]]]).astype(np.int32)
    np.testing.assert_array_equal(_draw(vertices, faces).face, want)
    across = np.array([[0, 0, -1, 0], [24, 0, -1, 1], [0, 20, -1, 1]], np.float32)
    face = np.asarray(_draw(across, np.array([[0, 1, 2]])).face)
    assert oracle.acceptable(face, across, [[0, 1, 2]], WIDTH, HEIGHT).all()


@pytest.mark.parametrize('faces', [np.zeros((0, 3), np.int32), np.full((5, 3), -1, np.int32)])
def test_a_mesh_without_triangles_is_an_empty_picture(faces):
    fragments = rasterize.rasterize(np.zeros((4, 4), np.float32), faces, width=5, height=3)
    assert (fragments.face == -1).all() and (fragments.barycentrics == 0).all() and np.isinf(fragments.depth).all()
    empty = rasterize.rasterize(np.zeros((0, 4), np.float32), faces, width=5, height=3)
    assert empty.face.shape == (3, 5) and (empty.face == -1).all()


@pytest.mark.parametrize(
    'change, message',
    [
        ({'width': 0}, 'width: got 0, expected 1 to 8192'),
        ({'height': 10000}, 'in_tiles'),
        ({'near': 0.0}, 'near: got 0.0, expected a positive w'),
        ({'cull': 'rear'}, "cull: got 'rear', expected one of"),
        ({'vertices': np.zeros((4, 3))}, r'vertices: got shape \(4, 3\), expected \(..., V, 4\)'),
        ({'faces': np.zeros((4, 3))}, 'faces: got float32, expected integers'),
        ({'faces': np.zeros((2, 4, 3), np.int32)}, 'leading dims'),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {'vertices': np.ones((4, 4)), 'faces': np.zeros((2, 3), np.int32), 'width': 4, 'height': 4} | change
    with pytest.raises(checks.InputError, match=message):
        rasterize.rasterize(arguments.pop('vertices'), arguments.pop('faces'), **arguments)
