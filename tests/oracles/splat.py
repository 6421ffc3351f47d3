"""Points drawn pixel by pixel in float64: all of them sorted, none left out but those beyond the nearest few."""

import numpy as np


def splat(pixels, depth, radii, features, size, *, layers, blend, opacities=None):
    """Features multiplied by alpha [h w c], alpha and depth [h w], of points whose projections are given."""
    width, height = size
    rgb, alpha, mean = (
        np.zeros((height, width, features.shape[-1])),
        np.zeros((height, width)),
        np.zeros((height, width)),
    )
    for y in range(height):
        for x in range(width):
            squared = ((pixels - [x + 0.5, y + 0.5]) ** 2).sum(-1)
            covers = [k for k in np.argsort(depth, kind='stable') if depth[k] > 0 and squared[k] < radii[k] ** 2]
            passed, total, weights = 1.0, 0.0, []
            for k in covers[:layers]:
                weight = 1.0 if blend == 'nearest' else 1 - squared[k] / radii[k] ** 2
                weight *= 1 if opacities is None else opacities[k]
                weights.append((passed * weight, weight, k))
                passed *= 1 - weight
                total += weight
            alpha[y, x] = 1 - passed
            for composited, weight, k in weights:
                share = weight / max(total, 1e-4) * (1 - passed) if blend == 'normalized' else composited
                rgb[y, x] += share * features[k]
                mean[y, x] += share * depth[k]
            if alpha[y, x] > 0:
                mean[y, x] /= sum(w[0] for w in weights) if blend != 'normalized' else alpha[y, x]
    return rgb, alpha, mean


def nearest(pixels, depth, size, *, levels, thickness):
    """Indices and depths [h w] of the nearest point of each pixel, of each size, by asking every one."""
    indices, depths = [], []
    nearest_of = {}
    for level in range(max(levels, 3)):
        width, height = (side >> level for side in size)
        for y in range(height):
            for x in range(width):
                inside = [
                    k
                    for k in np.argsort(depth, kind='stable')
                    if depth[k] > 0 and all(pixels[k] >= 0) and tuple(pixels[k] // 2**level) == (x, y)
                ]
                nearest_of[level, x, y] = inside[0] if inside else -1
    for level in range(levels):
        width, height = (side >> level for side in size)
        index, near = np.full((height, width), -1), np.zeros((height, width), depth.dtype)
        for y in range(height):
            for x in range(width):
                k = nearest_of[level, x, y]
                first = nearest_of[2, x >> 2 - level, y >> 2 - level] if level < 2 else k
                if k >= 0 and depth[k] <= depth[first] + np.float32(thickness):
                    index[y, x], near[y, x] = k, depth[k]
        indices.append(index)
        depths.append(near)
    return indices, depths
