"""As-rigid-as-possible deformation with dense matrices, cell by cell, in float64 (Sorkine and Alexa, 2007)."""

import numpy as np


def weights(vertices, faces):
    """Edge weights [V V]: half the sum of the cotangents of the angles opposite."""
    w = np.zeros((len(vertices), len(vertices)))
    for face in faces:
        for k in range(3):
            apex, a, b = (vertices[face[(k + step) % 3]] for step in range(3))
            u, v = a - apex, b - apex
            angle = np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
            i, j = face[(k + 1) % 3], face[(k + 2) % 3]
            w[i, j] += 0.5 / np.tan(angle)
            w[j, i] = w[i, j]
    return w


def rotation(matrix):
    """Greatest trace of R^T M among proper rotations."""
    u, _, vt = np.linalg.svd(matrix)
    return u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt


def rotations(w, vertices, deformed):
    """Each vertex's best [V 3 3]."""
    cells = []
    for i in range(len(vertices)):
        around = np.flatnonzero(w[i])
        cells.append(
            rotation(sum(w[i, j] * np.outer(deformed[i] - deformed[j], vertices[i] - vertices[j]) for j in around))
        )
    return np.array(cells)


def energy(vertices, deformed, faces):
    """Over all ordered pairs of neighbours."""
    w = weights(vertices, faces)
    turned = rotations(w, vertices, deformed)
    return sum(
        w[i, j] * np.sum((deformed[i] - deformed[j] - turned[i] @ (vertices[i] - vertices[j])) ** 2)
        for i, j in np.argwhere(w)
    )


def deform(vertices, faces, handles, positions, iterations):
    """Starts with all cells turned as the handles are; then `iterations` times rotations and places."""
    w = weights(vertices, faces)
    laplacian = np.diag(w.sum(1)) - w
    free = np.setdiff1d(np.arange(len(vertices)), handles)
    rest = vertices[handles]
    turn = rotation((positions - positions.mean(0)).T @ (rest - rest.mean(0)))
    turned = np.tile(turn, (len(vertices), 1, 1))
    for _ in range(iterations + 1):
        right = np.zeros_like(vertices)
        for i, j in np.argwhere(w):
            right[i] += w[i, j] / 2 * (turned[i] + turned[j]) @ (vertices[i] - vertices[j])
        found = np.empty_like(vertices)
        found[handles] = positions
        held = laplacian[np.ix_(free, handles)] @ positions
        found[free] = np.linalg.solve(laplacian[np.ix_(free, free)], right[free] - held)
        turned = rotations(w, vertices, found)
    return found
