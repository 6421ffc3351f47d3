"""The discriminator of ATVG (Chen et al., 2019), which tells landmarks from frames and judges the frames by it."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from neurend import checks
from neurend.nn.convolution import Convolution
from neurend.nn.norms import Norm
from neurend.typing import Array


class RegressionDiscriminator(nn.Module):
    """Landmarks of frames, regressed, and one score of the sequence.

    Four convolutions of stride 2 and a dense layer over each frame, two dense layers over the example's landmarks,
    three LSTMs over the moments, from a state of zeros; then a dense layer to what the landmarks differ by from the
    example's, and one to a score, of which the mean over moments is taken before any sigmoid.

    The reference leaves open what follows the convolutions: here leaky ReLUs of slope 0.2, after batch norm (statistics
    of all frames of the call, in use as in training) but for the first. The paper's code bounds differences by tanh; an
    example of another pose differs by more, so they are not bounded here.

    Call with frames `n t h w 3` in [-1, 1] and the example's landmarks `n 68 2`; returns logits `n` and landmarks
    `n t 68 2`.

    Attributes:
        width: channels of the first convolution, doubled by each of the others; 64 in the paper's code.
        hidden: units of the LSTMs; 256 there.
    """

    width: int = 64
    hidden: int = 256

    @nn.compact
    def __call__(self, frames: Array, example_landmarks: Array) -> tuple[Array, Array]:
        sizes = checks.shape('frames', frames, 'n t h w 3')
        remedy = 'Give one example for each sequence'
        checks.shape('example_landmarks', example_landmarks, 'n 68 2', remedy, sizes={'n': sizes['n']})
        n, t = frames.shape[:2]
        x = frames.reshape(n * t, *frames.shape[2:])
        for layer in range(4):
            normalized = layer > 0
            channels = 2**layer * self.width
            x = Convolution(channels, 3, stride=2, padding=1, bias=not normalized, name=f'layer_{layer}')(x)
            if normalized:
                x = Norm('batch', name=f'layer_{layer}_norm')(x)
            x = nn.leaky_relu(x, 0.2)
        x = nn.relu(nn.Dense(2 * self.hidden, name='frame')(x.reshape(n * t, -1))).reshape(n, t, -1)
        face = nn.relu(nn.Dense(self.hidden, name='example_0')(example_landmarks.reshape(n, -1)))
        face = nn.relu(nn.Dense(2 * self.hidden, name='example_1')(face))
        x = jnp.concatenate([x, jnp.broadcast_to(face[:, None], (n, t, face.shape[-1]))], axis=-1)
        for layer in range(3):
            remembered: Any = nn.RNN(nn.OptimizedLSTMCell(self.hidden, name=f'lstm_{layer}'))(x)
            x = remembered
        score = jnp.mean(nn.Dense(1, name='score')(x), axis=(1, 2))
        differences = nn.Dense(136, name='differences')(x).reshape(n, t, 68, 2)
        return score, example_landmarks[:, None] + differences
