"""Heads as a category for Scene Representation Networks: people of the ICT face model, at rest, on white.

Who they are follows from a seed, as in `experiments.ict_heads`; people of different splits differ.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments import ict_heads
from neurend import checks
from neurend.data import frames, posed
from neurend.data.categories import Category
from neurend.faces import ict
from neurend.geometry import cameras as cameras_lib
from neurend.geometry import transforms

RADIUS = 3.0
"""Distance of the cameras from the middle of the head, in units of `_UNIT`."""
_UNIT = 31.0  # centimetres in one, which is what pictures show at the middle: less than the bust
_SCALE = 1.6  # of the cube that holds the bust
_MIDDLE = np.array([0.0, 2.0, 0.0], np.float32)
_LIGHT = np.array([0.3, 0.4, 0.87], np.float32)
_SPLIT = 100_000  # seeds between the first people of two splits


def cameras(seed: int | tuple[int, ...], count: int, *, size: int = 64) -> cameras_lib.Camera:
    """Pinhole cameras `[count]` at random before the face: from profile to profile, from a little below to well above.

    Args:
        seed: which places.
        count: how many.
        size: width and height in pixels.
    """
    random = np.random.default_rng(seed)
    around, above = random.uniform(-1.4, 1.4, count), random.uniform(-0.25, 0.6, count)
    eyes = np.stack([np.sin(around) * np.cos(above), np.sin(above), np.cos(around) * np.cos(above)], axis=-1)
    poses = transforms.look_at(jnp.asarray(RADIUS * eyes, jnp.float32), jnp.zeros(3), jnp.asarray([0.0, 1.0, 0.0]))
    return posed.host_cameras(
        world_from_camera=np.asarray(poses),
        focal=np.full((count, 2), RADIUS * size, np.float32),
        center=np.full((count, 2), size / 2, np.float32),
        distortion=np.zeros((count, 6), np.float32),
        size=np.full((count, 2), size, np.int32),
        model='pinhole',
    )


def category(path: str | Path, count: int, *, views: int = 15, size: int = 64, split: str = 'train') -> Category:
    """Heads seen by cameras of their own.

    Args:
        path: `ict_face.npz`.
        count: people, at least 1.
        views: of each.
        size: width and height of the pictures.
        split: 'train', 'val' or 'test'.

    Raises:
        InputError: a count, or the size, below 1; the face model cannot be read.
    """
    checks.one_of('split', split, frames.SPLITS)
    if min(count, views, size) < 1 or count > _SPLIT:
        raise checks.InputError(
            f'count, views, size: got {count}, {views}, {size}, expected 1 at least and {_SPLIT} people at most'
        )
    model = ict.read(path)
    faces, light, white = jnp.asarray(model.faces), jnp.asarray(_LIGHT), jnp.ones(3)
    draw = jax.jit(ict_heads.draw, static_argnames='size')
    first = frames.SPLITS.index(split) * _SPLIT
    seen, images = [], []
    for k in range(first, first + count):
        vertices, colors = ict_heads.somebody(model, k)
        world = jnp.asarray((vertices - _MIDDLE) / _UNIT)
        seen.append(cameras((k, 5), views, size=size))
        images.append(
            [draw(seen[-1][v], world, faces, jnp.asarray(colors), light, white, size=size) for v in range(views)]
        )
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *seen)
    names = tuple(f'{split}_{k - first:05d}' for k in range(first, first + count))
    return Category(names, np.array(jax.device_get(images)), stacked, _SCALE)
