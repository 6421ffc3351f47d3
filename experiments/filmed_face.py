"""The embedded face, filmed: frames with landmarks and the truth behind them, for tracking where there is no data."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend.faces import blendshapes, fitting, fitting_pictures, procedural
from neurend.faces.blendshapes import FaceModel
from neurend.faces.fitting import Fit, Priors
from neurend.faces.fitting_pictures import Look
from neurend.images import color
from neurend.nn.encodings import spherical_harmonics

_TO_LAMP = np.array([[-0.4, -0.6, -0.7]], np.float32)  # in the camera's axes


class Film(NamedTuple):
    """A film and its truth.

    Attributes:
        images: uint8 [t h w 3].
        points: [t 68 3] landmarks in pixels, and weights of 1.
        background: uint8 [h w 3].
        model: of the face.
        truth: what was filmed.
        look: of all of the model's vertices.
    """

    images: np.ndarray
    points: np.ndarray
    background: np.ndarray
    model: FaceModel
    truth: Fit
    look: Look


def film(frames: int = 60, size: int = 128, *, noise: float = 0.5, seed: int = 0) -> Film:
    """Films somebody who turns, talks and blinks.

    Args:
        frames: how many.
        size: width and height in pixels.
        noise: of the landmarks, in pixels.
        seed: of the person and the noise.
    """
    rng = np.random.default_rng(seed)
    model = procedural.face()
    time = np.arange(frames) / 25
    curves = {
        'jawOpen': np.maximum(np.sin(2 * math.pi * 1.6 * time) * np.sin(2 * math.pi * 0.35 * time + 1), 0),
        'mouthSmile_L': 0.6 * np.maximum(np.sin(2 * math.pi * 0.23 * time), 0),
        'mouthPucker': 0.5 * np.maximum(np.sin(2 * math.pi * 0.7 * time + 2), 0),
        'eyeBlink_L': np.exp(-np.square((time % 1.9 - 0.9) / 0.06)),
        'browInnerUp_L': 0.5 * np.maximum(np.sin(2 * math.pi * 0.31 * time), 0),
    }
    curves |= {f'{name[:-1]}R': curve for name, curve in curves.items() if name.endswith('_L')}
    expressions = np.stack([curves.get(name, 0 * time) for name in model.names], -1)
    turns = np.stack([0.1 * np.sin(2.5 * time), 0.3 * np.sin(1.3 * time), 0.05 * np.sin(2 * time)], -1)
    places = np.stack([0.03 * np.sin(1.7 * time), 0.02 * np.cos(1.1 * time), -1.35 + 0.05 * np.sin(0.9 * time)], -1)
    arrays = (0.7 * rng.normal(size=len(model.identity)), np.log(1.3), places, turns, expressions)
    truth = Fit(*(jnp.asarray(x, jnp.float32) for x in arrays))
    light = 0.75 * np.asarray(spherical_harmonics(jnp.zeros((1, 3)), degree=2))[0] * [1, *[0] * 8] * 4 * math.pi
    lamp = 0.8 * np.asarray(spherical_harmonics(jnp.asarray(_TO_LAMP), degree=2))[0]
    harmonics = jnp.asarray(np.repeat((light + lamp)[:, None], 3, 1), jnp.float32)
    look = Look(jnp.log(jnp.maximum(color.linear_from_srgb(blendshapes.colors(model)), 1e-3)), harmonics)
    frame = fitting.frame_of(model, (size, size), Priors())
    across, down = np.meshgrid(*[(np.arange(size) + 0.5) / size * 2 - 1] * 2)
    wall = np.stack([0.35 + 0.1 * across, 0.45 - 0.1 * down, 0.55 + 0.05 * np.sin(9 * across)], -1).astype(np.float32)

    images = []
    for k in range(frames):
        drawn = jax.device_get(fitting_pictures.draw(model, frame, fitting_pictures.at(truth, k), look))
        images.append(np.where(drawn.face[..., None] >= 0, np.clip(drawn.rgb, 0, 1), wall))
    images = np.stack(images)
    points = np.asarray(fitting.landmarks(model, frame, truth))
    points = np.concatenate([points + noise * rng.normal(size=points.shape), np.ones((frames, 68, 1))], -1)
    background = np.round(255 * wall).astype(np.uint8)
    return Film(np.round(255 * images).astype(np.uint8), points.astype(np.float32), background, model, truth, look)
