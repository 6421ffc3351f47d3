"""Hash-grid NeRF with proposal sampling: the method for photographs of unbounded scenes, and for GPUs.

Small density grids propose, round by round, where along a ray there is something; a hash grid with tiny networks
(Müller et al., "Instant Neural Graphics Primitives", 2022) is then sampled a few times only. Contraction, annealed
resampling, interlevel and distortion losses are mip-NeRF 360's (Barron et al., 2022).
"""

import dataclasses

import jax
import jax.numpy as jnp

from neurend.geometry import rays as ray_geometry
from neurend.geometry import sampling
from neurend.geometry.rays import Rays
from neurend.losses import photometric, regularizers
from neurend.models import state as states
from neurend.models.method import Method, Stepper
from neurend.models.nerf import appearance, evaluation
from neurend.models.nerf import background as backgrounds
from neurend.models.nerf.batch import Batch
from neurend.models.nerf.hash_field import Bounds, DensityGrid, HashField, Shading
from neurend.models.nerf.spacing import Spacing, t_from_s
from neurend.models.state import State
from neurend.nn.hashgrid import HashGrid
from neurend.render import compositing
from neurend.render.rendering import Rendering
from neurend.typing import Array, Key, Metrics, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class HashConfig:
    """Options of the hash method; the defaults suit a CPU.

    Attributes:
        proposals: intervals in each proposal round.
        proposal_resolutions: cells a side of the finest grid of each round.
        samples: samples of the field on a ray.
        levels: levels of the hash grid.
        features: features a level.
        coarsest: cells a side of its coarsest level.
        finest: cells a side of its finest level.
        log2_rows: most rows a level.
        width: units of the networks' hidden layers.
        view_degree: of the spherical harmonics of view directions.
        shading: see `Shading`.
        spacing: of the first round's intervals between near and far, see `Spacing`.
        contract: contract space beyond the scene's radius; else nothing is there.
        opaque: the last interval stops every ray, for scenes that fill the pictures.
        appearance: length of the per-image appearance codes, 0 for none.
        anneal_steps: steps over which resampling sharpens.
        interlevel_weight: of the loss that trains the proposals.
        distortion_weight: of the distortion loss.
        opacity_weight: of the squared error of opacity, where the truth's alpha is known.
    """

    proposals: tuple[int, ...] = (32, 24)
    proposal_resolutions: tuple[int, ...] = (48, 96)
    samples: int = 12
    levels: int = 4
    features: int = 4
    coarsest: int = 16
    finest: int = 256
    log2_rows: int = 17
    width: int = 64
    view_degree: int = 3
    shading: Shading = 'sample'
    spacing: Spacing = 'disparity'
    contract: bool = True
    opaque: bool = False
    appearance: int = 0
    anneal_steps: int = 1000
    interlevel_weight: float = 1.0
    distortion_weight: float = 0.002
    opacity_weight: float = 0.0


