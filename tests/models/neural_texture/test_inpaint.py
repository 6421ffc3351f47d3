"""What is painted around a mesh: nothing where the film is known, anything in its hole, nothing to begin with."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.data.photographs import Photographs
from neurend.geometry import cameras, paths
from neurend.models.neural_texture.config import InpaintConfig, NetworkConfig, NeuralTextureConfig, TextureConfig
from neurend.models.neural_texture.deferred import Shot
from neurend.models.neural_texture.method import neural_texture
from neurend.models.neural_texture.network import DeferredShader
from neurend.scenes import primitives
from neurend.train.step import stepper

SIZE = 24
PLAIN = NeuralTextureConfig(TextureConfig(16, 12, 2), NetworkConfig(unet=0, width=8))
PAINTED = dataclasses.replace(PLAIN, inpaint=InpaintConfig(4, 3, 2))


def made(config):
    return neural_texture(config, primitives.torus(1, 0.4), size=(SIZE, SIZE), stepper=stepper(optax.adam(0.01)))


@pytest.fixture(scope='module')
def shot():
    random = np.random.default_rng(0)
    camera = cameras.make(paths.orbit(1, radius=4)[0], 1.2 * SIZE, size=(SIZE, SIZE))
    known = np.ones((SIZE, SIZE, 1))
    known[3:20, 2:21] = 0
    return Shot(camera, jnp.asarray(np.concatenate([random.uniform(size=(SIZE, SIZE, 3)), known], -1), jnp.float32))


def test_only_the_hole_is_painted(shot):
    plain, painted = made(PLAIN), made(PAINTED)
    state = painted.init(jax.random.key(0))
    params = dict(state.params)
    unpainted = plain.init(jax.random.key(0))
    unpainted = unpainted.replace(params={name: params[name] for name in unpainted.params})
    below = jax.jit(plain.render)(unpainted, shot._replace(background=shot.background[..., :3]))
    render = jax.jit(painted.render)
    at_first = render(state, shot)
    known = np.asarray(shot.background[..., 3]) > 0
    # The last layer begins near zero.
    assert 0 < np.abs(at_first.rgb - below.rgb)[~known].max() < 0.1
    params['inpaint'] = jax.tree.map(lambda leaf: leaf + 0.3, params['inpaint'])
    found = render(state.replace(params=params), shot)
    np.testing.assert_array_equal(found.rgb[known], below.rgb[known])
    assert np.abs(found.rgb - below.rgb)[~known].min() > 1e-3
    np.testing.assert_array_equal(found.alpha, below.alpha)


def test_backgrounds_must_have_a_hole(shot):
    method, truth = made(PAINTED), jnp.zeros((1, SIZE, SIZE, 3))
    batch = Photographs(jax.tree.map(lambda leaf: leaf[None], shot.camera), truth, truth)
    state = jax.eval_shape(method.init, jax.random.key(0))
    with pytest.raises(InputError, match=r'background: got shape \(1, 24, 24, 3\).*expected pictures with a hole'):
        jax.eval_shape(method.step, jax.random.key(0), state, batch)


def test_a_dilated_shader_sees_far_at_any_size():
    network = DeferredShader(3, unet=2, depth=4, maximum=2, context=2, width=4, dilated=True)
    x = jnp.zeros((1, 21, 34, 5))
    params = jax.jit(network.init)(jax.random.key(0), x)
    apply = jax.jit(network.apply)
    first = apply(params, x)
    assert first.shape == (1, 21, 34, 3)
    moved = apply(params, x.at[0, 10, 4].set(100.0))
    reached = np.nonzero(np.abs(moved - first)[0, 10].max(-1) > 0)[0]
    # Dilations of 1, 2, 4 and 8, then four convolutions that see one pixel further.
    assert 4 + 15 <= reached.max() <= 4 + 15 + 4
