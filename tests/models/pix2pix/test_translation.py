import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.models.pix2pix.config import GeneratorConfig, Pix2PixConfig
from neurend.models.pix2pix.translation import Frame, flow_loss, roll, shown, translation


def made(frames=1, *, channels=2, size=8, composition='none', **generator):
    generator = GeneratorConfig(**{'width': 2, 'depth': 2, **generator})
    config = Pix2PixConfig(generator, frames=frames, composition=composition)
    module, frame = translation(config)
    generate = jax.jit(lambda *arguments: frame(*arguments).image)
    keys = {'params': jax.random.key(0), 'dropout': jax.random.key(1)}
    x = jnp.zeros((1, size, size, channels + 3 * (frames > 1)))
    shapes = jax.eval_shape(module.init, keys, x)['params']
    # Larger than at first, so that pictures are far from gray.
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.4, leaf.shape).astype(np.float32), shapes)
    return config, module, generate, params


def whole(generate):
    return lambda *arguments: Frame(generate(*arguments))


def pictures(seed, *shape):
    return jax.random.uniform(jax.random.key(seed), shape)


def test_conditions_are_scaled_and_sizes_padded_by_their_border_and_cropped():
    _, module, generate, params = made(dropout=0.0)
    condition = pictures(2, 2, 8, 8, 2)
    apply = jax.jit(lambda x: module.apply({'params': params}, x, deterministic=True))
    whole = apply(2 * condition - 1)
    np.testing.assert_allclose(generate(params, None, condition, None), whole, atol=1e-6)
    odd = condition[:, :6, :5]
    rows, columns = np.minimum(np.arange(8), 5), np.minimum(np.arange(8), 4)
    padded = odd[:, rows][:, :, columns]
    expected = apply(2 * padded - 1)
    found = generate(params, None, odd, None)
    assert found.shape == (2, 6, 5, 3) and np.std(np.asarray(found)) > 0.05
    np.testing.assert_allclose(found, expected[:, :6, :5], atol=1e-6)


def test_dropout_has_its_key_and_none_turns_it_off():
    _, _, generate, params = made(refinements=1)
    condition = pictures(3, 1, 8, 8, 2)
    first, again, other = (generate(params, jax.random.key(k), condition, None) for k in (0, 0, 1))
    off = generate(params, None, condition, None)
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.asarray(first) - np.asarray(other)).max() > 1e-3
    assert np.abs(np.asarray(first) - np.asarray(off)).max() > 1e-3


def test_networks_without_dropout_take_a_key_too():
    _, _, generate, params = made(name='dilated')
    condition = pictures(4, 1, 7, 9, 2)
    np.testing.assert_array_equal(
        generate(params, jax.random.key(0), condition, None), generate(params, None, condition, None)
    )


def test_each_frame_sees_the_one_before_and_the_first_sees_zeros():
    config, _, generate, params = made(3, dropout=0.0)
    conditions = [pictures(seed, 1, 8, 8, 2) for seed in range(3)]
    key, previous = jax.random.key(0), jnp.zeros((1, 8, 8, 3))
    for found, condition in zip(roll(whole(generate), config, params, key, conditions), conditions):
        previous = generate(params, None, condition, previous)
        np.testing.assert_allclose(found.image, previous, atol=1e-6)


def test_gradients_flow_through_the_first_generated_frame():
    config, _, generate, params = made(2, dropout=0.0)
    first, second = (pictures(seed, 1, 8, 8, 2) for seed in range(2))

    @jax.jit
    def last(condition):
        return jnp.sum(roll(whole(generate), config, params, jax.random.key(0), [condition, second])[1].image ** 2)

    slope = jax.jit(jax.grad(last))(first)
    direction = pictures(5, 1, 8, 8, 2) - 0.5
    step = 1e-2
    numeric = (last(first + step * direction) - last(first - step * direction)) / (2 * step)
    assert abs(float(numeric)) > 1e-2
    assert float(jnp.sum(slope * direction)) == pytest.approx(float(numeric), rel=0.05)


