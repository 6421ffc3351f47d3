import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.geometry import cameras, clip, transforms, triangles
from neurend.render import antialias, rasterize, texture
from neurend.scenes import primitives

SIZE = 32


def _square(angle, shift):
    """A square of side 15 about the middle of the picture, turned and moved; differentiable."""
    corners = jnp.array([[-7.5, -7.5], [7.5, -7.5], [7.5, 7.5], [-7.5, 7.5]])
    turn = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    place = jnp.matmul(corners, turn.T, precision='highest') + SIZE / 2 + shift[None]
    return jnp.concatenate([place, jnp.zeros((4, 1)), jnp.ones((4, 1))], axis=-1)


FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
TOPOLOGY = triangles.topology(FACES)


@jax.jit
def _picture(vertices):
    found = rasterize.rasterize(vertices, FACES, width=SIZE, height=SIZE)
    colors = jnp.where((found.face >= 0)[..., None], 1.0, 0.0)
    return antialias.antialias(colors, found, vertices, TOPOLOGY)[..., 0]


@pytest.mark.parametrize('angle', [0.0, 0.2, 0.5, 0.7])
def test_blended_pixels_sum_to_the_area(angle):
    for seed in range(5):
        shift = jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, 2), jnp.float32)
        np.testing.assert_allclose(_picture(_square(angle, shift)).sum(), 225, rtol=0.01)


def test_moving_a_square_over_a_ramp_brightens_it_by_its_area():
    slope = jnp.array([0.3, -0.2])
    places = jnp.arange(SIZE) + 0.5 - SIZE / 2
    ramp = slope[0] * places[None, :] + slope[1] * places[:, None]

    def brightness(shift, angle):
        return jnp.sum(ramp * _picture(_square(angle, shift)))

    # One picture's edges are seen at few places each; over shifts within a pixel that evens out.
    steps = (np.arange(6, dtype=np.float32) + 0.5) / 6
    gradient = jax.jit(jax.grad(brightness))
    for angle in (0.25, 0.6):
        got = np.mean([gradient(jnp.array([x, y]), angle) for x in steps for y in steps], axis=0)
        assert np.linalg.norm(got - 225 * slope) < 0.05 * np.linalg.norm(225 * slope)


@pytest.mark.slow
def test_forward_mode_agrees_with_reverse_mode():
    vertices = _square(0.3, jnp.array([0.2, 0.1]))
    toward = jnp.asarray(np.random.default_rng(0).normal(size=vertices.shape), jnp.float32)
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(SIZE, SIZE)), jnp.float32)

    def loss(vertices):
        return jnp.sum(weights * _picture(vertices))

    forward = jax.jvp(loss, (vertices,), (toward,))[1]
    np.testing.assert_allclose(forward, jnp.sum(jax.grad(loss)(vertices) * toward), rtol=1e-4)
    assert abs(float(forward)) > 0.1


def test_a_damaged_vertex_does_no_harm_to_the_others():
    vertices = jnp.concatenate([_square(0.3, jnp.zeros(2)), jnp.array([[jnp.nan, 0, 0, 1]])])
    faces = np.concatenate([FACES, [[0, 3, 4]]]).astype(np.int32)
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(SIZE, SIZE, 1)), jnp.float32)

    def loss(vertices):
        found = rasterize.rasterize(vertices, faces, width=SIZE, height=SIZE)
        colors = jnp.where((found.face >= 0)[..., None], 1.0, 0.0)
        return jnp.sum(weights * antialias.antialias(colors, found, vertices, triangles.topology(faces)))

    grads = np.asarray(jax.jit(jax.grad(loss))(vertices))
    assert np.isfinite(grads[:4]).all() and np.abs(grads[:4]).max() > 0.1


def test_only_pixels_at_the_outline_change():
    mesh = primitives.box()
    pose = transforms.look_at(jnp.array([1.5, -2.0, 0.5]), jnp.zeros(3), jnp.array([0.0, 0.0, 1.0]))
    camera = cameras.make(pose, 40.0, size=(SIZE, SIZE))
    vertices = clip.from_camera(camera, jnp.asarray(mesh.vertices))
    found = rasterize.rasterize(vertices, mesh.faces, width=SIZE, height=SIZE)
    colors = jnp.asarray(np.random.default_rng(0).uniform(size=(SIZE, SIZE, 2)), jnp.float32)
    colors = jnp.where((found.face >= 0)[..., None], colors, 0)
    image = jax.jit(antialias.antialias)(colors, found, vertices, triangles.topology(mesh.faces))
    changed = np.abs(np.asarray(image) - colors).max(-1) > 1e-6
    inside = np.asarray(found.face >= 0)
    edge = inside != np.roll(inside, 1, 0)
    edge |= inside != np.roll(inside, -1, 0)
    edge |= (inside != np.roll(inside, 1, 1)) | (inside != np.roll(inside, -1, 1))
    # Edges between triangles that both face the camera do not blend.
    assert changed.sum() > 20 and not (changed & ~edge).any()


def _ball(shift, zoom=1):
    """A textured sphere before a ramp, moved over the image by `shift` pixels: a picture, and the same undistorted."""
    mesh = primitives.sphere(2)
    pose = transforms.look_at(jnp.array([0.3, -2.5, 0.8]), jnp.zeros(3), jnp.array([0.0, 0.0, 1.0]))
    camera = cameras.make(pose, 24.0 * zoom, size=(SIZE * zoom, SIZE * zoom))
    vertices = clip.from_camera(camera, jnp.asarray(mesh.vertices))
    moved = zoom * shift[None] * vertices[:, 3:]
    return mesh, jnp.concatenate([vertices[:, :2] + moved, vertices[:, 2:]], axis=-1)


def _textured(shift, blend, zoom=1):
    size = SIZE * zoom
    mesh, vertices = _ball(shift, zoom)
    found = rasterize.rasterize(vertices, mesh.faces, width=size, height=size)
    pattern = 0.6 + 0.3 * jnp.sin(3 * mesh.vertices[:, :1] + 2 * mesh.vertices[:, 2:])
    steps = (jnp.arange(size) + 0.5) / size
    ramp = 0.4 * steps[None, :] - 0.2 * steps[:, None]
    colors = jnp.where((found.face >= 0)[..., None], texture.interpolate(pattern, mesh.faces, found), ramp[..., None])
    return (antialias.antialias(colors, found, vertices, triangles.topology(mesh.faces)) if blend else colors)[..., 0]


@pytest.mark.slow
def test_moving_a_textured_sphere_changes_what_supersampling_says():
    zoom = 8
    weights = np.linspace(-1, 1, SIZE)[None, :] + np.linspace(-0.5, 1, SIZE)[:, None] ** 2

    @jax.jit
    def exact(shift):
        fine = _textured(shift, False, zoom).reshape(SIZE, zoom, SIZE, zoom).mean((1, 3))
        return jnp.sum(weights * fine)

    gradient = jax.jit(jax.grad(lambda shift: jnp.sum(weights * _textured(shift, True))))
    steps = (np.arange(4, dtype=np.float32) + 0.5) / 4 - 0.5
    shifts = [jnp.array([x, y]) for x in steps for y in steps]
    got = np.mean([gradient(shift) for shift in shifts], axis=0)
    want = [
        np.mean([exact(shift + 0.5 * along) - exact(shift - 0.5 * along) for shift in shifts]) for along in jnp.eye(2)
    ]
    assert np.linalg.norm(got - want) < 0.05 * np.linalg.norm(want)
