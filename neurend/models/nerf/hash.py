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
from neurend.scenes.hull import Hull
from neurend.typing import Array, Key, Metrics, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class HashConfig:
    """Options of the hash method; the defaults suit a CPU.

    Attributes:
        proposals: intervals in each proposal round.
        proposal_stride: every which ray trains the proposals, which need less than the field and whose scattered
            gradients cost the most.
        proposal_resolutions: cells a side of the finest grid of each round.
        samples: samples of the field on a ray.
        levels: levels of the hash grid.
        features: features a level.
        coarsest: cells a side of its coarsest level.
        finest: cells a side of its finest level.
        log2_rows: most rows a level.
        networks: decode the grid by networks, or add its levels up (see `HashField`).
        width: units of the density network's hidden layer.
        color_width: units of the colour network's two hidden layers.
        view_degree: of the spherical harmonics of view directions.
        shading: see `Shading`.
        spacing: of the first round's intervals between near and far, see `Spacing`.
        radius: of the scene around the origin: half the side of its box or, contracted, of the ball left undistorted.
        contract: contract space beyond the radius; else nothing is there.
        opaque: the last interval stops every ray, for scenes that fill the pictures.
        appearance: length of the per-image appearance codes, 0 for none.
        anneal_steps: steps over which resampling sharpens.
        coarse_to_fine_steps: steps over which the grid's levels fade in, coarsest first (BARF; Lin et al., 2021), where
            cameras are refined; 0 for all at once.
        interlevel_weight: of the loss that trains the proposals.
        distortion_weight: of the distortion loss.
        hull_cells: cells a side of the grid of a `scenes.hull`, where masks say what is background; 0 for none.
        opacity_weight: of the squared error of opacity, where the truth's alpha is known.
    """

    proposals: tuple[int, ...] = (32, 24)
    proposal_resolutions: tuple[int, ...] = (48, 96)
    proposal_stride: int = 4
    samples: int = 12
    levels: int = 4
    features: int = 4
    coarsest: int = 16
    finest: int = 256
    log2_rows: int = 17
    networks: bool = True
    width: int = 32
    color_width: int = 64
    view_degree: int = 3
    shading: Shading = 'sample'
    spacing: Spacing = 'disparity'
    radius: float = 1.0
    contract: bool = True
    opaque: bool = False
    appearance: int = 0
    anneal_steps: int = 1000
    coarse_to_fine_steps: int = 0
    interlevel_weight: float = 1.0
    distortion_weight: float = 0.002
    opacity_weight: float = 0.0
    hull_cells: int = 0


