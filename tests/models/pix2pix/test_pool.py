import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.models.pix2pix import pool


def frames(first, count):
    """Images whose every pixel is their number."""
    return jnp.broadcast_to(jnp.arange(first, first + count, dtype=jnp.float32).reshape(-1, 1, 1, 1), (count, 2, 3, 1))


class Oracle:
    """The pool as a list, image by image."""

    def __init__(self, size):
        self.size, self.stored = size, []

    def exchange(self, images, swap, slot):
        shown = []
        for image, swaps, index in zip(images, swap, slot):
            if len(self.stored) < self.size:
                self.stored.append(image)
                shown.append(image)
            elif swaps:
                shown.append(self.stored[index])
                self.stored[index] = image
            else:
                shown.append(image)
        return np.stack(shown)


@pytest.mark.parametrize('size', [1, 5])
def test_against_a_list_driven_by_the_same_draws(size):
    oracle, state, swapped = Oracle(size), pool.create(size, (2, 3, 1)), 0
    exchange = jax.jit(pool.exchange)
    for step in range(12):
        key, images = jax.random.key(step), frames(3 * step, 3)
        shown, state = exchange(key, state, images)
        swap, slot = (np.asarray(part) for part in pool._draw(key, 3, size))
        want = oracle.exchange(np.asarray(images), swap, slot)
        np.testing.assert_array_equal(shown, want)
        assert state.count == len(oracle.stored)
        np.testing.assert_array_equal(state.images[: state.count], oracle.stored)
        swapped += (want != images).any()
    assert swapped > 2


def test_half_are_swapped_and_every_slot_alike():
    size, steps = 4, 4000
    start = pool.create(size, (1,))

    @jax.jit
    def run(keys):
        def step(state, drawn):
            key, number = drawn
            shown, state = pool.exchange(key, state, number.reshape(1, 1))
            return state, shown[0, 0]

        return jax.lax.scan(step, start, (keys, jnp.arange(steps, dtype=jnp.float32)))

    state, shown = run(jax.random.split(jax.random.key(0), steps))
    shown, age = np.asarray(shown), np.arange(steps) - np.asarray(shown)
    np.testing.assert_array_equal(shown[:size], np.arange(size))
    # What is shown again was stored and is shown once: no image comes out of the pool twice.
    again = shown[age > 0]
    assert len(np.unique(again)) == len(again) and (age >= 0).all()
    # Of 3996 draws of 1/2, five standard deviations are 160.
    assert abs(len(again) - (steps - size) / 2) < 160
    # An image leaves in each step with probability 1/8: its stay is geometric, of mean 8 and deviation 7.5.
    assert abs(age[age > 0].mean() - 8) < 5 * 7.5 / np.sqrt(len(again))
    assert set(np.asarray(state.images)[:, 0]).isdisjoint(again)


def test_slots_are_drawn_uniformly_and_swaps_independently():
    swap, slot = (np.asarray(part) for part in pool._draw(jax.random.key(1), 8000, 5))
    for chosen in (swap, ~swap):
        share = np.bincount(slot[chosen], minlength=5) / chosen.sum()
        np.testing.assert_allclose(share, 0.2, atol=5 * np.sqrt(0.16 / 4000))


def test_size_zero_hands_through_and_no_gradient_flows():
    images = frames(0, 3)
    shown, state = pool.exchange(jax.random.key(0), pool.create(0, (2, 3, 1)), images)
    np.testing.assert_array_equal(shown, images)
    assert state.count == 0
    for size in (0, 2):
        start = pool.create(size, (2, 3, 1))
        gradient = jax.grad(lambda x, start=start: pool.exchange(jax.random.key(0), start, x)[0].sum())(images)
        assert not np.any(gradient)


def test_bad_sizes_and_shapes_are_named():
    with pytest.raises(InputError, match='size: got -1'):
        pool.create(-1, (2, 2, 3))
    with pytest.raises(InputError, match=r'images: got shape \(2, 3, 1\), expected \(n, 2, 3, 1\)'):
        pool.exchange(jax.random.key(0), pool.create(2, (2, 3, 1)), frames(0, 1)[0])
