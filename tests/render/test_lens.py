import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.geometry import cameras, clip, transforms
from neurend.render import lens, rasterize
from tests.oracles import raycast
from tests.oracles.derivatives import check_jacobian

WIDTH, HEIGHT = 192, 128
POSE = transforms.look_at(jnp.array([0.1, -0.2, -0.3]), jnp.array([0.6, 0.1, 1.0]), jnp.array([0.0, -1.0, 0.1]))


def _room():
    """A box around the camera and five triangles in it, before, beside and behind the camera."""
    corners = np.stack(np.meshgrid([-2, 2], [-1.2, 1.2], [-3, 3], indexing='ij'), axis=-1).reshape(-1, 3)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = [[q[0], q[k], q[k + 1]] for q in quads for k in (1, 2)]
    middles = np.array([[0.9, 0.2, 1.4], [-0.8, -0.1, 1.2], [1.2, 0.3, -0.9], [-0.3, 0.2, -1.6], [0.2, 0.0, 2.2]])
    around = np.random.default_rng(1).normal(size=(5, 3, 3)) * 0.4
    points = np.concatenate([corners, (middles[:, None] + around).reshape(-1, 3)]).astype(np.float32)
    return points, np.concatenate([faces, 8 + np.arange(15).reshape(5, 3)]).astype(np.int32)


POINTS, FACES = _room()
# At its border the fisheye sees 115 degrees from its axis; the panorama is one turn, its seam not at the border.
CAMERAS = {
    'opencv': cameras.make(
        POSE, 90.0, size=(WIDTH, HEIGHT), distortion=jnp.array([-0.25, 0.05, 0, 0, 0.003, -0.002]), model='opencv'
    ),
    'fisheye': cameras.make(
        POSE, 60.0, size=(WIDTH, HEIGHT), distortion=jnp.array([-0.02, 0.002, 0, 0, 0, 0]), model='fisheye'
    ),
    'equirectangular': cameras.make(
        POSE,
        jnp.array([WIDTH / 2, HEIGHT]) / jnp.pi,
        center=jnp.array([60.0, HEIGHT / 2]),
        size=(WIDTH, HEIGHT),
        model='equirectangular',
    ),
}


_error = jax.jit(lens.error, static_argnames=('width', 'height', 'divisions'))


def _draw(camera, divisions, points=POINTS, faces=FACES, **options):
    return lens.rasterize(camera, points, faces, width=WIDTH, height=HEIGHT, divisions=divisions, **options)


