"""Voxels the slow way: dense grids, one point, one ray and one sample at a time, float64."""

import numpy as np


def trilinear(values, occupied, low, edge, point):
    """Interpolates node values [X+1 Y+1 Z+1 c] at a point [3]; None where the cell is empty or outside."""
    scaled = (np.asarray(point, np.float64) - low) / edge
    cell = np.floor(scaled).astype(int)
    if (cell < 0).any() or (cell >= occupied.shape).any() or not occupied[tuple(cell)]:
        return None
    fraction = scaled - cell
    result = np.zeros(values.shape[-1])
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, fraction, 1 - fraction))
        result += weight * values[tuple(cell + corner)]
    return result


def composite(optical_depth, colors):
    """Colour and opacity of one ray from its samples, front to back, and the optical depth in front of each."""
    total, opacity, before, fronts = np.zeros(colors.shape[-1]), 0.0, 0.0, []
    for depth, color in zip(optical_depth, colors):
        fronts.append(before)
        weight = np.exp(-before) * (1 - np.exp(-depth))
        total += weight * color
        opacity += weight
        before += depth
    return total, opacity, np.array(fronts)
