"""Networks on features of speech."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.typing import Array

# Channels and the slope of the leaky rectifier of each convolution, which halves the time.
_STAGES = ((32, 0.02), (32, 0.02), (64, 0.2), (64, 0.2))


class AudioEncoder(nn.Module):
    """Windows of speech features as codes: the convolutions of Neural Voice Puppetry (Thies et al., 2020).

    Call with `n 16 c`, 16 steps of time of c features, DeepSpeech's 29 letter logits in the paper; returns `n 64`. Four
    convolutions of three steps and stride 2, padded by one step on either side as PyTorch does, leave one step. The
    two wide ones leak ten times as much as the others, as in the published networks.
    """

    @nn.compact
    def __call__(self, windows: Array) -> Array:
        checks.shape('windows', windows, 'n 16 _', 'Give 16 steps of time, around the frame that is meant')
        hidden = jnp.asarray(windows)
        for stage, (channels, slope) in enumerate(_STAGES):
            convolution = nn.Conv(channels, (3,), strides=2, padding=((1, 1),), name=f'convolution_{stage}')
            hidden = jax.nn.leaky_relu(convolution(hidden), slope)
        return hidden[:, 0]
