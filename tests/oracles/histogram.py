"""Histograms along one ray, by plain loops in float64."""

import numpy as np


def quantile(edges: np.ndarray, weights: np.ndarray, level: float) -> float:
    """The position at which a piecewise linear cdf reaches a level."""
    target, reached = level * weights.sum(), 0.0
    for start, stop, weight in zip(edges[:-1], edges[1:], weights):
        if reached + weight >= target and weight > 0:
            return start + (target - reached) / weight * (stop - start)
        reached += weight
    return edges[-1]


def dilated_density(edges: np.ndarray, weights: np.ndarray, dilation: float, position: float) -> float:
    """The greatest density within `dilation` of a position."""
    density = weights / np.diff(edges)
    near = [d for d, a, b in zip(density, edges[:-1], edges[1:]) if a - dilation < position < b + dilation]
    return max(near, default=0.0)
