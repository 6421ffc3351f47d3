"""Photographs before backgrounds that no two share: for methods that know neither masks nor backgrounds."""

import dataclasses

import numpy as np

from neurend.data.posed import PosedImages, composite


def textured_wall(rng: np.random.Generator, size: int) -> np.ndarray:
    """Coloured noise [size size 3] in [0, 1], half an amplitude less for each doubling of frequency."""
    wall = np.full((size, size, 3), 0.45)
    for octave in range(1, 7):
        cells = 2**octave
        knots = rng.random((cells + 1, cells + 1, 3)) - 0.5
        where = np.linspace(0, cells, size, endpoint=False)
        low, share = where.astype(int), (where % 1)[:, None]
        rows = knots[low] * (1 - share[..., None]) + knots[low + 1] * share[..., None]
        wall += 1.1 * 0.7**octave * (rows[:, low] * (1 - share) + rows[:, low + 1] * share)
    return np.clip(wall, 0, 1)


def before_a_wall(scene: PosedImages) -> PosedImages:
    """Opaque photographs before random crops of a wall."""
    rng = np.random.default_rng(0)
    height, width = scene.images[0].shape[:2]
    wall = textured_wall(rng, 2 * max(height, width) + height // 4)
    images = []
    for image in scene.images:
        top, left = rng.integers(0, len(wall) - height), rng.integers(0, len(wall) - width)
        photo = composite(image, wall[top : top + height, left : left + width])
        images.append(np.round(255 * photo).astype(np.uint8))
    return dataclasses.replace(scene, images=tuple(images))
