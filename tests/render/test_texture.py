import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neurend import checks
from neurend.render import rasterize, texture


def _lookup(image, u, v, wrap):
    """Four texels around a place, one after the other."""
    height, width, _ = image.shape
    x, y = u * width - 0.5, (1 - v) * height - 0.5
    total = 0.0
    for row, fy in ((int(np.floor(y)), 1 - y % 1), (int(np.floor(y)) + 1, y % 1)):
        for column, fx in ((int(np.floor(x)), 1 - x % 1), (int(np.floor(x)) + 1, x % 1)):
            index = []
            for i, size in ((row, height), (column, width)):
                if wrap == 'clamp':
                    i = min(max(i, 0), size - 1)
                elif wrap == 'mirror' and (i // size) % 2:
                    i = size - 1 - i % size
                index.append(i % size)
            total = total + fy * fx * image[tuple(index)]
    return total


@pytest.mark.parametrize('wrap', texture.WRAPS)
def test_bilinear_is_the_mean_of_four_texels(wrap):
    rng = np.random.default_rng(0)
    image, uv = rng.normal(size=(5, 7, 2)), rng.uniform(-2, 3, (200, 2))
    got = jax.jit(lambda i, p: texture.bilinear(i, p, wrap=wrap))(jnp.float32(image), jnp.float32(uv))
    np.testing.assert_allclose(got, [_lookup(image, *place, wrap) for place in uv], atol=2e-5)


def test_corners_of_the_picture_are_where_uv_says():
    image = jnp.zeros((4, 4, 1)).at[3, 0].set(1.0).at[0, 3].set(2.0)
    got = texture.bilinear(image, jnp.array([[0.125, 0.125], [0.875, 0.875]]))
    np.testing.assert_allclose(got[:, 0], [1, 2], atol=1e-6)


def test_gradients_to_texture_and_place():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        image, uv = jnp.asarray(rng.normal(size=(5, 6, 2))), jnp.asarray(rng.uniform(0, 1, (9, 2)))
        lookup = jax.jit(lambda i, p: texture.bilinear(i, p))
        jax.test_util.check_grads(lookup, (image, uv), order=1, modes=('fwd', 'rev'), eps=1e-6, rtol=1e-3)


def test_levels_halve_and_keep_the_mean():
    image = jnp.asarray(np.random.default_rng(0).uniform(size=(16, 8, 3)), jnp.float32)
    levels = texture.pyramid(image)
    assert [level.shape[:2] for level in levels] == [(16, 8), (8, 4), (4, 2), (2, 1), (1, 1)]
    for level in levels:
        np.testing.assert_allclose(level.mean((0, 1)), image.mean((0, 1)), rtol=1e-5)


def test_trilinear_takes_the_level_whose_texels_are_pixels():
    levels = [jnp.full((64 >> k, 64 >> k, 1), float(k)) for k in range(7)]
    uv = jnp.full((5, 2), 0.3)
    scale = jnp.array([0.25, 1.0, 4.0, 2**3.5, 1e6]) / 64
    derivatives = scale[:, None, None] * jnp.eye(2)[None]
    turned = derivatives @ jnp.array([[0.6, -0.8], [0.8, 0.6]])[None]
    for change in (derivatives, turned):
        np.testing.assert_allclose(texture.trilinear(levels, uv, change)[:, 0], [0, 0, 2, 3.5, 6], atol=1e-4)
    biased = texture.trilinear(levels, uv, derivatives, bias=1.0)
    np.testing.assert_allclose(biased[:, 0], [0, 1, 3, 4.5, 6], atol=1e-4)


SIDE, FOCAL, TILT, AWAY = 256, 40.0, 1.3, 1.2


def plane_place(x, y):
    """Where rays through pixels meet a plane tilted about the x axis: (u, v), float64."""
    across, down = (x - 16) / FOCAL, (y - 12) / FOCAL
    t = AWAY * np.cos(TILT) / (np.cos(TILT) - np.sin(TILT) * down)
    return np.stack([t * across, t * down / np.cos(TILT)], axis=-1) + 0.5


def footprints(x, y):
    """Axes of the ellipses that pixels cover, in texels [... 2], the longer one first, by central differences."""
    h = 1e-4
    change = np.stack(
        [plane_place(x + h, y) - plane_place(x - h, y), plane_place(x, y + h) - plane_place(x, y - h)], axis=-1
    )
    return np.linalg.svd(change / (2 * h) * SIDE, compute_uv=False)


@pytest.fixture(scope='module')
def tilted():
    """UVs and their changes at the pixels of the plane, drawn; and which pixels' neighbours show it too."""
    uvs = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    a, b = (uvs - 0.5).T
    x, y, z = a, b * np.cos(TILT), AWAY + b * np.sin(TILT)
    vertices = np.stack([FOCAL * x + 16 * z, FOCAL * y + 12 * z, -np.ones(4), z], axis=-1).astype(np.float32)
    faces = jnp.array([[0, 1, 2], [0, 2, 3]])
    found = rasterize.rasterize(jnp.asarray(vertices), faces, width=32, height=24)
    uv = texture.interpolate(jnp.asarray(uvs), faces, found)
    change = texture.interpolate_derivatives(jnp.asarray(uvs), faces, found)
    columns, rows = np.meshgrid(np.arange(32), np.arange(24))
    corners = [plane_place(columns + i, rows + j) for i in (0, 1) for j in (0, 1)]
    inside = np.all([((place > 0) & (place < 1)).all(-1) for place in corners], axis=0)
    assert inside.sum() > 100
    return uv, change, inside


def test_the_level_of_a_tilted_plane_is_that_of_its_footprint(tilted):
    uv, change, inside = tilted
    x, y = np.meshgrid(np.arange(32) + 0.5, np.arange(24) + 0.5)
    longer, shorter = np.moveaxis(footprints(x, y), -1, 0)
    assert (longer / shorter)[inside].max() > 4 > 3 > (longer / shorter)[inside].min()
    levels = [jnp.full((SIDE >> k, SIDE >> k, 1), float(k)) for k in range(9)]
    for samples in (1, 4):
        got = texture.trilinear(levels, uv, change, samples=samples)[..., 0]
        want = np.clip(np.log2(np.maximum(shorter, longer / samples)), 0, 8)
        np.testing.assert_allclose(got[inside], want[inside], atol=2e-3)


def test_samples_along_the_longer_axis_show_a_tilted_plane_sharper(tilted):
    """Against the mean of 16 x 16 rays through each pixel."""
    uv, change, inside = tilted
    rng = np.random.default_rng(0)
    image = rng.normal(size=(SIDE, SIDE, 1))
    for axis in (0, 1):  # details of a few texels
        image = sum(np.roll(image, k, axis) for k in range(-3, 4))
    image = jnp.asarray(image / image.std(), jnp.float32)
    steps = (np.arange(16) + 0.5) / 16
    x, y = np.meshgrid((np.arange(32)[:, None] + steps).reshape(-1), (np.arange(24)[:, None] + steps).reshape(-1))
    many = texture.bilinear(image, jnp.asarray(plane_place(x, y), jnp.float32))
    truth = np.asarray(many).reshape(24, 16, 32, 16).mean((1, 3))
    levels = texture.pyramid(image)

    def error(samples):
        got = np.asarray(texture.trilinear(levels, uv, change, samples=samples))[..., 0]
        return np.sqrt(np.mean((got - truth)[inside] ** 2)) / truth[inside].std()

    errors = [error(samples) for samples in (1, 2, 8)]
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.5 * errors[0]


def test_samples_lie_evenly_about_the_place():
    levels = texture.pyramid(jnp.asarray(np.random.default_rng(0).normal(size=(16, 16, 2)), jnp.float32))
    # A linear texture is the mean of its samples wherever they lie evenly about the place.
    ramp = [
        jnp.broadcast_to(((jnp.arange(8 >> k) + 0.5) / (8 >> k))[None, :, None], (8 >> k, 8 >> k, 1)) for k in (0, 1)
    ]
    uv = jnp.array([[0.5, 0.5], [0.4, 0.6]])
    change = jnp.broadcast_to(jnp.array([[0.05, 0.02], [0.0, 0.1]])[None], (2, 2, 2))
    np.testing.assert_allclose(texture.trilinear(ramp, uv, change, samples=4)[:, 0], uv[:, 0], atol=1e-6)
    # A footprint without extent has no axis: all samples lie at the place.
    nothing = jnp.zeros((2, 2, 2))
    np.testing.assert_allclose(
        texture.trilinear(levels, uv, nothing, samples=3), texture.bilinear(levels[0], uv), atol=1e-6
    )


def test_gradients_of_a_pyramid():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        levels = [jnp.asarray(rng.normal(size=(8 >> k, 4 >> k, 2))) for k in range(3)]
        uv, change = jnp.asarray(rng.uniform(0, 1, (7, 2))), jnp.asarray(rng.normal(0, 0.2, (7, 2, 2)))
        lookup = jax.jit(lambda levels, p: texture.trilinear(levels, p, change, samples=2))
        jax.test_util.check_grads(lookup, (levels, uv), order=1, modes=('fwd', 'rev'), eps=1e-6, rtol=1e-3)


def test_cube_maps_return_what_was_painted_on_the_sphere():
    def paint(directions):
        d = directions / jnp.linalg.norm(directions, axis=-1, keepdims=True)
        return jnp.stack([d[..., 0], d[..., 1] * d[..., 2], d[..., 2] ** 2], axis=-1)

    faces = paint(texture.cube_directions(32))
    directions = jnp.asarray(np.random.default_rng(0).normal(size=(500, 3)), jnp.float32)
    np.testing.assert_allclose(jax.jit(texture.cube)(faces, directions), paint(directions), atol=6e-3)
    # Continuous across edges: two directions a hair apart on either side look up the same.
    hair = 1 + 1e-6
    edge = jnp.array([[1.0, hair, 0.3], [hair, 1.0, 0.3], [0.2, -1.0, -hair], [0.2, -hair, -1.0]])
    found = texture.cube(faces, edge)
    np.testing.assert_allclose(found[::2], found[1::2], atol=2e-3)


def test_attributes_and_their_derivatives_on_a_triangle():
    vertices = jnp.array([[0.0, 0, -1, 1], [40, 0, -2, 2], [0, 30, -1, 1]])
    faces = jnp.array([[0, 1, 2]])
    found = jax.jit(lambda v: rasterize.rasterize(v, faces, width=20, height=20))(vertices)
    values = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5)), jnp.float32)
    image = texture.interpolate(values, faces, found)
    shown = np.asarray(found.face) >= 0
    want = jnp.einsum('hwk,kc->hwc', found.barycentrics, values)
    np.testing.assert_allclose(np.asarray(image)[shown], np.asarray(want)[shown], atol=1e-5)
    assert (np.asarray(image)[~shown] == 0).all()
    change = np.asarray(texture.interpolate_derivatives(values, faces, found))
    inside = shown[:, :-1] & shown[:, 1:]
    across = (np.asarray(image)[:, 1:] - np.asarray(image)[:, :-1])[inside]
    mean = 0.5 * (change[:, 1:, :, 0] + change[:, :-1, :, 0])[inside]
    np.testing.assert_allclose(across, mean, atol=2e-3)
    # A damaged attribute of face 0, which does not show, stays out of the picture.
    aside = jnp.concatenate([jnp.full((1, 5), jnp.nan), values])
    moved = jnp.array([[0, 0, 0], [1, 2, 3]])
    np.testing.assert_array_equal(texture.interpolate(aside, moved, found.replace(face=found.face + shown)), image)
    gradient = jax.grad(lambda v: texture.interpolate(v, faces, found).sum())(values)
    np.testing.assert_allclose(gradient.sum(0), np.full(5, shown.sum()), rtol=1e-5)


@pytest.mark.parametrize(
    'call, message',
    [
        (lambda: texture.bilinear(jnp.zeros((4, 4)), jnp.zeros(2)), r'texture: got shape \(4, 4\)'),
        (lambda: texture.bilinear(jnp.zeros((4, 4, 1)), jnp.zeros(2), wrap='around'), "wrap: got 'around'"),
        (lambda: texture.trilinear([], jnp.zeros(2), jnp.zeros((2, 2))), 'levels, samples: got 0 and 1'),
        (
            lambda: texture.trilinear(
                [jnp.zeros((4, 4, 1)), jnp.zeros((2, 2, 3))], jnp.zeros((1, 2)), jnp.zeros((1, 2, 2))
            ),
            r'levels\[1\]: got shape \(2, 2, 3\)',
        ),
        (lambda: texture.cube(jnp.zeros((5, 4, 4, 1)), jnp.zeros(3)), 'Give six square faces'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(checks.InputError, match=message):
        call()
