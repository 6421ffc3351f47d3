"""Ray marching written sample by sample in float64."""

import math

import numpy as np


def march(density, colors, edges, length):
    """Weights [n], colour [c], alpha, expected and median depth of one ray, by carrying the transmittance along."""
    light = 1.0
    weights, color, alpha, depth = [], np.zeros(np.shape(colors)[-1]), 0.0, 0.0
    for i, sigma in enumerate(np.asarray(density, np.float64)):
        passed = math.exp(-sigma * (edges[i + 1] - edges[i]) * length)
        weight = light * (1 - passed)
        weights.append(weight)
        color = color + weight * np.asarray(colors[i], np.float64)
        depth += weight * 0.5 * (edges[i] + edges[i + 1])
        alpha += weight
        light *= passed
    if alpha == 0:
        return np.array(weights), color, alpha, 0.0, edges[0]
    so_far, median = 0.0, edges[-1]
    for i, weight in enumerate(weights):
        if so_far + weight >= alpha / 2:
            median = edges[i] + (edges[i + 1] - edges[i]) * (alpha / 2 - so_far) / weight
            break
        so_far += weight
    return np.array(weights), color, alpha, depth / alpha, median


def distortion(weights, edges):
    """The double sum of the distortion loss."""
    middles = 0.5 * (np.asarray(edges)[1:] + np.asarray(edges)[:-1])
    between = sum(
        weights[i] * weights[j] * abs(middles[i] - middles[j]) for i in range(len(weights)) for j in range(len(weights))
    )
    return between + sum(weights[i] ** 2 * (edges[i + 1] - edges[i]) for i in range(len(weights))) / 3


def histogram_bound(edges, proposal_weights, proposal_edges):
    """For each interval, the proposal weights that overlap it, interval against interval."""
    return np.array([
        sum(
            weight
            for weight, start, stop in zip(proposal_weights, proposal_edges[:-1], proposal_edges[1:])
            if start < edges[i + 1] and stop > edges[i]
        )
        for i in range(len(edges) - 1)
    ])
