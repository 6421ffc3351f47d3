"""Fits a face model to the landmarks of a video: one person and one lens, a pose and an expression for each frame.

All frames are one problem (`neurend.faces.fitting_arrow`): landmarks, priors on coefficients, and changes from frame
to frame, each divided by its deviation, so that the sum of squares is that of a posterior (Blanz and Vetter, 1999;
Thies et al., "Face2Face", 2016). How large a face appears, where, and how it is turned are told by any picture; how far
away it is and with which focal length it was filmed only by its perspective, together with its shape. So poses are
given by place and size in the picture, which do not change with the focal length, and the focal length has a prior.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.faces import blendshapes, fitting_arrow
from neurend.faces.blendshapes import FaceModel
from neurend.geometry import cameras, rotations, transforms
from neurend.geometry.cameras import Camera
from neurend.numerics import safe_norm
from neurend.typing import Array

CONTOUR = 17
"""The first landmarks in iBUG's order: the outline, which in pictures follows what is visible, not the skin."""
_POSE = 6  # place 2, size 1, turn 3
_HELD = 1e-5  # deviation of what is known
_STIFF = 1e-2  # of coefficients while poses are looked for
_LIMITED = 0.02  # deviation of expressions beyond their limits


@dataclasses.dataclass(frozen=True)
class Priors:
    """What is believed before a picture is seen; deviations, if nothing else is said.

    Attributes:
        focal: expected focal length, in larger sides of the picture.
        focal_deviation: of its logarithm; 0 where it is known.
        identity: of each of the coefficients.
        expressions: of each of the coefficients.
        least, most: limits of expressions, which they hardly pass.
        noise: of landmarks, in pixels.
        contour: weight of the outline's landmarks, at most 1.
        place: of the change of a face's place, and of the logarithm of its size, from frame to frame, in larger sides
            of the picture.
        turn: of the change of its rotation, in radians.
        change: of the change of expressions.
    """

    focal: float = 2.0
    focal_deviation: float = 0.5
    identity: float = 1.0
    expressions: float = 0.5
    least: float = 0.0
    most: float = 1.0
    noise: float = 1.0
    contour: float = 0.3
    place: float = 0.01
    turn: float = 0.02
    change: float = 0.1


@flax.struct.dataclass
class Fit:
    """A face in a video.

    Attributes:
        identity: [i].
        focal: [], logarithm of the focal length over the expected one.
        places: [t 3], in larger sides of the picture: the middle of the face from the centre of the picture, to the
            right and downwards, and the logarithm of its size.
        turns: [t 3] rotation vectors from a face that looks straight into the camera, in the camera's axes.
        expressions: [t e].
    """

    identity: Array
    focal: Array
    places: Array
    turns: Array
    expressions: Array


@flax.struct.dataclass
class Frame:
    """How pictures and the model belong together; what does not change in a fit.

    Attributes:
        middle: [3] of the landmarks, in the model's frame.
        radius: [] their root mean square distance from there.
        focal: [] expected focal length, in pixels.
        size: (width, height) in pixels.
    """

    middle: Array
    radius: Array
    focal: Array
    size: tuple[int, int] = flax.struct.field(pytree_node=False)


def frame_of(model: FaceModel, size: tuple[int, int], priors: Priors) -> Frame:
    """The frame of a model in pictures of a size (width, height)."""
    marks = np.asarray(blendshapes.landmark_points(model, jnp.asarray(model.template)), np.float64)
    middle = marks.mean(0)
    radius = np.sqrt(np.square(marks - middle[None]).sum(-1).mean())
    focal = priors.focal * max(size)
    middle, radius, focal = (jnp.asarray(x, jnp.float32) for x in (middle, radius, focal))
    return Frame(middle, radius, focal, size)


def camera(frame: Frame, fit: Fit) -> Camera:
    """The camera, at the origin."""
    return cameras.make(jnp.eye(4), frame.focal * jnp.exp(fit.focal), size=frame.size)


def camera_from_head(frame: Frame, fit: Fit) -> Array:
    """Poses [t 4 4] of the model's frame in the camera's, which is OpenCV's."""
    return _pose(frame, fit.focal, fit.places, fit.turns)


def project(frame: Frame, fit: Fit, points: Array) -> Array:
    """Pixels [t v 2] of points [t v 3] in the model's frame, one set for each frame."""
    return _pixels(frame, fit.focal, fit.places, fit.turns, points)


def landmarks(model: FaceModel, frame: Frame, fit: Fit) -> Array:
    """Where the landmarks of the fit are, [t 68 2] in pixels."""
    marks = landmark_model(model)
    return project(frame, fit, blendshapes.vertices(marks, fit.identity, fit.expressions))


