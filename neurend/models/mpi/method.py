"""Multi-plane images of one scene, optimised from posed photographs, as a method of the training loop."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend import checks, draws
from neurend.geometry import cameras as cameras_lib
from neurend.geometry.cameras import Camera
from neurend.geometry.rays import Rays
from neurend.losses import photometric
from neurend.models.method import Method
from neurend.models.mpi.config import MpiConfig
from neurend.models.mpi.places import Places
from neurend.models.nerf import evaluation
from neurend.models.nerf.evaluation import Example
from neurend.models.state import State
from neurend.nn.mlp import MLP
from neurend.numerics import safe_norm
from neurend.render import compositing, planes
from neurend.render.rendering import Rendering
from neurend.scenes.planes import Planes
from neurend.typing import Array, Key, Metrics, PyTree

_WHITE = np.ones(3, np.float32)


def mpi(
    config: MpiConfig,
    places: Places,
    *,
    size: tuple[int, int],
    optimizer: optax.GradientTransformation,
    start: Callable[[], Array] | None = None,
) -> Method:
    """Makes the method: the images that were made for near a view are drawn from it and blended.

    `state.params['planes']` holds [m D H W c], logits of colours and opacities and, between them, coefficients of
    `state.params['basis']`. Batches are `neurend.data.photographs.Photographs` of one view. `render` takes a `Camera`
    of the photographs' size; without `config.backdrop` its colours are multiplied by alpha.

    A step improves few of the images, and neither the others nor their moments of the optimizer are touched.

    Args:
        config: see there.
        places: where the images lie.
        size: (width, height) of photographs.
        optimizer: whose state holds counts and arrays like the parameters, as those of Adam and its like do.
        start: gives the first [m D H W c], see `start.agreeing`; grey and half transparent if not given.

    Returns:
        A Method; `evaluate` takes an `Example` of `neurend.models.nerf.evaluation`, which is put on white.

    Raises:
        InputError: more images to blend than there are.
    """
    count = places.depths.shape[0]
    if config.blended > count:
        raise checks.InputError(
            f'blended: got {config.blended}, expected at most {count}, as many multi-plane images as there are'
        )
    shape = (count, config.planes, places.size[1], places.size[0], config.channels)
    checks.shape('places.depths', places.depths, f'{count} {config.planes}')
    place_cameras, depths = jax.tree.map(jnp.asarray, (places.cameras, places.depths))
    network = MLP(config.basis_width, 2, out=config.basis, activation=jnp.tanh)
    whole = cameras_lib.pixel_centers(*size)

    @draws.quickly
    def init(key: Key) -> State:
        params: dict[str, Any] = {'planes': jnp.zeros(shape) if start is None else start()}
        if config.basis:
            params['basis'] = network.init(key, jnp.zeros((1, 3)))['params']
        return State(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    def near(camera: Camera) -> tuple[Array, Array]:
        """The images to blend for a view [k], and their weights."""
        away = safe_norm(place_cameras.world_from_camera[:, :3, 3] - camera.world_from_camera[None, :3, 3])
        negative, chosen = jax.lax.top_k(-away, config.blended)
        return chosen, planes.blend_weights(
            -negative, focal=camera.focal[0], near=jnp.min(depths[chosen]), planes=config.planes
        )

    def draw(params: PyTree, chosen: Array, weights: Array, rays: Rays) -> Rendering:
        """What the images `chosen`, whose parameters are given in this order, show of a view."""
        views = []
        for k in range(len(chosen)):
            camera = jax.tree.map(lambda leaf, at=chosen[k]: leaf[at], place_cameras)
            rgba = activated(config, params['planes'][k])
            views.append(planes.render(rgba, depths[chosen[k]], camera, rays))
        found = planes.blend(views, weights, opaque=config.backdrop)
        if not config.basis:
            return found
        values = network.apply({'params': params['basis']}, rays.viewdirs)
        assert isinstance(values, Array)
        color, *coefficients = jnp.split(found.rgb, 1 + config.basis, axis=-1)
        shaded = sum((values[..., k, None] * each for k, each in enumerate(coefficients)), color)
        return dataclasses.replace(found, rgb=shaded)

    def loss(params: PyTree, chosen: Array, weights: Array, pixels: Array, view: Any) -> tuple[Array, Metrics]:
        found = draw(params, chosen, weights, cameras_lib.rays(view.camera, pixels))
        truth = view.rgb
        rgb, mask = found.rgb, None
        if config.backdrop:
            # What no image reaches says nothing about them.
            mask = jax.lax.stop_gradient((found.alpha > 0.5).astype(jnp.float32))
        else:
            rgb = compositing.on_background(rgb, found.alpha, view.background)
        error = photometric.mse(rgb, truth, mask)
        values = {'psnr': photometric.psnr(error)}
        total = error
        if config.edges:
            total = total + config.edges * _edges(rgb - truth, mask)
        if config.smooth:
            opacity = jax.nn.sigmoid(params['planes'][..., -1])
            total = total + config.smooth * (_steps(opacity, 2) + _steps(opacity, 3))
        return total, values

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        checks.shape('batch.rgb', batch.rgb, f'1 {size[1]} {size[0]} 3', 'One photograph of the size the method has')
        view = jax.tree.map(lambda leaf: leaf[0], batch)
        crop_key, choice_key = jax.random.split(key)
        chosen, weights = near(view.camera)
        if config.trained < config.blended:
            kept = jax.random.choice(choice_key, config.blended, (config.trained,), replace=False)
            chosen, weights = chosen[kept], weights[kept] / jnp.sum(weights[kept])
        pixels, view = window(crop_key, view)
        part, parts = _take((state.params, state.optimizer), chosen, shape)
        (value, values), grads = jax.value_and_grad(loss, has_aux=True)(part, chosen, weights, pixels, view)
        updates, parts = optimizer.update(grads, parts, part)
        new = optax.apply_updates(part, updates)
        params, optimizers = _put((state.params, state.optimizer), (new, parts), chosen, shape)
        return dataclasses.replace(state, step=state.step + 1, params=params, optimizer=optimizers), {
            'loss': value,
            **values,
        }

    def window(key: Key, view: Any) -> tuple[Array, Any]:
        """Pixels of a random window of a photograph, and what it shows there."""
        side = config.crop
        if not side or side >= min(size):
            return whole, view
        corner = jax.random.randint(key, (2,), 0, jnp.asarray(size) - side + 1)
        pixels = cameras_lib.pixel_centers(side, side) + corner[None, None].astype(jnp.float32)
        rgb = jax.lax.dynamic_slice(view.rgb, (corner[1], corner[0], 0), (side, side, 3))
        return pixels, dataclasses.replace(view, rgb=rgb)

    def render(state: State, camera: Camera) -> Rendering:
        params = state.weights
        chosen, weights = near(camera)
        part = {**params, 'planes': params['planes'][chosen]}
        return draw(part, chosen, weights, cameras_lib.rays(camera, whole))

    compiled = jax.jit(render)

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        found = compiled(state, jax.tree.map(jnp.asarray, example.camera))
        on_white = compositing.on_background(found.rgb, found.alpha, jnp.asarray(_WHITE))
        return evaluation.compare(jax.device_get(dataclasses.replace(found, rgb=on_white)), example, background=_WHITE)

    return Method(init, step, render, evaluate)


def activated(config: MpiConfig, parameters: Array) -> Array:
    """Planes [D H W c] of parameters: logits become colours and opacities, coefficients stay."""
    channel = jnp.arange(config.channels)[None, None, None]
    plain = (channel >= 3) & (channel < config.channels - 1)
    values = jnp.where(plain, parameters, jax.nn.sigmoid(parameters))
    if not config.backdrop:
        return values
    last = jnp.arange(config.planes)[:, None, None, None] == config.planes - 1
    return jnp.where(last & (channel == config.channels - 1), 1.0, values)


def learned(config: MpiConfig, places: Places, state: State, index: int) -> Planes:
    """One of the images, in the colours that it has along the axis of its own camera."""
    rgba = activated(config, state.weights['planes'][index])
    camera = jax.tree.map(lambda leaf: jnp.asarray(leaf[index]), places.cameras)
    if config.basis:
        network = MLP(config.basis_width, 2, out=config.basis, activation=jnp.tanh)
        values = network.apply({'params': state.weights['basis']}, camera.world_from_camera[:3, 2][None])
        assert isinstance(values, Array)
        colors = jnp.split(rgba[..., :-1], 1 + config.basis, axis=-1)
        shaded = sum((values[0, k] * each for k, each in enumerate(colors[1:])), colors[0])
        rgba = jnp.concatenate([shaded, rgba[..., -1:]], axis=-1)
    return Planes(rgba, jnp.asarray(places.depths[index]), camera)


def _edges(error: Array, mask: Array | None) -> Array:
    """Mean squared difference of neighbouring errors [H W 3]."""
    error = error if mask is None else error * mask[..., None]
    return _steps(error, 0) + _steps(error, 1)


def _steps(x: Array, axis: int) -> Array:
    """Mean squared difference of neighbours along an axis."""
    if x.shape[axis] < 2:
        return jnp.zeros(())
    return jnp.mean(jnp.square(jnp.diff(x, axis=axis)))


def _take(tree: PyTree, chosen: Array, shape: tuple[int, ...]) -> PyTree:
    """The parts of all arrays of a shape that belong to the images `chosen`."""
    return jax.tree.map(lambda leaf: leaf[chosen] if leaf.shape == shape else leaf, tree)


def _put(tree: PyTree, parts: PyTree, chosen: Array, shape: tuple[int, ...]) -> PyTree:
    """Puts such parts back."""
    return jax.tree.map(lambda leaf, new: leaf.at[chosen].set(new) if leaf.shape == shape else new, tree, parts)
