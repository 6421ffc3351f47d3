"""Landmarks of faces in frames, found by MediaPipe's face landmarker (Kartynnik et al., 2019) with the user's model."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from neurend import checks
from neurend.data import landmarks


def track(images: Iterable[np.ndarray], model: str | os.PathLike[str], *, fps: float) -> np.ndarray:
    """Finds the landmarks of a film's first face: float32 [t 68 3], as `landmarks.read_track` reads them.

    Args:
        images: uint8 [h w 3] each.
        model: MediaPipe's `face_landmarker.task`, which is not part of neurend.
        fps: frames per second, at most 1000.

    Raises:
        InputError: MediaPipe is not installed, the model is missing or none, or there are no frames.
    """
    path = checks.file(model, 'face landmarker', "Get MediaPipe's face_landmarker.task")
    try:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise checks.InputError(
            f'landmarks {path}: need MediaPipe, which cannot be imported ({error}). Install it with: pip install '
            "'neurend[landmarks]', or give landmarks in files"
        ) from error
    try:
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(path)), running_mode=vision.RunningMode.VIDEO
        )
        finder: Any = vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError, OSError) as error:
        raise checks.InputError(f'face landmarker {path}: cannot be used ({error})') from error
    found = []
    with finder:
        for k, image in enumerate(images):
            checks.shape(f'frame {k}', image, 'h w 3')
            picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
            faces = finder.detect_for_video(picture, round(1000 * k / fps)).face_landmarks
            points = np.array([[point.x, point.y] for point in faces[0]]) if faces else None
            found.append(landmarks.from_mesh(points, (image.shape[1], image.shape[0])))
    if not found:
        raise checks.InputError('images: got no frames')
    return np.stack(found)
