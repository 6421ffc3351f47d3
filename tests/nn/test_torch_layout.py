"""Where PyTorch is installed, its layers must give the same results with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.nn.patchgan import PatchGAN
from neurend.nn.resnet import GlobalGenerator, LocalEnhancer
from neurend.nn.torch_layout import load
from neurend.nn.unet import UNet


@pytest.fixture(scope='module')
def torch():
    module = pytest.importorskip('torch')
    module.set_num_threads(1)
    module.manual_seed(0)
    return module


def _params(network, x):
    return jax.eval_shape(network.init, jax.random.key(0), x)['params']


def _compare(torch, module, network, space=(16, 16), channels=3):
    """Both networks' results for one random image, with PyTorch's weights; PyTorch in its training mode."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
        x = torch.rand(2, channels, *space) * 2 - 1
        expected = module(x)
    expected = [y.numpy() for y in expected] if isinstance(expected, list) else [expected.numpy()]
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    image = jnp.moveaxis(jnp.asarray(x.numpy()), 1, -1)
    params = load(state, network, _params(network, image))
    found = jax.jit(network.apply)({'params': params}, image)
    for ours, theirs in zip(found if isinstance(found, list) else [found], expected, strict=True):
        np.testing.assert_allclose(np.moveaxis(np.asarray(ours), -1, 1), theirs, atol=2e-4)
        assert np.abs(theirs).max() > 0.1


