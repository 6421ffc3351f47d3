"""Meshes and cameras as they come: nothing in them makes a step fail or its numbers other than finite."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.data.photographs import Photographs
from neurend.geometry import cameras, transforms
from neurend.models.neural_texture.config import NetworkConfig, NeuralTextureConfig, ShellConfig, TextureConfig
from neurend.models.neural_texture.deferred import Shot
from neurend.models.neural_texture.method import neural_texture
from neurend.scenes import primitives
from neurend.train.step import stepper

SIZE = 24
CONFIG = NeuralTextureConfig(
    TextureConfig(16, 13, 2), NetworkConfig(unet=4, depth=2, maximum=2, context=2, width=8, reflection=2), crop=16
)
SHELLS = dataclasses.replace(
    CONFIG,
    network=dataclasses.replace(CONFIG.network, surfaces=3),
    opacity='texture',
    shells=ShellConfig(3, 0.05, facing=False),
)


def made(config, mesh):
    return neural_texture(config, mesh, size=(SIZE, SIZE), stepper=stepper(optax.sgd(1e-2)))


def camera(eye):
    pose = transforms.look_at(jnp.array(eye), jnp.array([0.0, 0.1, -1.0]), jnp.array([0.0, 1.0, 0.0]))
    return cameras.make(pose, 20.0, size=(SIZE, SIZE))


def torus():
    return primitives.torus(0.8, 0.4, around=24, across=12)


@pytest.mark.parametrize('config', [CONFIG, SHELLS], ids=['mesh', 'shells'])
@pytest.mark.parametrize('eye', [(0.8, 0.0, 0.1), (0.8, 0.0, 0.4), (0.1, 0.2, 3.0)], ids=['inside', 'touching', 'off'])
def test_a_step_from_within_the_mesh_is_finite(config, eye):
    method = made(config, torus())
    state = method.init(jax.random.key(0))
    of = camera(eye)
    picture = method.render(state, Shot(of, jnp.ones(3)))
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(picture))
    assert np.asarray(picture.alpha).max() > 0.3
    rgb = jax.random.uniform(jax.random.key(1), (1, SIZE, SIZE, 3))
    batch = Photographs(jax.tree.map(lambda leaf: leaf[None], of), rgb, jnp.ones((1, 3)))
    learned, values = jax.jit(method.step)(jax.random.key(2), state, batch)
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves((learned.params, values)))


def test_degenerate_and_unreferenced_parts_change_nothing():
    mesh = torus()
    vertices = np.concatenate([mesh.vertices, [[50.0, 60.0, 70.0]]]).astype(np.float32)
    flat = [[3, 3, 7], [5, 5, 5]]
    odd = dataclasses.replace(
        mesh,
        vertices=vertices,
        faces=np.concatenate([mesh.faces, flat]).astype(np.int32),
        uv_faces=np.concatenate([mesh.uv_faces, [[0, 1, 2], [4, 4, 4]]]).astype(np.int32),
        normals=None,
    )
    shot = Shot(camera((0.1, 0.2, 3.0)), jnp.ones(3))
    first, second = (made(CONFIG, each) for each in (dataclasses.replace(mesh, normals=None), odd))
    state = first.init(jax.random.key(0))
    pictures = [each.render(state, shot) for each in (first, second)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *pictures)


def test_uvs_beyond_the_texture_repeat_it():
    mesh = torus()
    shifted = dataclasses.replace(mesh, uvs=np.asarray(mesh.uvs) + np.array([[2.0, -3.0]], np.float32))
    shot = Shot(camera((0.1, 0.2, 3.0)), jnp.ones(3))
    first, second = (made(CONFIG, each) for each in (mesh, shifted))
    state = first.init(jax.random.key(0))
    np.testing.assert_allclose(first.render(state, shot).rgb, second.render(state, shot).rgb, atol=1e-4)
