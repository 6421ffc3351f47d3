"""Soft rasterization, triangle by triangle and pixel by pixel, in float64."""

import numpy as np


def signed_squares(vertices, faces, width, height):
    """Squared distances [F H W] in pixels from triangles' boundaries, negative outside."""
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    found = []
    for places in (vertices[:, :2] / vertices[:, 3:])[faces]:
        squares = []
        for k in range(3):
            a, b = places[k], places[(k + 1) % 3]
            length = np.sum((b - a) ** 2)
            share = np.clip((pixels - a) @ (b - a) / length, 0, 1) if length > 0 else np.zeros((height, width))
            squares.append(np.sum((pixels - a - share[..., None] * (b - a)) ** 2, axis=-1))
        weights = barycentrics(places, pixels)
        inside = np.zeros((height, width), bool) if weights is None else (weights > 0).all(-1)
        found.append(np.where(inside, 1, -1) * np.min(squares, axis=0))
    return np.array(found)


def barycentrics(places, pixels):
    """Weights [H W 3] of corners [3 2] at pixels [H W 2]; None where there is no area."""
    matrix = np.concatenate([places.T, np.ones((1, 3))])
    if abs(np.linalg.det(matrix)) < 1e-9:
        return None
    return np.concatenate([pixels, np.ones((*pixels.shape[:-1], 1))], axis=-1) @ np.linalg.inv(matrix).T


def probabilities(vertices, faces, width, height, sigma, eps):
    """Of being covered, [F H W]."""
    x = signed_squares(vertices, faces, width, height) / sigma
    with np.errstate(over='ignore'):
        found = 1 / (1 + np.exp(-x))
    return np.where(found > eps, found, 0)


def silhouette(vertices, faces, width, height, *, sigma, eps):
    return 1 - np.prod(1 - probabilities(vertices, faces, width, height, sigma, eps), axis=0)


def blend(vertices, faces, colors, background, width, height, *, sigma, gamma, depth_range, eps):
    """Weighted mean of colours, the exponents as they stand: gamma must not be small."""
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    chances = probabilities(vertices, faces, width, height, sigma, eps)
    behind = np.exp(1e-3 / gamma)
    total, weights = behind * np.broadcast_to(background, (height, width, colors.shape[1])), behind
    for chance, face in zip(chances, faces):
        corners = vertices[face]
        shares = np.clip(barycentrics(corners[:, :2] / corners[:, 3:], pixels), 0, 1)
        shares = shares / shares.sum(-1, keepdims=True)
        near = (depth_range[1] - shares @ (corners[:, 2] / corners[:, 3])) / (depth_range[1] - depth_range[0])
        straight = shares / corners[:, 3]
        color = straight @ colors[face] / straight.sum(-1, keepdims=True)
        weight = chance * np.exp(near / gamma)
        total, weights = total + weight[..., None] * color, weights + weight
    return total / weights[..., None]
