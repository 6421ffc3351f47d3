"""Which triangles a pixel may show, by homogeneous edge functions in float64."""

import numpy as np


def candidates(vertices, faces, width, height, *, near=1e-3, tolerance=0.004):
    """Coverage and depth of every triangle at every pixel.

    Returns:
        `sure` [F H W]: the pixel's centre is inside by more than the tolerance (pixels), so that it stays inside
        however corners are snapped; `possible`: it is not outside by more; depth z/w [F H W], infinite where not
        possible; and how much of that the tolerance makes up.
    """
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixel = np.stack([x, y, np.ones_like(x)])
    corners = np.asarray(vertices, np.float64)[np.asarray(faces)]
    places = corners[..., [0, 1, 3]]
    normals = np.cross(places[:, [1, 2, 0]], places[:, [2, 0, 1]])
    volume = (places[:, 0] * normals[:, 0]).sum(-1)
    # The last line bounds what is in front of the near plane: w = volume / (sum of the others).
    plane = volume[:, None] * np.array([0, 0, 1]) - near * normals.sum(1)
    lines = np.concatenate([normals, plane[:, None]], axis=1) * np.sign(volume)[:, None, None]
    length = np.linalg.norm(lines[..., :2], axis=-1)[..., None, None]
    value = np.einsum('fkc,chw->fkhw', lines, pixel)
    everywhere = np.where(value >= 0, np.inf, -np.inf)
    margin = np.where(length > 0, value / np.where(length > 0, length, 1), everywhere).min(1)
    margin[volume == 0] = -np.inf
    slopes = (corners[..., 2, None] * normals).sum(1) / np.where(volume == 0, 1, volume)[:, None]
    possible = margin >= -tolerance
    depth = np.where(possible, np.einsum('fc,chw->fhw', slopes, pixel), np.inf)
    nearest = np.maximum(corners[..., 3].min(1), near)
    slack = 2 * np.linalg.norm(slopes[:, :2], axis=-1) * tolerance + 1e-5 * np.abs(corners[..., 2]).max(1) / nearest
    return margin > tolerance, possible, depth, np.broadcast_to(slack[:, None, None], depth.shape)


def acceptable(face, vertices, faces, width, height):
    """Whether each entry [H W] of a picture of triangles may be what shows."""
    sure, possible, depth, slack = candidates(vertices, faces, width, height)
    farthest = np.where(sure, depth + slack, np.inf).min(0)
    rows, columns = np.indices(face.shape)
    chosen = np.maximum(face, 0)
    shown = possible[chosen, rows, columns] & ((depth - slack)[chosen, rows, columns] <= farthest)
    return np.where(face >= 0, shown, ~sure.any(0))
