"""What the network of a neural texture sees, against closed forms and finite differences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, transforms
from neurend.models.neural_texture import deferred
from neurend.models.neural_texture.config import NetworkConfig, NeuralTextureConfig, TextureConfig
from neurend.models.neural_texture.deferred import Window
from neurend.scenes import primitives
from neurend.scenes.meshes import Mesh

SIZE = 24
WINDOW = Window(SIZE, SIZE)
PLAIN = NeuralTextureConfig(
    TextureConfig(16, 3, 1, harmonics=-1), NetworkConfig(normals=False, views=False, reflection=0)
)
FULL = NeuralTextureConfig(TextureConfig(16, 13, 2), NetworkConfig(reflection=2))


def camera(eye=(0.3, -0.4, 2.0)):
    pose = transforms.look_at(jnp.array(eye), jnp.zeros(3), jnp.array([0.0, 1.0, 0.0]))
    return cameras.make(pose, 26.0, size=(SIZE, SIZE))


def square():
    """A square of side 1.6 in the plane z = 0, seen from +z, whose UVs are its places."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Mesh(np.c_[0.8 * corners, np.zeros(4)].astype(np.float32), faces, (corners + 1) / 2, faces)


def met(of):
    """Where the rays of pixels meet z = 0, [h w 2], and the unit directions towards the camera, in double precision."""
    rays = cameras.rays(of, cameras.pixel_centers(SIZE, SIZE))
    origins, directions = (np.asarray(part, np.float64) for part in (rays.origins, rays.directions))
    places = origins - directions * (origins[..., 2:] / directions[..., 2:])
    return places[..., :2], -directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def drawn(config, levels, mesh=None, of=None, window=WINDOW):
    mesh = square() if mesh is None else mesh
    which = deferred.surface(mesh)
    return deferred.pixels(config, levels, which, jnp.asarray(mesh.vertices), camera() if of is None else of, window)


@pytest.mark.parametrize('mip', [False, True])
def test_constant_texture_renders_constant(mip):
    config = dataclasses.replace(PLAIN, texture=TextureConfig(16, 3, 2, harmonics=-1, mip=mip))
    levels = [jnp.full((16, 16, 3), 0.1), jnp.full((8, 8, 3), -0.3)]
    found = drawn(config, levels)
    seen = np.asarray(found.seen)[..., 0] > 0
    assert 0.2 < seen.mean() < 0.9
    np.testing.assert_allclose(np.asarray(found.color)[seen], 0.3, atol=1e-6)
    assert not np.asarray(found.color)[~seen].any() and not np.asarray(found.inputs)[~seen].any()


def test_linear_texture_renders_the_ramp_in_perspective():
    steps = (np.arange(16) + 0.5) / 16
    ramp = np.stack([*np.meshgrid(steps, 1 - steps), np.zeros((16, 16))], axis=-1).astype(np.float32)
    found = drawn(PLAIN, [jnp.asarray(ramp - 0.5)])
    places, _ = met(camera())
    uv = places / 1.6 + 0.5
    # Half a texel from the border the repeated texture is no ramp.
    inside = ((uv > 0.5 / 16) & (uv < 1 - 0.5 / 16)).all(-1)
    assert inside.mean() > 0.2
    np.testing.assert_allclose(np.asarray(found.color)[inside][:, :2], uv[inside], atol=1e-4)


def test_network_sees_the_view_the_mirrored_view_and_harmonics_of_it():
    levels = [jnp.ones((16, 16, 13)), jnp.zeros((8, 8, 13))]
    found = drawn(FULL, levels)
    seen = np.asarray(found.seen)[..., 0] > 0
    inputs = np.asarray(found.inputs)[seen]
    assert inputs.shape[-1] == deferred.channels(FULL)
    _, view = met(camera())
    view = view[seen]
    x, y, z = view.T
    c = np.sqrt(3 / (4 * np.pi))
    np.testing.assert_allclose(inputs[:, :3], 1, atol=1e-6)
    np.testing.assert_allclose(
        inputs[:, 3:7].T, [np.full_like(x, 0.5 / np.sqrt(np.pi)), -c * y, c * z, -c * x], atol=1e-5
    )
    np.testing.assert_allclose(inputs[:, 12], 1, atol=1e-6)  # beyond the nine of degree 2
    np.testing.assert_allclose(inputs[:, 13:16], np.broadcast_to([0, 0, 1], view.shape), atol=1e-5)
    np.testing.assert_allclose(inputs[:, 25:], view, atol=1e-5)
    # The mirror image of the view about z.
    np.testing.assert_allclose(inputs[:, 16:19].T, [c * y, c * z, c * x], atol=1e-5)
    np.testing.assert_array_equal(inputs[:, 24], 1)


