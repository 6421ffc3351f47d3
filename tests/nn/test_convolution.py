import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend.checks import InputError
from neurend.nn import products, stacked, tiled, winograd
from neurend.nn.convolution import Convolution, TransposedConvolution, convolve, convolve_transposed
from neurend.nn.products import Geometry
from tests.oracles import networks as oracle

# Spatial size, taps, stride, padding, dilation, channels, out; sizes that filters with fewer products take and others.
CASES = [
    ((18, 16), 4, 2, 1, 1, 16, 17),  # the U-Net's: 2x2 filters over blocks
    ((32, 30), 4, 2, 2, 1, 16, 16),  # pix2pixHD's discriminator
    ((16, 17), 4, 1, 1, 1, 16, 16),
    ((15, 14), 3, 1, 1, 1, 17, 16),
    ((2, 2), 4, 2, 1, 1, 3, 5),  # taps that see nothing but padding
    ((9, 12), 3, 2, 1, 1, 3, 5),
    ((13, 11), 3, 1, 4, 4, 3, 5),
    ((10, 9), 4, 1, 1, 1, 12, 2),  # fewer channels out than in
    ((10, 9), 7, 1, 3, 1, 2, 3),
    ((6, 4, 8), 4, 2, 1, 1, 2, 3),
    ((5, 4, 6), 3, 1, 1, 1, 2, 3),
    ((4, 6, 8), 3, 1, 0, 1, 3, 2),
    ((3, 4, 5), 3, 1, 1, 1, 8, 1),
]


def arrays(case, *, transposed=False):
    size, taps, stride, padding, dilation, channels, out = case
    rng = np.random.default_rng(len(size) + taps + channels)
    kernel = rng.normal(size=(taps,) * len(size) + (channels, out))
    x = rng.normal(size=(2, *size, out if transposed else channels))
    return jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32), stride, padding, dilation


@pytest.mark.parametrize('case', CASES)
def test_values_are_those_of_the_sum(case):
    x, kernel, stride, padding, dilation = arrays(case)
    y = jax.jit(lambda x, k: convolve(x, k, stride=stride, padding=padding, dilation=dilation))(x, kernel)
    expected = oracle.convolve(x, kernel, stride=stride, padding=padding, dilation=dilation)
    np.testing.assert_allclose(y, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize('case', [case for case in CASES if case[4] == 1])
def test_transposed_values_are_those_of_the_sum(case):
    x, kernel, stride, padding, _ = arrays(case, transposed=True)
    y = jax.jit(lambda x, k: convolve_transposed(x, k, stride=stride, padding=padding))(x, kernel)
    expected = oracle.convolve_transposed(x, kernel, stride=stride, padding=padding)
    np.testing.assert_allclose(y, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize('case', CASES)
def test_products_are_each_others_transposes(case, monkeypatch):
    """<y, output(x, w)> = <x, input(y, w)> = <w, kernel(x, y)>, in double precision, however they are computed."""
    size, taps, stride, padding, dilation, channels, out = case
    geometry = Geometry(stride, dilation, ((padding, padding),) * len(size), size, (taps,) * len(size))
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x, w = rng.normal(size=(2, *size, channels)), rng.normal(size=(*geometry.taps, channels, out))
        y = rng.normal(size=(2, *geometry.output, out))
        expected = np.sum(y * oracle.convolve(x, w, stride=stride, padding=padding, dilation=dilation))
        modules = [(products, None)]
        large = geometry._replace(size=(64,) * len(size))
        if winograd.fits(large, 64, 64) or stacked.fits(large, 64, 64):
            modules += [(winograd if len(size) == 2 else stacked, None)]
        if case in (CASES[0], CASES[3], CASES[10]):
            # Some planes or rows at a time.
            modules += [(modules[-1][0], strip) for strip in (1e9, 20_000)]
        modules += [(tiled, None)] if tiled.fits(geometry) else []
        for module, strip in modules:
            if strip:
                monkeypatch.setattr(winograd, 'CACHE', 0)
                monkeypatch.setattr(winograd, 'STRIP', strip)
            found = jax.jit(
                lambda x, w, y, module=module: (
                    module.output(geometry, x, w),
                    module.input(geometry, y, w),
                    module.kernel(geometry, x, y),
                )
            )(x, w, y)
            sums = [np.sum(given * part) for given, part in zip((y, x, w), found)]
            np.testing.assert_allclose(sums, expected, rtol=1e-10)


@pytest.mark.parametrize('function', [convolve, convolve_transposed])
def test_derivatives_of_first_and_second_order_in_both_modes(function):
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        x, kernel = rng.normal(size=(1, 4, 6, 2)), 0.3 * rng.normal(size=(4, 4, 2, 2))
        check_grads(lambda x, k: jnp.tanh(function(x, k, stride=2, padding=1)), (x, kernel), order=2, rtol=1e-4)


def test_members_of_a_batch_and_of_vmap_are_apart():
    x, kernel, stride, padding, _ = arrays(CASES[0])

    def gradient(x):
        return jax.grad(lambda x: jnp.sum(convolve(x[None], kernel, stride=stride, padding=padding) ** 2))(x)

    together = jax.grad(lambda x: jnp.sum(convolve(x, kernel, stride=stride, padding=padding) ** 2))(x)
    np.testing.assert_allclose(jax.vmap(gradient)(x), together, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradient(x[1]), together[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('border', ['reflect', 'replicate'])
def test_borders(border):
    x, kernel, *_ = arrays(CASES[3])
    mode = {'reflect': 'reflect', 'replicate': 'edge'}[border]
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode=mode)
    expected = oracle.convolve(padded, kernel)
    np.testing.assert_allclose(convolve(x, kernel, padding=1, border=border), expected, atol=1e-4)
    with pytest.raises(InputError, match='to be reflected by 20 pixels'):
        convolve(x, kernel, padding=20, border='reflect')


def test_output_padding_lengthens_the_far_end():
    x, kernel, *_ = arrays(CASES[5], transposed=True)
    y = convolve_transposed(x, kernel, stride=2, padding=1, output_padding=1)
    expected = oracle.convolve_transposed(x, kernel, stride=2, padding=1, output_padding=1)
    assert y.shape == expected.shape == (2, 18, 24, 3)
    np.testing.assert_allclose(y, expected, atol=1e-4)


def test_modules_add_their_bias():
    x = jnp.ones((1, 4, 4, 2))
    for module in (Convolution(3, 3, padding=1), TransposedConvolution(3)):
        params = module.init(jax.random.key(0), x)['params']
        plain = module.apply({'params': params}, x)
        shifted = module.apply({'params': {**params, 'bias': params['bias'] + jnp.arange(3.0)}}, x)
        np.testing.assert_allclose(shifted - plain, np.broadcast_to(np.arange(3.0), plain.shape), atol=1e-6)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda x: convolve(x, jnp.zeros((3, 3, 4, 2))), r'got shape \(1, 8, 8, 3\), expected \(n, _, _, 4\)'),
        (lambda x: convolve(x, jnp.zeros((9, 9, 3, 2))), 'too small for a kernel of'),
        (lambda x: convolve(x, jnp.zeros((3, 3, 2))), 'two or three spatial axes'),
        (lambda x: convolve_transposed(x, jnp.zeros((4, 4, 2, 3)), output_padding=2), 'less than stride=2'),
    ],
)
def test_shapes_that_do_not_fit_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call(jnp.zeros((1, 8, 8, 3)))
