import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.faces import blendshapes, fitting
from neurend.faces.blendshapes import FaceModel
from neurend.faces.fitting import Fit, Priors
from neurend.geometry import cameras, transforms

_SIZE = (200, 160)


def _model() -> FaceModel:
    """68 points on a bulging face, with shapes that are smooth over it."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-7, 7, 68), rng.uniform(-9, 6, 68)
    points = np.stack([x, y, 9 - 0.08 * (x**2 + y**2)], -1)
    modes = rng.normal(size=(5, 3, 3)) * 0.05
    shapes = np.einsum('kij,vj->kvi', modes, points) + rng.normal(size=(5, 68, 3)) * 0.3
    index = np.arange(68, dtype=np.int32)
    return FaceModel(
        template=points.astype(np.float32),
        identity=shapes[:2].astype(np.float32),
        expressions=shapes[2:].astype(np.float32),
        faces=np.zeros((0, 3), np.int32),
        landmarks=index,
        names=('a', 'b', 'c'),
    )


def _truth(frames: int = 6) -> Fit:
    time = np.linspace(0, 1, frames)
    turns = np.stack([0.15 * time, 0.5 * np.sin(3 * time), 0.1 * time], -1)
    places = np.stack([0.05 * time, 0.03 - 0.02 * time, -1.6 + 0.1 * time], -1)
    expressions = np.stack([0.5 + 0.4 * np.sin(4 * time), 0.7 * time, 0.2 + 0 * time], -1)
    arrays = (np.array([0.6, -0.4]), np.array(0.2), places, turns, expressions)
    return Fit(*(jnp.asarray(x, jnp.float32) for x in arrays))


_LOOSE = Priors(noise=0.01, contour=1.0, place=0.3, turn=0.3, change=1.0)


def test_poses_and_pixels_are_those_of_the_camera():
    model, truth = _model(), _truth()
    frame = fitting.frame_of(model, _SIZE, Priors())
    pose = fitting.camera_from_head(frame, truth)
    np.testing.assert_allclose(
        pose[:, :3, :3] @ np.swapaxes(pose[:, :3, :3], 1, 2), np.broadcast_to(np.eye(3), (6, 3, 3)), atol=1e-6
    )
    points = blendshapes.vertices(model, truth.identity, truth.expressions)
    pixels, depth = cameras.project(fitting.camera(frame, truth), transforms.apply(pose[:, None], points))
    assert (np.asarray(depth) > 0).all()
    np.testing.assert_allclose(fitting.project(frame, truth, points), pixels, atol=1e-3)
    np.testing.assert_allclose(fitting.landmarks(model, frame, truth), pixels, atol=1e-3)
    # The middle of the landmarks is where the place says, whatever the focal length.
    middle = jnp.broadcast_to(frame.middle, (6, 1, 3))
    expected = np.asarray(truth.places[:, :2]) * 200 + [[100, 80]]
    for focal in (0.0, 0.7):
        found = fitting.project(frame, truth.replace(focal=jnp.float32(focal)), middle)
        np.testing.assert_allclose(found[:, 0], expected, atol=1e-3)


def test_the_jacobian_is_that_of_differences():
    model, truth = _model(), _truth()
    frame = fitting.frame_of(model, _SIZE, Priors())

    def pixels(x):
        points = blendshapes.vertices(model, truth.identity, x[6:])
        return fitting._pixels(frame, truth.focal, x[:3], x[3:6], points).ravel()

    x = jnp.concatenate([truth.places[3], truth.turns[3], truth.expressions[3]])
    jacobian = jax.jit(jax.jacfwd(pixels))(x)
    step = 1e-2 * np.eye(len(x), dtype=np.float32)
    differences = jnp.stack([(pixels(x + d) - pixels(x - d)) / 2e-2 for d in step], -1)
    np.testing.assert_allclose(jacobian, differences, atol=2e-3 * np.abs(jacobian).max())


def test_exact_landmarks_give_the_truth():
    model, truth = _model(), _truth()
    marks = fitting.landmarks(model, fitting.frame_of(model, _SIZE, _LOOSE), truth)
    points = np.concatenate([marks, np.ones((6, 68, 1))], -1).astype(np.float32)
    points[2, :, 2] = 0  # a frame without a face
    points[2, :, :2] = 0
    found = fitting.fit_landmarks(model, points, size=_SIZE, priors=_LOOSE, steps=60)
    seen = np.array([0, 1, 3, 4, 5])
    np.testing.assert_allclose(found.identity, truth.identity, atol=0.05)
    np.testing.assert_allclose(found.focal, truth.focal, atol=0.03)
    np.testing.assert_allclose(found.expressions[seen], truth.expressions[seen], atol=0.03)
    np.testing.assert_allclose(found.turns[seen], truth.turns[seen], atol=5e-3)
    # What was not seen lies between its neighbours.
    np.testing.assert_allclose(found.turns[2], (found.turns[1] + found.turns[3]) / 2, atol=1e-3)
    np.testing.assert_allclose(found.places[2], (found.places[1] + found.places[3]) / 2, atol=1e-3)


def test_a_known_focal_length_stays():
    model, truth = _model(), _truth()
    priors = Priors(noise=0.01, focal_deviation=0.0)
    marks = fitting.landmarks(model, fitting.frame_of(model, _SIZE, priors), truth)
    points = np.concatenate([marks, np.ones((6, 68, 1))], -1).astype(np.float32)
    found = fitting.fit_landmarks(model, points, size=_SIZE, priors=priors, steps=60)
    assert abs(float(found.focal)) < 1e-3


def test_errors_of_poses_leave_out_the_gauge():
    poses = fitting.camera_from_head(fitting.frame_of(_model(), _SIZE, Priors()), _truth())
    gauge = transforms.se3_exp(jnp.array([0, 0, 0, 0.1, 0, 0]))[:3, :3]
    turned = poses.at[:, :3, :3].set(poses[:, :3, :3] @ gauge.T)
    np.testing.assert_allclose(fitting.pose_errors(turned, poses, gauge=jnp.eye(3)), np.degrees(0.1), rtol=1e-3)
    np.testing.assert_allclose(fitting.pose_errors(turned, poses, gauge=gauge), 0, atol=0.05)


def test_bad_landmarks_are_refused():
    model = _model()
    points = np.ones((4, 68, 3), np.float32)
    for bad, message in (
        (points[:, :67], '67'),
        (
            np.where(np.arange(4)[:, None, None] < 3, [1, 1, 0], points),
            '3 of 4 frames have no face, the first of them 0',
        ),
        (points * np.nan, 'finite'),
        (-points, 'negative'),
        (points[:0], 'no frames'),
    ):
        with pytest.raises(InputError, match=message):
            fitting.fit_landmarks(model, bad, size=_SIZE, priors=Priors())
    with pytest.raises(InputError, match='expected 68'):
        fitting.check_landmarks(model.replace(landmarks=np.arange(5)), points)


def test_coefficients_of_another_model_are_refused():
    with pytest.raises(InputError, match='got 53 coefficients, the face model has 3'):
        fitting.same_model(_model(), np.zeros((4, 53)), np.zeros(2))
    with pytest.raises(InputError, match='identity: got 40'):
        fitting.same_model(_model(), np.zeros((4, 3)), np.zeros(40))
