"""Scene Representation Networks in float64 NumPy, one ray at a time, from arrays in PyTorch's layout (out, in)."""

import numpy as np


def draw_state(*, width, depth, code, hyper, hyper_depth, lstm, generator, instances, inputs=3, scale=0.4):
    """A state dict as the authors' code writes it, large enough that no nonlinearity is passed unnoticed."""
    rng = np.random.default_rng(0)
    state = {}

    def linear(key, out, units):
        state[f'{key}.weight'] = rng.normal(0, scale, (out, units)).astype(np.float32)
        state[f'{key}.bias'] = rng.normal(0, scale, out).astype(np.float32)

    def block(prefix, units, hidden, layers, out=None):
        for layer in range(layers):
            linear(f'{prefix}.net.{layer}.net.0', hidden, hidden if layer else units)
            state[f'{prefix}.net.{layer}.net.1.weight'] = rng.uniform(0.5, 1.5, hidden).astype(np.float32)
            state[f'{prefix}.net.{layer}.net.1.bias'] = rng.normal(0, scale, hidden).astype(np.float32)
        if out is not None:
            linear(f'{prefix}.net.{layers}', out, hidden)

    if instances:
        state['latent_codes.weight'] = rng.normal(0, 1, (instances, code)).astype(np.float32)
        for layer in range(depth):
            units = width if layer else inputs
            prefix = f'hyper_phi.layers.{layer}.hyper_linear.hypo_params'
            block(prefix, code, hyper, hyper_depth, units * width + width)
    else:
        block('phi', inputs, width, depth)
    for name, units in (('ih', width), ('hh', lstm)):
        state[f'ray_marcher.lstm.weight_{name}'] = rng.normal(0, scale, (4 * lstm, units)).astype(np.float32)
        state[f'ray_marcher.lstm.bias_{name}'] = rng.normal(0, scale, 4 * lstm).astype(np.float32)
    linear('ray_marcher.out_layer', 1, lstm)
    block('pixel_generator', width, width, generator, 3)
    return state


def trace(state, instance, origin, direction, start, *, depth, steps):
    """Colour in [-1, 1] and t of one ray; `start` and the steps are lengths along the unit direction."""
    state = {key: np.asarray(value, np.float64) for key, value in state.items()}

    def normal(x):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5)

    def block(prefix, x):
        layer = 0
        while f'{prefix}.net.{layer}.net.0.weight' in state:
            within = f'{prefix}.net.{layer}.net'
            x = normal(state[f'{within}.0.weight'] @ x + state[f'{within}.0.bias'])
            x = np.maximum(x * state[f'{within}.1.weight'] + state[f'{within}.1.bias'], 0)
            layer += 1
        last = f'{prefix}.net.{layer}'
        return state[f'{last}.weight'] @ x + state[f'{last}.bias'] if f'{last}.weight' in state else x

    def phi(x):
        if 'latent_codes.weight' not in state:
            return block('phi', x)
        for layer in range(depth):
            made = block(f'hyper_phi.layers.{layer}.hyper_linear.hypo_params', state['latent_codes.weight'][instance])
            out = len(made) // (len(x) + 1)
            x = np.maximum(normal(made[: out * len(x)].reshape(out, len(x)) @ x + made[out * len(x) :]), 0)
        return x

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    unit = direction / np.linalg.norm(direction)
    position, lstm = start, state['ray_marcher.lstm.weight_hh'].shape[1]
    hidden, cell = np.zeros(lstm), np.zeros(lstm)
    for _ in range(steps):
        gates = sum(
            state[f'ray_marcher.lstm.weight_{name}'] @ x + state[f'ray_marcher.lstm.bias_{name}']
            for name, x in (('ih', phi(origin + position * unit)), ('hh', hidden))
        )
        enter, forget, candidate, out = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(candidate)
        hidden = sigmoid(out) * np.tanh(cell)
        step = state['ray_marcher.out_layer.weight'] @ hidden + state['ray_marcher.out_layer.bias']
        position = position + step[0]
    return block('pixel_generator', phi(origin + position * unit)), position / np.linalg.norm(direction)