def hash_grid(
    config: HashConfig,
    *,
    near: float,
    far: float,
    stepper: Stepper,
    background: backgrounds.Background = 'none',
    num_images: int = 1,
    hull: Hull | None = None,
    memory_mb: int = 1000,
) -> Method:
    """Makes the method.

    Args:
        config: see `HashConfig`.
        near: smallest t of the scene's content.
        far: greatest, the horizon of an unbounded scene.
        stepper: how the loss is minimised; Adam at a learning rate of 0.01 falling to 0.001 suits it.
        background: what is behind the scene in training.
        num_images: number of training images, for appearance codes.
        hull: where something may be, in training and in rendering: what few rays pass is not left to haze.
        memory_mb: bound on the growth of memory while evaluating.

    Returns:
        The method; its batches are `models.nerf.batch.Batch`, its inputs to render `Rays` with one leading dim.
    """
    bounds = Bounds(radius=config.radius, contract=config.contract)
    field = HashField(
        grid=HashGrid(
            levels=config.levels,
            features=config.features,
            coarsest=config.coarsest,
            finest=config.finest,
            log2_rows=config.log2_rows,
        ),
        networks=config.networks,
        width=config.width,
        color_width=config.color_width,
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

    def within(points: Array, density: Array) -> Array:
        return density if hull is None else jnp.where(hull.contains(points), density, 0.0)

    def histogram(index: int, table: Array, edges: Array, rays: Rays) -> Array:
        """Weights of the intervals between `edges` (in s) by a round's grid."""
        t = t_from_s(edges, near, far, config.spacing)
        points = ray_geometry.at(rays, sampling.midpoints(t))
        density = within(points, grids[index](table, bounds, points))
        return compositing.weights(density, compositing.interval_lengths(t, rays.directions), opaque=config.opaque)

    def propose(key: Key | None, tables: PyTree, rays: Rays, progress: Array | float) -> list[Array]:
        """Edges in s of the intervals of every round and, last, of the field."""
        start = None if key is None else jax.random.fold_in(key, 0)
        ends = jnp.zeros(rays.shape), jnp.ones(rays.shape)
        rounds = [sampling.stratified(start, *ends, config.proposals[0] + 1, single_jitter=True)]
        for i, count in enumerate((*config.proposals[1:], config.samples)):
            weights = histogram(i, tables[i], rounds[-1], rays)
            # A little weight everywhere, so that what a proposal missed is found again.
            weights = sampling.anneal(rounds[-1], weights + 1e-3, progress)
            jitter = None if key is None else jax.random.fold_in(key, i + 1)
            rounds.append(sampling.resample_intervals(jitter, rounds[-1], weights, count))
        return rounds

    def level_weights(step: Array) -> Array | None:
        """How far each level of the grid has faded in, [levels]; the coarsest is there from the start."""
        if not config.coarse_to_fine_steps:
            return None
        reached = 1 + (config.levels - 1) * step / config.coarse_to_fine_steps
        return jnp.clip(reached - jnp.arange(config.levels), 0.0, 1.0)

    def shade(
        params: PyTree, rays: Rays, edges: Array, behind: Array | None, levels: Array | None
    ) -> tuple[Rendering, Array]:
        """Samples the field once in each interval between `edges` (in s); the weights beside the rendering."""
        t = t_from_s(edges, near, far, config.spacing)
        middle = sampling.midpoints(t)
        points = ray_geometry.at(rays, middle)
        density, features = field.geometry_at(params['field'], bounds, points, levels)
        density = within(points, density)
        weights = compositing.weights(density, compositing.interval_lengths(t, rays.directions), opaque=config.opaque)
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
        return rendering, weights

    def interlevel(tables: PyTree, rays: Rays, rounds: list[Array], weights: Array) -> Array:
        """How far the proposals are from enveloping the field's weights, on some of the rays."""
        few = slice(None, None, config.proposal_stride)
        some = jax.tree.map(lambda leaf: leaf[few], rays)
        losses = [
            regularizers.interlevel(weights[few], rounds[-1][few], histogram(i, table, edges[few], some), edges[few])
            for i, (table, edges) in enumerate(zip(tables, rounds))
        ]
        return sum(losses, jnp.zeros(()))

    def loss_fn(key: Key, params: PyTree, aux: PyTree, batch: Batch, step: Array) -> tuple[Array, Metrics]:
        progress = jnp.clip(step / max(config.anneal_steps, 1), 0.0, 1.0)
        behind = backgrounds.behind(batch, background)
        rounds = propose(key, jax.lax.stop_gradient(params['proposals']), batch.rays, progress)
        rendering, weights = shade(params, batch.rays, rounds[-1], behind, level_weights(step))
        squared = photometric.mse(rendering.rgb, batch.rgb, batch.mask)
        losses = {'photometric': squared}
        if config.opacity_weight:
            error = photometric.mse(rendering.alpha[..., None], batch.alpha[..., None], batch.mask)
            losses['opacity'] = config.opacity_weight * error
        teacher = jax.lax.stop_gradient(weights)
        losses['interlevel'] = config.interlevel_weight * interlevel(params['proposals'], batch.rays, rounds, teacher)
        losses['distortion'] = config.distortion_weight * regularizers.distortion(weights, rounds[-1])
        loss = sum(losses.values(), jnp.zeros(()))
        return loss, {'loss': loss, 'psnr': photometric.psnr(squared), **losses}

    def render(state: State, rays: Rays) -> Rendering:
        behind = None if background == 'none' else jnp.asarray(shown)
        edges = propose(None, state.weights['proposals'], rays, 1.0)[-1]
        return shade(state.weights, rays, edges, behind, level_weights(state.step))[0]

    return Method(
        init=lambda key: states.create(init_params(key), stepper),
        step=stepper.step(loss_fn),
        render=render,
        evaluate=evaluation.evaluator(render, background=shown, memory_mb=memory_mb),
    )
