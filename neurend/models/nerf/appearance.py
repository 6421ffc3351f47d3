"""Per-image latent codes for changes of light and exposure (Bojanowski et al., "GLO", 2018; NeRF in the Wild, 2021)."""

import jax
import jax.numpy as jnp

from neurend.typing import Array, Key


def init(key: Key, num_images: int, size: int) -> Array:
    """Codes [num_images size], small so that all images start nearly alike."""
    return 0.01 * jax.random.normal(key, (num_images, size))


def lookup(codes: Array, index: Array) -> Array:
    """The codes [... c] of images `index` [...]; a negative index (an image unseen in training) gives the mean code."""
    mean = codes.mean(0)
    return jnp.where((index >= 0)[..., None], codes[jnp.maximum(index, 0)], mean)
