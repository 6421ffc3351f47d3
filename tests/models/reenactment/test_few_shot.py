"""Few-shot heads: what codes, personal scales and shifts and losses must be, whatever the weights."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import head_batches, head_looks, heads
from neurend.models.pix2pix.method import Inputs as Frame
from neurend.models.reenactment import few_shot_losses as losses
from neurend.models.reenactment.few_shot import Inputs, few_shot
from neurend.models.reenactment.few_shot_config import FewShotConfig, networks
from neurend.models.reenactment.few_shot_networks import generate, no_code, normalized, personalize, spectral_vectors
from neurend.models.reenactment.few_shot_tuning import fine_tuning
from neurend.models.reenactment.landmark_picture import landmark_picture

CONFIG = FewShotConfig(
    width=4, halvings=1, blocks=1, attention=0, encoder_width=4, encoder_halvings=2, discriminator_steps=1
)
SIZE = 16


@pytest.fixture(scope='module')
def source():
    clips = [heads.ellipsoid_clip(k, head_looks.motion(k, np.arange(4) * 0.7), size=SIZE) for k in range(3)]
    pictures = [
        np.stack([landmark_picture(points, SIZE, SIZE, frame=(SIZE, SIZE)) for points in clip.landmarks])
        for clip in clips
    ]
    return head_batches.head_source([clip.images for clip in clips], pictures, people=2, references=2, targets=1)


@pytest.fixture(scope='module')
def learned(source):
    """The method, a batch, the state before, after one step, and the metrics of the step."""
    method = few_shot(CONFIG, people=3, size=(SIZE, SIZE), steps=10)
    batch = source.draw(jax.random.key(1), source.data)
    before = jax.jit(method.init)(jax.random.key(0))
    after, values = jax.jit(method.step)(jax.random.key(2), before, batch)
    return method, batch, before, after, values


def test_codes_are_means_over_frames_of_root_mean_square_one():
    embedder = networks(CONFIG, people=1).embedder
    frames = jax.random.normal(jax.random.key(0), (2, 3, SIZE, SIZE, 6))
    params = embedder.init(jax.random.key(1), frames)
    encode = jax.jit(embedder.apply)
    codes = np.asarray(encode(params, frames))
    np.testing.assert_allclose((codes**2).mean(-1), 1, rtol=1e-3)
    np.testing.assert_allclose(encode(params, frames[:, ::-1]), codes, atol=1e-4)
    # A person whose frames are all the same has the code of one frame; another person has another.
    twice = encode(params, jnp.stack([jnp.stack([frames[0, 0]] * 3), jnp.stack([frames[0, 0]] * 3)]))
    np.testing.assert_allclose(twice[0], twice[1], atol=1e-5)
    assert np.abs(codes[0] - codes[1]).max() > 0.01


@pytest.mark.slow
def test_a_generator_with_personal_shifts_draws_what_it_drew_by_the_code():
    generator = networks(CONFIG, people=1).generator
    conditions = jax.random.uniform(jax.random.key(0), (2, SIZE, SIZE, 3))
    code = jax.random.normal(jax.random.key(1), (5,))
    params = jax.jit(generator.init)(jax.random.key(2), conditions, jnp.zeros((2, 5)))['params']
    draw = jax.jit(lambda p, code: generate(generator, p, conditions, code))
    drawn = draw(params, jnp.broadcast_to(code, (2, 5)))
    own = personalize(params, code)
    np.testing.assert_allclose(draw(own, no_code(2)), drawn, atol=1e-5)
    # What is left of the matrix P has no gradient, so that training moves scales and shifts alone.
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(jnp.square(draw(p, no_code(2))))))(own)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        name = jax.tree_util.keystr(path)
        if "['affine']" in name:
            assert np.any(np.asarray(leaf)) == name.endswith("['bias']")
    with pytest.raises(InputError, match=r'code: got shape \(4,\)'):
        personalize(params, code[:4])


@pytest.mark.slow
def test_tuning_starts_where_the_first_stage_ends(learned):
    method, batch, _, state, _ = learned
    known = batch.references[0], batch.reference_conditions[0]
    tuning = fine_tuning(CONFIG, state, *known, steps=5)
    start = jax.jit(tuning.init)(jax.random.key(9))
    drawn = method.render(state, Inputs(*known, batch.conditions[0])).rgb
    np.testing.assert_allclose(tuning.render(start, Frame(batch.conditions[0])).rgb, drawn, atol=1e-5)
    judging, code = start.params['discriminator'], start.params['discriminator']['common']
    np.testing.assert_allclose(np.mean((code - state.params['discriminator']['common']) ** 2), 1, rtol=1e-3)
    assert not judging['people'].any()


@pytest.mark.slow
def test_a_step_moves_only_columns_of_people_it_saw(learned):
    _, batch, before, after, values = learned
    changed = np.abs(np.asarray(after.params['discriminator']['people'] - before.params['discriminator']['people']))
    seen = set(np.asarray(batch.person).tolist())
    assert {k for k in range(3) if changed[k].any()} == seen and len(seen) < 3
    assert int(after.step) == 1 and all(np.isfinite(value) for value in values.values())
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), before.params, after.params)
    assert all(any(jax.tree.leaves(moved[name])) for name in moved)


def test_the_discriminator_loss_is_the_hinge_of_scores_by_hand():
    judge = networks(CONFIG, people=4).judge
    keys = jax.random.split(jax.random.key(0), 4)
    conditions, images, fakes = (jax.random.uniform(key, (2, SIZE, SIZE, 3)) for key in keys[:3])
    person = jnp.array([3, 1])
    params = jax.jit(judge.init)(keys[3], jnp.concatenate([conditions, images], -1), person)['params']
    # Large weights, so that both sides of the hinge are met.
    params = params | {'people': 30 * params['people'], 'bias': jnp.float32(0.4)}
    vectors = jax.jit(spectral_vectors)(keys[3], params)
    normal = jax.jit(normalized)({'judge': params}, {'judge': vectors})[0]['judge']
    apply = jax.jit(judge.apply)

    def score(pictures):
        pairs = jnp.concatenate([2 * conditions - 1, pictures], -1)
        vector, encoded = (apply({'params': normal}, pairs, whose)[0] for whose in (None, person))
        assert np.abs(encoded - vector).max() > 0.01
        return np.asarray(encoded, np.float64)

    wanted = np.maximum(0, 1 - score(images)).mean() + np.maximum(0, 1 + score(fakes)).mean()
    loss = jax.jit(functools.partial(losses.discriminator_loss, judge))
    found, _ = loss(params, vectors, losses.Shown(conditions, images, person), fakes)
    assert float(found) == pytest.approx(wanted, rel=1e-4)


def test_equal_images_leave_only_the_adversarial_term():
    judge = networks(CONFIG, people=1).judge
    images = jax.random.uniform(jax.random.key(0), (2, SIZE, SIZE, 3))
    params = judge.init(jax.random.key(1), jnp.concatenate([images, images], -1), None)['params']
    shown = losses.Shown(images, images, None)
    total, terms = losses.generator_loss(CONFIG, judge, params, None, shown, images)
    assert float(terms['l1']) == float(terms['features']) == 0
    assert float(total) == pytest.approx(float(CONFIG.adversarial * terms['adversarial']))
    # Far from the truth it is the weighted sum.
    total, terms = losses.generator_loss(CONFIG, judge, params, None, shown, images - 0.25)
    assert float(terms['l1']) == pytest.approx(0.25, rel=1e-5) and float(terms['features']) > 0
    wanted = 100 * terms['l1'] + terms['adversarial'] + 10 * terms['features']
    assert float(total) == pytest.approx(float(wanted), rel=1e-5)


def test_kernels_of_scales_and_shifts_are_not_normalised():
    generator = networks(CONFIG, people=1).generator
    params = jax.jit(generator.init)(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)), jnp.zeros((1, 5)))['params']
    vectors = jax.jit(spectral_vectors)(jax.random.key(1), params)
    assert vectors and not any('affine' in name for name in vectors)
    normal, _ = jax.jit(normalized)({'generator': params}, {'generator': vectors})
    affine = normal['generator']['last_modulation']['affine']['kernel']
    np.testing.assert_array_equal(affine, params['last_modulation']['affine']['kernel'])


def test_bad_input(source):
    method = few_shot(CONFIG, people=3, size=(SIZE, SIZE), steps=10)
    state = jax.eval_shape(method.init, jax.random.key(0))
    batch = source.draw(jax.random.key(0), source.data)
    with pytest.raises(InputError, match='attention: got 2, expected 0 to 1'):
        dataclasses.replace(CONFIG, attention=2)
    with pytest.raises(InputError, match='expected both a weight and a file'):
        dataclasses.replace(CONFIG, perceptual=0.15)
    with pytest.raises(InputError, match='vgg: expected weights'):
        few_shot(dataclasses.replace(CONFIG, perceptual=0.15, vgg='a.npz'), people=1, size=(16, 16), steps=1)
    with pytest.raises(InputError, match='learned: got a state of another method'):
        fine_tuning(CONFIG, dataclasses.replace(state, params={}), batch.images[0], batch.conditions[0], steps=1)
    with pytest.raises(InputError, match=r'batch\.conditions'):
        jax.eval_shape(
            method.step, jax.random.key(0), state, dataclasses.replace(batch, conditions=batch.images[..., :2])
        )


@pytest.mark.slow
def test_it_learns_to_draw_people_it_knows(source):
    method = few_shot(
        dataclasses.replace(CONFIG, width=8, encoder_width=8, learning_rate=3e-3, adversarial=0.1, match=1.0),
        people=3,
        size=(SIZE, SIZE),
        steps=300,
    )
    state = jax.jit(method.init)(jax.random.key(0))
    step = jax.jit(lambda key, state: method.step(key, state, source.draw(key, source.data)))
    errors = []
    for k in range(300):
        state, values = step(jax.random.key(k), state)
        errors.append(float(values['l1']))
    assert np.mean(errors[-20:]) < 0.4 * np.mean(errors[:20])
