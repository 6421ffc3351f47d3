"""Features of speech: frames, mel filters, cepstra as python_speech_features computes them, and logarithmic mel bands.

All are pure functions of one channel of sound, `[n]`, in [-1, 1] at 16 kHz unless a rate is given. Spectra are made
of products with sines and cosines: XLA on a CPU has no fast transform within a compiled loop, and 400 samples are few.
"""

import math

import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.checks import InputError
from neurend.speech.audio import FULL, RATE
from neurend.typing import Array

_EPS = float(np.finfo(np.float64).eps)  # stands for zero before a logarithm, as in python_speech_features


def frames(samples: Array, size: int, step: int) -> Array:
    """Cuts `[n]` into overlapping frames `[f size]`, the last filled up by zeros; f = 1 + ceil((n - size) / step).

    Raises:
        InputError: no samples, or sizes below 1.
    """
    count = checks.shape('samples', samples, 'n', 'Give one channel')['n']
    if count < 1 or min(size, step) < 1:
        raise InputError(f'samples, size, step: got {count}, {size} and {step}, expected at least 1 of each')
    total = 1 + max(0, -(-(count - size) // step))
    padded = jnp.pad(samples, (0, max(0, (total - 1) * step + size - count)))
    return padded[np.arange(total)[:, None] * step + np.arange(size)[None]]


def preemphasize(samples: Array, factor: float = 0.97) -> Array:
    """`x[t] - factor x[t - 1]`, the first sample as it is; `[n]`."""
    return jnp.concatenate([samples[:1], samples[1:] - factor * samples[:-1]])


def power_spectrum(framed: Array, size: int) -> Array:
    """`|DFT|^2 / size` of frames `[f m]`, cut or filled up to `size` samples; `[f size/2 + 1]`."""
    count = min(framed.shape[-1], size)
    angles = 2 * math.pi / size * (np.arange(count)[:, None] * np.arange(size // 2 + 1)[None] % size)
    waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    parts = jnp.matmul(framed[..., :count], jnp.asarray(waves, framed.dtype), precision='highest')
    real, imaginary = jnp.split(parts, 2, axis=-1)
    return (jnp.square(real) + jnp.square(imaginary)) / size


def mel_filters(bands: int, size: int, rate: int = RATE, low: float = 0.0, high: float | None = None) -> np.ndarray:
    """Triangles on the mel scale over whole bins of a spectrum, `[bands size/2 + 1]`; as in python_speech_features.

    Args:
        bands: number of triangles.
        size: of the transform.
        rate: samples per second.
        low, high: frequencies between which they lie; half the rate if None.
    """
    high = rate / 2 if high is None else high
    ends = 2595 * np.log10(1 + np.array([low, high]) / 700)
    mel = np.linspace(ends[0], ends[1], bands + 2)
    edges = np.floor((size + 1) * 700 * (10 ** (mel / 2595) - 1) / rate)
    bins = np.arange(size // 2 + 1)
    filters = np.zeros((bands, len(bins)))
    for band, (start, middle, end) in enumerate(zip(edges, edges[1:], edges[2:])):
        rising, falling = (bins >= start) & (bins < middle), (bins >= middle) & (bins < end)
        filters[band, rising] = (bins[rising] - start) / (middle - start)
        filters[band, falling] = (end - bins[falling]) / (end - middle)
    return filters


def mfcc(
    samples: Array,
    *,
    rate: int = RATE,
    cepstra: int = 13,
    window: float = 0.025,
    step: float = 0.01,
    bands: int = 26,
    size: int = 512,
    preemphasis: float = 0.97,
    lifter: int = 22,
    energy: bool = True,
) -> Array:
    """Mel-frequency cepstra (Davis and Mermelstein, 1980) with the conventions and defaults of python_speech_features.

    Frames have a rectangular window; samples are scaled to 16 bits, of which the first coefficient, the logarithm of
    the energy, tells. DeepSpeech and VOCA take 26 cepstra, ATVG 13 without the first.

    Args:
        samples: `[n]` in [-1, 1].
        rate: samples per second.
        cepstra: coefficients, at most `bands`.
        window, step: of frames, in seconds.
        bands: mel filters between zero and half the rate.
        size: of the transform.
        preemphasis: see `preemphasize`.
        lifter: L of the weights `1 + L/2 sin(pi k / L)` of the coefficients; 0 for none.
        energy: whether the first coefficient is the logarithm of the energy of the frame.

    Returns:
        `[frames cepstra]`.

    Raises:
        InputError: no samples, or more cepstra than bands.
    """
    if not 1 <= cepstra <= bands:
        raise InputError(f'cepstra: got {cepstra}, expected 1 to {bands}, the bands')
    emphasized = preemphasize(FULL * jnp.asarray(samples), preemphasis)
    length, hop = (math.floor(seconds * rate + 0.5) for seconds in (window, step))
    spectrum = power_spectrum(frames(emphasized, length, hop), size)
    filters = jnp.asarray(mel_filters(bands, size, rate).T, spectrum.dtype)
    heard = jnp.log(_positive(jnp.matmul(spectrum, filters, precision='highest')))
    order, band = np.arange(cepstra)[None], np.arange(bands)[:, None]
    cosines = np.cos(math.pi * order * (2 * band + 1) / (2 * bands)) * np.where(order, 1, math.sqrt(0.5))
    weights = 1 + lifter / 2 * np.sin(math.pi * np.arange(cepstra) / lifter) if lifter else np.ones(cepstra)
    transform = jnp.asarray(math.sqrt(2 / bands) * cosines * weights[None], heard.dtype)
    found = jnp.matmul(heard, transform, precision='highest')
    if not energy:
        return found
    return jnp.concatenate([jnp.log(_positive(spectrum.sum(-1, keepdims=True))), found[:, 1:]], axis=1)


def deepspeech(samples: Array) -> Array:
    """What DeepSpeech 0.1 is given in the pipeline of VOCA (Cudeiro et al., 2019) and Neural Voice Puppetry.

    26 cepstra, every second frame, nine frames of context on each side (zeros beyond the ends), standardised over the
    whole clip.

    Args:
        samples: `[n]` in [-1, 1] at 16 kHz; rounded towards zero to 16 bits, as there.

    Returns:
        `[t 494]`, 50 rows a second.
    """
    found = mfcc(jnp.trunc(FULL * jnp.asarray(samples)) / FULL, cepstra=26)[::2]
    padded = jnp.pad(found, ((9, 9), (0, 0)))
    context = jnp.concatenate([padded[k : k + len(found)] for k in range(19)], axis=1)
    return (context - context.mean()) / context.std()


BANDS = 40
"""Of `log_mel`."""
WINDOW, HOP = 400, 160
"""Samples of a frame of `log_mel`, and between two: 25 and 10 milliseconds."""
QUIET = 0.1
"""Added to the energy of each of its bands, of samples at 16-bit scale."""


def log_mel(samples: Array) -> Array:
    """Logarithms of the energies of 40 mel bands, 20 to 7600 Hz, in whole Hann windows of 25 ms every 10 ms.

    Only windows that lie within the samples count, so that features of a stream are those of the whole.

    Args:
        samples: `[n]` in [-1, 1] at 16 kHz, at least 400.

    Returns:
        `[(n - 400) // 160 + 1, 40]`.

    Raises:
        InputError: fewer samples.
    """
    count = checks.shape('samples', samples, 'n', 'Give one channel')['n']
    if count < WINDOW:
        raise InputError(f'samples: got {count}, expected at least {WINDOW}, a window of 25 ms. Record more')
    total = (count - WINDOW) // HOP + 1
    framed = frames(FULL * jnp.asarray(samples)[: (total - 1) * HOP + WINDOW], WINDOW, HOP)
    hann = 0.5 - 0.5 * np.cos(2 * math.pi * (np.arange(WINDOW) + 0.5) / WINDOW)
    spectrum = power_spectrum(framed * jnp.asarray(hann, framed.dtype)[None], 512)
    filters = jnp.asarray(mel_filters(BANDS, 512, low=20, high=7600).T, spectrum.dtype)
    return jnp.log(jnp.matmul(spectrum, filters) + QUIET)


def _positive(values: Array) -> Array:
    return jnp.where(values > 0, values, _EPS)
