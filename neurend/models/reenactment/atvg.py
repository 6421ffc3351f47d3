"""ATVG (Chen et al., "Hierarchical Cross-Modal Talking Face Generation with Dynamic Pixel-Wise Loss", 2019).

The first network hears speech and gives landmarks, as components of a basis, with the mean squared difference as its
loss; the second, in `atvg_face`, draws faces by landmarks over an example frame. They are trained apart.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.nn.convolution import Convolution
from neurend.nn.norms import Norm
from neurend.typing import Array

LIPS = slice(48, 68)
"""The lips among 68 landmarks."""


class SpeechToLandmarks(nn.Module):
    """AT-net: components of the landmarks at each moment, from speech and the landmarks of an example frame.

    Convolutions over coefficients and rows of each moment's window, two dense layers, and beside them two of the
    example; three LSTMs over the moments, from a state of zeros, and a dense layer. Batch norm takes the statistics of
    all windows of the batch, in use as in training.

    Call with windows `n t rows coefficients` (28 rows of 12 mel-frequency cepstral coefficients, the first left out, at
    100 rows a second: rows 4 (i - 3) to 4 (i + 4) - 1 for frame i at 25 frames a second) and the example's components
    `n c`; returns `n t c`.

    Attributes:
        width: channels of the first convolution; 64 in the paper's code.
        hidden: units of the LSTMs.
    """

    width: int = 64
    hidden: int = 256

    @nn.compact
    def __call__(self, windows: Array, example: Array) -> Array:
        sizes = checks.shape('windows', windows, 'n t rows coefficients')
        checks.shape('example', example, 'n c', 'Give one example for each sequence', sizes={'n': sizes['n']})
        n, t = windows.shape[:2]
        x = windows.reshape(n * t, *windows.shape[2:], 1)

        def convolution(x: Array, factor: int, name: str) -> Array:
            x = Convolution(factor * self.width, 3, padding=1, bias=False, name=name)(x)
            return nn.relu(Norm('batch', name=f'{name}_norm')(x))

        x = convolution(convolution(x, 1, 'layer_0'), 2, 'layer_1')
        x = nn.max_pool(x, (3, 3), (1, 2))
        for layer, factor in ((2, 4), (3, 4), (4, 8)):
            x = convolution(x, factor, f'layer_{layer}')
        x = nn.max_pool(x, (3, 3), (2, 2)).reshape(n * t, -1)
        x = nn.relu(nn.Dense(8 * self.hidden, name='speech_0')(x))
        x = nn.relu(nn.Dense(self.hidden, name='speech_1')(x)).reshape(n, t, -1)
        face = nn.relu(nn.Dense(self.hidden, name='example_0')(example))
        face = nn.relu(nn.Dense(2 * self.hidden, name='example_1')(face))
        x = jnp.concatenate([jnp.broadcast_to(face[:, None], (n, t, face.shape[-1])), x], axis=-1)
        for layer in range(3):
            heard: Any = nn.RNN(nn.OptimizedLSTMCell(self.hidden, name=f'lstm_{layer}'))(x)
            x = heard
        return nn.Dense(example.shape[-1], name='out')(x)


def components(landmarks: Array, mean: Array, basis: Array) -> Array:
    """Components `... c` of landmarks `... 68 2` in an orthonormal basis `136 c` about their mean `136`."""
    checks.shape('landmarks', landmarks, '... 68 2')
    checks.shape('basis', basis, f'{mean.shape[0]} c')
    found = (landmarks.reshape(-1, mean.shape[0]) - mean[None]) @ basis
    return found.reshape(*landmarks.shape[:-2], -1)


def from_components(values: Array, mean: Array, basis: Array) -> Array:
    """Landmarks `... 68 2` of components `... c`."""
    return (mean[None] + values.reshape(-1, basis.shape[1]) @ basis.T).reshape(*values.shape[:-1], 68, 2)


def amplify(values: Array) -> Array:
    """Components `... 6` with all but the first times 2.2, 2.4, 2.6, 2.8, 3.0, as in the released demo."""
    checks.shape('values', values, '... 6')
    factors = jnp.array([1, 2.2, 2.4, 2.6, 2.8, 3.0], values.dtype)
    return values * factors.reshape((1,) * (values.ndim - 1) + (6,))


def pixel_loss(frames: Array, truth: Array, mask: Array) -> Array:
    """The dynamic pixel-wise loss, mean of `(mask + 1/2) |frames - truth|`; it counts 10 times in the paper's code.

    Args:
        frames, truth: `... 3`.
        mask: `... 1` of `LandmarksToFace`; it takes no gradient, or it would shrink where frames are wrong.
    """
    return jnp.mean((jax.lax.stop_gradient(mask) + 0.5) * jnp.abs(frames - truth))


def landmark_loss(predicted: Array, truth: Array, *, lips: float = 100.0) -> Array:
    """Mean squared difference of landmarks `... 68 2`, the heights of the lips' points weighted by `lips`.

    The paper's code multiplies landmarks before it squares them, so that its lips count 10000 times.
    """
    sizes = checks.shape('predicted', predicted, '... 68 2')
    checks.shape('truth', truth, '... 68 2', 'It must match predicted', sizes=sizes)
    weights = jnp.ones((68, 2)).at[LIPS, 1].set(lips)
    return jnp.mean(weights.reshape(*(1,) * (truth.ndim - 2), 68, 2) * jnp.square(predicted - truth))
