"""History of generated images, from which a discriminator sees some again (Shrivastava et al., 2017)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.checks import InputError
from neurend.typing import Array, Key


class Pool(NamedTuple):
    """Images generated earlier.

    Attributes:
        images: `size ...`; only the first `count` mean anything.
        count: int32 scalar.
    """

    images: Array
    count: Array


def create(size: int, shape: tuple[int, ...]) -> Pool:
    """An empty pool of `size` images of a shape, float32; size 0, as in pix2pix, hands every image through.

    Raises:
        InputError: the size is negative.
    """
    if size < 0:
        raise InputError(f'size: got {size}, expected 0 (no pool) or more; 50 is usual')
    return Pool(jnp.zeros((size, *shape), jnp.float32), jnp.zeros((), jnp.int32))


def exchange(key: Key, pool: Pool, images: Array) -> tuple[Array, Pool]:
    """Gives what the discriminator shall see for newly generated images, and the next pool.

    One image after the other: until the pool is full, it is stored and returned. Afterwards, with probability 0.5,
    it is stored in place of a random one, which is returned; else it is returned itself. No gradient flows through.

    Args:
        key: of the draws.
        pool: see `create`.
        images: `n ...`, with the pool's shape after n; a conditional discriminator's come with their conditions as
            further channels.

    Returns:
        Images `n ...`, and the pool.
    """
    checks.shape('images', images, ' '.join(['n', *map(str, pool.images.shape[1:])]), "The pool's images have this")
    images = jax.lax.stop_gradient(images)
    size = len(pool.images)
    if size == 0:
        return images, pool

    def one(pool: Pool, drawn: tuple[Array, Array, Array]) -> tuple[Pool, Array]:
        image, swap, slot = drawn
        full = pool.count == size
        slot = jnp.where(full, slot, pool.count)
        old = pool.images[slot]
        stored = pool.images.at[slot].set(jnp.where(full & ~swap, old, image))
        return Pool(stored, jnp.minimum(pool.count + 1, size)), jnp.where(full & swap, old, image)

    pool, shown = jax.lax.scan(one, pool, (images, *_draw(key, len(images), size)))
    return shown, pool


def _draw(key: Key, count: int, size: int) -> tuple[Array, Array]:
    """For each image, whether it is swapped once the pool is full, and with which."""
    swap, slot = jax.random.split(key)
    return jax.random.bernoulli(swap, 0.5, (count,)), jax.random.randint(slot, (count,), 0, size)
