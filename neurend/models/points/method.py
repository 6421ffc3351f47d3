"""Neural points as a method of the training loop (Aliev et al., "Neural point-based graphics", 2020)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.geometry import cameras as cameras_lib
from neurend.geometry.cameras import Camera
from neurend.losses import photometric
from neurend.models import state as states
from neurend.models.method import Method, Stepper
from neurend.models.nerf import evaluation
from neurend.models.neural_texture import windows
from neurend.models.neural_texture.deferred import Shot, Window
from neurend.models.neural_texture.method import Example
from neurend.models.neural_texture.network import DeferredShader
from neurend.models.points import drawing
from neurend.models.points.config import PointsConfig
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.scenes import points
from neurend.scenes.points import Points
from neurend.typing import Array, Key, Metrics, PyTree

_SURE = 4.0  # logit of the opacity that the network begins with where there are points


def neural_points(config: PointsConfig, cloud: Points, *, size: tuple[int, int], stepper: Stepper) -> Method:
    """Makes the method: points with learned descriptors are drawn at several sizes, and a network makes the picture.

    Which point is nearest in a pixel does not depend on what is learned, so that a step is a z-buffer without sorting,
    a look-up, and the network. Its output is added to the points' own colours, which have a loss of their own. It draws
    the outline as well: points may lie a little beyond what the photographs show, and leave gaps.

    `state.params` is {'descriptors': levels, 'network': ...}. Batches are `neurend.data.photographs.Photographs`.

    Args:
        config: see `PointsConfig`.
        cloud: in the world of the cameras, of colours [n 3] that descriptors begin with.
        size: (width, height) of pictures, in pixels.
        stepper: how the loss is minimised; descriptors and network may have rates of their own
            (`train.optimizers.by_name`).

    Returns:
        A Method; `render` takes a `Shot`, `evaluate` an `Example`.

    Raises:
        InputError: a crop larger than the pictures, or points that are not sound or have no colours.
    """
    checks.shape('cloud.features', cloud.features, 'n 3', 'Give each point a colour')
    points.make(np.asarray(cloud.positions), np.asarray(cloud.features), radii=np.asarray(cloud.radii))
    if config.crop > min(size):
        raise checks.InputError(
            f'model.crop: got {config.crop}, expected at most {min(size)}, a side of the pictures, or 0 for all of them'
        )
    which = drawing.table(config, cloud)
    # What is drawn goes on to the right and below until it can be halved.
    width, height = size
    whole = Window(width + -width % config.multiple, height + -height % config.multiple)
    network = DeferredShader(4, config.unet, config.depth, config.maximum, config.context, config.width, config.layers)

    @draws.quickly
    def init(key: Key) -> State:
        keys = jax.random.split(key, 2 + config.shared)
        levels = [
            config.deviation * jax.random.normal(each, (count, config.channels))
            for each, count in zip(keys[1:], which.counts)
        ]
        levels[0] = levels[0].at[:, :3].add(jnp.asarray(cloud.features) - 0.5)
        side = config.multiple
        seen = jnp.zeros((1, side, side, drawing.channels(config)))
        coarser = [jnp.zeros((1, side >> k, side >> k, config.channels + 1)) for k in range(1, config.levels)]
        params: dict[str, PyTree] = {'descriptors': levels}
        params['network'] = network.init(keys[0], seen, coarser)['params']
        return states.create(params, stepper)

    def finish(params: PyTree, camera: Camera, window: Window, behind: Array) -> tuple[Array, Array, drawing.Pixels]:
        """Colours on the background and opacity of a window, and what they were made of."""
        found = drawing.pixels(config, which, params['descriptors'], camera, window)
        drawn = network.apply({'params': params['network']}, found.inputs[None], [x[None] for x in found.coarser])
        assert isinstance(drawn, Array)
        alpha = jax.nn.sigmoid(drawn[0, ..., 3:] + _SURE * (2 * found.seen[..., None] - 1))
        return alpha * (found.color + drawn[0, ..., :3]) + (1 - alpha) * behind, alpha[..., 0], found

    def loss(key: Key, params: PyTree, aux: PyTree, batch: Any, step: Array) -> tuple[Array, Metrics]:
        del aux, step
        checks.shape('batch.rgb', batch.rgb, f'n {height} {width} 3', 'The method was made for pictures of this size')
        error = photometric.l1 if config.loss == 'l1' else photometric.mse
        keys = jax.random.split(key, batch.rgb.shape[0])
        values, plain, squares = [], [], []
        for k in range(len(keys)):
            shown = jax.tree.map(lambda leaf, k=k: leaf[k], batch)
            part = windows.draw(keys[k], config, which.positions, Shot(shown.camera, shown.background), shown.rgb)
            window = part.window if config.crop else whole
            behind = _grown(part.background, window)
            rgb, _, found = finish(params, part.camera, window, behind)
            rows, columns = part.rgb.shape[:2]
            rgb, color, seen = (x[:rows, :columns] for x in (rgb, found.color, found.seen))
            values.append(error(rgb, part.rgb))
            squares.append(photometric.mse(rgb, part.rgb))
            # Where points are close: farther off there may be nothing.
            plain.append(error(color, part.rgb, jnp.floor(seen)))
        value, color = jnp.mean(jnp.stack(values)), jnp.mean(jnp.stack(plain))
        metrics = {'psnr': photometric.psnr(jnp.mean(jnp.stack(squares))), 'color': color}
        return value + config.color * color, metrics

    def render(state: State, shot: Shot) -> Rendering:
        behind = _grown(windows.spread(shot.background, *size), whole)
        rgb, alpha, found = finish(state.weights, shot.camera, whole, behind)
        rgb, alpha, depth = (x[:height, :width] for x in (rgb, alpha, found.depth))
        return Rendering(rgb, alpha, depth)

    drawn = jax.jit(render)

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        found = jax.device_get(drawn(state, jax.tree.map(jnp.asarray, example.shot)))
        view = evaluation.Example(example.name, example.shot.camera, example.image, example.mask)
        return evaluation.compare(found, view, background=np.asarray(example.shot.background, np.float32))

    return Method(init, stepper.step(loss), render, evaluate)


def learned(config: PointsConfig, cloud: Points, state: State) -> Points:
    """The cloud in the colours that its points have learned, in [0, 1]."""
    levels = [jnp.asarray(level)[:, :3] for level in state.weights['descriptors']]
    found = drawing.descriptors(drawing.table(config, cloud), levels, jnp.arange(len(cloud.positions)))
    colors = np.clip(0.5 + np.asarray(found), 0, 1)
    return dataclasses.replace(cloud, features=colors)


def check_seen(cloud: Points, cameras: Camera, names: tuple[str, ...]) -> None:
    """Checks that each of some cameras (leading dim n, NumPy) sees a point.

    Raises:
        InputError: one sees none: all are behind it, or beyond its picture.
    """
    for k, name in enumerate(names):
        camera = jax.tree.map(lambda leaf, k=k: jnp.asarray(leaf[k]), cameras)
        pixels, depth = (np.asarray(x) for x in cameras_lib.project(camera, jnp.asarray(cloud.positions)))
        ahead = depth > 0
        if not (ahead & (pixels >= 0).all(-1) & (pixels < np.asarray(camera.size)).all(-1)).any():
            where = 'beyond its picture' if ahead.any() else 'behind its camera'
            raise checks.InputError(
                f'points: all {len(depth)} are {where} in view {name}, expected some in every view. Check that points '
                'and poses are of the same world'
            )


def _grown(image: Array, window: Window) -> Array:
    """An image [h w c] continued by its last row and column to the window's size."""
    extra = (window.height - image.shape[0], window.width - image.shape[1])
    return jnp.pad(image, ((0, extra[0]), (0, extra[1]), (0, 0)), mode='edge') if any(extra) else image
