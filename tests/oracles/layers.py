"""Layers within a medium along one ray, event after event in float64."""

import math

import numpy as np


def march(layers, density, features, edges, length, background):
    """Colour, alpha, mean depth, weights of intervals and of layers of one ray.

    Args:
        layers: (colour multiplied by alpha, alpha, t) each; those at one place in their order.
        density, features, edges: of the medium.
        length: of the ray's direction.
        background: colour.
    """
    events = sorted({*edges, *(t for _, _, t in layers)})
    light, color, depth = 1.0, np.zeros(len(background)), 0.0
    by_interval, by_layer = np.zeros(len(density)), np.zeros(len(layers))
    for event, following in zip(events, [*events[1:], events[-1]]):
        for k, (rgb, alpha, t) in enumerate(layers):
            if t == event:
                color, depth = color + light * np.asarray(rgb), depth + light * alpha * t
                by_layer[k] = light * alpha
                light *= 1 - alpha
        for i, sigma in enumerate(density):
            if edges[i] <= event and following <= edges[i + 1]:
                taken = light * (1 - math.exp(-sigma * (following - event) * length))
                color, depth = color + taken * np.asarray(features[i]), depth + taken * (edges[i] + edges[i + 1]) / 2
                by_interval[i] += taken
                light -= taken
    total = by_interval.sum() + by_layer.sum()
    return color + light * np.asarray(background), total, depth / total if total else 0.0, by_interval, by_layer
