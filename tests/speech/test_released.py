import itertools
import pickle  # noqa: TID251 - to write a pickle that must be refused
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.speech import expression, released


def _layers(torch, speakers, expressions):
    """The published network's modules, by their names, as PyTorch makes them."""
    nn = torch.nn

    def convolution(inputs, outputs):
        return nn.Conv2d(inputs, outputs, (3, 1), stride=(2, 1), padding=(1, 0))

    slope, wide = nn.LeakyReLU(0.02), nn.LeakyReLU(0.2)
    layers = nn.Module()
    layers.mapping = nn.Parameter(torch.randn(1, speakers, expressions, 32))
    layers.convNet = nn.Sequential(
        convolution(29, 32), slope, convolution(32, 32), slope, convolution(32, 64), wide, convolution(64, 64), wide
    )
    layers.fullNet = nn.Sequential(
        nn.Linear(64, 128), slope, nn.Linear(128, 64), slope, nn.Linear(64, 32), nn.Tanh()
    )  # fmt: skip
    channels = (32, 16, 8, 4, 2, 1)
    layers.attentionConvNet = nn.Sequential(
        *(
            part
            for pair in itertools.pairwise(channels)
            for part in (nn.Conv1d(*pair, kernel_size=3, padding=1), nn.LeakyReLU(0.02))
        )
    )
    layers.attentionNet = nn.Sequential(nn.Linear(8, 8), nn.Softmax(dim=1))
    return layers


def _run(layers, windows, speakers):
    """Windows `n 8 16 29` as the published code runs them: letters are channels, and a picture one pixel wide."""
    count = len(windows)
    pictures = windows.reshape(count * 8, 16, 29).permute(0, 2, 1).unsqueeze(-1)
    codes = layers.fullNet(layers.convNet(pictures).reshape(count * 8, 64)).reshape(count, 8, 32)
    attention = layers.attentionNet(layers.attentionConvNet(codes.permute(0, 2, 1)).reshape(count, 8))
    audio = (attention.unsqueeze(-1) * codes).sum(1)
    return 10 * (layers.mapping[0, speakers] @ audio.unsqueeze(-1))[..., 0], audio, attention


def test_outputs_are_those_of_the_layers_in_pytorch(tmp_path):
    torch = pytest.importorskip('torch')
    torch.manual_seed(0)
    layers = _layers(torch, 3, 76)
    torch.save(layers.state_dict(), tmp_path / 'netG.pth')
    assert len(layers.state_dict()) == 27
    params = released.read(tmp_path / 'netG.pth')
    assert params['mapping'].shape == (3, 76, 32)
    windows = 5 * torch.randn(4, 8, 16, 29)
    speakers = torch.tensor([2, 0, 1, 1])
    with torch.no_grad():
        wanted = _run(layers, windows, speakers)
    network = expression.Audio2Expression(3, 76)
    heard = jax.jit(network.apply)({'params': params}, jnp.asarray(windows.numpy()), jnp.asarray(speakers.numpy()))
    for found, value in zip((heard.expressions, heard.audio, heard.attention), wanted):
        np.testing.assert_allclose(found, value.numpy(), rtol=1e-5, atol=1e-5 * float(value.abs().max()))


def test_published_shapes():
    network = expression.Audio2Expression(116, 76)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 16, 29)), jnp.zeros(1, jnp.int32))
    leaves = jax.tree.leaves(shapes['params'])
    assert len(leaves) == 27
    assert sum(leaf.size for leaf in leaves) == 327_397


class _Malice:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return exec, (f'open({str(self.target)!r}, "w").close()',)


@pytest.mark.parametrize('container', ['zip', 'stream'])
def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path, container):
    path, target = tmp_path / 'netG.pth', tmp_path / 'touched'
    data = pickle.dumps({'mapping': _Malice(target)}, protocol=2)
    if container == 'zip':
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('archive/data.pkl', data)
    else:
        path.write_bytes(data)
    with pytest.raises(InputError, match=r'refused: its pickle asks for (builtins|__builtin__)\.exec'):
        released.read(path)
    assert not target.exists()


def test_another_network_is_refused_with_all_that_differs(tmp_path):
    np.savez(tmp_path / 'other.npz', mapping=np.zeros((1, 2, 5, 32)), **{'convNet.0.weight': np.zeros((1, 1, 3, 1))})
    with pytest.raises(InputError, match=r'convNet\.0\.weight: \(1, 1, 3, 1\), expected \(32, 29, 3, 1\); .*missing'):
        released.read(tmp_path / 'other.npz')
    np.savez(tmp_path / 'none.npz', other=np.zeros(3))
    with pytest.raises(InputError, match=r'got mapping none, expected \(1, speakers, expressions, 32\)'):
        released.read(tmp_path / 'none.npz')
