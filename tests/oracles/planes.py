"""Multi-plane images drawn pixel by pixel in float64, by the homographies of planes as they are published."""

import numpy as np


def matrix(camera):
    (fx, fy), (cx, cy) = np.asarray(camera.focal, np.float64), np.asarray(camera.center, np.float64)
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def homography(source, target, depth):
    """Source pixels from target pixels, over the plane at `depth` of the source (Zhou et al., 2018)."""
    target_from_source = np.linalg.inv(np.asarray(target.world_from_camera, np.float64)) @ np.asarray(
        source.world_from_camera, np.float64
    )
    rotation, t = target_from_source[:3, :3], target_from_source[:3, 3:]
    n, a = np.array([[0, 0, 1.0]]), -depth
    inner = rotation.T + rotation.T @ t @ n @ rotation.T / (a - n @ rotation.T @ t)
    return matrix(source) @ inner @ np.linalg.inv(matrix(target))


def bilinear(picture, x, y):
    total = np.zeros(picture.shape[-1])
    for row in (int(np.floor(y - 0.5)), int(np.floor(y - 0.5)) + 1):
        for column in (int(np.floor(x - 0.5)), int(np.floor(x - 0.5)) + 1):
            if 0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]:
                weight = (1 - abs(x - 0.5 - column)) * (1 - abs(y - 0.5 - row))
                total = total + weight * picture[row, column]
    return total


def render(rgba, depths, source, target, size):
    """Premultiplied colour, alpha and expected depth, back to front; for targets that look along the source's axis."""
    rgba = np.asarray(rgba, np.float64)
    source_from_target = np.linalg.inv(np.asarray(source.world_from_camera, np.float64)) @ np.asarray(
        target.world_from_camera, np.float64
    )
    rgb = np.zeros((size[1], size[0], rgba.shape[-1] - 1))
    alpha, depth = np.zeros(rgb.shape[:2]), np.zeros(rgb.shape[:2])
    for row in range(size[1]):
        for column in range(size[0]):
            pixel = np.array([column + 0.5, row + 0.5, 1])
            ray = source_from_target[:3, :3] @ np.linalg.inv(matrix(target)) @ pixel
            for plane, at in reversed(list(zip(rgba, np.asarray(depths, np.float64)))):
                t = (at - source_from_target[2, 3]) / ray[2]
                if t <= 0:
                    continue
                x, y, w = homography(source, target, at) @ pixel
                *color, opacity = bilinear(plane, x / w, y / w)
                rgb[row, column] = opacity * np.array(color) + (1 - opacity) * rgb[row, column]
                depth[row, column] = opacity * t + (1 - opacity) * depth[row, column]
                alpha[row, column] = opacity + (1 - opacity) * alpha[row, column]
    return rgb, alpha, depth / np.where(alpha > 0, alpha, 1)
