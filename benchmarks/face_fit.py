"""How well a face is tracked: a head whose truth is known, and five photographs of another.

    python -m benchmarks.face_fit --data_root=../shared/data

`talking_head`: 400 frames of 256 x 256, fitted from the 68 landmarks of the true mesh, as they project and with normal
noise, and then from the pixels. Unknown are shape, expressions, poses, focal length, light and albedo. Errors are those
of landmarks in pixels, without noise; of rotations in degrees; and of what expressions move vertices of the face by, in
millimetres: `expressions` as it is, and `motion` without each vertex's mean over the film, since what somebody always
does with his face cannot be told from how he is made. Shape and rotation share a gauge: a person whose head is made a
little more upright, turned a little less, looks the same. So rotations are compared after the one constant turn that
lays the fitted person's face, without expression, over the true one (least squares over its vertices, no pose is
looked at); `raw` is without it. Baselines: the mean face, of which poses alone are fitted, and landmarks alone.

`face_landmarks`: the mean distance of landmarks over the larger side of the box around them. `--pictures` is a folder
for overlays. Seconds are of CPU time. The last line printed is JSON. `--quick` takes every eighth frame.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments import face_fit_files
from neurend.data import clips, landmarks
from neurend.faces import blendshapes, fitting, fitting_pictures, ict
from neurend.faces.fitting import Fit, Frame, Priors
from neurend.faces.fitting_pictures import PicturesConfig
from neurend.geometry import alignment, transforms
from neurend.images import io

_FACE = slice(0, 6706)  # the narrow face


def main() -> None:
    """Prints the tables, and the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--noises', default='0,0.5,1')
    parser.add_argument('--passes', type=int, default=6)
    parser.add_argument('--minutes', type=float, default=30.0)
    parser.add_argument('--pictures', default='')
    parser.add_argument('--quick', action='store_true')
    args = parser.parse_args()
    root, ends = Path(args.data_root), time.monotonic() + 60 * args.minutes
    model = ict.read(root / 'ict_face' / 'ict_face.npz')
    figures = photographs(root, model, args.pictures)
    figures |= film(root, model, args, ends)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def film(root: Path, model: blendshapes.FaceModel, args: argparse.Namespace, ends: float) -> dict[str, float]:
    """Fits the head that speaks; returns its figures."""
    step = 8 if args.quick else 1
    track = dict(np.load(root / 'talking_head' / 'tracking.npz'))
    expressions, poses = track['expressions'][::step], track['head_to_world'][::step]
    images = clips.read_frames(root / 'talking_head' / 'frames').images[::step]
    size = images.shape[2], images.shape[1]
    world_from_camera = transforms.opencv_from_opengl(jnp.asarray(track['camera_to_world']))
    pose = transforms.compose(transforms.inverse(world_from_camera), jnp.asarray(poses))
    marks = fitting.landmark_model(model)
    there = transforms.apply(pose[:, None], blendshapes.vertices(marks, track['identity'], expressions))
    truth = np.asarray(there[..., :2] / there[..., 2:]) * track['intrinsics'][0, 0] + track['intrinsics'][:2, 2]
    person = np.asarray(blendshapes.vertices(model, track['identity']))[_FACE]
    moved = np.asarray(blendshapes.mixed(model.expressions[:, _FACE], expressions))

    def errors(frame: Frame, fit: Fit) -> dict[str, float]:
        found = fitting.camera_from_head(frame, fit)
        mine = blendshapes.vertices(model, fit.identity)[_FACE]
        over = alignment.fit_similarity(mine, jnp.asarray(person))
        change = np.asarray(blendshapes.mixed(model.expressions[:, _FACE], fit.expressions)) - moved
        turns = np.asarray(fitting.pose_errors(found, pose, gauge=over.rotation.T))
        return {
            'landmarks': float(np.median(np.linalg.norm(fitting.landmarks(model, frame, fit) - truth, axis=-1))),
            'rotation': float(np.median(turns)),
            'rotation_worst': float(np.max(turns)),
            'rotation_raw': float(np.median(fitting.pose_errors(found, pose, gauge=jnp.eye(3)))),
            'expressions_mm': 10 * float(np.linalg.norm(change, axis=-1).mean()),
            'motion_mm': 10 * float(np.linalg.norm(change - change.mean(0), axis=-1).mean()),
            'focal': float(frame.focal * jnp.exp(fit.focal)) / float(track['intrinsics'][0, 0]),
        }

    still = 10 * float(np.linalg.norm(moved, axis=-1).mean())
    motion = 10 * float(np.linalg.norm(moved - moved.mean(0), axis=-1).mean())
    print(f'{len(images)} frames {size[0]} x {size[1]}; without expression {still:.3f} mm, motion {motion:.3f} mm')
    print(f'{"":26}' + ''.join(f'{name:>15}' for name in _COLUMNS) + f'{"s per frame":>15}', flush=True)
    figures = {'expressions_mm_none': still, 'motion_mm_none': motion}
    rng = np.random.default_rng(0)
    for noise in map(float, args.noises.split(',')):
        points = np.concatenate([truth + noise * rng.normal(size=truth.shape), np.ones((len(truth), 68, 1))], -1)
        points = points.astype(np.float32)
        priors = Priors(noise=max(noise, 0.3))
        stiff = dataclasses.replace(priors, identity=1e-2, expressions=1e-2, focal_deviation=1e-3, noise=3.0)
        frame = fitting.frame_of(model, size, priors)
        fits = {}
        for name, believed in (('mean face', stiff), ('landmarks', priors)):
            if not any(key.startswith('seconds') for key in figures):
                fitting.fit_landmarks(model, points, size=size, priors=believed, steps=20)  # compiles
            began = time.process_time()
            fits[name] = jax.block_until_ready(fitting.fit_landmarks(model, points, size=size, priors=believed))
            _tell(
                figures, f'{name}, noise {noise:g} px', errors(frame, fits[name]), time.process_time() - began, points
            )
        if args.passes and time.monotonic() < ends:
            began, ticks = time.process_time(), []

            def tick(step: int, steps: int, _: float, ticks: list = ticks) -> None:
                ticks.append((time.process_time(), step, steps))

            config = PicturesConfig(passes=args.passes)
            fits['pixels'], *_ = fitting_pictures.fit_pictures(
                model, fits['landmarks'], images, points, priors=priors, config=config, progress=tick
            )
            # Without compilation, which is all before the first step ends.
            seconds = (ticks[-1][0] - ticks[0][0]) / max(1, ticks[-1][1] - ticks[0][1]) * ticks[-1][2]
            _tell(figures, f'pixels, noise {noise:g} px', errors(frame, fits['pixels']), seconds, points)
            print(f'  with compilation {time.process_time() - began:.0f} s', flush=True)
        if args.pictures:
            _overlay(Path(args.pictures) / f'film_{noise:g}.png', model, frame, list(fits.values())[-1], images, points)
    return figures


