"""Image quality: PSNR and SSIM in its two common conventions. Both are pure, jit-able and differentiable.

`lpips.distance` is the third measure of the usual tables; it needs weights and has its own file.
"""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from neurend import checks
from neurend.checks import InputError
from neurend.linear import linear
from neurend.typing import Array

Convention = Literal['gaussian', 'uniform']
CONVENTIONS: tuple[Convention, ...] = ('gaussian', 'uniform')


def mse(a: Array, b: Array, mask: Array | None = None) -> Array:
    """Mean squared error of images [... H W C], over all pixels or weighted by a mask [... H W]; returns [...]."""
    checks.shape('b', b, '... H W C', 'It must match a', sizes=checks.shape('a', a, '... H W C'))
    for name, image in (('a', a), ('b', b)):
        if not jnp.issubdtype(jnp.result_type(image), jnp.floating):
            raise InputError(f'{name}: got {jnp.result_type(image)}, expected floats in [0, 1]; divide bytes by 255')
    squared = jnp.square(jnp.asarray(a) - jnp.asarray(b))
    if mask is None:
        return jnp.mean(squared, axis=(-3, -2, -1))
    checks.shape('mask', mask, '... H W', sizes={'H': a.shape[-3], 'W': a.shape[-2]})
    weight = jnp.asarray(mask, squared.dtype)
    return jnp.sum(jnp.mean(squared, axis=-1) * weight, axis=(-2, -1)) / jnp.sum(weight, axis=(-2, -1))


def psnr(a: Array, b: Array, mask: Array | None = None) -> Array:
    """Peak signal-to-noise ratio in dB, -10 log10(MSE), of images in [0, 1]; per image, as published tables average it.

    Args:
        a, b: [... H W C] in [0, 1].
        mask: [... H W] weights in [0, 1]; only pixels where it is positive count.

    Returns:
        [...]; infinite for equal images, NaN for an empty mask.
    """
    return -10 / np.log(10) * jnp.log(mse(a, b, mask))


def ssim(a: Array, b: Array, *, convention: Convention = 'gaussian') -> Array:
    """Structural similarity (Wang et al. 2004), mean over channels and over all windows that lie inside the image.

    Constants K1 = 0.01, K2 = 0.03, data range 1. The two conventions differ by some thousandths, so a number needs its
    convention beside it:

    * 'gaussian': 11 x 11 Gaussian of sigma 1.5, population covariance: the paper, TensorFlow, NeRF, mip-NeRF.
    * 'uniform': 7 x 7 uniform, sample covariance: scikit-image's default, SRN.

    Args:
        a, b: [... H W C] in [0, 1], at least as large as the window.

    Returns:
        [...] in [-1, 1].
    """
    checks.one_of('convention', convention, CONVENTIONS)
    sizes = checks.shape('a', a, '... H W C')
    checks.shape('b', b, '... H W C', 'It must match a', sizes=sizes)
    if convention == 'gaussian':
        taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
        unbias = 1.0
    else:
        taps = np.ones(7)
        unbias = 49 / 48
    if min(sizes['H'], sizes['W']) < len(taps):
        raise InputError(
            f'a: got {sizes["W"]} x {sizes["H"]}, expected at least {len(taps)} x {len(taps)} pixels for the '
            f'{convention} SSIM'
        )
    a, b = jnp.asarray(a), jnp.asarray(b)
    taps = tuple(float(tap) for tap in taps / taps.sum())
    # Apart, since it is mostly the first whose gradient is wanted.
    mean_a, mean_aa, mean_ab = _window(jnp.stack([a, a * a, a * b]), taps)
    mean_b, mean_bb = _window(jnp.stack([b, b * b]), taps)
    var_a = unbias * (mean_aa - mean_a * mean_a)
    var_b = unbias * (mean_bb - mean_b * mean_b)
    cov = unbias * (mean_ab - mean_a * mean_b)
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return jnp.mean(similarity, axis=(-3, -2, -1))


def _window(image: Array, taps: tuple[float, ...]) -> Array:
    """Filters over the windows inside the image by shifted sums, since XLA's depthwise convolution is slow on CPUs."""
    border = len(taps) - 1

    def back(_: None, change: Array) -> Array:
        around = [(0, 0)] * (change.ndim - 3) + [(border, border)] * 2 + [(0, 0)]
        return _filtered(_kept(lambda x: jnp.pad(x, around), change), taps[::-1])

    # The transpose of shifted sums is shifted sums, which takes a fifth of the time of what JAX makes of it.
    return linear(lambda _, x: _filtered(x, taps), back, None, image)


def _filtered(image: Array, taps: tuple[float, ...]) -> Array:
    *lead, height, width, channels = image.shape
    # Rows of numbers, of which many are added at once.
    flat = image.reshape(*lead, height, width * channels)

    def slide(x: Array, axis: int, step: int) -> Array:
        size = x.shape[axis] - (len(taps) - 1) * step
        parts = [lax.slice_in_dim(x, i * step, i * step + size, axis=axis) for i in range(len(taps))]
        return functools.reduce(jnp.add, [tap * part for tap, part in zip(taps, parts)])

    upright = flat.ndim - 2
    sums = _kept(lambda x: slide(x, upright, 1), flat)
    sums = _kept(lambda x: slide(x, upright + 1, channels), sums)
    return sums.reshape(*sums.shape[:-1], -1, channels)


def _kept(make: Callable[[Array], Array], x: Array) -> Array:
    """`make(x)`, or NaN where x begins with it, as an array: XLA would compute it again for each of its readers.

    A branch that is always taken does that, and a barrier does not.
    """
    first, shape = x.reshape(-1)[0], jax.eval_shape(make, x).shape
    return lax.cond(first == first, make, lambda x: jnp.full(shape, jnp.nan, x.dtype), x)
