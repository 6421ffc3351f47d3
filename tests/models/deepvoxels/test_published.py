"""Checkpoints in the layout of the authors' code, whose modules are listed here as it lists them."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, paths
from neurend.images import statedict
from neurend.models.deepvoxels import published
from neurend.models.deepvoxels.config import DeepVoxelsConfig
from neurend.models.deepvoxels.method import deepvoxels
from neurend.render.lift import Cube
from tests.experiments import torch_state

SMALL = DeepVoxelsConfig(
    grid_dim=8,
    features=4,
    width=4,
    halvings=2,
    depth=3,
    inpainting=2,
    planes=16,
    occlusion_depth=3,
    norm='fixed',
    released=True,
    near=1.5,
)
RNG = np.random.default_rng(0)


class Layers:
    """Collects arrays of a state dict; `None` stands for layers without weights."""

    def __init__(self):
        self.state = {}

    def conv(self, i, o, size, rank=2, bias=False, transposed=False):
        def add(prefix):
            ends = (i, o) if transposed else (o, i)
            self.state[f'{prefix}.weight'] = RNG.normal(size=(*ends, *(size,) * rank)).astype(np.float32) / 10
            if bias:
                self.state[f'{prefix}.bias'] = RNG.normal(size=o).astype(np.float32)

        return add

    def bn(self, o):
        def add(prefix):
            for name in ('weight', 'bias', 'running_mean'):
                self.state[f'{prefix}.{name}'] = RNG.normal(size=o).astype(np.float32)
            self.state[f'{prefix}.running_var'] = RNG.uniform(0.5, 2, o).astype(np.float32)
            self.state[f'{prefix}.num_batches_tracked'] = np.array(7)

        return add

    def same(self, i, o, rank=2, bias=False):
        """Conv2dSame and Conv3dSame; the former names its weights twice."""

        def add(prefix):
            self.sequence(None, self.conv(i, o, 3, rank, bias))(f'{prefix}.net')
            for name in ('weight', 'bias'):
                if rank == 2 and f'{prefix}.net.1.{name}' in self.state:
                    self.state[f'{prefix}.{name}'] = self.state[f'{prefix}.net.1.{name}']

        return add

    def sequence(self, *layers):
        def add(prefix):
            for index, layer in enumerate(layers):
                if layer is not None:
                    layer(f'{prefix}.{index}')

        return add

    def named(self, name, layer):
        return lambda prefix: layer(f'{prefix}.{name}')

    def finish(self, o, norm, dropout):
        """Norm, rectifier, dropout."""
        return [*([self.bn(o)] if norm else []), None, *([None] if dropout else [])]

    def down(self, i, o, *, middle=None, norm=True, dropout=False):
        middle = middle or i
        first = [None, self.conv(i, middle, 3, bias=not norm), *self.finish(middle, norm, dropout)]
        second = [None, self.conv(middle, o, 4, bias=not norm), *self.finish(o, norm, dropout)]
        return self.named('net', self.sequence(*first, *second))

    def up(self, i, o, *, norm=True, dropout=False):
        first = [self.conv(i, o, 4, bias=not norm, transposed=True), *self.finish(o, norm, dropout)]
        return self.named('net', self.sequence(*first, self.same(o, o, bias=not norm), *self.finish(o, norm, dropout)))

    def down_3d(self, i, o, *, norm=True, dropout=False):
        return self.named('net', self.sequence(None, self.conv(i, o, 4, 3, not norm), *self.finish(o, norm, False)))

    def up_3d(self, i, o, *, norm=True, dropout=False):
        conv = self.conv(i, o, 4, 3, not norm, True)
        return self.named('net', self.sequence(conv, *self.finish(o, norm, False)))

    def unet(self, i, o, width, depth, most, *, rank=2, dropout=False):
        down, up = (self.down, self.up) if rank == 2 else (self.down_3d, self.up_3d)
        block = None
        for level in reversed(range(depth)):
            outer, inner = (min(2 ** min(k, depth - 1) * width, most) for k in (level, level + 1))
            norm = block is not None
            parts = [down(outer, inner, norm=norm, dropout=dropout), *([block] if norm else [])]
            parts.append(up(2 * inner if norm else inner, outer, norm=norm, dropout=dropout))
            block = self.named('model', self.sequence(*parts))

        def add(prefix):
            self.sequence(self.same(i, width, rank), self.bn(width))(f'{prefix}.in_layer')
            block(f'{prefix}.unet_block')
            self.sequence(self.same(2 * width, o, rank), self.bn(o))(f'{prefix}.out_layer')
            if rank == 2:
                self.state[f'{prefix}.out_layer_weight'] = self.state[f'{prefix}.out_layer.0.weight']

        return add


def state_of(config):
    """The arrays of `model.state_dict()`."""
    made, c = Layers(), config
    widths = [c.width * 2**level for level in range(c.halvings)]
    downs = [made.down(3, widths[0], middle=widths[0])]
    downs += [made.down(*pair) for pair in itertools.pairwise(widths)]
    unet = made.unet(widths[-1], c.features, widths[-1], c.depth, 8 * c.width)
    made.sequence(made.named('downs', made.sequence(*downs)), unet)('feature_extractor.net')
    ups = [made.up(i, c.width, dropout=True) for i in (4 * c.width, *(c.width,) * (c.halvings - 1))]
    made.sequence(
        made.unet(c.features, 4 * c.width, c.width * 2**c.halvings, c.depth, 8 * c.width, dropout=True),
        made.named('ups', made.sequence(*ups)),
        made.same(c.width, c.width // 2),
        made.bn(c.width // 2),
        None,
        made.same(c.width // 2, 3, bias=True),
    )('rendering_net.net')
    if c.occlusion == 'none':
        sizes = (c.features * c.planes, c.width * c.grid_dim // 2, c.width * c.grid_dim // 8, c.width)
        layers = []
        for pair in itertools.pairwise(sizes):
            layers += [made.same(*pair), made.bn(pair[1]), None]
        made.sequence(*layers)('depth_collapse_net')
    else:
        made.sequence(made.same(c.features + 1, 4, 3), made.bn(4))('occlusion_net.occlusion_prep')
        made.unet(4, 4, 4, c.occlusion_depth, 16, rank=3)('occlusion_net.occlusion_net')
        made.sequence(made.same(9, 1, 3, True))('occlusion_net.softmax_net')
    for gate in ('update', 'reset'):
        for name in ('old', 'new'):
            made.sequence(None, made.conv(c.features + 3, 1, 3, 3, name == 'old'))(f'integration_net.{gate}_{name}_net')
    for name in ('old', 'new'):
        conv = made.conv(c.features + 3, c.features, 3, 3, name == 'new')
        made.sequence(None, conv)(f'integration_net.{name}_integration')
    made.unet(c.features + 3, c.features, c.features, c.inpainting, 4 * c.features, rank=3)('inpainting_net')
    made.state['deepvoxels'] = RNG.normal(size=(1, c.features, *(c.grid_dim,) * 3)).astype(np.float32)
    return made.state


def method_of(config, side=32):
    return deepvoxels(config, Cube(jnp.zeros(3), jnp.float32(2.0)), size=(side, side), optimizer=optax.adam(1e-3))


@pytest.mark.parametrize('changes', [{}, {'occlusion': 'none'}, {'norm': 'batch'}])
def test_every_array_finds_its_place(changes, tmp_path):
    config = dataclasses.replace(SMALL, **changes)
    state = state_of(config)
    torch_state.write(tmp_path / 'model.npz', state)
    method = method_of(config)
    shapes = jax.eval_shape(method.init, jax.random.key(0)).params
    params, volume = published.load(statedict.read(tmp_path / 'model.npz'), config, shapes)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves({**params, 'discriminator': {}}))
    # Indexed by z first there.
    np.testing.assert_array_equal(volume[1, 2, 3, 0], state['deepvoxels'][0, 0, 3, 2, 1])
    kernel = params['integration']['new']['kernel']
    np.testing.assert_array_equal(
        kernel[0, 1, 2, 3, 2], state['integration_net.new_integration.1.weight'][2, 3, 2, 1, 0]
    )
    kernel = params['inpainting']['unet']['up_0']['conv']['kernel']
    key = 'inpainting_net.unet_block.model.2.net.0.weight'
    np.testing.assert_array_equal(kernel[0, 1, 2, 3, 2], state[key][2, 3, 2, 1, 0])
    if config.occlusion == 'volume':
        kernel = params['occlusion']['last']['conv']['kernel']
        # By depth, y, x there, and y, x, depth here.
        key = 'occlusion_net.softmax_net.0.net.1.weight'
        np.testing.assert_array_equal(kernel[0, 1, 2, 5, 0], state[key][0, 5, 2, 0, 1])
    kernel = params['renderer']['unet']['down_2_refine']['conv']
    key = 'rendering_net.net.0.unet_block.model.1.model.1.model.0.net.1'
    np.testing.assert_array_equal(kernel['kernel'][0, 2, 3, 1], state[f'{key}.weight'][1, 3, 0, 2])
    np.testing.assert_array_equal(kernel['bias'], state[f'{key}.bias'])
    norm, key = params['renderer']['up_1_refine']['norm'], 'rendering_net.net.1.ups.1.net.5'
    scale, shift = (state[f'{key}.{name}'] for name in ('weight', 'bias'))
    if config.norm == 'fixed':
        scale = scale / np.sqrt(state[f'{key}.running_var'] + 1e-5)
        shift = shift - state[f'{key}.running_mean'] * scale
    np.testing.assert_allclose(norm['scale'], scale, rtol=1e-6)
    np.testing.assert_allclose(norm['bias'], shift, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_method_begins_with_a_checkpoint():
    state = state_of(SMALL)
    begun = published.begun(method_of(SMALL), SMALL, state)
    found = jax.jit(begun.init)(jax.random.key(0))
    np.testing.assert_array_equal(found.aux['volume'][1, 2, 3], state['deepvoxels'][0, :, 3, 2, 1])
    assert 'discriminator' in found.params
    camera = cameras.make(paths.orbit(1, radius=3.0)[0], 40.0, size=(32, 32))
    picture = np.asarray(jax.jit(begun.render)(found, camera).rgb)
    assert np.isfinite(picture).all() and picture.min() >= 0 and picture.max() <= 1 and picture.std() > 1e-3


def test_what_does_not_fit_is_said_at_once():
    state = state_of(SMALL)
    shapes = jax.eval_shape(method_of(SMALL).init, jax.random.key(0)).params
    del state['deepvoxels']
    state['feature_extractor.net.0.downs.0.net.1.weight'] = np.zeros((4, 3, 5, 5), np.float32)
    state['extra.weight'] = np.zeros(3, np.float32)
    with pytest.raises(InputError) as error:
        published.load(state, SMALL, shapes)
    message = str(error.value)
    assert 'deepvoxels: missing, expected (1, 4, 8, 8, 8)' in message
    assert 'downs.0.net.1.weight: (4, 3, 5, 5), expected (4, 3, 3, 3)' in message
    assert 'extra.weight: (3,), unknown to the model' in message
    with pytest.raises(InputError, match='expected a model as the authors'):
        published.load(state, dataclasses.replace(SMALL, taps=1), shapes)
