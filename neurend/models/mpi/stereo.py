"""Networks that make a multi-plane image of photographs: of two (Zhou et al., 2018), or of several near each other.

LLFF (Mildenhall et al., 2019) makes one of a view and its four neighbours, in colours between those that they have on
each plane: `StereoConfig(sources=5, output='views')`; its network is three-dimensional, and this one is not. Views are
then drawn from several of the images, by `neurend.render.planes.blend`.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.geometry import cameras as cameras_lib
from neurend.geometry.cameras import Camera
from neurend.losses import photometric
from neurend.models import state as state_lib
from neurend.models.method import Method, Stepper
from neurend.models.mpi import network
from neurend.models.nerf import evaluation
from neurend.models.state import State
from neurend.render import planes
from neurend.render.rendering import Rendering
from neurend.scenes import planes as scenes
from neurend.scenes.planes import Planes
from neurend.typing import Array, Key, Metrics, PyTree

_WHITE = np.ones(3, np.float32)


@dataclasses.dataclass(frozen=True)
class StereoConfig:
    """Stereo magnification. The defaults are the paper's.

    Attributes:
        planes: of the multi-plane image, uniform in disparity.
        width: of the network's first layer.
        sources: photographs that it sees; the first is the one whose camera the planes face.
        output: how planes get their colours, see `network.planes_from`.
        border: pixels by which planes reach beyond the reference on every side, where other photographs may see more;
            the reference goes on there as its edge is. 0 in the paper.
        guided: whether the network sees, and corrects, opacities of planes that follow from how far photographs agree
            there (`network.agreement`), so that it need not learn to compare them. Not in the paper.
    """

    planes: int = 32
    width: int = 64
    sources: int = 2
    output: Literal['background', 'foreground', 'all', 'alpha', 'single', 'views'] = 'background'
    border: int = 0
    guided: bool = False

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if self.planes < 2 or self.width < 1 or self.sources < 1 or self.border < 0:
            raise checks.InputError(
                f'planes, width, sources, border: got {self.planes}, {self.width}, {self.sources} and {self.border}, '
                'expected at least 2, 1, 1, 0'
            )


class StereoExample(NamedTuple):
    """A held-out view with the photographs that it is made from.

    Attributes:
        name: of the view.
        sources: `neurend.data.photographs.Photographs` [v].
        depths: (near, far) of the planes.
        camera: of the view.
        image: uint8 [H W 3] what it shows.
        mask: None; see `neurend.train.evaluate.Example`.
    """

    name: str
    sources: Any
    depths: tuple[float, float]
    camera: Camera
    image: np.ndarray
    mask: np.ndarray | None = None


def planes_of(config: StereoConfig, params: PyTree, sources: Any, near: Array | float, far: Array | float) -> Planes:
    """The multi-plane image that a network makes, which faces the first camera.

    Args:
        config: of the method.
        params: of the network, `state.weights`.
        sources: `neurend.data.photographs.Photographs` [v] of one size.
        near, far: depths of the nearest and the farthest plane.
    """
    reference, swept, depths, camera = _seen(config, sources, near, far)
    seen = network.network_input(reference, swept)
    guess = jnp.moveaxis(network.agreement(reference, swept), 0, -1) if config.guided else None
    if guess is not None:
        seen = jnp.concatenate([seen, 2 * guess[None] - 1], axis=-1)
    output = _network(config).apply({'params': params}, seen)
    assert isinstance(output, Array)
    found, bounded = output[0], config.output != 'views'
    if guess is not None:
        logits = jnp.log(guess) - jnp.log1p(-guess)
        channels = network.alpha_channels(config.output, config.planes, config.sources)
        # A hyperbolic tangent is a logistic function of twice its argument.
        found = found.at[..., channels].add(logits / 2 if bounded else logits)
    found = jnp.tanh(found) if bounded else found
    return Planes(network.planes_from(config.output, found, reference, swept), depths, camera)


def swept_planes(config: StereoConfig, sources: Any, near: Array | float, far: Array | float) -> Planes:
    """A multi-plane image without a network: mean colours, opaque where photographs agree. Args: see `planes_of`."""
    reference, swept, depths, camera = _seen(config, sources, near, far)
    alpha = network.agreement(reference, swept)
    alpha = jnp.concatenate([alpha[:-1], jnp.ones_like(alpha[-1:])])
    color = (reference[None] + jnp.sum(swept, axis=0)) / (1 + len(swept))
    return Planes(jnp.concatenate([color, alpha[..., None]], axis=-1), depths, camera)


def _seen(
    config: StereoConfig, sources: Any, near: Array | float, far: Array | float
) -> tuple[Array, Array, Array, Camera]:
    """The reference [H W 3] with its border, the others on the planes [v-1 D H W 3], depths [D], and their camera."""
    border = config.border
    depths = 1 / jnp.linspace(1 / near, 1 / far, config.planes)
    swept = network.sweep(sources.rgb, sources.camera, depths, border=border)
    reference = jnp.pad(sources.rgb[0], [(border, border), (border, border), (0, 0)], mode='edge')
    camera = scenes.enlarged(jax.tree.map(lambda leaf: leaf[0], sources.camera), border)
    return reference, swept, depths, camera


def _network(config: StereoConfig) -> network.StereoNetwork:
    out = network.channels_out(config.output, config.planes, config.sources)
    return network.StereoNetwork(out, config.width)


def stereo(config: StereoConfig, *, size: tuple[int, int], stepper: Stepper) -> Method:
    """Makes the method.

    Batches are `neurend.data.stereo.StereoBatch`. `render` takes `(sources, near, far, camera)`: photographs [v] of
    `neurend.data.photographs`, numbers, and the camera of the picture, which has their size.

    Args:
        config: see there.
        size: (width, height) of photographs, multiples of 8 with their borders.
        stepper: see `neurend.train.step`; the paper has Adam with a rate of 2e-4 and b1 = 0.9.

    Raises:
        InputError: photographs of another size.
    """
    border = config.border
    width, height = size[0] + 2 * border, size[1] + 2 * border
    if width % network.MULTIPLE or height % network.MULTIPLE:
        raise checks.InputError(
            f'size: got photographs of {size[0]} x {size[1]} with borders of {border}, expected multiples of '
            f'{network.MULTIPLE} together; crop them, or change the border'
        )
    model = _network(config)

    @draws.quickly
    def init(key: Key) -> State:
        seen = 3 + 3 * config.planes * (config.sources - 1) + config.planes * config.guided
        params = model.init(key, jnp.zeros((1, height, width, seen)))['params']
        return state_lib.create(params, stepper)

    def draw(params: PyTree, sources: Any, near: Array, far: Array, camera: Camera) -> Rendering:
        checks.shape(
            'sources.rgb', sources.rgb, f'{config.sources} {size[1]} {size[0]} 3', 'As the method was made for'
        )
        made = planes_of(config, params, sources, near, far)
        rays = cameras_lib.rays(camera, cameras_lib.pixel_centers(*size))
        return planes.render(made.rgba, made.depths, made.camera, rays)

    def loss(key: Key, params: PyTree, aux: PyTree, batch: Any, step: Array) -> tuple[Array, Metrics]:
        del key, aux, step
        errors = []
        # Few views: a loop of the compiler would run convolutions on one thread.
        for k in range(len(batch.near)):
            one = jax.tree.map(lambda leaf, k=k: leaf[k], batch)
            found = draw(params, one.source, one.near, one.far, one.target.camera)
            mask = jax.lax.stop_gradient((found.alpha > 0.5).astype(jnp.float32))
            errors.append(photometric.mse(found.rgb, one.target.rgb, mask))
        error = jnp.mean(jnp.stack(errors))
        return error, {'psnr': photometric.psnr(error)}

    def render(state: State, inputs: Any) -> Rendering:
        return draw(state.weights, *inputs)

    compiled = jax.jit(render)

    def evaluate(state: State, example: StereoExample) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        near, far = (jnp.float32(depth) for depth in example.depths)
        found = compiled(state, jax.tree.map(jnp.asarray, (example.sources, near, far, example.camera)))
        shown = evaluation.Example(example.name, example.camera, example.image)
        found = jax.device_get(found)
        # Beside the planes too.
        on_white = dataclasses.replace(found, rgb=found.rgb + (1 - found.alpha[..., None]) * _WHITE)
        return evaluation.compare(on_white, shown, background=_WHITE)

    return Method(init, stepper.step(loss), render, evaluate)