def test_the_discriminator_sees_conditions_in_the_range_of_images():
    conditions = [pictures(seed, 2, 4, 4, 2) for seed in range(3)]
    images = [pictures(10 + seed, 2, 4, 4, 3) for seed in range(3)]
    single = shown(conditions[:1], images[:1])
    np.testing.assert_allclose(single[..., :2], 2 * conditions[0] - 1)
    np.testing.assert_array_equal(single[..., 2:], images[0])
    pairs = shown(conditions, images)
    assert pairs.shape == (4, 4, 4, 10)
    for k in range(2):
        pair = pairs[2 * k : 2 * k + 2]
        np.testing.assert_allclose(pair[..., :2], 2 * conditions[k] - 1)
        np.testing.assert_allclose(pair[..., 2:4], 2 * conditions[k + 1] - 1)
        np.testing.assert_array_equal(pair[..., 4:7], images[k])
        np.testing.assert_array_equal(pair[..., 7:], images[k + 1])


@pytest.mark.parametrize('composition', ['mask', 'flow'])
def test_frames_are_drawn_over_the_moved_frame_before(composition):
    _, module, generate, params = made(2, composition=composition, dropout=0.0)
    condition, previous = pictures(2, 1, 8, 8, 2), 2 * pictures(3, 1, 8, 8, 3) - 1
    y = module.apply({'params': params}, jnp.concatenate([2 * condition - 1, previous], -1), deterministic=True)
    y, before = np.asarray(y, np.float64)[0], np.asarray(previous, np.float64)[0]
    if composition == 'flow':  # an eighth of the side at most: one pixel
        still, before = before, np.empty_like(before)
        assert np.abs(y[..., 4:]).max() > 0.3
        for row in range(8):
            for column in range(8):
                places = np.clip(np.array([column, row]) + y[row, column, 4:], 0, 7)
                left, top = np.minimum(np.floor(places).astype(int), 6)
                fx, fy = places - (left, top)
                upper = (1 - fx) * still[top, left] + fx * still[top, left + 1]
                lower = (1 - fx) * still[top + 1, left] + fx * still[top + 1, left + 1]
                before[row, column] = (1 - fy) * upper + fy * lower
    mask = 0.25 + 0.75 * (y[..., 3:4] + 1) / 2
    expected = mask * y[..., :3] + (1 - mask) * before
    np.testing.assert_allclose(generate(params, None, condition, previous)[0], expected, atol=1e-5)


def test_the_first_frame_is_drawn_whole():
    _, module, generate, params = made(2, composition='flow', dropout=0.0)
    condition, nothing = pictures(2, 1, 8, 8, 2), jnp.zeros((1, 8, 8, 3))
    y = module.apply({'params': params}, jnp.concatenate([2 * condition - 1, nothing], -1), deterministic=True)
    np.testing.assert_allclose(generate(params, None, condition, nothing), y[..., :3], atol=1e-6)


def test_the_flow_that_moves_the_truth_costs_nothing():
    first = pictures(4, 1, 6, 6, 3)
    second = jnp.concatenate([first[:, :, 1:], first[:, :, -1:]], axis=2)  # one pixel to the left, by its border
    right, still = jnp.zeros((1, 6, 6, 2)).at[..., 0].set(1.0), jnp.zeros((1, 6, 6, 2))
    frames = [[Frame(first), Frame(second, flow)] for flow in (right, still)]
    assert float(flow_loss(frames[0], [first, second])) == pytest.approx(0, abs=1e-7)
    expected = np.abs(np.asarray(first) - np.asarray(second)).mean()
    assert float(flow_loss(frames[1], [first, second])) == pytest.approx(float(expected), rel=1e-5)


def test_composition_needs_a_frame_before():
    with pytest.raises(InputError, match='composition: got mask with frames=1'):
        Pix2PixConfig(composition='mask')
