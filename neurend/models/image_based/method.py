"""Image-based rendering as a method of the training loop."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.losses import photometric
from neurend.models import state as states
from neurend.models.image_based.config import ImageBasedConfig
from neurend.models.image_based.network import Blender, Drawn
from neurend.models.image_based.views import View
from neurend.models.method import Method, Stepper
from neurend.models.nerf import evaluation
from neurend.models.state import State
from neurend.render import compositing, lumigraph
from neurend.render.rendering import Rendering
from neurend.render.warps import Seen
from neurend.typing import Array, Key, Metrics, PyTree

_WHITE = np.ones(3, np.float32)


class Example(NamedTuple):
    """A held-out view.

    Attributes:
        name: of the image.
        view: what is drawn.
        image: uint8 [H W 3], or [H W 4] with straight alpha, which is put on white.
        mask: uint8 [H W], positive where 'psnr_masked' is measured, or None.
    """

    name: str
    view: View
    image: np.ndarray
    mask: np.ndarray | None = None


def image_based(config: ImageBasedConfig, *, stepper: Stepper) -> Method:
    """Makes the method: photographs near a view are warped to it by a proxy's depth, blended and finished.

    The networks know no scene: what they learn of one can draw another. Batches are `views.Batch`; gradients of a step
    are those of the networks alone.

    Args:
        config: see `ImageBasedConfig`.
        stepper: how the loss is minimised.

    Returns:
        A Method; `render` takes a `views.View` and is differentiable in all of it, cameras included: colours are
        multiplied by alpha, and `weights` [H W k] are those of the photographs. `evaluate` takes an `Example`.
    """
    network = Blender(config.width, config.unet, config.depth, config.context)

    @draws.quickly
    def init(key: Key) -> State:
        side = 2**config.depth
        nothing = Seen(jnp.zeros((1, side, side, 3)), jnp.zeros((1, side, side)), jnp.zeros((1, side, side)))
        return states.create(network.init(key, nothing, nothing.share)['params'], stepper)

    def finish(params: PyTree, seen: Seen, weights: Array) -> Drawn:
        drawn = network.apply({'params': params}, seen, weights)
        assert isinstance(drawn, Drawn)
        return drawn

    def loss(key: Key, params: PyTree, aux: PyTree, batch: Any, step: Array) -> tuple[Array, Metrics]:
        del key, aux, step
        checks.shape('batch.rgb', batch.rgb, 'n h w 3')
        errors, outlines = [], []
        for k in range(len(batch.rgb)):
            view, rgb, alpha = jax.tree.map(lambda leaf, k=k: leaf[k], (batch.view, batch.rgb, batch.alpha))
            drawn = finish(params, *jax.lax.stop_gradient(begin(config, view)))
            on_white = compositing.on_background(drawn.alpha[..., None] * drawn.rgb, drawn.alpha, jnp.asarray(_WHITE))
            errors.append(photometric.mse(on_white, compositing.on_background(rgb, alpha, jnp.asarray(_WHITE))))
            outlines.append(jnp.mean(jnp.square(drawn.alpha - alpha)))
        error = jnp.mean(jnp.stack(errors))
        return error + config.outline * jnp.mean(jnp.stack(outlines)), {'psnr': photometric.psnr(error)}

    def render(state: State, view: View) -> Rendering:
        seen, weights = begin(config, view)
        drawn = finish(state.weights, seen, weights)
        rgb = drawn.alpha[..., None] * drawn.rgb
        share = jnp.max(seen.share, axis=0)
        return Rendering(
            rgb,
            drawn.alpha,
            jnp.where((share > 0) & (drawn.alpha > 0.5), view.depth, 0),
            weights=jnp.moveaxis(drawn.weights, 0, -1),
            extras={'share': share},
        )

    compiled = jax.jit(render)

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        found = compiled(state, example.view)
        found = dataclasses.replace(found, rgb=compositing.on_background(found.rgb, found.alpha, jnp.asarray(_WHITE)))
        plain = evaluation.Example(example.name, example.view.camera, example.image, example.mask)
        return evaluation.compare(jax.device_get(found), plain, background=_WHITE)

    return Method(init, stepper.step(loss), render, evaluate)


def begin(config: ImageBasedConfig, view: View) -> tuple[Seen, Array]:
    """Warped photographs of a view and their weights before anything is learned."""
    return lumigraph.weigh(
        view.sources,
        view.camera,
        view.depth,
        angle=config.angle,
        resolution=config.resolution,
        tolerance=config.tolerance,
    )


def plain(config: ImageBasedConfig, view: View, *, keep: int | None = None) -> Rendering:
    """A view before anything is learned: `lumigraph.render` of its photographs, or of the best `keep` at each pixel."""
    options = {name: getattr(config, name) for name in ('angle', 'resolution', 'tolerance')}
    return lumigraph.render(view.sources, view.camera, view.depth, keep=keep, **options)
