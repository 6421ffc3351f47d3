"""Networks on features of speech."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.typing import Array

# Channels and the slope of the leaky rectifier of each convolution, which halves the time.
_STAGES = ((32, 0.02), (32, 0.02), (64, 0.2), (64, 0.2))


class Convolution(nn.Module):
    """Convolution over time, `n t c` to `n t' channels`, of three steps padded by one on either side as PyTorch does.

    Taps are matrix products: in a loop of training steps XLA's convolutions would run many times slower on a CPU.

    Attributes:
        channels: out.
        halve: whether every other step is left out, the second first; t is then even.
    """

    channels: int
    halve: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param('kernel', nn.initializers.lecun_normal(), (3, x.shape[-1], self.channels))
        bias = self.param('bias', nn.initializers.zeros, (self.channels,))
        step = 2 if self.halve else 1
        padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
        last = padded.shape[1] - 2
        seen = jnp.concatenate([padded[:, tap : last + tap : step] for tap in range(3)], axis=-1)
        return seen @ kernel.reshape(-1, self.channels) + bias[None, None]


class AudioEncoder(nn.Module):
    """Windows of speech features as codes: the convolutions of Neural Voice Puppetry (Thies et al., 2020).

    Call with `n 16 c`, 16 steps of time of c features, DeepSpeech's 29 letter logits in the paper; returns `n 64`. Four
    convolutions of three steps and stride 2 leave one step. The two wide ones leak ten times as much as the others, as
    in the published networks.
    """

    @nn.compact
    def __call__(self, windows: Array) -> Array:
        checks.shape('windows', windows, 'n 16 _', 'Give 16 steps of time, around the frame that is meant')
        hidden = jnp.asarray(windows)
        for stage, (channels, slope) in enumerate(_STAGES):
            hidden = Convolution(channels, halve=True, name=f'convolution_{stage}')(hidden)
            hidden = jax.nn.leaky_relu(hidden, slope)
        return hidden[:, 0]
