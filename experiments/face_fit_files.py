"""Files of a tracked face: what is read, what neural textures are trained on, and pictures with the mesh over them."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import recognizer
from neurend import checks
from neurend.data import clips, face_landmarker, landmarks, pairs
from neurend.faces import blendshapes, fitting, fitting_pictures, ict
from neurend.faces.blendshapes import FaceModel
from neurend.faces.fitting import Fit, Frame
from neurend.images import io, statedict, video
from neurend.scenes import atlas
from neurend.scenes.meshes import Mesh
from neurend.speech import audio
from neurend.speech.audio import Waveform

_SHARE = 0.6  # of the mesh in overlays
_TARGET, _FOUND = (255, 60, 60), (60, 255, 60)


def read_frames(path: str, *, limit: int) -> clips.Clip:
    """Frames of a folder, or of a video file; the first `limit` of them if that is not 0.

    Raises:
        InputError: there are none.
    """
    if not Path(path).is_dir():
        return clips.read_video(path, limit=limit or None)
    clip = clips.read_frames(path)
    return clip.part(0, limit) if limit else clip


def landmarks_of(path: str, images: np.ndarray, fps: float) -> np.ndarray:
    """Landmarks `[t 68 3]` of a film's frames: read, or found by the model at the path, if that is MediaPipe's.

    Raises:
        InputError: they cannot be read or found.
    """
    if Path(path).suffix == '.task':
        return face_landmarker.track(images, path, fps=fps)
    return landmarks.read_track(path, size=(images.shape[2], images.shape[1]))


def hear(film: str, sound: str, listener: str, *, fps: float, count: int, cut: bool) -> np.ndarray:
    """Windows of logits `[count 16 29]` of what is said in a film.

    Args:
        film: the video.
        sound: file with its sound; '' for that which the video has.
        listener: workdir of the recogniser.
        fps: frames per second of the film.
        count: of its frames.
        cut: whether there may be more sound than frames.

    Raises:
        InputError: it cannot be read, a folder of frames has no sound, or it does not last as long as the film.
    """
    if not sound and Path(film).is_dir():
        raise checks.InputError(f'{film}: frames of a folder have no sound, expected a sound file by --sound')
    heard = audio.read(sound) if sound else Waveform(*video.read_sound(film))
    found = recognizer.load(listener).windows(heard, fps)
    # A track of sound may end a little before or after that of pictures.
    if len(found) < count - fps / 5 or (len(found) > count + fps / 5 and not cut):
        raise checks.InputError(
            f'{sound or film}: lasts {heard.duration:.2f} s, expected {count / fps:.2f} s, as the {count} frames do'
        )
    return found[np.minimum(np.arange(count), len(found) - 1)]


def read_start(path: str, model: FaceModel, frame: Frame, count: int) -> Fit:
    """The fit that an earlier run wrote as `fit.npz`.

    Raises:
        InputError: it cannot be read, is of another model or another number of frames.
    """
    arrays = statedict.read(checks.file(path, 'fit', 'Name the fit.npz of an earlier run'), what='fit')
    names = ('identity', 'focal', 'places', 'turns', 'expressions')
    lacking = [name for name in names if name not in arrays]
    if lacking:
        raise checks.InputError(f'fit {path}: lacks {", ".join(lacking)}, expected the fit.npz of an earlier run')
    fit = Fit(*(jnp.asarray(arrays[name], jnp.float32) for name in names))
    fitting.same_model(model, fit.expressions, fit.identity)
    if len(fit.turns) != count:
        raise checks.InputError(f'fit {path}: got {len(fit.turns)} frames, expected {count}')
    return dataclasses.replace(fit, focal=jnp.log(fit.focal / frame.focal))


def write_tracking(
    folder: Path, model: FaceModel, face: str, frame: Frame, fit: Fit, *, fps: float, train: int,
    logits: np.ndarray | None = None,
) -> None:  # fmt: skip
    """Writes `tracking.npz`, as `neurend.data.tracked_head.read` reads it, and `fit.npz` to go on from.

    With `logits` `[t 16 29]`, see `hear`, it tells what is said as well.

    The world has the camera on its z axis, looking along -z, and the face on average at the origin. A model that came
    from no file is written beside it as `face.npz`.
    """
    mesh, source = _mesh(model, face)
    poses = np.asarray(fitting.camera_from_head(frame, fit), np.float64)
    flip = np.diag([1.0, -1, -1, 1])
    camera = np.eye(4)
    camera[2, 3] = np.median(poses[:, 2, 3])
    focal, (width, height) = float(frame.focal * jnp.exp(fit.focal)), frame.size
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    arrays: dict[str, Any] = {
        'expressions': fit.expressions,
        'identity': fit.identity,
        'head_to_world': camera @ flip @ poses,
        'camera_to_world': camera,
        'intrinsics': intrinsics,
        'fps': fps,
        'mesh_uvs': mesh.uvs,
    }
    if logits is not None:
        arrays['logits'] = logits
    arrays = {name: np.asarray(value, np.float32) for name, value in arrays.items()}
    arrays |= {
        'expression_names': np.array(model.names),
        'train_frames': np.int32(train),
        'mesh_vertex_source': source,
        'mesh_faces': np.asarray(mesh.faces, np.int32),
    }
    np.savez_compressed(folder / 'tracking.npz', allow_pickle=False, **arrays)
    found = {name: np.asarray(getattr(fit, name)) for name in ('identity', 'places', 'turns', 'expressions')}
    np.savez_compressed(folder / 'fit.npz', allow_pickle=False, **found, focal=np.float32(focal))
    if not face:
        np.savez_compressed(
            folder / 'face.npz',
            vertices=model.template,
            expression_names=np.array(model.names),
            expression_deltas=model.expressions,
            identity_deltas=model.identity,
            landmarks68=model.landmarks,
        )


def _mesh(model: FaceModel, face: str) -> tuple[Mesh, np.ndarray]:
    """The mesh with a UV per vertex in one tile, and which vertex of the model each is."""
    index = np.arange(len(model.template), dtype=np.int32)
    if not face:
        return Mesh(model.template, model.faces, model.uvs, model.faces), index
    split = ict.read(face, split=True)
    source = np.zeros(len(split.template), np.int32)
    for mine, other in ((split.faces, model.faces), (split.landmarks, model.landmarks)):
        source[np.ravel(mine)] = np.ravel(other)
    return atlas.packed(Mesh(split.template, split.faces, split.uvs, split.faces)), source


def write_frames(folder: Path, path: str, images: np.ndarray, background: np.ndarray | None) -> None:
    """Writes `frames/` and `background.png`: the given one, or the median of the frames."""
    (folder / 'frames').mkdir(parents=True, exist_ok=True)
    files = pairs.pictures(path)[: len(images)] if path and Path(path).is_dir() else ()
    for k, image in enumerate(images):
        if files:
            shutil.copyfile(files[k], folder / 'frames' / f'{k:05d}{files[k].suffix}')
        else:
            io.write(folder / 'frames' / f'{k:05d}.png', image)
    if background is None:
        some = np.linspace(0, len(images) - 1, 31).round().astype(int)
        background = np.median(images[some], axis=0).astype(np.uint8)
    io.write(folder / 'background.png', background)


def overlay(model: FaceModel, frame: Frame, fit: Fit, k: int, image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A frame uint8 [h w 3] with the mesh in clay over it, given landmarks in red and those of the fit in green."""
    one = fitting_pictures.at(fit, k)
    drawn = jax.device_get(fitting_pictures.draw(model, frame, one, fitting_pictures.clay(model)))
    share = np.where(drawn.face >= 0, _SHARE, 0)[..., None]
    picture = np.clip(image / 255 * (1 - share) + share * np.clip(drawn.rgb, 0, 1), 0, 1)
    picture = np.round(255 * picture).astype(np.uint8)
    marks = blendshapes.vertices(fitting.landmark_model(model), one.identity, one.expressions)
    found = np.asarray(fitting.project(frame, one, marks))
    for places, color in ((points[points[:, 2] > 0, :2], _TARGET), (found, _FOUND)):
        for x, y in np.floor(places).astype(int):
            if 0 <= x < image.shape[1] and 0 <= y < image.shape[0]:
                picture[y, x] = color
    return picture
