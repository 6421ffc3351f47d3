"""Layers of image networks in float64 NumPy, one kernel tap at a time; `n *space c` throughout."""

import itertools

import jax
import numpy as np


def draw_params(network, *inputs, scale=0.3):
    """Parameters large enough that no nonlinearity is passed unnoticed, biases included; nothing is compiled."""
    keys = {'params': jax.random.key(0), 'dropout': jax.random.key(0)}
    shapes = jax.eval_shape(network.init, keys, *inputs)['params']
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(0, scale, leaf.shape).astype(np.float32), shapes)


def draw_image(*shape):
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def apply(network, params, *inputs):
    return jax.jit(network.apply)({'params': params}, *inputs)


def convolve(x, kernel, bias=0.0, *, stride=1, dilation=1, padding=0, mode='constant'):
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    rank = x.ndim - 2
    x = np.pad(x, [(0, 0), *[(padding, padding)] * rank, (0, 0)], mode=mode)
    sizes = [(n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(x.shape[1:-1], kernel.shape)]
    y = np.zeros((x.shape[0], *sizes, kernel.shape[-1]))
    for tap in itertools.product(*map(range, kernel.shape[:rank])):
        window = tuple(slice(dilation * t, dilation * t + stride * (n - 1) + 1, stride) for t, n in zip(tap, sizes))
        y += x[(slice(None), *window)] @ kernel[tap]
    return y + np.asarray(bias, np.float64)


def convolve_transposed(x, kernel, bias=0.0, *, stride=2, padding=1, output_padding=0):
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    rank = x.ndim - 2
    full = [(n - 1) * stride + k for n, k in zip(x.shape[1:-1], kernel.shape)]
    y = np.zeros((x.shape[0], *(n + output_padding for n in full), kernel.shape[-2]))
    for tap in itertools.product(*map(range, kernel.shape[:rank])):
        window = tuple(slice(t, t + stride * (n - 1) + 1, stride) for t, n in zip(tap, x.shape[1:-1]))
        y[(slice(None), *window)] += x @ kernel[tap].T
    inside = tuple(slice(padding, n + output_padding - padding) for n in full)
    return y[(slice(None), *inside)] + np.asarray(bias, np.float64)


def double(x):
    """Bilinear: a pixel becomes two, of 3/4 of it and 1/4 of the neighbour on that side, or of itself at the border."""
    x = np.asarray(x, np.float64)
    for axis in range(1, x.ndim - 1):
        edge = np.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)], mode='edge')
        before, after = np.split(edge, [x.shape[axis]], axis)[0], np.split(edge, [2], axis)[1]
        pair = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = pair.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    return x


def standardize(x, epsilon=1e-5):
    axes = tuple(range(1, x.ndim - 1))
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def relu(x, slope=0.0):
    return np.where(x > 0, x, slope * x)


def unet(params, x, *, depth, upsample='transposed'):
    """Written as the public code nests it: a level holds the level inside it and returns its own input beside it."""

    def convolved(x, name, transposed=False):
        layer = params[name]
        if transposed and upsample == 'transposed':
            return convolve_transposed(x, layer['kernel'], layer['bias'])
        if transposed:
            return convolve(double(x), layer['kernel'], layer['bias'], padding=1)
        return convolve(x, layer['kernel'], layer['bias'], stride=2, padding=1)

    def level(x, i):
        y = convolved(relu(x, 0.2) if i else x, f'encoder_{i}')
        if i < depth - 1:
            y = level(standardize(y) if i else y, i + 1)
        y = convolved(relu(y), f'decoder_{i}', transposed=True)
        return np.concatenate([x, standardize(y)], -1) if i else np.tanh(y)

    return level(np.asarray(x, np.float64), 0)