def hash_grid(
    config: HashConfig,
    *,
    near: float,
    far: float,
    stepper: Stepper,
    background: backgrounds.Background = 'none',
    num_images: int = 1,
    memory_mb: int = 1000,
    center: tuple[float, float, float] = (0.0, 0.0, 0.0),
    radius: float = 1.0,
) -> Method:
    """Makes the method.

    Args:
        config: see `HashConfig`.
        near: smallest t of the scene's content.
        far: greatest, the horizon of an unbounded scene.
        stepper: how the loss is minimised; Adam at a learning rate of 0.01 falling to 0.001 suits it.
        background: what is behind the scene in training.
        num_images: number of training images, for appearance codes.
        memory_mb: bound on the growth of memory while evaluating.
        center: middle of the scene.
        radius: of the scene around it, see `hash_field.Bounds`; the far side of the grid is at twice the contraction.

    Returns:
        The method; its batches are `models.nerf.batch.Batch`, its inputs to render `Rays` with one leading dim.
    """
    bounds = Bounds(center=center, radius=radius, contract=config.contract)
    field = HashField(
        grid=HashGrid(
            levels=config.levels,
            features=config.features,
            coarsest=config.coarsest,
            finest=config.finest,
            log2_rows=config.log2_rows,
        ),
        width=config.width,
        view_degree=config.view_degree,
        appearance=config.appearance,
    )
    grids = [DensityGrid(finest=finest) for finest in config.proposal_resolutions]
    shown = backgrounds.color(background)

    def init_params(key: Key) -> PyTree:
        keys = jax.random.split(key, 2 + len(grids))
        params = {
            'field': field.init(keys[0]),
            'proposals': [grid.init(k) for grid, k in zip(grids, keys[2:], strict=True)],
        }
        if config.appearance:
            params['appearance'] = appearance.init(keys[1], num_images, config.appearance)
        return params

    def propose(key: Key | None, params: PyTree, rays: Rays, progress: Array | float) -> tuple[Array, list]:
        """Edges of the field's intervals in s, and the histograms of all rounds."""
        leading = rays.shape
        rounds = []
        start = key if key is None else jax.random.fold_in(key, 0)
        edges = sampling.stratified(
            start, jnp.zeros(leading), jnp.ones(leading), config.proposals[0] + 1, single_jitter=True
        )
        for i, (grid, table) in enumerate(zip(grids, params['proposals'], strict=True)):
            t = t_from_s(edges, near, far, config.spacing)
            density = grid(table, bounds, ray_geometry.at(rays, sampling.midpoints(t)))
            lengths = compositing.interval_lengths(t, rays.directions)
            weights = compositing.weights(density, lengths, opaque=config.opaque)
            rounds.append((weights, edges))
            count = config.proposals[i + 1] if i + 1 < len(grids) else config.samples
            padded = sampling.anneal(edges, weights + 1e-3, progress)
            edges = sampling.resample_intervals(
                key if key is None else jax.random.fold_in(key, i + 1), edges, padded, count
            )
        return edges, rounds

    def trace(
        key: Key | None, params: PyTree, rays: Rays, behind: Array | None, progress: Array | float
    ) -> tuple[Rendering, Array, list]:
        edges, rounds = propose(key, params, rays, progress)
        t = t_from_s(edges, near, far, config.spacing)
        middle = sampling.midpoints(t)
        density, features = field.geometry_at(params['field'], bounds, ray_geometry.at(rays, middle))
        lengths = compositing.interval_lengths(t, rays.directions)
        weights = compositing.weights(density, lengths, opaque=config.opaque)
        alpha = weights.sum(-1)
        code = appearance.lookup(params['appearance'], rays.index) if config.appearance else None
        if config.shading == 'ray':
            mean = compositing.accumulate(weights, features)
            rgb = alpha[..., None] * field.color_of(params['field'], mean, rays.viewdirs, code)
        else:
            code = None if code is None else code[..., None, :]
            colors = field.color_of(params['field'], features, rays.viewdirs[..., None, :], code)
            rgb = compositing.accumulate(weights, colors)
        if behind is not None:
            rgb = compositing.on_background(rgb, alpha, behind)
        rendering = Rendering(
            rgb=rgb,
            alpha=alpha,
            depth=compositing.expected_depth(weights, middle),
            median=compositing.median_depth(weights, t),
            weights=weights,
            edges=t,
        )
        return rendering, edges, rounds

    def loss_fn(key: Key, params: PyTree, aux: PyTree, batch: Batch, step: Array) -> tuple[Array, Metrics]:
        progress = jnp.clip(step / max(config.anneal_steps, 1), 0.0, 1.0)
        behind = backgrounds.behind(batch, background)
        rendering, edges, rounds = trace(key, params, batch.rays, behind, progress)
        squared = photometric.mse(rendering.rgb, batch.rgb, batch.mask)
        losses = {'photometric': squared}
        if config.opacity_weight:
            error = photometric.mse(rendering.alpha[..., None], batch.alpha[..., None], batch.mask)
            losses['opacity'] = config.opacity_weight * error
        losses['interlevel'] = config.interlevel_weight * sum(
            (regularizers.interlevel(rendering.weights, edges, *histogram) for histogram in rounds), jnp.zeros(())
        )
        losses['distortion'] = config.distortion_weight * regularizers.distortion(rendering.weights, edges)
        loss = sum(losses.values(), jnp.zeros(()))
        return loss, {'loss': loss, 'psnr': photometric.psnr(squared), **losses}

    def render(state: State, rays: Rays) -> Rendering:
        behind = None if background == 'none' else jnp.asarray(shown)
        return trace(None, state.weights, rays, behind, 1.0)[0]

    return Method(
        init=lambda key: states.create(init_params(key), stepper),
        step=stepper.step(loss_fn),
        render=render,
        evaluate=evaluation.evaluator(render, background=shown, memory_mb=memory_mb),
    )
