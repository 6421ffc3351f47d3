"""NeRF as published (Mildenhall et al., "NeRF: Representing Scenes as Neural Radiance Fields", 2020)."""

import dataclasses

import jax
import jax.numpy as jnp

from neurend import checks, draws
from neurend.geometry import ndc, sampling
from neurend.geometry.cameras import Camera
from neurend.geometry.rays import Rays
from neurend.losses import photometric
from neurend.models import state as training_state
from neurend.models.method import Method, Stepper
from neurend.models.nerf import appearance, fields
from neurend.models.nerf.background import Background, behind, color
from neurend.models.nerf.batch import Batch
from neurend.models.nerf.evaluation import evaluator
from neurend.models.state import State
from neurend.nn import encodings
from neurend.render import volume
from neurend.render.rendering import Rendering
from neurend.typing import Array, Key, Metrics, PyTree

# What lies at the last sample counts as if it went on for ever.
_LAST_INTERVAL = 1e10


@dataclasses.dataclass(frozen=True)
class ClassicConfig:
    """The published numbers; training reads 1024 rays a step with Adam from 5e-4, times 0.1 every 500k steps.

    Attributes:
        depth: hidden layers of the trunk.
        width: units of the trunk.
        view_width: units of the layer that sees the view direction.
        position_degrees: frequencies of the position's code (10 gives 63 numbers).
        direction_degrees: frequencies of the view direction's code (4 gives 27 numbers).
        coarse_samples: stratified samples of the coarse network.
        fine_samples: samples drawn where the coarse network found weight; the fine network sees both.
        spacing: of the coarse samples: linear in t, or in 1/t ('disparity').
        density_noise: standard deviation of the noise on raw densities in training; 1 for forward-facing photographs.
        appearance_size: numbers in the latent code of each training image; 0 for none, as published.
    """

    depth: int = 8
    width: int = 256
    view_width: int = 128
    position_degrees: int = 10
    direction_degrees: int = 4
    coarse_samples: int = 64
    fine_samples: int = 128
    spacing: sampling.Spacing = 'linear'
    density_noise: float = 0.0
    appearance_size: int = 0


def classic(
    config: ClassicConfig,
    *,
    near: float,
    far: float,
    stepper: Stepper,
    background: Background = 'white',
    num_images: int = 1,
    memory_mb: int = 1000,
    reference: Camera | None = None,
) -> Method:
    """NeRF: a coarse and a fine network, both trained on the squared error of the pixels they render.

    Args:
        config: see `ClassicConfig`.
        near: first t sampled; ignored with a reference camera.
        far: last t sampled; ignored with a reference camera.
        stepper: how the loss is minimised.
        background: what lies behind the scene.
        num_images: number of training images, for appearance codes.
        memory_mb: bound on the growth of memory when evaluating a full image.
        reference: for forward-facing captures: rays are warped to the normalised device coordinates of this camera and
            sampled to infinity, and rendered depths are in the warped t (0 near, 1 at infinity).

    Returns:
        A Method whose batches are `models.nerf.batch.Batch` and whose `render` takes `Rays` with one leading dim. The
        extras of a rendering hold 'coarse', the coarse network's.
    """
    if config.coarse_samples < 3:
        raise checks.InputError(f'coarse_samples: got {config.coarse_samples}, expected at least 3')
    network = fields.RadianceMLP(depth=config.depth, width=config.width, view_width=config.view_width)
    bounds = (near, far) if reference is None else (0.0, 1.0)
    backdrop = None if background == 'none' else jnp.asarray(color(background))

    @draws.quickly
    def init(key: Key) -> State:
        keys = jax.random.split(key, 3)
        position, view = _code_sizes(config)
        codes = jnp.zeros((1, position)), jnp.zeros((1, view))
        params = {
            'coarse': network.init(keys[0], *codes)['params'],
            'fine': network.init(keys[1], *codes)['params'],
        }
        if config.appearance_size:
            params['appearance'] = appearance.init(keys[2], num_images, config.appearance_size)
        return training_state.create(params, stepper)

    def field(key: Key | None, params: PyTree, codes: Array | None) -> volume.FieldFn:
        def field_fn(points: Array, directions: Array) -> tuple[Array, Array]:
            view_code = encodings.fourier(directions, degrees=config.direction_degrees)
            if codes is not None:
                per_sample = jnp.broadcast_to(codes[..., None, :], (*points.shape[:-1], codes.shape[-1]))
                view_code = jnp.concatenate([view_code, per_sample], axis=-1)
            position_code = encodings.fourier(points, degrees=config.position_degrees)
            density, rgb = fields.apply(network, params, position_code, view_code)
            if key is not None and config.density_noise > 0:
                density = density + config.density_noise * jax.random.normal(key, density.shape, density.dtype)
            return jax.nn.relu(density), jax.nn.sigmoid(rgb)

        return field_fn

    def render_rays(key: Key | None, params: PyTree, rays: Rays, behind_rays: Array | None) -> Rendering:
        keys = [None] * 4 if key is None else list(jax.random.split(key, 4))
        codes = appearance.lookup(params['appearance'], rays.index) if config.appearance_size else None
        if reference is not None:
            rays = ndc.warp(rays, reference)
        near_rays, far_rays = (jnp.full(rays.shape, bound, rays.origins.dtype) for bound in bounds)

        def integrate(field_fn: volume.FieldFn, t: Array) -> Rendering:
            edges = jnp.concatenate([t, far_rays[..., None]], axis=-1)
            return volume.integrate(field_fn, rays, edges, samples=t, background=behind_rays, last=_LAST_INTERVAL)

        t = sampling.stratified(keys[0], near_rays, far_rays, config.coarse_samples, spacing=config.spacing)
        coarse = integrate(field(keys[1], params['coarse'], codes), t)
        assert coarse.weights is not None
        t = sampling.hierarchical(keys[2], t, coarse.weights, config.fine_samples)
        fine = integrate(field(keys[3], params['fine'], codes), t)
        return dataclasses.replace(fine, extras={'coarse': coarse})

    def loss_fn(key: Key, params: PyTree, aux: PyTree, batch: Batch, step: Array) -> tuple[Array, Metrics]:
        del aux, step
        fine = render_rays(key, params, batch.rays, behind(batch, background))
        loss_coarse = photometric.mse(fine.extras['coarse'].rgb, batch.rgb, batch.mask)
        loss_fine = photometric.mse(fine.rgb, batch.rgb, batch.mask)
        loss = loss_coarse + loss_fine
        return loss, {
            'loss': loss,
            'loss_coarse': loss_coarse,
            'loss_fine': loss_fine,
            'psnr': photometric.psnr(loss_fine),
        }

    def render(state: State, rays: Rays) -> Rendering:
        behind_rays = None if backdrop is None else jnp.broadcast_to(backdrop, rays.origins.shape)
        return render_rays(None, state.weights, rays, behind_rays)

    return Method(
        init=init,
        step=stepper.step(loss_fn),
        render=render,
        evaluate=evaluator(render, background=color(background), memory_mb=memory_mb),
    )


def _code_sizes(config: ClassicConfig) -> tuple[int, int]:
    """Numbers in the position's and in the view's code."""
    return 3 + 6 * config.position_degrees, 3 + 6 * config.direction_degrees + config.appearance_size
