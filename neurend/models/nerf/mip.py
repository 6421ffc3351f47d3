"""mip-NeRF as published (Barron et al., "Mip-NeRF: A Multiscale Representation for Anti-Aliasing", 2021)."""

import dataclasses

import jax
import jax.numpy as jnp

from neurend import draws
from neurend.geometry import ndc, sampling
from neurend.geometry.cameras import Camera
from neurend.geometry.cones import frustum_gaussians
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


@dataclasses.dataclass(frozen=True)
class MipConfig:
    """The published numbers; training reads 4096 rays a step with Adam from 5e-4 to 5e-6 in 1M steps.

    Attributes:
        depth: hidden layers of the trunk.
        width: units of the trunk.
        view_width: units of the layer that sees the view direction.
        position_degrees: frequencies of the integrated code, from 2^0 (16 gives 96 numbers).
        direction_degrees: frequencies of the view direction's code (4 gives 27 numbers).
        samples: intervals along a ray, at each of the two levels.
        spacing: of the first level's edges: linear in t, or in 1/t ('disparity').
        coarse_weight: of the first level's loss.
        density_bias: added to raw densities before softplus.
        density_noise: standard deviation of the noise on raw densities in training; 1 for forward-facing photographs.
        rgb_padding: colours range from minus this to 1 plus this.
        resample_padding: added to the blurred weights before resampling.
        appearance_size: numbers in the latent code of each training image; 0 for none, as published.
    """

    depth: int = 8
    width: int = 256
    view_width: int = 128
    position_degrees: int = 16
    direction_degrees: int = 4
    samples: int = 128
    spacing: sampling.Spacing = 'linear'
    coarse_weight: float = 0.1
    density_bias: float = -1.0
    density_noise: float = 0.0
    rgb_padding: float = 0.001
    resample_padding: float = 0.01
    appearance_size: int = 0


def mip(
    config: MipConfig,
    *,
    near: float,
    far: float,
    stepper: Stepper,
    background: Background = 'white',
    num_images: int = 1,
    memory_mb: int = 1000,
    reference: Camera | None = None,
) -> Method:
    """mip-NeRF: one network that sees Gaussians in place of points, at two levels of sampling.

    Args:
        config: see `MipConfig`.
        near: first t sampled; ignored with a reference camera.
        far: last t sampled; ignored with a reference camera.
        stepper: how the loss is minimised.
        background: what lies behind the scene.
        num_images: number of training images, for appearance codes.
        memory_mb: bound on the growth of memory when evaluating a full image.
        reference: for forward-facing captures: rays are warped to the normalised device coordinates of this camera,
            where cones become cylinders, and rendered depths are in the warped t. View directions stay unit vectors,
            where the authors' code leaves them unnormalised.

    Returns:
        A Method like `classic.classic`'s; 'coarse' is the first level.
    """
    network = fields.RadianceMLP(depth=config.depth, width=config.width, view_width=config.view_width)
    bounds = (near, far) if reference is None else (0.0, 1.0)
    backdrop = None if background == 'none' else jnp.asarray(color(background))

    @draws.quickly
    def init(key: Key) -> State:
        keys = jax.random.split(key)
        view_size = 3 + 6 * config.direction_degrees + config.appearance_size
        position = jnp.zeros((1, 6 * config.position_degrees))
        params = {'network': network.init(keys[0], position, jnp.zeros((1, view_size)))['params']}
        if config.appearance_size:
            params['appearance'] = appearance.init(keys[1], num_images, config.appearance_size)
        return training_state.create(params, stepper)

    def integrate(
        key: Key | None, params: PyTree, rays: Rays, view_code: Array, edges: Array, behind_rays: Array | None
    ) -> Rendering:
        means, variances = frustum_gaussians(rays, edges, cylinder=reference is not None)
        position_code = encodings.integrated(means, variances, degrees=config.position_degrees)
        view_code = jnp.broadcast_to(view_code[..., None, :], (*means.shape[:-1], view_code.shape[-1]))
        density, rgb = fields.apply(network, params['network'], position_code, view_code)
        if key is not None and config.density_noise > 0:
            density = density + config.density_noise * jax.random.normal(key, density.shape, density.dtype)
        density = jax.nn.softplus(density + config.density_bias)
        rgb = jax.nn.sigmoid(rgb) * (1 + 2 * config.rgb_padding) - config.rgb_padding
        return volume.composite(density, rgb, edges, rays.directions, background=behind_rays)

    def render_rays(key: Key | None, params: PyTree, rays: Rays, behind_rays: Array | None) -> Rendering:
        keys = [None] * 4 if key is None else list(jax.random.split(key, 4))
        view_code = encodings.fourier(rays.viewdirs, degrees=config.direction_degrees)
        if config.appearance_size:
            codes = appearance.lookup(params['appearance'], rays.index)
            view_code = jnp.concatenate([view_code, codes], axis=-1)
        if reference is not None:
            rays = ndc.warp(rays, reference)
        near_rays, far_rays = (jnp.full(rays.shape, bound, rays.origins.dtype) for bound in bounds)
        edges = sampling.stratified(keys[0], near_rays, far_rays, config.samples + 1, spacing=config.spacing)
        coarse = integrate(keys[1], params, rays, view_code, edges, behind_rays)
        assert coarse.weights is not None
        edges = sampling.resample_edges(keys[2], edges, coarse.weights, config.samples, padding=config.resample_padding)
        fine = integrate(keys[3], params, rays, view_code, edges, behind_rays)
        return dataclasses.replace(fine, extras={'coarse': coarse})

    def loss_fn(key: Key, params: PyTree, aux: PyTree, batch: Batch, step: Array) -> tuple[Array, Metrics]:
        del aux, step
        fine = render_rays(key, params, batch.rays, behind(batch, background))
        loss_coarse = photometric.mse(fine.extras['coarse'].rgb, batch.rgb, batch.mask)
        loss_fine = photometric.mse(fine.rgb, batch.rgb, batch.mask)
        loss = config.coarse_weight * loss_coarse + loss_fine
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