def test_surfaces_behind_each_other_are_all_seen():
    """Two squares, one behind the other: the first's inputs and then the second's, as each alone has them."""
    config = dataclasses.replace(PLAIN, network=dataclasses.replace(PLAIN.network, surfaces=2))
    front, back = square(), square()
    shifted = np.asarray(back.vertices) - np.array([0, 0, 0.5], np.float32)
    faces = np.concatenate([np.asarray(front.faces), np.asarray(front.faces) + 4])
    both = Mesh(
        np.concatenate([np.asarray(front.vertices), shifted]), faces, front.uvs, np.tile(front.uv_faces, (2, 1))
    )
    levels = deferred.parameters(jax.random.key(0), PLAIN)
    inputs = np.asarray(drawn(config, levels, both).inputs)
    first, second = (
        np.asarray(drawn(PLAIN, levels, mesh).inputs) for mesh in (front, dataclasses.replace(back, vertices=shifted))
    )
    hidden = (first[..., -1] > 0) & (second[..., -1] > 0)
    assert hidden.mean() > 0.1
    np.testing.assert_allclose(inputs[..., :4], np.where(first[..., -1:] > 0, first, second), atol=1e-6)
    np.testing.assert_allclose(inputs[hidden][:, 4:], second[hidden], atol=1e-6)
    assert not inputs[~hidden][:, 4:].any()


def test_a_window_is_the_part_of_the_whole():
    levels = deferred.parameters(jax.random.key(0), FULL)
    whole = drawn(FULL, levels)
    part = drawn(FULL, levels, window=Window(9, 11, jnp.array([7, 6])))
    np.testing.assert_allclose(part.inputs, whole.inputs[6:17, 7:16], atol=1e-5)


@pytest.mark.slow
def test_gradients():
    """Of texture, vertices and camera, each along a random direction, of what pixels inside see."""
    key = jax.random.key(1)
    # Smooth, so that differences are near derivatives.
    column, row = np.meshgrid(np.arange(16), np.arange(16))
    waves = [np.sin(0.2 * column + 0.02 * k * row + k) for k in range(13)]
    levels = [jnp.asarray(np.stack(waves, axis=-1), jnp.float32), jnp.zeros((8, 8, 13))]
    mesh = square()
    surface = deferred.surface(mesh)
    weights = jax.random.normal(key, (SIZE, SIZE, deferred.channels(FULL)))
    inside = jnp.asarray(np.abs(met(camera())[0]).max(-1) < 0.6)[..., None]  # in all of the moved ones too
    start = {'texture': levels, 'vertices': jnp.asarray(mesh.vertices), 'camera': camera().world_from_camera}

    @jax.jit
    def value(given):
        of = dataclasses.replace(camera(), world_from_camera=given['camera'])
        found = deferred.pixels(FULL, given['texture'], surface, given['vertices'], of, WINDOW)
        return jnp.sum(jnp.where(inside, found.inputs, 0) * weights) / 50

    slopes = jax.jit(jax.grad(value))(start)
    step = 2e-3
    for which, x in start.items():
        keys = jax.random.split(key, len(jax.tree.leaves(x)))
        direction = jax.tree.unflatten(
            jax.tree.structure(x), [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, jax.tree.leaves(x))]
        )
        pairs = zip(jax.tree.leaves(slopes[which]), jax.tree.leaves(direction))
        expected = sum(float(jnp.sum(a * b)) for a, b in pairs)
        ahead, behind = (
            value({**start, which: jax.tree.map(lambda a, b, s=s: a + s * step * b, x, direction)}) for s in (1, -1)
        )
        assert abs(expected) > 0.05, which
        assert float(ahead - behind) / (2 * step) == pytest.approx(expected, rel=0.05, abs=0.02), which


def test_bad_meshes():
    with pytest.raises(InputError, match='unwrap'):
        deferred.surface(primitives.box())
    broken = dataclasses.replace(square(), uv_faces=np.array([[0, 1, 2], [0, 2, 9]], np.int32))
    with pytest.raises(InputError, match='uv_faces: got 9'):
        deferred.surface(broken)


def test_bad_options():
    with pytest.raises(InputError, match='expected at least 12'):
        NeuralTextureConfig(TextureConfig(16, channels=8))
    with pytest.raises(InputError, match='can be halved'):
        TextureConfig(18, levels=4)
    with pytest.raises(InputError, match='harmonics: got 5'):
        TextureConfig(harmonics=5)
