"""Refines a fitted face by the pictures themselves: light, albedo, shape, poses and expressions, by Adam.

The part of the face that is seen is rasterized, lit by spherical harmonics and compared with the frames (Blanz and
Vetter, 1999; Thies et al., "Face2Face", 2016). Its albedo is free, one colour for every vertex, since all frames tell
of it: what does not fit from frame to frame is a matter of shape, pose and expression. Random frames make a batch; a
frame's unknowns have moments of Adam of their own, so that they rest while others are looked at.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.spatial import KDTree

from neurend import checks
from neurend.faces import blendshapes, fitting
from neurend.faces.blendshapes import FaceModel
from neurend.faces.fitting import Fit, Frame, Priors
from neurend.geometry import clip, transforms, triangles
from neurend.images import color, resample
from neurend.nn.encodings import spherical_harmonics
from neurend.numerics import normalize
from neurend.render import rasterize, texture
from neurend.render.shade import harmonics
from neurend.typing import Array

ProgressFn = Callable[[int, int, float], None]
"""`(step, of how many, mean absolute difference of colours in [0, 1])`."""
_SLOW = 20  # steps until the rate is reached: the first ones of Adam are as large as any
_STEEP = 0.06  # radii of the landmarks, from a pixel's neighbours to those across, that are no slope
_LOOKED = 24  # frames in which a region is looked for
# Steps of Adam at a rate of 1: what moves pixels by some tenths, coefficients by hundredths.
_UNITS = {'places': 1e-3, 'turns': 4e-3, 'expressions': 2e-2}
_ADAM = optax.scale_by_adam(b1=0.8, b2=0.98)
_SHARED = {'identity': 2e-2, 'focal': 5e-3, 'albedo': 3e-2, 'light': 2e-2}


@dataclasses.dataclass(frozen=True)
class PicturesConfig:
    """How pictures are compared.

    Attributes:
        side: larger side that pictures are reduced to, in pixels.
        passes: how often every frame is looked at.
        batch: frames in a step.
        least: steps for short videos.
        noise: deviation of colours, of which 1 is the whole range; larger differences count by their size alone.
        weight: of a pixel, as against a residual of its own: neighbours are alike.
        rate: of Adam, 1 as a rule.
        final: what is left of it at the end.
        reach: how far from the nearest landmark the face is compared, in radii of the landmarks.
        seed: of the order of frames.
    """

    side: int = 128
    passes: int = 20
    batch: int = 8
    least: int = 200
    noise: float = 0.02
    weight: float = 0.5
    rate: float = 1.0
    final: float = 0.05
    reach: float = 0.65
    seed: int = 0


@flax.struct.dataclass
class Look:
    """How a face looks.

    Attributes:
        albedo: [v 3] of the region's vertices, linear, its logarithm.
        light: [9 3] in the axes of the camera.
    """

    albedo: Array
    light: Array


class _Data(NamedTuple):
    """Of a batch: pictures [b h w 3] in [0, 1], landmarks [b 68 3], frames before and after [b ...], if any [b]."""

    images: Array
    points: Array
    before: dict[str, Array]
    after: dict[str, Array]
    has_before: Array
    has_after: Array


class _Problem(NamedTuple):
    """The region, the landmarks alone, the pictures' frame, priors, weights [68] of landmarks, and other numbers."""

    part: FaceModel
    marks: FaceModel
    frame: Frame
    priors: Any
    weights: Array
    numbers: dict[str, Array]


class Drawn(NamedTuple):
    """A drawn face.

    Attributes:
        rgb: [h w 3] sRGB.
        facing: [h w] cosine between the surface and the camera; 0 where there is nothing.
        face: int32 [h w], -1 where there is nothing.
        depth: [h w] along the camera's axis; infinite where there is nothing.
    """

    rgb: Array
    facing: Array
    face: Array
    depth: Array


