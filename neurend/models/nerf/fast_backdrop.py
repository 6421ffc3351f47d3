"""Unknown backgrounds: estimated behind each training image, from where the field is transparent.

At first nothing is known: a ray may then see, instead of a sample, a background of just the colour of its pixel, at
a price. Only what many images agree on is cheaper, so the field keeps what is consistent between views. Once it is
formed, its own opacity says which pixels show background, and colours spread from those to what it hides and to its
outline, where pixels mix both. Away from it the rule stays: what shows there is background, whatever its colour.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from neurend.typing import Array

# Windows, in nodes, from which colours are taken: the smallest that has any background.
_WINDOWS = (3, 7, 15, 31, 63)
_TRANSPARENT = 0.05


def at_nodes(images: Sequence[np.ndarray], grid: tuple[int, int]) -> np.ndarray:
    """Mean colours around the nodes of a grid over each image.

    Args:
        images: uint8 [H W 3 or more] of any sizes.
        grid: rows and columns of nodes; the outermost lie on the images' borders.

    Returns:
        float32 [n rows columns 3] in [0, 1].
    """
    result = np.empty((len(images), *grid, 3), np.float32)
    for image, target in zip(images, result):
        total = np.zeros((image.shape[0] + 1, image.shape[1] + 1, 3))
        total[1:, 1:] = (image[..., :3] / 255).cumsum(0).cumsum(1)
        ends = []
        for nodes, size in zip(grid, image.shape):
            spacing = size / (nodes - 1)
            middle = np.arange(nodes) * spacing
            begin = np.clip(np.floor(middle - spacing / 2), 0, size - 1).astype(int)
            ends.append((begin, np.clip(np.ceil(middle + spacing / 2), begin + 1, size).astype(int)))
        (top, bottom), (left, right) = ends
        area = (bottom - top)[:, None] * (right - left)
        box = total[np.ix_(bottom, right)] - total[np.ix_(top, right)] - total[np.ix_(bottom, left)]
        target[:] = (box + total[np.ix_(top, left)]) / area[..., None]
    return result


@jax.jit
def estimate(colors: Array, alpha: Array) -> Array:
    """Background behind each node.

    Args:
        colors: [n rows columns 3] of `at_nodes`.
        alpha: [n rows columns] opacity of the field.

    Returns:
        [n rows-1 columns-1 4] between the nodes: colour, and 1 where it is known and the field near, else 0.
    """
    covered = (alpha > _TRANSPARENT).astype(jnp.float32)
    # A node next to the object mixes both.
    free = 1 - window(covered[..., None], 3, jax.lax.max, 0.0)
    found, known = spread(colors, free)
    both = jnp.concatenate([found, known, free], axis=-1)
    middle = (both[:, :-1, :-1] + both[:, :-1, 1:] + both[:, 1:, :-1] + both[:, 1:, 1:]) / 4
    usable = (middle[..., 3:4] == 1) & (middle[..., 4:] < 1)
    return jnp.concatenate([middle[..., :3], usable.astype(jnp.float32)], axis=-1)


def spread(colors: Array, free: Array) -> tuple[Array, Array]:
    """Colours [n h w 3] of where `free` [n h w 1] is 1, taken to where it is not, and where they reached [n h w 1]."""
    found, known = jnp.zeros_like(colors), jnp.zeros_like(free)
    for size in _WINDOWS:
        weight = window(free, size, jax.lax.add, 0.0)
        mean = window(free * colors, size, jax.lax.add, 0.0) / jnp.maximum(weight, 1)
        new = (known == 0) & (weight > 0)
        found, known = jnp.where(new, mean, found), jnp.where(new, 1, known)
    return found, known


def window(x: Array, size: int, combine: Callable, start: float) -> Array:
    """Combines [n h w c] over squares of `size` around each place."""
    for axis in (1, 2):
        shape = tuple(size if a == axis else 1 for a in range(4))
        x = jax.lax.reduce_window(x, start, combine, shape, (1, 1, 1, 1), 'SAME')
    return x
