import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, transforms
from neurend.images import color
from neurend.render import splat
from neurend.scenes import points
from neurend.scenes.meshes import Material, Mesh


def test_spacing_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(40, 3))
    away = np.sort(np.linalg.norm(positions[:, None] - positions[None], axis=-1), axis=1)
    np.testing.assert_allclose(points.spacing(positions), away[:, 1:4].mean(1), rtol=1e-5)
    assert (points.spacing(np.zeros((5, 3))) > 0).all()
    assert points.spacing(np.zeros((1, 3))).shape == (1,)


def test_pixels_of_known_depth_draw_their_picture():
    rng = np.random.default_rng(0)
    rgb, depth = rng.uniform(size=(6, 8, 3)).astype(np.float32), rng.uniform(1, 3, size=(6, 8)).astype(np.float32)
    depth[0, 0] = 0
    camera = cameras.make(transforms.se3_exp(jnp.array([0.3, -0.2, 0.1, 0.2, -0.3, 0.1])), 9.0, size=(8, 6))
    cloud = points.from_depth(rgb, depth, camera)
    assert cloud.positions.shape == (47, 3)
    found = splat.splat(cloud.positions, cloud.features, 0.5 * cloud.radii, camera, (8, 6), blend='nearest', reach=2)
    there = depth > 0
    np.testing.assert_array_equal(found.alpha, there)
    np.testing.assert_allclose(found.rgb, rgb * there[..., None], atol=1e-6)
    np.testing.assert_allclose(found.depth, depth, atol=1e-5)
    both = points.concatenate([cloud, cloud])
    assert both.radii.shape == (94,)


def square(**more):
    return Mesh(np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]]), np.array([[0, 1, 2], [0, 2, 3]]), **more)


def test_points_on_a_mesh_have_its_colours():
    # Linear colours that are where the point is.
    cloud = points.on_mesh(jax.random.key(0), square(colors=np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])), 50)
    places = np.asarray(cloud.positions)
    np.testing.assert_allclose(color.linear_from_srgb(cloud.features[:, :2]), places[:, :2], atol=1e-5)
    assert (places[:, 2] == 0).all() and (np.asarray(cloud.radii) > 0).all()
    # Red left of the middle, green on the right; halved by the base colour.
    picture = np.zeros((2, 64, 3))
    picture[:, :32, 0] = picture[:, 32:, 1] = 1
    uvs = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    looks = (Material(np.full(3, 0.5), 0.0, 1.0, picture),)
    painted = points.on_mesh(
        jax.random.key(1), square(uvs=uvs, uv_faces=np.array([[0, 1, 2], [0, 2, 3]]), materials=looks), 40
    )
    x, found = np.asarray(painted.positions)[:, 0], np.asarray(color.linear_from_srgb(painted.features))
    away = np.abs(x - 0.5) > 0.02
    np.testing.assert_allclose(found[away, 0], 0.5 * (x[away] < 0.5), atol=1e-5)
    np.testing.assert_allclose(found[away, 1], 0.5 * (x[away] > 0.5), atol=1e-5)
    with pytest.raises(InputError, match='none with an area'):
        points.on_mesh(jax.random.key(0), Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), 5)


def test_points_in_one_cell_become_their_mean():
    rng = np.random.default_rng(3)
    positions, features = rng.uniform(-1, 1, (60, 3)), rng.uniform(size=(60, 2))
    found = points.thinned(points.make(positions, features, radii=0.1), 0.7)
    cells = {}
    for k, place in enumerate(positions):
        cells.setdefault(tuple(np.floor(place / 0.7)), []).append(k)
    expected = np.array([[*positions[k].mean(0), *features[k].mean(0)] for k in cells.values()])
    got = np.concatenate([found.positions, found.features], axis=-1)
    np.testing.assert_allclose(got[np.lexsort(got.T)], expected[np.lexsort(expected.T)], atol=1e-6)
    with pytest.raises(InputError, match='edge: got 0'):
        points.thinned(found, 0.0)


def test_bad_input():
    for positions, radii, match in (
        (np.zeros((0, 3)), None, 'at least one point'),
        (np.full((2, 3), np.nan), None, 'positions: 6 of 6'),
        (np.zeros((2, 3)), -1.0, 'radii: got -1'),
    ):
        with pytest.raises(InputError, match=match):
            points.make(positions, np.ones((len(positions), 3)), radii=radii)
    camera = cameras.make(jnp.eye(4), 4.0, size=(4, 4))
    with pytest.raises(InputError, match='depth: got none above 0'):
        points.from_depth(np.ones((4, 4, 3)), np.zeros((4, 4)), camera)
    with pytest.raises(InputError, match='where: got no pixel'):
        points.from_depth(np.ones((4, 4, 3)), np.ones((4, 4)), camera, where=np.zeros((4, 4), bool))
