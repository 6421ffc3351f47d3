"""A small detector of one person's key points, to measure whether generated pictures show the pose they were asked for.

A U-Net gives each joint a distribution over pixels (heat maps after Tompson et al., 2014). It learns from the frames of
the person that it shall find, and needs about a minute for it; it is no detector of people in general.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend import checks, draws
from neurend.geometry import grids
from neurend.models.method import Method
from neurend.models.state import State
from neurend.nn.unet import UNet
from neurend.numerics import safe_divide
from neurend.render.rendering import Rendering
from neurend.typing import Array, Key, Metrics, PyTree, Source

_REACH = 2.5  # sigmas around the highest value, over which the place is averaged


@dataclasses.dataclass(frozen=True)
class DetectorConfig:
    """A detector and how it is trained.

    Attributes:
        width: channels of the U-Net's first level.
        depth: its halvings.
        sigma: of a joint's distribution, as a fraction of the picture's height.
        learning_rate: of Adam; it falls to zero along a cosine.
        batch: pictures in a step.
        shift: greatest displacement of a training picture, as a fraction of its size.
        zoom: greatest change of its scale; 0.2 is from 0.8 to 1.2 times.
    """

    width: int = 16
    depth: int = 5
    sigma: float = 0.012
    learning_rate: float = 2e-3
    batch: int = 4
    shift: float = 0.12
    zoom: float = 0.2


@flax.struct.dataclass
class KeypointBatch:
    """Pictures with key points.

    Attributes:
        image: `[n h w 3]` in [0, 1].
        points: `[n j 3]`, x and y in pixels and confidence.
    """

    image: Array
    points: Array


class Example(NamedTuple):
    """A picture held out, for `Method.evaluate`.

    Attributes:
        name: of the picture.
        image: uint8 `h w 3`.
        points: `[j 3]`, x and y in pixels and confidence.
    """

    name: str
    image: np.ndarray
    points: np.ndarray


def detector(config: DetectorConfig, *, joints: int, steps: int) -> Method:
    """The detector as a method; it is trained on `KeypointBatch`, see `samples`.

    The loss is the cross entropy of each joint's distribution with a Gaussian around its place, over joints that were
    found and lie in the picture. `render` takes pictures `n h w 3` in [0, 1] and shows where joints are likely.

    Args:
        config: network and rates.
        joints: j.
        steps: of the run.
    """
    network, scores = _network(config, joints)
    optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, max(steps, 1)))

    @draws.quickly
    def init(key: Key) -> State:
        side = 2**config.depth
        params = network.init(key, jnp.zeros((1, side, side, 3)))['params']
        return State(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        del key

        def loss(params: PyTree) -> tuple[Array, Array]:
            values = scores(params, batch.image)
            return _cross_entropy(config, values, batch.points), values

        (value, values), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, moments = optimizer.update(grads, state.optimizer)
        params = optax.apply_updates(state.params, updates)
        error = jnp.mean(errors(_locate(config, jax.lax.stop_gradient(values)), batch.points))
        new = dataclasses.replace(state, step=state.step + 1, params=params, optimizer=moments)
        return new, {'loss': value, 'pixels': error}

    def render(state: State, images: Array) -> Rendering:
        values = jax.nn.softmax(scores(state.weights, images), axis=(1, 2))
        likely = jnp.max(values / jnp.max(values, axis=(1, 2), keepdims=True), axis=-1)
        gray = 0.4 * jnp.mean(images, axis=-1)
        rgb = jnp.stack([jnp.maximum(gray, likely), gray, gray], axis=-1)
        return Rendering(rgb=rgb, alpha=jnp.ones_like(likely), depth=jnp.zeros_like(likely))

    locate = locator(config, joints=joints)
    drawn = jax.jit(lambda state, images: render(state, images).rgb)

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        image = jnp.asarray(example.image[None], jnp.float32) / 255
        error = errors(locate(state.weights, image)[0], jnp.asarray(example.points))
        picture = np.asarray(255 * drawn(state, image)[0] + 0.5).astype(np.uint8)
        return {'pixels': float(error)}, {'image': example.image, 'likely': picture}

    return Method(init, step, render, evaluate)


def locator(config: DetectorConfig, *, joints: int) -> Callable[[PyTree, Array], Array]:
    """The trained detector: `(weights, images) -> points`, jitted.

    Images are `n h w 3` in [0, 1]; points `n j 3`, x and y in pixels and the probability within 2.5 sigmas of it.
    """
    _, scores = _network(config, joints)
    return jax.jit(lambda weights, images: _locate(config, scores(weights, images)))


def detect(locate: Callable[[PyTree, Array], Array], weights: PyTree, images: np.ndarray) -> np.ndarray:
    """Key points `[t j 3]` of a clip `[t h w 3]` uint8, frame by frame; `locate` is that of `locator`."""
    frames = (jnp.asarray(image[None], jnp.float32) / 255 for image in images)
    return np.concatenate([np.asarray(locate(weights, frame)) for frame in frames])


def errors(points: Array, truth: Array) -> Array:
    """Mean distance `[...]` in pixels of points `[... j 2 or 3]` from true ones `[... j 3]` of confidence above 0."""
    found = (truth[..., 2] > 0).astype(jnp.float32)
    apart = jnp.sqrt(jnp.sum(jnp.square(points[..., :2] - truth[..., :2]), axis=-1))
    return safe_divide(jnp.sum(apart * found, axis=-1), jnp.sum(found, axis=-1))


def samples(images: np.ndarray, points: np.ndarray, *, config: DetectorConfig) -> Source:
    """Frames drawn at random with replacement, each moved and scaled at random as the config says.

    Args:
        images: `[m h w 3]` uint8.
        points: `[m j 3]` float32.
        config: batch, shift and zoom.

    Raises:
        InputError: no frames, or other numbers of pictures and of poses.
    """
    sizes = checks.shape('images', images, 'm h w 3')
    checks.shape('points', points, 'm j 3', 'One pose for each picture', sizes=sizes)
    if not sizes['m']:
        raise checks.InputError('images: got none, expected at least one')
    height, width = sizes['h'], sizes['w']
    center = np.array([width / 2, height / 2], np.float32)

    def draw(key: Key, data: tuple[Array, Array]) -> KeypointBatch:
        key_index, key_zoom, key_shift = jax.random.split(key, 3)
        index = jax.random.randint(key_index, (config.batch,), 0, len(images))
        zoom = 1 + config.zoom * jax.random.uniform(key_zoom, (config.batch,), minval=-1)
        shift = config.shift * jax.random.uniform(key_shift, (config.batch, 2), minval=-1)

        def one(index: Array, zoom: Array, shift: Array) -> KeypointBatch:
            image, pose = (jax.lax.dynamic_index_in_dim(jnp.asarray(x), index, keepdims=False) for x in data)
            move = center + shift * 2 * center
            x, y = jnp.meshgrid(jnp.arange(width) + 0.5, jnp.arange(height) + 0.5)
            there = (jnp.stack([x, y], axis=-1) - move[None, None]) / zoom + center[None, None]
            moved = (pose[:, :2] - center[None]) * zoom + move[None]
            moved = jnp.concatenate([moved, pose[:, 2:]], axis=-1)
            return KeypointBatch(grids.bilinear(image.astype(jnp.float32) / 255, there), moved)

        return jax.vmap(one)(index, zoom, shift)

    return Source(data=(images, np.asarray(points, np.float32)), draw=draw)


def _network(config: DetectorConfig, joints: int) -> tuple[UNet, Callable[[PyTree, Array], Array]]:
    """The module, and scores `n h w j` of images `n h w 3` of any size in [0, 1] by it."""
    network = UNet(joints, config.width, config.depth, dropout=0.0, activation='none')

    def scores(params: PyTree, images: Array) -> Array:
        height, width = images.shape[1:3]
        extra = -height % network.multiple, -width % network.multiple
        x = jnp.pad(2 * images - 1, ((0, 0), (0, extra[0]), (0, extra[1]), (0, 0)), mode='edge')
        y = network.apply({'params': params}, x, deterministic=True)
        assert isinstance(y, Array)
        return y[:, :height, :width]

    return network, scores


def _cross_entropy(config: DetectorConfig, scores: Array, points: Array) -> Array:
    height, width = scores.shape[1:3]
    x, y = jnp.arange(width) + 0.5, jnp.arange(height) + 0.5
    spread = config.sigma * height
    columns = jax.nn.softmax(-0.5 * jnp.square((x[None, :, None] - points[:, None, :, 0]) / spread), axis=1)
    rows = jax.nn.softmax(-0.5 * jnp.square((y[None, :, None] - points[:, None, :, 1]) / spread), axis=1)
    target = rows[:, :, None] * columns[:, None]
    px, py, confidence = jnp.moveaxis(points, -1, 0)
    weight = ((confidence > 0) & (px > 0) & (px < width) & (py > 0) & (py < height)).astype(jnp.float32)
    each = -jnp.sum(target * jax.nn.log_softmax(scores, axis=(1, 2)), axis=(1, 2))
    return safe_divide(jnp.sum(each * weight), jnp.sum(weight))


def _locate(config: DetectorConfig, scores: Array) -> Array:
    """The mean place within a few sigmas of the most likely pixel, and the probability there: `n j 3`."""
    height, width, joints = scores.shape[1:]
    best = jnp.argmax(scores.reshape(-1, height * width, joints), axis=1)
    x, y = jnp.arange(width) + 0.5, jnp.arange(height) + 0.5
    reach = max(_REACH * config.sigma * height, 1.0)
    near_x = jnp.abs(jnp.arange(width)[None, :, None] - (best % width)[:, None]) <= reach
    near_y = jnp.abs(jnp.arange(height)[None, :, None] - (best // width)[:, None]) <= reach
    mass = jax.nn.softmax(scores, axis=(1, 2)) * (near_y[:, :, None] & near_x[:, None])
    columns, rows = jnp.sum(mass, axis=1), jnp.sum(mass, axis=2)
    total = jnp.sum(columns, axis=1)
    place = [jnp.sum(part * at[None, :, None], axis=1) / total for part, at in ((columns, x), (rows, y))]
    return jnp.stack([*place, total], axis=-1)
