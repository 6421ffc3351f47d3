"""Training of image translations: both updates of a step written out in plain JAX, and what a run must keep."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data.pair_batches import PairBatch, pair_source
from neurend.data.pairs import Pairs
from neurend.models.pix2pix import method as methods
from neurend.models.pix2pix.config import DiscriminatorConfig, GeneratorConfig, Pix2PixConfig
from neurend.models.pix2pix.method import Example, Inputs, frames_of, pix2pix
from neurend.train import loop
from neurend.train import mesh as meshes

SIZE = (6, 5)  # width and height
# Two convolutions of 3x3, and two of 1x1.
TINY = Pix2PixConfig(
    GeneratorConfig('dilated', width=3, depth=1), DiscriminatorConfig('pixel', width=4, norm='none'), learning_rate=0.02
)
UNET = Pix2PixConfig(
    GeneratorConfig(width=4, depth=2, refinements=1), DiscriminatorConfig(width=4, layers=1), learning_rate=2e-3
)


def made(config, *, channels=2, size=SIZE, steps=100):
    method = pix2pix(config, channels=channels, size=size, steps=steps)
    state = jax.jit(method.init)(jax.random.key(0))
    # Larger than at first, so that all terms have a say.
    return method, dataclasses.replace(state, params=jax.tree.map(lambda leaf: 15 * leaf, state.params))


def drawn(config, *, batch=2, channels=2, size=SIZE, seed=5):
    times = () if config.frames == 1 else (config.frames,)
    keys = jax.random.split(jax.random.key(seed))
    condition, image = (
        jax.random.uniform(key, (batch, *times, size[1], size[0], count)) for key, count in zip(keys, (channels, 3))
    )
    return PairBatch(condition, image)


def correlate(x, layer):
    space = ('NHWC', 'HWIO', 'NHWC')
    y = jax.lax.conv_general_dilated(x, layer['kernel'], (1, 1), 'SAME', dimension_numbers=space)
    return y + layer['bias'].reshape(1, 1, 1, -1)


def generate(params, x):
    return jnp.tanh(correlate(jax.nn.relu(correlate(x, params['encoder_0'])), params['decoder_0']))


def judge(params, x):
    for name in ('layer_0', 'layer_1'):
        x = correlate(x, params[name])
        x = jnp.where(x > 0, x, 0.2 * x)
    return correlate(x, params['last'])


def written_out(config, params, batch):
    """Gradients of the discriminator, and of the generator against the old one and the new one, and the losses."""
    frames = config.frames
    conditions = [2 * (batch.condition if frames == 1 else batch.condition[:, k]) - 1 for k in range(frames)]
    images = [2 * (batch.image if frames == 1 else batch.image[:, k]) - 1 for k in range(frames)]

    def fakes(weights):
        found, previous = [], jnp.zeros_like(images[0])
        for condition in conditions:
            x = condition if frames == 1 else jnp.concatenate([condition, previous], axis=-1)
            previous = generate(weights, x)
            found.append(previous)
        return found

    def verdict(weights, pictures):
        if frames == 1:
            return judge(weights, jnp.concatenate([conditions[0], pictures[0]], axis=-1))
        pairs = [
            jnp.concatenate([conditions[k], conditions[k + 1], pictures[k], pictures[k + 1]], axis=-1)
            for k in range(frames - 1)
        ]
        return jnp.stack([judge(weights, pair) for pair in pairs])

    def discriminator_loss(weights):
        real, fake = verdict(weights, images), verdict(weights, fakes(params['generator']))
        return 0.5 * (jnp.mean(jnp.log1p(jnp.exp(-real))) + jnp.mean(jnp.log1p(jnp.exp(fake))))

    def generator_loss(weights, against):
        found = fakes(weights)
        l1 = jnp.mean(jnp.stack([jnp.mean(jnp.abs(a - b)) for a, b in zip(found, images)]))
        return jnp.mean(jnp.log1p(jnp.exp(-verdict(against, found)))) + 100 * l1

    old = params['discriminator']
    loss, gradient = jax.value_and_grad(discriminator_loss)(old)
    new = jax.tree.map(lambda p, g: p - config.learning_rate * g / (jnp.abs(g) + 1e-8), old, gradient)
    stale = jax.grad(generator_loss)(params['generator'], old)
    total, fresh = jax.value_and_grad(generator_loss)(params['generator'], new)
    return gradient, stale, fresh, {'discriminator': loss, 'loss': total}


@pytest.mark.parametrize('frames', [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_step_is_the_discriminators_and_then_the_generators_against_the_new_one(frames):
    # A weight of L1 as in the paper, and gradients so small beside it that they show where L1 is left out.
    config = dataclasses.replace(TINY, frames=frames)
    method, state = made(config)
    batch = drawn(config)
    found, values = jax.jit(method.step)(jax.random.key(1), state, batch)
    gradient, stale, fresh, losses = jax.jit(lambda p, b: written_out(config, p, b))(state.params, batch)
    assert found.step == 1
    for name, loss in losses.items():
        assert float(values[name]) == pytest.approx(float(loss), rel=1e-5)
    # After Adam's first step its mean is half of the gradient: beta1 is 0.5.
    means = {name: jax.tree.map(lambda leaf: 2 * leaf, found.optimizer[name][0].mu) for name in found.params}
    close(means['discriminator'], gradient)
    close(means['generator'], fresh)
    assert distance(stale, fresh) > 10 * distance(means['generator'], fresh)
    for name, slope in (('discriminator', gradient), ('generator', fresh)):
        expected = jax.tree.map(
            lambda p, g: p - config.learning_rate * g / (jnp.abs(g) + 1e-8), state.params[name], slope
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found.params[name], expected)


def close(found, expected):
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5 * scale), found, expected)


def distance(a, b):
    return max(float(jnp.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))


def test_without_adversary_nothing_but_l1_is_trained():
    config = dataclasses.replace(TINY, adversarial=0.0)
    method, state = made(config)
    batch = drawn(config)
    assert set(state.params) == set(state.optimizer) == {'generator'} and state.aux is None
    found, values = jax.jit(method.step)(jax.random.key(1), state, batch)
    image = np.asarray(jax.jit(generate)(state.params['generator'], 2 * batch.condition - 1), np.float64)
    truth = 2 * np.asarray(batch.image, np.float64) - 1
    assert set(values) == {'loss', 'l1', 'psnr'}
    assert float(values['l1']) == pytest.approx(np.abs(image - truth).mean(), rel=1e-5)
    assert float(values['loss']) == pytest.approx(100 * np.abs(image - truth).mean(), rel=1e-5)
    assert float(values['psnr']) == pytest.approx(-10 * np.log10(np.square((image - truth) / 2).mean()), rel=1e-5)
    l1 = jax.jit(jax.grad(lambda p: 100 * jnp.mean(jnp.abs(generate(p, 2 * batch.condition - 1) - truth))))
    close(jax.tree.map(lambda leaf: 2 * leaf, found.optimizer['generator'][0].mu), l1(state.params['generator']))


def test_the_pool_holds_what_the_discriminator_has_seen_and_the_average_follows():
    config = dataclasses.replace(TINY, pool=3, ema=0.75)
    method, state = made(config)
    step = jax.jit(method.step)
    assert state.aux.images.shape == (3, SIZE[1], SIZE[0], 5) and state.aux.count == 0
    batches = [drawn(config, batch=1, seed=seed) for seed in range(2)]
    before = state
    for k, batch in enumerate(batches):
        image = jax.jit(generate)(before.params['generator'], 2 * batch.condition - 1)
        after, _ = step(jax.random.key(k), before, batch)
        np.testing.assert_allclose(after.aux.images[k, ..., :2], (2 * batch.condition - 1)[0], atol=1e-6)
        np.testing.assert_allclose(after.aux.images[k, ..., 2:], image[0], atol=1e-5)
        assert after.aux.count == k + 1
        expected = jax.tree.map(lambda old, new: 0.75 * old + 0.25 * new, before.ema, after.params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.ema, expected)
        before = after
    condition = batches[0].condition
    shown = method.render(before, Inputs(condition)).rgb
    image = generate(before.ema['generator'], 2 * condition - 1)
    np.testing.assert_allclose(shown, (image + 1) / 2, atol=1e-5)
    assert distance(before.ema, before.params) > 1e-3


def test_the_rate_is_constant_and_then_falls_to_zero():
    rates = [float(methods._schedule(TINY, 8)(k)) for k in range(9)]
    np.testing.assert_allclose(rates, 0.02 * np.array([1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]), rtol=1e-5)
    late = methods._schedule(dataclasses.replace(TINY, constant=1.0), 8)
    assert float(late(7)) == pytest.approx(0.02)


def test_frames_of_a_clip_see_the_one_before():
    config = dataclasses.replace(TINY, frames=2)
    method, state = made(config)
    conditions = np.asarray(drawn(config, batch=1).condition[0])
    drawn_by = jax.jit(lambda state, inputs: method.render(state, inputs).rgb)
    found = list(frames_of(drawn_by, state, conditions))
    previous = jnp.zeros((1, SIZE[1], SIZE[0], 3))
    for picture, condition in zip(found, conditions):
        previous = generate(
            state.params['generator'], jnp.concatenate([2 * jnp.asarray(condition)[None] - 1, previous], axis=-1)
        )
        np.testing.assert_allclose(picture, (previous[0] + 1) / 2, atol=1e-5)
    first = drawn_by(state, Inputs(jnp.asarray(conditions[:1])))
    np.testing.assert_allclose(first[0], found[0], atol=1e-6)


def test_a_frame_of_another_size_begins_a_clip():
    method, state = made(dataclasses.replace(TINY, frames=2))
    traced = []

    @jax.jit
    def drawn_by(state, inputs):
        traced.append(inputs.condition.shape)
        return method.render(state, inputs).rgb

    rng = np.random.default_rng(0)
    conditions = [rng.uniform(size=(size, 8, 2)).astype(np.float32) for size in (8, 10, 8, 10)]
    found = list(frames_of(drawn_by, state, conditions))
    for condition, picture in zip(conditions, found):
        (alone,) = frames_of(drawn_by, state, [condition])
        np.testing.assert_array_equal(picture, alone)
    assert len(traced) == 2


def test_an_example_is_measured_whole_and_within_its_mask():
    method, state = made(TINY, size=(16, 12))
    rng = np.random.default_rng(0)
    condition, image = (rng.integers(0, 256, (12, 16, count)).astype(np.uint8) for count in (2, 3))
    mask = np.zeros((12, 16), np.uint8)
    mask[3:9, 2:11] = 255
    values, pictures = method.evaluate(state, Example('a', condition, image, mask))
    scaled = jnp.asarray(2 * condition[None].astype(np.float32) / 255 - 1)
    found = (np.asarray(generate(state.params['generator'], scaled))[0] + 1) / 2
    error = found.astype(np.float64) - image / 255
    assert values['l1'] == pytest.approx(np.abs(error).mean(), rel=1e-4)
    assert values['psnr'] == pytest.approx(-10 * np.log10(np.square(error).mean()), rel=1e-4)
    assert values['psnr_masked'] == pytest.approx(-10 * np.log10(np.square(error[3:9, 2:11]).mean()), rel=1e-4)
    np.testing.assert_array_equal(pictures['truth'], image)
    np.testing.assert_allclose(pictures['prediction'], 255 * found, atol=0.51)
    # Two channels cannot be shown; the first stands for them.
    np.testing.assert_array_equal(pictures['condition'], np.repeat(condition[..., :1], 3, axis=-1))


@pytest.mark.slow
def test_one_pair_is_learned_by_heart():
    generator = dataclasses.replace(UNET.generator, width=8, dropout=0.0)
    config = dataclasses.replace(UNET, generator=generator, learning_rate=4e-3)
    method = pix2pix(config, channels=3, size=(14, 13), steps=400)
    batch = drawn(config, batch=1, channels=3, size=(14, 13))
    state, step = jax.jit(method.init)(jax.random.key(0)), jax.jit(method.step)
    values = []
    for k in range(400):
        state, metrics = step(jax.random.key(k), state, batch)
        values.append(float(metrics['psnr']))
    # Noise has a deviation of 0.29 around its mean: 10.8 dB for a gray picture.
    assert values[0] < 12 and values[-1] > 20


@pytest.mark.slow
def test_a_batch_spread_over_devices_gives_the_same_step():
    config = dataclasses.replace(UNET, frames=2, learning_rate=1e-3)
    method, state = made(config, size=(8, 8))
    batch, key = drawn(config, batch=4, size=(8, 8)), jax.random.key(3)
    results = []
    for devices in (jax.devices()[:1], jax.devices()):
        mesh = meshes.make(devices)
        spread = meshes.place(batch, meshes.batch_shardings(batch, mesh))
        everywhere = meshes.place(state, jax.tree.map(lambda _, mesh=mesh: meshes.replicated(mesh), state))
        results.append(jax.device_get(jax.jit(method.step)(key, everywhere, spread)))
    (one, values), (four, others) = results
    assert len(jax.devices()) == 4
    for name in values:
        assert float(others[name]) == pytest.approx(float(values[name]), rel=1e-4)
    for name in ('generator', 'discriminator'):
        close(four.optimizer[name][0].mu, one.optimizer[name][0].mu)


@pytest.mark.slow
def test_a_run_that_is_resumed_ends_with_the_same_bits(tmp_path):
    config = dataclasses.replace(UNET, pool=2, ema=0.9)
    rng = np.random.default_rng(0)
    images, conditions = (tuple(rng.integers(0, 256, (5, 10, 10, 3)).astype(np.uint8)) for _ in range(2))
    pairs = Pairs(tuple('abcde'), conditions, images)
    method = pix2pix(config, channels=3, size=(8, 8), steps=6)
    source = pair_source(pairs, batch=4, load_size=None, crop=(8, 8))

    def fit(name, steps):
        options = {'devices': jax.devices()[:1], 'tensorboard': False}
        return jax.device_get(loop.fit(method, source, workdir=tmp_path / name, steps=steps, **options))

    whole = fit('whole', 6)
    fit('parts', 3)
    parts = fit('parts', 6)
    assert parts.step == 6
    jax.tree.map(np.testing.assert_array_equal, parts, whole)


def test_bad_input_is_named():
    method, state = made(TINY)
    batch = drawn(TINY)
    with pytest.raises(InputError, match=r'batch.condition: got shape \(2, 5, 5, 2\), expected'):
        method.step(jax.random.key(0), state, PairBatch(batch.condition[:, :, :5], batch.image))
    clips = drawn(dataclasses.replace(TINY, frames=2))
    with pytest.raises(InputError, match='made for frames=1'):
        method.step(jax.random.key(0), state, clips)
    with pytest.raises(InputError, match=r'condition: got shape \(1, 5, 6, 3\), expected \(n, h, w, 2\).* 2 channels'):
        method.render(state, Inputs(jnp.zeros((1, 5, 6, 3))))
    with pytest.raises(InputError, match='vgg: expected weights'):
        pix2pix(Pix2PixConfig(perceptual=10, vgg='vgg19.pth'), channels=3, size=(8, 8), steps=1)


@pytest.mark.slow
def test_flow_is_learned_from_moving_pictures():
    """A texture that moves by a pixel and a half: the loss of the flow falls far below that of standing still."""
    config = dataclasses.replace(
        UNET, frames=2, composition='flow', generator=GeneratorConfig(width=8, depth=3, dropout=0.0), learning_rate=2e-3
    )
    method = pix2pix(config, channels=2, size=(16, 16), steps=400)
    x = np.arange(16)[None, :, None, None] / 2 + np.arange(16)[:, None, None, None] / 3
    moments = np.array([0.0, 0.75])
    image = 0.5 + 0.4 * np.sin(x + moments[:, None] + np.arange(3))  # h w t 3
    image = np.moveaxis(image, 2, 0)[None].astype(np.float32)
    batch = PairBatch(jnp.zeros((1, 2, 16, 16, 2)), jnp.asarray(image))
    state, step = jax.jit(method.init)(jax.random.key(0)), jax.jit(method.step)
    still = np.abs(image[0, 1] - image[0, 0]).mean() * 2
    for number in range(400):
        state, values = step(jax.random.key(number), state, batch)
    assert float(values['flow']) < 0.3 * still
