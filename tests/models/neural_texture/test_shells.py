"""Shells of a mesh and what is seen through them, against closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, transforms
from neurend.models.neural_texture import deferred, shells
from neurend.models.neural_texture.config import NetworkConfig, NeuralTextureConfig, ShellConfig, TextureConfig
from neurend.models.neural_texture.deferred import Window
from neurend.scenes import primitives
from neurend.scenes import textures as textures_lib
from neurend.scenes.meshes import Mesh

SIZE, SIDE = 16, 8
TWO = NeuralTextureConfig(
    TextureConfig(SIDE, 4, 1, harmonics=-1),
    NetworkConfig(surfaces=2, normals=False, views=False, reflection=0),
    ShellConfig(2, 0.1),
    opacity='texture',
)


def square():
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Mesh(np.c_[corners, np.zeros(4)].astype(np.float32), faces, (corners + 1) / 2, faces)


def seen(config, levels, eye=(0.0, 0.0, 2.0)):
    pose = transforms.look_at(jnp.array(eye), jnp.zeros(3), jnp.array([0.0, 1.0, 0.0]))
    camera = cameras.make(pose, 20.0, size=(SIZE, SIZE))
    mesh = square()
    which = deferred.surface(mesh, config.shells.count)
    return deferred.pixels(config, levels, which, jnp.asarray(mesh.vertices), camera, Window(SIZE, SIZE))


def textures(*shells_of):
    """A level whose shells have the given constants; the first shell's lie lowest."""
    return [jnp.concatenate([jnp.broadcast_to(jnp.array(each), (SIDE, SIDE, 4)) for each in shells_of[::-1]])]


def alpha(logit):
    return 1 / (1 + np.exp(1.5 - logit))


def test_two_shells_are_composited_front_to_back():
    red, blue = [0.5, -0.5, -0.5, 2.0], [-0.5, -0.5, 0.3, 1.0]
    found = seen(TWO, textures(red, blue))
    middle = tuple(np.asarray(part)[SIZE // 2, SIZE // 2] for part in (found.color, found.seen, found.depth))
    a, b = alpha(2.0), alpha(1.0)
    np.testing.assert_allclose(middle[0], [a, 0, (1 - a) * b * 0.8], atol=1e-6)
    np.testing.assert_allclose(middle[1], 1 - (1 - a) * (1 - b), atol=1e-6)
    depth = 0.1 * np.sqrt(8)  # of the second behind the first, in parts of the square's diagonal
    expected = (a * 2 + (1 - a) * b * (2 + depth)) / (1 - (1 - a) * (1 - b))
    np.testing.assert_allclose(middle[2], expected, rtol=1e-5)
    inputs = np.asarray(found.inputs)[SIZE // 2, SIZE // 2]
    assert inputs.shape == (deferred.channels(TWO),)
    np.testing.assert_allclose(inputs[:3], a * np.array(red[:3]) + (1 - a) * b * np.array(blue[:3]), atol=1e-6)


def test_what_faces_away_is_left_out_on_demand():
    levels, behind = textures([0.5, -0.5, -0.5, 2.0], [-0.5, -0.5, 0.3, 1.0]), (0.0, 0.0, -2.0)
    assert not np.asarray(seen(TWO, levels, behind).seen).any()
    both = dataclasses.replace(TWO, shells=dataclasses.replace(TWO.shells, facing=False))
    color = np.asarray(seen(both, levels, behind).color)[SIZE // 2, SIZE // 2]
    a, b = alpha(2.0), alpha(1.0)
    np.testing.assert_allclose(color, [(1 - b) * a, 0, b * 0.8], atol=1e-6)


@pytest.mark.parametrize('shape', ['inwards', 'center'])
def test_shells_of_a_ball_are_smaller_balls(shape):
    mesh = primitives.sphere(3, radius=2.0)
    vertices = jnp.asarray(mesh.vertices) + jnp.array([[1.0, 0.0, -3.0]])
    config = ShellConfig(4, 0.1, shape)
    found = shells.places(config, vertices, jnp.asarray(mesh.faces)).reshape(4, -1, 3)
    radii = np.linalg.norm(np.asarray(found) - np.array([1.0, 0.0, -3.0]), axis=-1)
    size = 2.0 if shape == 'center' else np.linalg.norm(np.ptp(np.asarray(vertices), axis=0))
    expected = 2 - np.linspace(0, 0.1, 4) * size
    np.testing.assert_allclose(radii, np.broadcast_to(expected[:, None], radii.shape), rtol=5e-3)
    np.testing.assert_array_equal(found[0], vertices)


def test_textures_begin_apart_for_every_shell():
    levels = deferred.parameters(jax.random.key(0), TWO)
    assert [level.shape for level in levels] == [(2 * SIDE, SIDE, 4)]
    assert float(jnp.abs(levels[0][:SIDE] - levels[0][SIDE:]).min()) > 0


def test_bad_input():
    beyond = dataclasses.replace(square(), uvs=square().uvs * 2)
    with pytest.raises(InputError, match=r'uvs: got 0 to 2, expected \[0, 1\] for several shells'):
        deferred.surface(beyond, 2)
    deferred.surface(beyond, 1)
    with pytest.raises(InputError, match='count: got 0 shells'):
        ShellConfig(0)
    with pytest.raises(InputError, match=r'depth: got 1\.0, expected a part between 0 and 1'):
        ShellConfig(2, 1.0)
    with pytest.raises(InputError, match='channels: got 12, expected at least 13: 4 of colour and opacity'):
        NeuralTextureConfig(TextureConfig(16, 12), opacity='texture')


def test_shells_written_to_a_file_have_their_places_and_textures():
    """The colours of `colors` at a shell's own UVs are those that a look-up finds on it."""
    levels = textures([0.5, -0.5, -0.5, 2.0], [-0.5, -0.5, 0.3, 1.0])
    mesh = shells.moved(TWO.shells, square())
    colors = np.asarray(deferred.colors(TWO, levels))
    assert colors.shape == (2 * SIDE, SIDE, 4)
    for k, expected in enumerate([[1, 0, 0, alpha(2.0)], [0, 0, 0.8, alpha(1.0)]]):
        faces = np.asarray(mesh.faces)[2 * k : 2 * k + 2]
        np.testing.assert_allclose(np.asarray(mesh.vertices)[faces, 2], -0.1 * np.sqrt(8) * k, atol=1e-6)
        u, v = np.asarray(mesh.uvs)[np.asarray(mesh.uv_faces)[2 * k : 2 * k + 2]].mean((0, 1))
        row, column = int((1 - v) * 2 * SIDE), int(u * SIDE)
        np.testing.assert_allclose(colors[row, column], expected, atol=1e-6)


def test_memory_of_all_shells_is_asked_for():
    with pytest.raises(InputError, match='got 65536 and 16 for each of 64 shells, a texture that takes'):
        textures_lib.check(65536, 16, 1, count=64)