@jax.jit
def draw(model: FaceModel, frame: Frame, fit: Fit, look: Look) -> Drawn:
    """Draws a model or a region of one in one frame.

    Args:
        model: its whole mesh is drawn.
        frame: of the picture.
        fit: of one frame: places [3], turns [3], expressions [e].
        look: of the model's vertices.
    """
    width, height = frame.size
    points = blendshapes.vertices(model, fit.identity, fit.expressions)
    there = transforms.apply(fitting.camera_from_head(frame, fit), points)
    projected = clip.from_camera(fitting.camera(frame, fit), there)
    faces = jnp.asarray(model.faces)
    found = rasterize.rasterize(projected, faces, width=width, height=height)
    normals = triangles.vertex_normals(there, faces)
    linear = jnp.exp(look.albedo) * harmonics.irradiance(look.light, normals) / jnp.pi
    shades = color.srgb_from_linear(jnp.maximum(linear, 1e-5))
    planes = texture.interpolate(jnp.concatenate([shades, -normals[:, 2:]], axis=-1), faces, found)
    depth = jnp.where(found.face >= 0, -1 / found.depth, jnp.inf)
    return Drawn(planes[..., :3], planes[..., 3], found.face, depth)


def clay(model: FaceModel) -> Look:
    """A white look under light from above the camera, which shows shape."""
    basis = spherical_harmonics(jnp.array([0.3, -0.6, -0.75]) / 1.007, degree=2)
    light = 0.9 * basis.at[0].add(0.7)
    return Look(jnp.zeros_like(jnp.asarray(model.template)), jnp.broadcast_to(light[:, None], (9, 3)))


def region(model: FaceModel, frame: Frame, fit: Fit, *, reach: float) -> tuple[FaceModel, np.ndarray]:
    """The part of a face that some frames show, near its landmarks.

    Args:
        model: a whole one.
        frame: of the pictures.
        fit: of a video; looked at are frames at even distances, and those with the most of each expression.
        reach: how far from the nearest landmark at rest, in their root mean square distance from their middle.

    Returns:
        The part, and int [u] which of the model's vertices it has.

    Raises:
        InputError: nothing is that near, or it is out of the pictures.
    """
    template, marks = (np.asarray(x) for x in (model.template, fitting.landmark_model(model).template))
    radius = np.sqrt(np.square(marks - marks.mean(0, keepdims=True)).sum(-1).mean())
    distance = KDTree(marks).query(template)[0]
    near = (distance <= reach * radius)[np.asarray(model.faces)].all(1)
    extremes = np.argmax(np.asarray(fit.expressions), axis=0)
    evenly = np.linspace(0, len(fit.turns) - 1, _LOOKED).round().astype(int)
    seen, look = np.zeros(len(near), bool), clay(model)
    for k in np.unique(np.concatenate([extremes, evenly])):
        face = np.asarray(draw(model, frame, at(fit, k), look).face)
        seen[face[face >= 0]] = True
    faces = np.asarray(model.faces)[near & seen]
    if not len(faces):
        raise checks.InputError(
            f'reach: got {reach}, but no face of the model is that near to landmarks in the pictures'
        )
    kept = np.unique(faces)
    index = np.zeros(len(template), np.int32)
    index[kept] = np.arange(len(kept), dtype=np.int32)
    part = FaceModel(
        template=template[kept],
        identity=np.asarray(model.identity)[:, kept],
        expressions=np.asarray(model.expressions)[:, kept],
        faces=index[faces],
        names=model.names,
    )
    return part, kept


def at(fit: Fit, frame: int) -> Fit:
    """The fit of one frame of a video."""
    return dataclasses.replace(
        fit, places=fit.places[frame], turns=fit.turns[frame], expressions=fit.expressions[frame]
    )


