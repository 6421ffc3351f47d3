"""The second network of ATVG (Chen et al., 2019): frames of a face by landmarks, drawn over an example frame."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.nn.convolution import Convolution, TransposedConvolution
from neurend.nn.modulated import AttentionHead, compose
from neurend.nn.norms import Norm
from neurend.nn.resnet import ResnetBlock
from neurend.typing import Array


class LandmarksToFace(nn.Module):
    """VG-net: what differs between a moment's landmarks and the example's changes features of the example.

    Residual blocks give new features, and an attention map, of a quarter of the size, says where they replace the
    example's own. `AttentionHead` composes colours and the example by a second map, which `atvg.pixel_loss` takes.
    Between moments a recurrent layer of dilated convolutions remembers. Batch norm takes the statistics of all frames
    of the batch, in use as in training; the dropout of the paper's code, of rate 0.5, is left out.

    Call with the example `n h w 3` in [-1, 1], its sides multiples of 16, its landmarks `n 68 2` and those of the
    moments `n t 68 2`, about zero and of the order of one; returns `n t h w 3`, frames and colours in [-1, 1], and the
    second map, `n t h w 1` in [0, 1].

    Attributes:
        width: channels of the first convolution; 64 in the paper's code.
        blocks: residual blocks; 9 in the paper's code.
    """

    width: int = 64
    blocks: int = 9

    @nn.compact
    def __call__(self, example: Array, example_landmarks: Array, landmarks: Array) -> tuple[Array, Array, Array]:
        sizes = checks.shape('example', example, 'n h w 3')
        if sizes['h'] % 16 or sizes['w'] % 16:
            raise checks.InputError(f'example: got {sizes["w"]} x {sizes["h"]} pixels, expected multiples of 16')
        checks.shape('example_landmarks', example_landmarks, 'n 68 2', sizes={'n': sizes['n']})
        checks.shape('landmarks', landmarks, 'n t 68 2', sizes={'n': sizes['n']})
        n, t = landmarks.shape[:2]
        width = self.width

        def each(x: Array) -> Array:
            """One for every moment."""
            return jnp.broadcast_to(x[:, None], (n, t, *x.shape[1:])).reshape(n * t, *x.shape[1:])

        x = Convolution(width, 7, padding=3, border='reflect', bias=False, name='image_0')(example)
        x = nn.relu(Norm('batch', name='image_0_norm')(x))
        fine = _convolve(_convolve(x, width, 'image_1', stride=2), 2 * width, 'image_2', stride=2)
        coarse = _convolve(_convolve(fine, 4 * width, 'image_3', stride=2), 8 * width, 'image_4', stride=2)

        points = jnp.concatenate([example_landmarks[:, None], landmarks], axis=1).reshape(n * (t + 1), -1)
        height, wide = coarse.shape[1:3]
        sketch = nn.relu(nn.Dense(height * wide, name='landmarks')(points)).reshape(-1, height, wide, 1)
        shallow = _convolve(sketch, 4 * width, 'landmarks_0')
        deep = _convolve(shallow, 8 * width, 'landmarks_1')
        (rest, now), (deep_rest, deep_now) = (_apart(part, n) for part in (shallow, deep))

        where = jnp.concatenate([now, each(rest)], axis=-1)
        where = _enlarge(_enlarge(where, 4 * width, 'where_0'), 2 * width, 'where_1')
        where = jax.nn.sigmoid(Convolution(1, 3, padding=1, name='where')(where))

        x = jnp.concatenate([each(coarse), deep_now - each(deep_rest)], axis=-1)
        x = _convolve(x, 2 * width, 'bottleneck')
        memory = nn.scan(
            ConvolutionalGRU, variable_broadcast='params', split_rngs={'params': False}, in_axes=1, out_axes=1
        )(8 * width, name='memory')
        _, x = memory(jnp.zeros((n, height, wide, 8 * width)), x.reshape(n, t, height, wide, -1))
        x = x.reshape(n * t, height, wide, -1)
        for block in range(self.blocks):
            x = ResnetBlock('batch', border='zeros', name=f'block_{block}')(x)
        x = _enlarge(_enlarge(x, 4 * width, 'up_0'), 2 * width, 'up_1')
        x = compose(x, where, each(fine))
        x = _enlarge(_enlarge(x, width, 'up_2'), max(1, width // 2), 'up_3')
        frames, color, mask = AttentionHead(name='head')(x, each(example))
        return _by_moment(frames, n), _by_moment(color, n), _by_moment(mask, n)


class ConvolutionalGRU(nn.Module):
    """A gated recurrent unit (Cho et al., 2014) whose products are 3x3 convolutions, two pixels apart.

    Call with the state `n h w channels` and an input `n h w c`; returns the next state twice, as `nn.scan` wants.
    """

    channels: int

    @nn.compact
    def __call__(self, state: Array, x: Array) -> tuple[Array, Array]:
        gates = Convolution(2 * self.channels, 3, dilation=2, padding=2, name='gates')
        update, reset = jnp.split(jax.nn.sigmoid(gates(jnp.concatenate([x, state], axis=-1))), 2, axis=-1)
        candidate = Convolution(self.channels, 3, dilation=2, padding=2, name='candidate')
        proposed = jnp.tanh(candidate(jnp.concatenate([x, reset * state], axis=-1)))
        state = (1 - update) * state + update * proposed
        return state, state


def _convolve(x: Array, channels: int, name: str, *, stride: int = 1) -> Array:
    x = Convolution(channels, 3, stride=stride, padding=1, bias=False, name=name)(x)
    return nn.relu(Norm('batch', name=f'{name}_norm')(x))


def _enlarge(x: Array, channels: int, name: str) -> Array:
    x = TransposedConvolution(channels, 3, output_padding=1, bias=False, name=name)(x)
    return nn.relu(Norm('batch', name=f'{name}_norm')(x))


def _apart(x: Array, n: int) -> tuple[Array, Array]:
    """The example's features, `n ...`, and those of the moments, `n * t ...`."""
    x = x.reshape(n, -1, *x.shape[1:])
    return x[:, 0], x[:, 1:].reshape(-1, *x.shape[2:])


def _by_moment(x: Array, n: int) -> Array:
    return x.reshape(n, -1, *x.shape[1:])