def landmark_model(model: FaceModel) -> FaceModel:
    """The model whose only vertices are the landmarks, in their order."""
    template, identity, expressions = (
        blendshapes.landmark_points(model, jnp.asarray(x)) for x in (model.template, model.identity, model.expressions)
    )
    index, faces = np.arange(len(template), dtype=np.int32), np.zeros((0, 3), np.int32)
    return FaceModel(template, identity, expressions, faces, landmarks=index, names=model.names)


def fit_landmarks(
    model: FaceModel,
    points: np.ndarray,
    *,
    size: tuple[int, int],
    priors: Priors,
    steps: int = 20,
) -> Fit:
    """Fits the model to landmarks.

    Args:
        model: with 68 landmarks.
        points: [t 68 3] x, y in pixels, and weights in [0, 1] that divide the noise: 0 for what was not found. A frame
            without any is filled in from its neighbours.
        size: (width, height) of the pictures.
        priors: see there.
        steps: of Levenberg-Marquardt, the first half for poses alone.

    Raises:
        InputError: shapes or numbers that do not fit, or fewer than half of the frames have a face.
    """
    check_landmarks(model, points)
    if steps < 2:
        raise checks.InputError(f'steps: got {steps}, expected at least 2')
    frame = frame_of(model, size, priors)
    marks, modes = landmark_model(model), len(model.identity)
    given = jnp.asarray(points, jnp.float32)
    data = given[..., :2], given[..., 2] * trust(priors)[None]
    frames = jnp.zeros((len(given), _POSE + len(model.expressions))).at[:, :3].set(_start(given, frame))
    stiff = dataclasses.replace(priors, identity=_STIFF, expressions=_STIFF, focal_deviation=_HELD)
    found = jnp.zeros(modes + 1), frames
    for believed in (stiff, priors):
        found = _fitted(marks, data, frame, traced(believed), found, steps // 2)
    shared, frames = found
    return Fit(shared[:modes], shared[modes], frames[:, :3], frames[:, 3:_POSE], frames[:, _POSE:])


def check_landmarks(model: FaceModel, points: np.ndarray) -> None:
    """Checks that there are landmarks to fit to.

    Raises:
        InputError: see `fit_landmarks`.
    """
    count = len(model.landmarks)
    if count != 68:
        raise checks.InputError(f'face model: got {count} landmarks, expected 68 in the order of iBUG')
    sizes = checks.shape('landmarks', points, 't 68 3', 'Give x, y and confidence')
    checks.finite('landmarks', points, 'Give those that were not found confidence 0')
    if not sizes['t']:
        raise checks.InputError('landmarks: got no frames, expected at least one')
    if np.min(points[..., 2]) < 0:
        raise checks.InputError('landmarks: got a negative confidence, expected 0 to 1')
    empty = np.flatnonzero(np.asarray(points)[..., 2].sum(-1) <= 0)
    if 2 * len(empty) > sizes['t']:
        raise checks.InputError(
            f'landmarks: {len(empty)} of {sizes["t"]} frames have no face, the first of them {empty[0]}; expected a '
            'face in at least half. Track the face again, or leave these frames out'
        )


def same_model(model: FaceModel, expressions: Any, identity: Any) -> None:
    """Checks that coefficients [t e] and [i] are of this model.

    Raises:
        InputError: they are of another one.
    """
    for name, came, count in (
        ('expressions', np.shape(expressions)[-1], len(model.expressions)),
        ('identity', np.shape(identity)[-1], len(model.identity)),
    ):
        if came != count:
            raise checks.InputError(
                f'{name}: got {came} coefficients, the face model has {count}. They belong to another model: track the '
                'video again with this one, or name the model that they were tracked with'
            )


class Traced(NamedTuple):
    """`Priors` as arrays."""

    focal: Array
    focal_deviation: Array
    identity: Array
    expressions: Array
    least: Array
    most: Array
    noise: Array
    contour: Array
    place: Array
    turn: Array
    change: Array


def traced(priors: Priors) -> Traced:
    """The priors as arrays, so that other ones are no reason to compile again."""
    return Traced(**{name: jnp.float32(value) for name, value in dataclasses.asdict(priors).items()})


def trust(priors: Priors | Traced) -> Array:
    """What misses of landmarks [68], in pixels, are multiplied by to be residuals."""
    return jnp.ones(68).at[:CONTOUR].set(priors.contour) / priors.noise


def deviations(priors: Priors | Traced, expressions: int) -> Array:
    """Of the changes from frame to frame of the unknowns of a frame, [6 + e]."""
    return jnp.concatenate(
        [jnp.full(3, priors.place), jnp.full(3, priors.turn), jnp.full(expressions, priors.change)]
    ).astype(jnp.float32)


def unlikely(expressions: Array, priors: Priors | Traced) -> Array:
    """Residuals [2 e] of expressions [e]: their size, and how far they are beyond their limits."""
    past = jnp.minimum(expressions - priors.least, 0) + jnp.maximum(expressions - priors.most, 0)
    return jnp.concatenate([expressions / priors.expressions, past / _LIMITED])


def unlikely_person(identity: Array, focal: Array, priors: Priors | Traced) -> Array:
    """Residuals [i + 1] of a person's coefficients [i] and a focal length's logarithm."""
    held = focal / jnp.maximum(priors.focal_deviation, _HELD)
    return jnp.append(identity / priors.identity, held)


@jax.jit(static_argnames='steps')
def _fitted(marks: FaceModel, data: Any, frame: Frame, priors: Traced, first: tuple[Array, Array], steps: int) -> Any:
    """Shared unknowns (identity, focal length) and those of frames (place, size, turn, expressions)."""
    modes = len(marks.identity)

    def residuals(shared: Array, own: Array, data: tuple[Array, Array]) -> Array:
        (target, weight), expressions = data, own[_POSE:]
        points = blendshapes.vertices(marks, shared[:modes], expressions)
        found = _pixels(frame, shared[modes], own[:3], own[3:_POSE], points)
        return jnp.concatenate([((found - target) * weight[:, None]).ravel(), unlikely(expressions, priors)])

    problem = fitting_arrow.Problem(
        residuals,
        lambda shared: unlikely_person(shared[:modes], shared[modes], priors),
        1 / deviations(priors, len(marks.expressions)),
        data,
    )
    found = fitting_arrow.levenberg_marquardt(problem, *first, steps=steps)
    return found.shared, found.frames


def _start(points: Array, frame: Frame) -> Array:
    """Places [t 3] of faces that look straight into the camera; others have that of the nearest."""
    seen = points[..., 2]
    total = jnp.sum(seen, -1, keepdims=True)
    safe = jnp.maximum(total, 1e-6)
    middle = jnp.sum(points[..., :2] * seen[..., None], 1) / safe
    spread = jnp.sum(jnp.sum(jnp.square(points[..., :2] - middle[:, None]), -1) * seen, -1, keepdims=True) / safe
    side = float(max(frame.size))
    center = jnp.array(frame.size, jnp.float32) / 2
    places = jnp.concatenate(
        [(middle - center[None]) / side, 0.5 * jnp.log(jnp.maximum(spread, 1e-6)) - np.log(side)], -1
    )
    index = jnp.arange(len(points))
    apart = jnp.abs(index[:, None] - index[None]) + jnp.where(total[:, 0] > 0, 0, 2 * len(points))[None]
    return places[jnp.argmin(apart, axis=1)]


def _pose(frame: Frame, focal: Array, place: Array, turn: Array) -> Array:
    """camera_from_head [... 4 4]."""
    side = float(max(frame.size))
    length = frame.focal * jnp.exp(focal)
    depth = length * frame.radius / (side * jnp.exp(place[..., 2:]))
    target = jnp.concatenate([place[..., :2] * side / length * depth, depth], axis=-1)
    turned = rotations.exp(turn) * jnp.array([1.0, -1.0, -1.0], turn.dtype).reshape((1,) * turn.ndim + (3,))
    return transforms.from_rt(turned, target - transforms.rotate(turned, jnp.broadcast_to(frame.middle, target.shape)))


def _pixels(frame: Frame, focal: Array, place: Array, turn: Array, points: Array) -> Array:
    """Pixels [... v 2] of points [... v 3] of faces in poses [...]."""
    pose = _pose(frame, focal, place, turn)
    x = transforms.apply(pose[..., None, :, :], points)
    center = (jnp.array(frame.size, x.dtype) / 2).reshape((1,) * (x.ndim - 1) + (2,))
    return frame.focal * jnp.exp(focal) * x[..., :2] / x[..., 2:] + center


def pose_errors(found: Array, truth: Array, *, gauge: Array) -> Array:
    """Angles [t] in degrees between rotations of poses [t 4 4], after a constant turn of the head's own frame.

    Args:
        found, truth: world_from_head or camera_from_head.
        gauge: [3 3] rotation from the true model's frame to that of the fitted one, which no picture tells where the
            person's shape is fitted too: e.g. the one that lays the fitted person over the true one.
    """
    there = jnp.matmul(found[..., :3, :3], gauge, precision='highest')
    turn = jnp.matmul(jnp.swapaxes(truth[..., :3, :3], -1, -2), there, precision='highest')
    return jnp.rad2deg(safe_norm(rotations.log(turn)))