_COLUMNS = ('landmarks', 'rotation', 'rotation_worst', 'rotation_raw', 'expressions_mm', 'motion_mm', 'focal')


def _tell(figures: dict[str, float], name: str, row: dict[str, float], seconds: float, points: np.ndarray) -> None:
    row['seconds'] = seconds / len(points)
    print(f'{name:26}' + ''.join(f'{value:15.3f}' for value in row.values()), flush=True)
    key = name.removesuffix(' px').replace(', noise ', '_').replace(' ', '_')
    figures |= {f'{what}_{key}': value for what, value in row.items()}


def photographs(root: Path, model: blendshapes.FaceModel, pictures: str) -> dict[str, float]:
    """Fits the five photographs; returns the error of landmarks in shares of the box, beside that of the mean face."""
    images = clips.read_frames(root / 'face_landmarks' / 'images').images
    size = images.shape[2], images.shape[1]
    points = landmarks.read_track(root / 'face_landmarks' / 'landmarks-dlib68', size=size)
    box = np.ptp(points[..., :2], axis=1).max(-1)
    figures = {}
    for name, priors in (
        ('photographs_mean_face', Priors(identity=1e-2, expressions=1e-2, focal_deviation=1e-3)),
        ('photographs', Priors()),
    ):
        frame = fitting.frame_of(model, size, priors)
        fit = fitting.fit_landmarks(model, points, size=size, priors=priors)
        apart = np.linalg.norm(fitting.landmarks(model, frame, fit) - points[..., :2], axis=-1)
        figures[name] = float((apart.mean(1) / box).mean())
        print(f'{name}: {100 * figures[name]:.2f} % of the box, {apart.mean():.2f} px', flush=True)
    if pictures:
        _overlay(Path(pictures) / 'photographs.png', model, frame, fit, images, points)
    return figures


def _overlay(path: Path, model: blendshapes.FaceModel, frame: Frame, fit: Fit, images: np.ndarray, points: np.ndarray):
    path.parent.mkdir(parents=True, exist_ok=True)
    some = np.linspace(0, len(images) - 1, 4).round().astype(int)
    rows = [face_fit_files.overlay(model, frame, fit, int(k), images[k], points[k]) for k in some]
    io.write(path, np.concatenate([np.concatenate([images[k], row], 1) for k, row in zip(some, rows)]))


if __name__ == '__main__':
    main()