def fit_pictures(
    model: FaceModel,
    fit: Fit,
    images: np.ndarray,
    points: np.ndarray,
    *,
    priors: Priors,
    config: PicturesConfig,
    progress: ProgressFn | None = None,
) -> tuple[Fit, FaceModel, Look]:
    """Refines a fit.

    Args:
        model: of the face.
        fit: to start from, e.g. of `fitting.fit_landmarks`.
        images: uint8 [t h w 3].
        points: [t 68 3] landmarks in their pixels, and weights.
        priors: see there; `noise` is that of landmarks.
        config: see there.
        progress: told now and then.

    Returns:
        The fit, the region that was compared, and how it looks.

    Raises:
        InputError: the frames are not as many as the fit's, or the fit is of another model.
    """
    fitting.same_model(model, fit.expressions, fit.identity)
    count = len(fit.expressions)
    checks.shape('images', images, f'{count} h w 3', 'One for each frame of the fit')
    checks.shape('landmarks', points, f'{count} 68 3', 'One set for each frame of the fit')
    height, width = images.shape[1:3]
    full = fitting.frame_of(model, (width, height), priors)
    scale = min(1.0, config.side / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    frame = dataclasses.replace(full, focal=full.focal * scale, size=size)
    small = np.stack([resample.resize(image, *size) for image in images])
    marks = np.concatenate([points[..., :2] * scale, points[..., 2:]], -1).astype(np.float32)
    part, kept = region(model, full, fit, reach=config.reach)
    tables = {name: getattr(fit, name) for name in _UNITS}
    look = first_look(model, full, fit, images)
    look = dataclasses.replace(look, albedo=look.albedo[kept])
    shared = {'identity': fit.identity, 'focal': fit.focal, 'albedo': look.albedo, 'light': look.light}
    batch = min(config.batch, count)
    steps = max(config.least, config.passes * count // batch)
    numbers = {'colors': config.noise, 'weight': config.weight, 'repeats': count / batch}
    problem = _Problem(
        jax.tree.map(jnp.asarray, part),
        fitting.landmark_model(model),
        frame,
        fitting.traced(priors),
        fitting.trust(priors) / scale,
        {name: jnp.float32(value) for name, value in numbers.items()},
    )
    # Copies, since steps write over their state.
    tables, shared = jax.tree.map(jnp.copy, (tables, shared))
    state = (tables, shared, jax.vmap(_ADAM.init)(tables), _ADAM.init(shared))
    rng, order = np.random.default_rng(config.seed), np.zeros(0, int)
    for step in range(steps):
        if len(order) < batch:
            order = np.concatenate([order, rng.permutation(count)])
        index, order = np.sort(order[:batch]), order[batch:]
        rate = config.rate * config.final ** (step / steps) * min(1, (step + 1) / _SLOW)
        state, error = _step(problem, state, index, small[index], marks[index], jnp.float32(rate))
        if progress and (step % max(1, steps // 20) == 0 or step == steps - 1):
            progress(step + 1, steps, float(error))
    tables, shared = state[:2]
    found = Fit(identity=shared['identity'], focal=shared['focal'], **tables)
    return found, part, Look(shared['albedo'], shared['light'])


def first_look(model: FaceModel, frame: Frame, fit: Fit, images: np.ndarray, *, frames: int = _LOOKED) -> Look:
    """The look that some frames have on average where the fit says that the face is.

    Args:
        model: a whole one; the look is that of its vertices.
        frame: of the images.
        fit: where the face is.
        images: uint8 [t h w 3].
        frames: how many are looked at, at even distances.
    """
    corners, count = np.asarray(model.faces), len(model.template)
    total, normal, plain = np.zeros((count, 4)), np.zeros((count, 3)), clay(model)
    for k in np.unique(np.linspace(0, len(images) - 1, frames).round().astype(int)):
        one = at(fit, int(k))
        face = np.asarray(draw(model, frame, one, plain).face)
        pixels = np.asarray(color.linear_from_srgb(jnp.asarray(images[k][face >= 0] / 255, jnp.float32)))
        shown = corners[face[face >= 0]]
        for values, column in zip((*pixels.T, np.ones(len(pixels))), total.T):
            for corner in shown.T:
                column += np.bincount(corner, values, count)
        pose = fitting.camera_from_head(frame, one)
        points = transforms.apply(pose, blendshapes.vertices(model, one.identity, one.expressions))
        normal += np.asarray(triangles.vertex_normals(points, model.faces))
    mean = total[:, :3].sum(0, keepdims=True) / max(total[:, 3].sum(), 1)
    colors = jnp.asarray((total[:, :3] + 1e-2 * mean) / (total[:, 3:] + 1e-2), jnp.float32)
    normals, seen = normalize(jnp.asarray(normal, jnp.float32)), jnp.asarray(total[:, 3], jnp.float32)
    albedo = jnp.broadcast_to(jnp.asarray(mean, jnp.float32), colors.shape)
    light = harmonics.fit(normals, colors, albedo=albedo, weights=seen, damping=1e-2)
    shade = harmonics.irradiance(light, normals) / jnp.pi
    return Look(jnp.log(jnp.maximum(colors, 1e-3) / jnp.maximum(shade, 0.1)), light)


def _trust(drawn: Drawn, jump: Array) -> Array:
    """Weights [h w] in [0, 1] of pixels: none where something hides something else.

    There a pixel shows now one surface and now another, of which colours at its centre have no gradient.
    """
    low = high = drawn.depth
    for axis in (0, 1):
        sides = [jnp.roll(x, way, axis) for x in (low, high) for way in (1, -1)]
        low, high = jnp.minimum(low, jnp.minimum(*sides[:2])), jnp.maximum(high, jnp.maximum(*sides[2:]))
    return jnp.clip((drawn.facing - 0.1) / 0.3, 0, 1) * (high - low < jump)


def _cost(
    problem: _Problem, shared: dict[str, Array], own: dict[str, Array], image: Array, target: Array
) -> tuple[Array, Array]:
    """Of one frame: the cost, and the mean absolute difference of colours."""
    frame, numbers = problem.frame, problem.numbers
    fit = Fit(shared['identity'], shared['focal'], own['places'], own['turns'], own['expressions'])
    drawn = draw(problem.part, frame, fit, Look(shared['albedo'], shared['light']))
    trust = jax.lax.stop_gradient(_trust(drawn, _STEEP * frame.radius))
    difference = drawn.rgb - image
    robust = jnp.sqrt(jnp.square(difference / numbers['colors']) + 1) - 1
    found = fitting.project(frame, fit, blendshapes.vertices(problem.marks, fit.identity, fit.expressions))
    misses = (found - target[:, :2]) * (target[:, 2] * problem.weights)[:, None]
    expression = fitting.unlikely(fit.expressions, problem.priors)
    cost = numbers['weight'] * jnp.sum(robust * trust[..., None])
    cost = cost + 0.5 * (jnp.sum(jnp.square(misses)) + jnp.sum(jnp.square(expression)))
    return cost, jnp.sum(jnp.abs(difference).mean(-1) * trust) / jnp.maximum(jnp.sum(trust), 1)


def _loss(problem: _Problem, shared: dict[str, Array], own: dict[str, Array], data: _Data) -> tuple[Array, Array]:
    """Of a batch: the sum of costs, with priors and changes from frame to frame, and the mean difference of colours."""
    costs, errors = jax.vmap(_cost, in_axes=(None, None, 0, 0, 0))(problem, shared, own, data.images, data.points)
    deviations, priors = fitting.deviations(problem.priors, own['expressions'].shape[-1]), problem.priors
    mine, before, after = (
        jnp.concatenate([x[name] for name in _UNITS], -1) / deviations[None] for x in (own, data.before, data.after)
    )
    ways = jnp.square(mine - before).sum(-1) * data.has_before + jnp.square(mine - after).sum(-1) * data.has_after
    prior = jnp.square(fitting.unlikely_person(shared['identity'], shared['focal'], priors)).sum()
    return jnp.sum(costs) + 0.5 * jnp.sum(ways) + 0.5 * prior / problem.numbers['repeats'], jnp.mean(errors)


@functools.partial(jax.jit, donate_argnames='state')
def _step(problem: _Problem, state: Any, index: Array, images: Array, points: Array, rate: Array) -> tuple[Any, Array]:
    """A step of Adam with frames `index` [b]; also the mean absolute difference of colours."""
    tables, shared, moments, shared_moments = state
    last = len(tables['turns']) - 1

    def rows(tree: Any, at: Array) -> Any:
        return jax.tree.map(lambda table: table[at], tree)

    own = rows(tables, index)
    data = _Data(
        images.astype(jnp.float32) / 255,
        points,
        rows(tables, jnp.maximum(index - 1, 0)),
        rows(tables, jnp.minimum(index + 1, last)),
        (index > 0).astype(jnp.float32),
        (index < last).astype(jnp.float32),
    )
    gradients, error = jax.grad(_loss, argnums=(1, 2), has_aux=True)(problem, shared, own, data)
    moved: Any
    moved, shared_moments = _ADAM.update(gradients[0], shared_moments)
    units = _SHARED | {'focal': _SHARED['focal'] * (problem.priors.focal_deviation > 0)}
    shared = {name: value - rate * units[name] * moved[name] for name, value in shared.items()}
    moved, own_moments = jax.vmap(_ADAM.update)(gradients[1], rows(moments, index))
    own = {name: value - rate * _UNITS[name] * moved[name] for name, value in own.items()}
    tables, moments = jax.tree.map(lambda table, mine: table.at[index].set(mine), (tables, moments), (own, own_moments))
    return (tables, shared, moments, shared_moments), error
