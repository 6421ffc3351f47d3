"""The face GAN: only the square changes, by what its generator adds; the main generator stays as it is."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data.pair_batches import PairBatch
from neurend.models.pix2pix.config import DiscriminatorConfig, GeneratorConfig, Pix2PixConfig
from neurend.models.pix2pix.translation import translation
from neurend.models.reenactment import face_gan as faces

MAIN = Pix2PixConfig(GeneratorConfig('global', width=2, depth=1, blocks=1), frames=2)
FACE = dataclasses.replace(
    faces.FACE,
    generator=GeneratorConfig('global', width=4, depth=1, blocks=1),
    discriminator=DiscriminatorConfig('patch', width=4, layers=1, norm='batch'),
    l1=10.0,
    learning_rate=2e-3,
    constant=1.0,
)
SIZE, SQUARE = 16, 8
BOXES = np.array([[0, 0], [3, 5], [8, 8], [2, 7]], np.int32)


@pytest.fixture(scope='module')
def trained():
    """The method, its first state, a batch of two windows, and the state after a step."""
    module, _ = translation(MAIN)
    main = module.init(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 6)))['params']
    method = faces.face_gan(FACE, MAIN, main, BOXES, channels=3, size=SQUARE, steps=10)
    keys = jax.random.split(jax.random.key(1), 2)
    pictures = [jax.random.uniform(key, (2, 2, SIZE, SIZE, 3)) for key in keys]
    batch = PairBatch(*pictures, jnp.array([1, 3]))
    state = jax.jit(method.init)(jax.random.key(2))
    after, values = jax.jit(method.step)(jax.random.key(3), state, batch)
    return method, state, batch, after, values


def test_squares_are_cut_and_put_back():
    pictures = np.random.default_rng(0).random((4, SIZE, SIZE, 2)).astype(np.float32)
    squares = faces.crop(jnp.asarray(pictures), jnp.asarray(BOXES), SQUARE)
    for picture, square, (top, left) in zip(pictures, squares, BOXES):
        np.testing.assert_array_equal(square, picture[top : top + SQUARE, left : left + SQUARE])
    np.testing.assert_array_equal(faces.paste(jnp.asarray(pictures), squares, jnp.asarray(BOXES)), pictures)
    wanted = pictures.copy()
    for picture, (top, left) in zip(wanted, BOXES):
        picture[top : top + SQUARE, left : left + SQUARE] += 1
    np.testing.assert_array_equal(faces.paste(jnp.asarray(pictures), squares + 1, jnp.asarray(BOXES)), wanted)


@pytest.mark.slow
def test_nothing_changes_around_the_square_nor_within_where_the_residual_is_zero(trained):
    method, state, batch, _, _ = trained
    inputs = faces.Inputs(batch.condition[:, 0], jnp.asarray(BOXES[[1, 3]]))
    found = jax.jit(method.render)(state, inputs)
    inside = np.zeros((2, SIZE, SIZE), bool)
    for mask, (top, left) in zip(inside, BOXES[[1, 3]]):
        mask[top : top + SQUARE, left : left + SQUARE] = True
    rgb, before = np.asarray(found.rgb), np.asarray(found.extras['before'])
    np.testing.assert_array_equal(rgb[~inside], before[~inside])
    assert (np.abs(rgb - before)[inside] > 0).mean() > 0.9
    silent = state.params['generator'] | {'last': jax.tree.map(jnp.zeros_like, state.params['generator']['last'])}
    still = dataclasses.replace(state, params=state.params | {'generator': silent})
    found = jax.jit(method.render)(still, inputs)
    np.testing.assert_allclose(found.rgb, found.extras['before'], atol=1e-6)


@pytest.mark.slow
def test_the_main_generator_is_frozen_and_the_face_is_not(trained):
    _, state, _, after, values = trained
    for one, other in zip(jax.tree.leaves(state.aux), jax.tree.leaves(after.aux)):
        np.testing.assert_array_equal(one, other)
    for name in ('generator', 'discriminator'):
        kernel = [tree.params[name] for tree in (state, after)]
        assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, kernel)))
    assert all(np.isfinite(value) for value in values.values()) and int(after.step) == 1


@pytest.mark.slow
def test_the_face_gets_better(trained):
    method, state, batch, _, _ = trained
    step = jax.jit(method.step)
    for k in range(150):
        state, values = step(jax.random.key(k), state, batch)
    assert float(values['psnr']) > float(values['psnr_before']) + 2


def test_bad_input():
    module, _ = translation(MAIN)
    main = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 6)))['params']
    main = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), main)
    method = faces.face_gan(FACE, MAIN, main, BOXES, channels=3, size=SQUARE, steps=10)
    state = jax.eval_shape(method.init, jax.random.key(2))
    batch = PairBatch(*(jnp.zeros((2, 2, SIZE, SIZE, 3)) for _ in range(2)), jnp.array([1, 3]))
    with pytest.raises(InputError, match='boxes: got shape'):
        faces.face_gan(FACE, MAIN, {}, BOXES[:, :1], channels=3, size=8, steps=1)
    with pytest.raises(InputError, match='expected frames=1'):
        faces.face_gan(dataclasses.replace(FACE, frames=2), MAIN, {}, BOXES, channels=3, size=8, steps=1)
    with pytest.raises(InputError, match='made for frames=2'):
        jax.eval_shape(method.step, jax.random.key(0), state, dataclasses.replace(batch, image=batch.image[:, 0]))
