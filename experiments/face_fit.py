r"""Tracks a face in a video: who it is, its pose and expression in every frame, focal length, light and albedo.

    python -m experiments.face_fit --flagfile=configs/face_fit_talking_head.flags --video=talking_head/frames \
        --landmarks=landmarks.npy --face=ict_face/ict_face.npz --workdir=out/face_fit

First by landmarks, all frames at once, then by the pixels (`neurend.faces.fitting`, `fitting_pictures`). Landmarks are
68 in iBUG's order, as dlib, OpenPose or MediaPipe write them (`neurend.data.landmarks.read_track`); frames without a
face are filled in from their neighbours. Without --video the embedded face is filmed and tracked, and errors are told.

Writes to the workdir what `neurend.data.tracked_head.read` reads, so that `experiments.neural_head` and others train on
it by --data_dir=WORKDIR --face=FACE (WORKDIR/face.npz for the embedded face): `frames/`, `background.png`, the median
of the frames unless --background is given, and `tracking.npz`; beside these `fit.npz`, to go on from by --start,
`overlay.mp4` and `overlay.png`, the frames with the mesh over them, given landmarks in red and those of the fit in
green, and `report.json`.
"""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import face_fit_files, filmed_face
from neurend import app, checks
from neurend.faces import fitting, fitting_pictures, ict
from neurend.faces.fitting import Fit, Frame, Priors
from neurend.faces.fitting_pictures import PicturesConfig
from neurend.images import io, show, video


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        video: folder of frames, or a video file; empty for the embedded face.
        landmarks: folder of JSON files, one per frame, or a .npy, see `neurend.data.landmarks.read_track`; or the model
            of MediaPipe's face landmarker, a .task file, which finds them (extra `landmarks`).
        face: the face model: ict_face.npz, or a folder of ICT-FaceKit's.
        background: picture behind the face, of the size of the frames; '' for the median of the frames.
        recognizer: workdir of `experiments.recognizer`, which hears the sound and writes its letters to the tracking,
            as `experiments.avatar` needs them; '' for none.
        sound: what it hears, a sound file; '' for the sound of the video.
        start: fit.npz of an earlier run of the same video, to go on from instead of from the landmarks.
        workdir: where results go.
        frames: how many, the first ones; 0 for all. Of the embedded face, 60 then.
        size: side of the pictures of the embedded face.
        train: share of the frames, the first ones, that what learns from the tracking is to learn from.
        steps: of the fit to landmarks.
        priors: what is believed before.
        pictures: how pixels are compared; `--pictures.passes=0` leaves it at the landmarks.
        movie: whether to write overlay.mp4.
    """

    video: str = ''
    landmarks: str = ''
    face: str = ''
    background: str = ''
    recognizer: str = ''
    sound: str = ''
    start: str = ''
    workdir: str = 'out/face_fit'
    frames: int = 0
    size: int = 128
    train: float = 0.8
    steps: int = 20
    priors: Priors = dataclasses.field(default_factory=Priors)
    pictures: PicturesConfig = dataclasses.field(default_factory=PicturesConfig)
    movie: bool = True


def main(config: Config) -> dict[str, Any]:
    """Tracks, writes; returns the report."""
    given = (config.video, config.landmarks, config.face)
    if any(given) and not all(given):
        raise checks.InputError('--video, --landmarks, --face: got some of them, expected all or none')
    if not 0 < config.train <= 1 or config.frames < 0:
        raise checks.InputError(f'--train, --frames: got {config.train} and {config.frames}, expected a share, a count')
    if (config.sound and not config.recognizer) or (config.recognizer and not config.video):
        raise checks.InputError('--sound, --recognizer: expected a recogniser for the sound, and a video for both')
    truth, background, logits = None, None, None
    if config.video:
        clip = face_fit_files.read_frames(config.video, limit=config.frames)
        images, fps, model = clip.images, clip.fps, ict.read(config.face)
        if config.recognizer:
            logits = face_fit_files.hear(
                config.video, config.sound, config.recognizer, fps=fps, count=len(images), cut=bool(config.frames)
            )
        points = face_fit_files.landmarks_of(config.landmarks, images, fps)
        if len(points) < len(images) or (len(points) > len(images) and not config.frames):
            raise checks.InputError(f'{config.landmarks}: landmarks of {len(points)} frames, expected {len(images)}')
        points = points[: len(images)]
    else:
        app.say('filming the embedded face')
        images, points, background, model, truth, _ = filmed_face.film(config.frames or 60, config.size)
        fps = 25.0
    if config.background:
        background = io.read(config.background, channels=3)
        checks.shape('background', background, f'{images.shape[1]} {images.shape[2]} 3', 'It must match the frames')
    size = images.shape[2], images.shape[1]
    frame = fitting.frame_of(model, size, config.priors)
    fitting.check_landmarks(model, points)
    began = time.process_time()
    if config.start:
        fit = face_fit_files.read_start(config.start, model, frame, len(images))
    else:
        app.say(f'landmarks of {len(images)} frames ...')
        fit = fitting.fit_landmarks(model, points, size=size, priors=config.priors, steps=config.steps)
        fit = jax.block_until_ready(fit)
    report: dict[str, Any] = {'frames': len(images), 'seconds_landmarks': time.process_time() - began}
    report |= told('landmarks', model, frame, fit, points, truth)
    if config.pictures.passes:
        began = time.process_time()
        fit, *_ = fitting_pictures.fit_pictures(
            model, fit, images, points, priors=config.priors, config=config.pictures, progress=say
        )
        report['seconds_pictures'] = time.process_time() - began
        report |= told('pictures', model, frame, fit, points, truth)
    report['focal'] = float(frame.focal * jnp.exp(fit.focal))
    folder = Path(config.workdir)
    face_fit_files.write_frames(folder, config.video, images, background)
    train = max(1, round(config.train * len(images)))
    face_fit_files.write_tracking(folder, model, config.face, frame, fit, fps=fps, train=train, logits=logits)
    (folder / 'report.json').write_text(json.dumps(report, indent=1))

    def over(k: int) -> np.ndarray:
        return face_fit_files.overlay(model, frame, fit, k, images[k], points[k])

    some = np.unique(np.linspace(0, len(images) - 1, 6).round().astype(int)).tolist()
    sheet = show.contact_sheet([[images[k], over(k)] for k in some], labels=[f'frame {k}' for k in some])
    io.write(folder / 'overlay.png', sheet)
    if config.movie:
        video.write(
            folder / 'overlay.mp4', (np.concatenate([images[k], over(k)], 1) for k in range(len(images))), fps=fps
        )
    app.say(f'{folder}: tracking.npz, frames/, background.png, overlay.png')
    return report


def say(step: int, steps: int, error: float) -> None:
    """Tells how far the fit to pixels is."""
    app.say(f'pixels: step {step} of {steps}, mean difference of colours {error:.4f}')


def told(
    stage: str, model: Any, frame: Frame, fit: Fit, points: np.ndarray, truth: Fit | None
) -> dict[str, float | None]:
    """Prints and returns the errors of a stage: of landmarks, and against the truth where it is known."""
    seen = points[..., 2] > 0
    found = np.asarray(fitting.landmarks(model, frame, fit))
    apart = np.linalg.norm(found - points[..., :2], axis=-1)
    box = np.array([np.ptp(one[ok, :2], axis=0).max() for one, ok in zip(points, seen) if ok.any()])
    values = {'landmarks_px': float(np.median(apart[seen])), 'landmarks_share': float(apart[seen].mean() / box.mean())}
    if truth is not None:
        known = fitting.frame_of(model, frame.size, Priors())
        there = np.asarray(fitting.landmarks(model, known, truth))
        poses = fitting.camera_from_head(frame, fit), fitting.camera_from_head(known, truth)
        values |= {
            'true_landmarks_px': float(np.median(np.linalg.norm(found - there, axis=-1))),
            'rotation_degrees': float(np.median(fitting.pose_errors(*poses, gauge=jnp.eye(3)))),
        }
    app.say(f'{stage}: ' + ', '.join(f'{name} {value:.4f}' for name, value in values.items()))
    return {f'{name}_{stage}': value for name, value in values.items()}


if __name__ == '__main__':
    app.run(main, Config)
