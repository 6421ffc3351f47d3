"""Scene Representation Networks as methods of the training loop."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.geometry.cameras import Camera
from neurend.geometry.rays import Rays
from neurend.losses import photometric
from neurend.models import state as training_state
from neurend.models.method import Method, Stepper
from neurend.models.nerf.evaluation import compare
from neurend.models.srn import scene
from neurend.models.srn.batch import Batch
from neurend.models.srn.config import SRNConfig
from neurend.models.srn.scene import Ball
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.render.tiled import Tiler
from neurend.typing import Array, Key, Metrics, PyTree


class Example(NamedTuple):
    """A view held out.

    Attributes:
        name: unique.
        instance: whose it is; 0 for a single scene.
        camera: one camera, no leading dims.
        image: uint8 `[h w 3]`.
        mask: uint8 `[h w]`, positive on the object, or None.
    """

    name: str
    instance: int
    camera: Camera
    image: np.ndarray
    mask: np.ndarray | None = None


def srn(config: SRNConfig, *, instances: int, stepper: Stepper, ball: Ball, memory_mb: int = 1000) -> Method:
    """Scene Representation Networks (Sitzmann et al., 2019).

    `state.params` is {'codes': [instances c], 'hypernetwork', 'marcher', 'generator'}, and for a single scene {'field',
    'marcher', 'generator'}. The codes are one array by instance, which `neurend.train.mesh.state_shardings` cuts over
    the devices. Batches are `neurend.models.srn.batch.Batch`. Metrics are 'loss', its terms 'color', 'depth' and
    'code', and 'psnr' of the batch.

    Args:
        config: see there.
        instances: how many there are in training; 0 for a single scene.
        stepper: how the loss is minimised.
        ball: where the scenes are.
        memory_mb: bound on the growth of memory when evaluating a whole picture.

    Returns:
        A Method whose `render` takes `Rays` with one leading dim, all through one instance, whose number is their
        `index`. Depths are where the march ended, opacities are 1.

    Raises:
        InputError: a negative number of instances; and on tracing, batches of other shapes.
    """
    if instances < 0:
        raise checks.InputError(f'instances: got {instances}, expected at least 1, or 0 for a single scene')

    @draws.quickly
    def init(key: Key) -> State:
        return training_state.create(scene.init(key, config, instances), stepper)

    def loss_fn(key: Key, params: PyTree, aux: PyTree, batch: Batch, step: Array) -> tuple[Array, Metrics]:
        del aux, step
        codes = params['codes'][batch.instance] if instances else None
        return objective(key, config, params, codes, batch, ball)

    render = renderer(config, ball, single=not instances)
    return Method(init, stepper.step(loss_fn), render, evaluator(render, memory_mb=memory_mb))


def objective(
    key: Key, config: SRNConfig, params: PyTree, codes: Array | None, batch: Batch, ball: Ball
) -> tuple[Array, Metrics]:
    """The loss of rays through instances with codes `i c` (None for a single scene), and metrics.

    Args:
        key: of the noise of where the march starts.
        config, params, codes, ball: see `scene.init` and `scene.trace`.
        batch: see there.
    """
    sizes = checks.shape('batch.rgb', batch.rgb, 'i r 3')
    checks.shape('batch.rays.origins', batch.rays.origins, 'i r 3', sizes=sizes)
    made = None if codes is None else scene.layers(config, params, codes)
    color, depth = scene.trace(key, config, params, made, batch.rays, ball)
    terms = {
        'color': jnp.mean(jnp.square(color - (2 * batch.rgb - 1))),
        'depth': jnp.mean(jnp.square(jnp.minimum(depth, 0))),
        'code': jnp.zeros(()) if codes is None else jnp.mean(jnp.square(codes)),
    }
    loss = (
        config.color_weight * terms['color'] + config.depth_weight * terms['depth'] + config.code_weight * terms['code']
    )
    return loss, {'loss': loss, **terms, 'psnr': photometric.psnr(terms['color'] / 4)}


def renderer(config: SRNConfig, ball: Ball, *, single: bool) -> Callable[[State, Rays], Rendering]:
    """`render` of the methods here: of rays through one instance, or through the single scene."""

    def render(state: State, rays: Rays) -> Rendering:
        params = state.weights
        made = None
        if not single:
            made = scene.layers(config, params, params['codes'][rays.index[:1]])
        color, depth = scene.trace(None, config, params, made, jax.tree.map(lambda leaf: leaf[None], rays), ball)
        return Rendering(rgb=(color[0] + 1) / 2, alpha=jnp.ones_like(depth[0]), depth=depth[0])

    return render


def evaluator(
    render: Callable[[State, Rays], Rendering], *, memory_mb: int
) -> Callable[[State, Example], tuple[dict[str, float], dict[str, np.ndarray]]]:
    """`evaluate` of the methods here; metrics and pictures are those of radiance fields."""
    tiler = Tiler(render, memory_mb=memory_mb)

    def evaluate(state: State, example: Any) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        return compare(tiler(state, example.camera, index=example.instance), example, background=np.ones(3))

    return evaluate
