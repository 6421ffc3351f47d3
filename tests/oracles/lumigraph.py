"""Unstructured lumigraph rendering point by point in float64, by its definitions."""

import numpy as np


def project(camera, k, point):
    """Pixel and depth of a point in pinhole camera k of several, or in a single one (k None)."""
    pose, focal, center = (
        np.asarray(leaf if k is None else leaf[k], np.float64)
        for leaf in (camera.world_from_camera, camera.focal, camera.center)
    )
    local = np.linalg.inv(pose) @ np.append(point, 1)
    return focal * local[:2] / local[2] + center, local[2], pose[:3, 3], np.sqrt(focal.prod())


def look(sources, k, point, tolerance, border):
    """Colour, opacity and share of a point in photograph k."""
    picture, surface = np.asarray(sources.pictures[k], np.float64), np.asarray(sources.depths[k], np.float64)
    height, width, channels = picture.shape
    (x, y), depth, _, _ = project(sources.cameras, k, point)
    nothing = np.zeros(channels - 1), 0.0, 0.0
    if depth <= 0 or not (0 < x < width and 0 < y < height):
        return nothing
    total, share = np.zeros(channels), 0.0
    for row in range(height):
        for column in range(width):
            # Edge pixels continue for the half pixel outside.
            u, v = np.clip(x - 0.5, 0, width - 1), np.clip(y - 0.5, 0, height - 1)
            weight = max(0, 1 - abs(u - column)) * max(0, 1 - abs(v - row))
            behind = depth / surface[row, column] - 1 if surface[row, column] > 0 else -1
            weight *= min(max((2 * tolerance - behind) / tolerance, 0), 1)
            share += weight
            total += weight * picture[row, column]
    fade = min(min(x, width - x, y, height - y) / border, 1)
    if share == 0:
        return nothing
    color = total[:-1] / total[-1] if total[-1] > 0 else total[:-1]
    return color, total[-1] / share, share * fade


def penalty(target, sources, k, point, angle, resolution):
    _, depth, eye, focal = project(target, None, point)
    _, far, other, its_focal = project(sources, k, point)
    a, b = eye - point, other - point
    turned = np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
    return angle * turned + resolution * max((max(far, 0) / its_focal) / (depth / focal) - 1, 0)


def render(sources, camera, depth, *, keep, angle, resolution, tolerance, border, least, kept):
    """Premultiplied colour, opacity and weights of a view."""
    depth = np.asarray(depth, np.float64)
    count, channels = len(sources.pictures), sources.pictures.shape[-1] - 1
    rgb, alpha, weights = np.zeros((*depth.shape, channels)), np.zeros(depth.shape), np.zeros((*depth.shape, count))
    pose, focal, center = (np.asarray(x, np.float64) for x in (camera.world_from_camera, camera.focal, camera.center))
    for row, column in zip(*np.nonzero(depth)):
        plane = (np.array([column + 0.5, row + 0.5]) - center) / focal
        point = (pose @ np.array([*(depth[row, column] * plane), depth[row, column], 1]))[:3]
        found = [look(sources, k, point, tolerance, border) for k in range(count)]
        merits = np.array(
            [
                found[k][2] / (penalty(camera, sources.cameras, k, point, angle, resolution) + least)
                for k in range(count)
            ]
        )
        own = merits
        if keep < count:
            own = np.maximum(merits - np.sort(merits)[::-1][keep], 0) + kept * merits
        if own.sum() == 0:
            continue
        weights[row, column] = own / own.sum()
        for weight, (color, opacity, _) in zip(weights[row, column], found):
            rgb[row, column] += weight * opacity * color
            alpha[row, column] += weight * opacity
    return rgb, alpha, weights
