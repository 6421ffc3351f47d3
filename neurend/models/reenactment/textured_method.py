"""Textured Neural Avatars as a method: the network from poses to maps, and the textures of one person."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.images import backbones
from neurend.losses import perceptual, photometric
from neurend.models import state as states
from neurend.models.method import Method, Stepper
from neurend.models.pix2pix.parts import bytes_of, measure
from neurend.models.reenactment import textured
from neurend.models.state import State
from neurend.nn.resnet import GlobalGenerator
from neurend.render.rendering import Rendering
from neurend.typing import Array, Key, Metrics, PyTree


@dataclasses.dataclass(frozen=True)
class TexturedConfig:
    """What is learned, and from what. The paper does not say how wide its network is.

    Attributes:
        width: channels of the network, a `GlobalGenerator`, at full resolution.
        halvings: of the network.
        blocks: of the network.
        color: weight of the mean absolute difference of colours in [0, 1], on the body.
        perceptual: weight of the distance of VGG19's features, with both pictures black around the body.
        segmentation: weight of body against background.
        parts: weight of the true parts; with `coordinates` what the paper trains on first, for many people.
        coordinates: weight of the true coordinates on them.
        variation: weight of the total variation of the textures.
    """

    width: int = 32
    halvings: int = 3
    blocks: int = 4
    color: float = 10.0
    perceptual: float = 0.0
    segmentation: float = 1.0
    parts: float = 1.0
    coordinates: float = 10.0
    variation: float = 0.0


class AvatarBatch(NamedTuple):
    """What a step takes: poses `n h w c` and images `n h w 3` in [0, 1], and where they show what, uint8 `n h w 3`."""

    condition: Array
    image: Array
    iuv: Array


class Example(NamedTuple):
    """A frame held out, for `Method.evaluate`; uint8.

    Attributes:
        name: of the frame.
        condition: `h w c`, the pose.
        image: `h w 3`.
        iuv: `h w 3`.
        background: `h w 3`, what is behind the body.
    """

    name: str
    condition: np.ndarray
    image: np.ndarray
    iuv: np.ndarray
    background: np.ndarray


def textured_avatar(
    config: TexturedConfig,
    *,
    channels: int,
    stepper: Stepper,
    textures: np.ndarray,
    vgg: backbones.Weights | None = None,
) -> Method:
    """The method. `render` takes poses `n h w c` in [0, 1] and gives the body on black, its opacity, and the maps.

    `state.params` is {'network', 'textures'}. Metrics are 'loss', its terms, and 'psnr' of the body's pixels.

    Args:
        config: see `TexturedConfig`.
        channels: of the poses.
        stepper: how the loss is minimised.
        textures: float `24 s s 3` to begin with, see `textured.unwrap`.
        vgg: VGG19's weights, where `config.perceptual` is not 0.

    Raises:
        InputError: textures of another shape, or `vgg` is missing; and on tracing, batches of other shapes.
    """
    checks.shape('textures', textures, f'{textured.PARTS} s s 3', 'Make them with textured.unwrap')
    if bool(config.perceptual) != (vgg is not None):
        raise checks.InputError('vgg: expected weights where config.perceptual is not 0, and None elsewhere')
    network = GlobalGenerator(textured.CHANNELS, config.width, config.halvings, config.blocks, activation='none')

    @draws.quickly
    def init(key: Key) -> State:
        side = 2 * network.multiple  # parameters do not depend on it
        params = network.init(key, jnp.zeros((1, side, side, channels)))['params']
        return states.create({'network': params, 'textures': jnp.array(textures, jnp.float32)}, stepper)

    def look(params: PyTree, condition: Array) -> tuple[textured.Maps, Array]:
        found = textured.maps(jnp.asarray(network.apply({'params': params['network']}, 2 * condition - 1)))
        return found, textured.paint(found, params['textures'])

    def loss(key: Key, params: PyTree, aux: PyTree, batch: Any, step: Array) -> tuple[Array, Metrics]:
        del key, aux, step
        sizes = checks.shape('batch.image', batch.image, 'n h w 3')
        checks.shape('batch.iuv', batch.iuv, 'n h w 3', 'It must match batch.image', sizes=sizes)
        checks.shape('batch.condition', batch.condition, f'n h w {channels}', sizes=sizes)
        found, rgb = look(params, batch.condition)
        body = (batch.iuv[..., 0] > 0).astype(rgb.dtype)
        terms = {
            'color': textured.color_loss(rgb, batch.image, batch.iuv),
            'segmentation': textured.segmentation_loss(found, batch.iuv),
            'parts': textured.parts_loss(found, batch.iuv),
            'coordinates': textured.coordinates_loss(found, batch.iuv),
            'variation': textured.variation(params['textures']),
        }
        if vgg is not None:
            terms['perceptual'] = perceptual.distance(vgg, rgb * body[..., None], batch.image * body[..., None])
        total = sum((getattr(config, name) * term for name, term in terms.items()), jnp.zeros(()))
        psnr = photometric.psnr(photometric.mse(rgb, batch.image, body))
        return total, terms | {'psnr': psnr}

    def render(state: State, condition: Array) -> Rendering:
        found, rgb = look(state.weights, condition)
        alpha = 1 - textured.assignment(found)[..., 0]
        return Rendering(rgb=rgb, alpha=alpha, depth=jnp.zeros_like(alpha), extras=found._asdict())

    drawn = jax.jit(lambda state, condition: render(state, condition))

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        condition, truth, behind = (
            x.astype(np.float32) / 255 for x in (example.condition, example.image, example.background)
        )
        found = jax.device_get(drawn(state, condition[None]))
        alpha, body = found.alpha[0], example.iuv[..., 0] > 0
        prediction = np.clip(found.rgb[0] + (1 - alpha[..., None]) * behind, 0, 1)
        values = measure(truth, prediction, body)
        values['iou'] = float((body & (alpha > 0.5)).sum() / max((body | (alpha > 0.5)).sum(), 1))
        part = found.extras['logits'][0].argmax(-1)
        shown = {'prediction': prediction, 'truth': truth, 'parts': part / textured.PARTS * np.ones(3)[:, None, None]}
        shown['parts'] = np.moveaxis(shown['parts'], 0, -1)
        return values, {name: bytes_of(picture) for name, picture in shown.items()}

    return Method(init, stepper.step(loss), render, evaluate)