def _unet(torch, widths, norm, bias, channels, out):
    """Nested as in the public code, whose names the state dict has: a block holds what lies within its halving."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, level):
            super().__init__()
            inner, outer = widths[level], widths[level - 1] if level else out
            innermost = level == len(widths) - 1
            down = [nn.Conv2d(outer if level else channels, inner, 4, 2, 1, bias=bias)]
            up = [
                nn.ReLU(),
                nn.ConvTranspose2d(inner * (1 if innermost else 2), outer, 4, 2, 1, bias=bias or not level),
            ]
            if level:
                # Not in place, unlike there: what is passed on is the same after the next ReLU.
                down = [nn.LeakyReLU(0.2), *down, *([] if innermost else [norm(inner)])]
                up = [*up, norm(outer)]
            middle = [] if innermost else [Block(level + 1)]
            self.model = nn.Sequential(*down, *middle, *up, *([] if level else [nn.Tanh()]))
            self.skips = level > 0

        def forward(self, x):
            return torch.cat([x, self.model(x)], 1) if self.skips else self.model(x)

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Block(0)

        def forward(self, x):
            return self.model(x)

    return Outer()


def _named(torch, **parts):
    module = torch.nn.Module()
    for name, layers in parts.items():
        setattr(module, name, torch.nn.Sequential(*layers))
    return module


def _residual(torch, channels):
    nn = torch.nn

    def half():
        return [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_block = nn.Sequential(*half(), nn.ReLU(), *half())

        def forward(self, x):
            return x + self.conv_block(x)

    return Block()


def _first(torch, channels, width):
    nn = torch.nn
    return [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]


def _down(torch, width):
    nn = torch.nn
    return [nn.Conv2d(width, 2 * width, 3, 2, 1), nn.InstanceNorm2d(2 * width), nn.ReLU()]


def _up(torch, width):
    nn = torch.nn
    return [nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1), nn.InstanceNorm2d(width), nn.ReLU()]


def _last(torch, width, out):
    nn = torch.nn
    return [nn.ReflectionPad2d(3), nn.Conv2d(width, out, 7), nn.Tanh()]


def _trunk(torch, width):
    layers = [*_first(torch, 3, width), *_down(torch, width), *_down(torch, 2 * width)]
    return [*layers, _residual(torch, 4 * width), *_up(torch, 2 * width), *_up(torch, width)]


@pytest.mark.parametrize('kind', ['instance', 'batch'])
def test_unet(torch, kind):
    norm = torch.nn.InstanceNorm2d if kind == 'instance' else torch.nn.BatchNorm2d
    module = _unet(torch, [4, 8, 16], norm, kind == 'instance', 3, 2)
    _compare(torch, module, UNet(out=2, width=4, depth=3, norm=kind))


def test_patchgan(torch):
    nn = torch.nn
    layers = [nn.Conv2d(3, 4, 4, 2, 2), nn.LeakyReLU(0.2)]
    layers += [nn.Conv2d(4, 8, 4, 2, 2, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)]
    layers += [nn.Conv2d(8, 8, 4, 1, 2, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 4, 1, 2)]
    module = _named(torch, model=layers)

    def forward(x):
        activations = []
        for index, layer in enumerate(layers):
            x = layer(x)
            if index in (1, 4, 7, 8):
                activations.append(x)
        return activations

    module.forward = forward
    _compare(torch, module, PatchGAN(width=4, layers=2, maximum=2, norm='batch', padding=2))


def test_global_generator(torch):
    module = _named(torch, model=[*_trunk(torch, 4), *_last(torch, 4, 2)])
    module.forward = lambda x: module.model(x)
    _compare(torch, module, GlobalGenerator(2, width=4, halvings=2, blocks=1))


def test_local_enhancer(torch):
    module = _named(
        torch,
        model=_trunk(torch, 4),
        model1_1=[*_first(torch, 3, 2), *_down(torch, 2)],
        model1_2=[_residual(torch, 4), _residual(torch, 4), *_up(torch, 2), *_last(torch, 2, 2)],
    )
    pool = torch.nn.AvgPool2d(3, 2, 1, count_include_pad=False)
    module.forward = lambda x: module.model1_2(module.model(pool(x)) + module.model1_1(x))
    _compare(torch, module, LocalEnhancer(2, width=2, halvings=2, blocks=1, local_blocks=2))


def test_axes_of_kernels_are_moved_not_flipped():
    network = UNet(out=2, width=4, depth=2)
    params = _params(network, jnp.zeros((1, 8, 8, 3)))
    state = _state(params)
    # (out, in, height, width) of a convolution, (in, out, height, width) of a transposed one.
    state['model.model.0.weight'][3, 1, 0, 2] = 5.0
    state['model.model.3.weight'][6, 1, 0, 2] = 7.0
    loaded = load({f'module.{key}': value for key, value in state.items()}, network, params)
    assert loaded['encoder_0']['kernel'][0, 2, 1, 3] == 5
    assert loaded['decoder_0']['kernel'][0, 2, 1, 6] == 7
    assert sum(int(jnp.sum(leaf != 0)) for leaf in jax.tree.leaves(loaded)) == 2


def test_all_misfits_are_named():
    network = UNet(out=2, width=4, depth=2)
    params = _params(network, jnp.zeros((1, 8, 8, 3)))
    state = _state(params)
    state['model.model.1.model.2.running_mean'] = np.zeros(4)  # kept by old versions, not needed
    assert load(state, network, params)['encoder_1']['kernel'].shape == (4, 4, 4, 8)
    del state['model.model.3.bias']
    state['model.model.0.weight'] = np.zeros((4, 6, 4, 4), np.float32)
    state['other.weight'] = np.zeros((1,), np.float32)
    with pytest.raises(InputError) as error:
        load(state, network, params)
    message = str(error.value)
    assert 'model.model.0.weight: (4, 6, 4, 4), expected (4, 3, 4, 4)' in message
    assert 'model.model.3.bias: missing, expected (2,)' in message
    assert 'other.weight: (1,), unknown to the network' in message
    with pytest.raises(InputError, match='no table'):
        load(state, UNet(out=2, width=4, depth=2, upsample='bilinear'), params)
    with pytest.raises(InputError, match='params: has encoder_1, which PatchGAN'):
        load(state, PatchGAN(), {'encoder_1': params['encoder_1']})


def test_whole_variables_are_taken_too():
    network = UNet(out=2, width=4, depth=2)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    state = {name: value + k for k, (name, value) in enumerate(_state(variables['params']).items())}
    whole, inner = load(state, network, variables), load(state, network, variables['params'])
    jax.tree.map(np.testing.assert_array_equal, whole, {'params': inner})
    assert float(whole['params']['decoder_0']['bias'][0]) == list(state).index('model.model.3.bias')


def _state(params):
    """Of a U-Net of two levels, zero."""
    keys = {
        'encoder_0': 'model.model.0',
        'encoder_1': 'model.model.1.model.1',
        'decoder_1': 'model.model.1.model.3',
        'decoder_0': 'model.model.3',
    }
    state = {}
    for name, key in keys.items():
        *size, first, second = params[name]['kernel'].shape
        state[f'{key}.weight'] = np.zeros((second, first, *size), np.float32)
        state[f'{key}.bias'] = np.zeros((second if name.startswith('encoder') else first,), np.float32)
    return state