def _traced(camera, pixels, points=POINTS, faces=FACES):
    """What float64 rays through pixels [... 2] meet: faces [...], barycentrics [... 3], t [...]."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, camera)
        cast = jax.jit(cameras.rays)(wide, jnp.asarray(pixels, jnp.float64))
        origins, directions = (np.asarray(part).reshape(-1, 3) for part in (cast.origins, cast.directions))
    face, weights, t = raycast.cast(origins, directions, points[faces])
    shape = np.shape(pixels)[:-1]
    return face.reshape(shape), weights.reshape(*shape, 3), t.reshape(shape)


def _centers():
    return np.asarray(cameras.pixel_centers(WIDTH, HEIGHT), np.float64)


@pytest.mark.parametrize(
    'model', [pytest.param(name, marks=pytest.mark.slow) if name == 'fisheye' else name for name in CAMERAS]
)
def test_agrees_with_rays_against_all_triangles(model):
    camera = CAMERAS[model]
    face, weights, t = _traced(camera, _centers())
    wrong = {}
    for divisions in (3, 5):
        found = _draw(camera, divisions)
        shown = np.asarray(found.face)
        same = shown == face
        np.testing.assert_allclose(np.asarray(found.barycentrics)[same], weights[same], atol=1e-5)
        np.testing.assert_allclose(np.asarray(found.depth)[same], -1 / t[same], rtol=1e-5)
        # The room is closed: no gap anywhere, neither at the panorama's poles nor at its ends.
        assert (shown >= 0).all()
        # What shows is what a ray within the stated error meets; poles are not measured.
        bound = float(_error(camera, POINTS, FACES, width=WIDTH, height=HEIGHT, divisions=divisions)) + 1 / 256
        counted = ~same
        if model == 'equirectangular':
            counted &= np.abs(_centers()[..., 1] - HEIGHT / 2) < HEIGHT * 70 / 180
        angle = np.arange(16) * np.pi / 8
        circle = np.concatenate([share * np.stack([np.cos(angle), np.sin(angle)], 1) for share in (0.3, 0.6, 1)])
        nearby, _, _ = _traced(camera, _centers()[counted][:, None] + bound * circle)
        assert (nearby == shown[counted][:, None]).any(1).all(), bound
        wrong[divisions] = int(counted.sum())
    # Towards sixteenfold: the coarser one is not fine yet, and few pixels are wrong.
    assert wrong[3] > 5 * wrong[5]


@pytest.mark.slow
def test_error_shrinks_fourfold_and_is_that_of_the_bent_edge():
    # A straight edge at distance 1 before the axis, seen by an equidistant fisheye of 100 pixels to a radian.
    points = np.array([[-1.0, 0.5, 1], [1, 0.5, 1], [0, 3, 1]], np.float32)
    faces = np.array([[0, 1, 2]], np.int32)
    camera = cameras.make(jnp.eye(4), 100.0, size=(400, 400), model='fisheye')
    errors = [
        float(_error(camera, points, faces, width=400, height=400, divisions=divisions)) for divisions in range(2, 6)
    ]
    along = np.linspace(0, 1, 4 * 2**2 + 1)
    want = 0.0
    for a, b in ((0, 1), (1, 2), (2, 0)):
        place = points[a] + along[:, None] * (points[b] - points[a]).astype(np.float64)
        across = np.hypot(place[:, 0], place[:, 1])
        pixel = place[:, :2] * (np.arctan2(across, place[:, 2]) / across)[:, None] * 100
        for k in range(0, 16, 4):
            chord, aside = pixel[k + 4] - pixel[k], pixel[k + 1 : k + 4] - pixel[k]
            want = max(want, np.abs(chord[0] * aside[:, 1] - chord[1] * aside[:, 0]).max() / np.hypot(*chord))
    np.testing.assert_allclose(errors[0], want, rtol=1e-3)
    np.testing.assert_allclose(np.array(errors[1:-1]) / errors[2:], 4, atol=0.4)
    enough = lens.enough_divisions(camera, points, faces, width=400, height=400, accuracy=errors[1])
    assert enough == 3


def test_without_distortion_it_is_the_plain_rasterizer():
    plain = cameras.make(POSE, 90.0, size=(WIDTH, HEIGHT))
    want = rasterize.rasterize(clip.from_camera(plain, POINTS), FACES, width=WIDTH, height=HEIGHT)
    same = _draw(plain, 2)
    jax.tree.map(np.testing.assert_array_equal, same, want)
    assert float(_error(plain, POINTS, FACES, width=WIDTH, height=HEIGHT, divisions=0)) == 0
    found = _draw(dataclasses.replace(plain, model='opencv'), 5)
    agree = np.asarray(found.face == want.face)
    assert agree.mean() > 0.999
    np.testing.assert_allclose(found.barycentrics[agree], want.barycentrics[agree], atol=1e-4)
    np.testing.assert_allclose(found.derivatives[agree], want.derivatives[agree], atol=1e-5)
    np.testing.assert_allclose(found.depth[agree], want.depth[agree], rtol=1e-3)


def test_a_triangle_across_the_seam_shows_at_both_ends():
    camera = dataclasses.replace(CAMERAS['equirectangular'], center=jnp.array([WIDTH / 2, HEIGHT / 2]))
    behind = np.asarray(POSE[:3, :3]) @ np.array([[-1.0, -0.8, -2], [1.2, -0.5, -2], [0.1, 0.9, -2]]).T
    points = (behind.T + np.asarray(POSE[:3, 3])).astype(np.float32)
    faces = np.array([[0, 1, 2]], np.int32)
    shown = np.asarray(_draw(camera, 5, np.tile(points, (8, 1))[: len(POINTS)], np.tile(faces, (17, 1))).face)
    face, _, _ = _traced(camera, _centers(), points, faces)
    assert (shown[:, 0] == 0).sum() > 10 and (shown[:, -1] == 0).sum() > 10 and (shown[:, WIDTH // 2] == -1).all()
    assert ((shown == 0) != (face == 0)).sum() <= 0.01 * (face == 0).sum()


def test_a_lens_that_folds_over_shows_nothing_beyond():
    # r - 0.3 r^3 turns back at r = 1/sqrt(0.9), where it is 2/3 of that.
    folding = cameras.make(
        POSE, 90.0, size=(WIDTH, HEIGHT), distortion=jnp.array([-0.3, 0, 0, 0, 0, 0]), model='opencv'
    )
    rim = 90 * 2 / 3 / np.sqrt(0.9)
    radius = np.linalg.norm(_centers() - np.array([WIDTH / 2, HEIGHT / 2]), axis=-1)
    shown = np.asarray(_draw(folding, 5).face)
    assert (shown[radius < rim - 0.1] >= 0).all() and (shown[radius > rim + 0.1] == -1).all()
    face, _, _ = _traced(folding, _centers())
    inside = radius < rim - 0.5
    assert (shown != face)[inside].mean() < 0.01
    # Behind the camera, and beside it farther out than the lens sees: both would be mirrored into the picture.
    for direction in ([0, 0, -2.0], [2, 0, 0.5]):
        local = np.array(direction) + 0.2 * np.random.default_rng(0).normal(size=(len(POINTS), 3))
        points = local @ np.asarray(POSE[:3, :3]).T + np.asarray(POSE[:3, 3])
        assert (np.asarray(_draw(folding, 5, points.astype(np.float32)).face) == -1).all()


@pytest.mark.slow
@pytest.mark.parametrize('model', ['opencv', 'fisheye', 'equirectangular'])
def test_gradients_and_derivatives_agree_with_differences(model):
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, CAMERAS[model])
        points = jnp.asarray(POINTS, jnp.float64)

        @jax.jit
        def weights(points, twist, focal, center, distortion):
            pose = transforms.compose(wide.world_from_camera, transforms.se3_exp(twist))
            camera = dataclasses.replace(
                wide, world_from_camera=pose, focal=focal, center=center, distortion=distortion
            )
            return lens.rasterize(camera, points, FACES, width=WIDTH, height=HEIGHT, divisions=2)

        start = (points, jnp.zeros(6), wide.focal, wide.center, wide.distortion)
        found = weights(*start)
        inside = np.argwhere(np.asarray(found.barycentrics).min(-1) > 0.03)
        rows, columns = np.random.default_rng(0).permutation(inside)[:8].T
        check_jacobian(lambda *x: weights(*x).barycentrics[rows, columns], *start, step=1e-6, rtol=1e-5, atol=1e-7)
        for axis in range(2):
            step = 1e-5 * jnp.eye(2)[axis]
            ends = [weights(*start[:3], wide.center + sign * step, wide.distortion).barycentrics for sign in (-1, 1)]
            want = np.asarray(ends[0] - ends[1])[rows, columns] / 2e-5
            np.testing.assert_allclose(
                np.asarray(found.derivatives)[rows, columns, :, axis], want, rtol=1e-5, atol=1e-8
            )


@pytest.mark.slow
@pytest.mark.parametrize('model', ['opencv', 'equirectangular'])
def test_antialiased_outlines_have_the_area_and_its_gradient(model):
    # A tetrahedron straight ahead, or across the seam. Its image grows with the square of the focal length; turning a
    # panorama only moves it.
    corners = jnp.array([[1.0, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]]) * 0.6
    points = corners + jnp.array([[0.3, 0.2, -2.5 if model == 'equirectangular' else 2.5]])
    faces = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]], np.int32)
    topology = lens.topology(faces, divisions=3)
    camera = dataclasses.replace(
        CAMERAS[model],
        world_from_camera=jnp.eye(4),
        center=jnp.array([WIDTH / 2, HEIGHT / 2]),
        distortion=CAMERAS[model].distortion * (model == 'opencv'),
    )

    @jax.jit
    def covered(camera, points):
        found = _draw(camera, 3, points, faces)
        ones = (found.face >= 0).astype(jnp.float32)[..., None]
        return jnp.sum(lens.antialias(ones, found, camera, points, faces, topology, divisions=3))

    fine = cameras.resize(camera, 4)
    traced, _, _ = _traced(fine, cameras.pixel_centers(4 * WIDTH, 4 * HEIGHT), np.asarray(points), faces)
    area = (traced >= 0).sum() / 16
    assert area > 200
    np.testing.assert_allclose(covered(camera, points), area, rtol=0.005)

    def scaled(scale, angle, shift):
        pose = transforms.compose(camera.world_from_camera, transforms.se3_exp(jnp.array([0.0, 0, 0, 0, 1, 0]) * angle))
        moved = dataclasses.replace(
            camera, world_from_camera=pose, focal=camera.focal * scale, center=camera.center + shift
        )
        return covered(moved, points)

    gradient = jax.jit(jax.grad(scaled, argnums=(0, 1, 2)))
    shifts = jnp.asarray(np.random.default_rng(0).uniform(-0.5, 0.5, (8, 2)), jnp.float32)
    found = [gradient(1.0, 0.0, shift) for shift in shifts]
    by_scale, by_angle, by_shift = (np.array([part[k] for part in found]) for k in range(3))
    if model == 'equirectangular':
        assert np.abs(by_angle).max() > 10
        np.testing.assert_allclose(by_angle, -by_shift[:, 0] * camera.focal[0], rtol=1e-3, atol=0.1)
    else:
        np.testing.assert_allclose(by_scale.mean(), 2 * area, rtol=0.03)
    assert np.abs(by_shift.mean(0)).max() < 0.01 * area


@pytest.mark.slow
def test_cameras_and_meshes_under_vmap_and_padding():
    pair = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), CAMERAS['fisheye'])
    pair = dataclasses.replace(pair, focal=pair.focal * jnp.array([[1.0], [1.2]]))
    damaged = POINTS.copy()
    damaged[-1] = np.nan
    padded = FACES.copy()
    padded[12:14] = [[-1, -1, -1], [0, 1, len(POINTS)]]
    together = jax.jit(jax.vmap(lambda *x: _draw(x[0], 2, *x[1:])))(
        pair, jnp.stack([POINTS, damaged]), jnp.stack([FACES, padded])
    )
    without = padded.copy()
    without[[12, 13, 16]] = -1
    for k, faces in enumerate((FACES, without)):
        alone = _draw(pair[k], 2, POINTS, faces)
        np.testing.assert_array_equal(together.face[k], alone.face)
        np.testing.assert_allclose(together.barycentrics[k], alone.barycentrics, atol=1e-5)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(_draw(pair[0], 2, p, padded).barycentrics ** 2)))(
        jnp.asarray(damaged)
    )
    assert np.isfinite(gradient).all() and (np.asarray(gradient) != 0).any()


@pytest.mark.parametrize(
    'change, message',
    [
        ({'divisions': 9}, 'divisions: got 9 for 17 faces, expected 0 to 8'),
        ({'divisions': -1}, 'divisions: got -1'),
        ({'faces': np.zeros((2**18, 3), np.int32), 'divisions': 4}, 'F 4\\^divisions up to 33554432'),
        ({'faces': np.zeros((4, 3))}, 'faces: got float32, expected integers'),
        ({'points': np.zeros((2, 4, 3))}, r'points: got shape \(2, 4, 3\), expected \(V, 3\)'),
        ({'camera': CAMERAS['opencv'][None]}, r'camera: got leading dims \(1,\), expected one camera; use jax.vmap'),
        ({'cull': 'rear'}, "cull: got 'rear'"),
        ({'width': 0}, 'width: got 0'),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {'camera': CAMERAS['opencv'], 'points': POINTS, 'faces': FACES, 'width': 8, 'height': 8} | change
    with pytest.raises(checks.InputError, match=message):
        lens.rasterize(arguments.pop('camera'), arguments.pop('points'), arguments.pop('faces'), **arguments)
    with pytest.raises(checks.InputError, match='accuracy: got 0, expected a positive number'):
        lens.enough_divisions(CAMERAS['opencv'], POINTS, FACES, width=8, height=8, accuracy=0)
