"""Hash encoding in NumPy float64, one point and one corner at a time."""

import itertools

import numpy as np

PRIMES = (1, 2654435761, 805459861)


def encode(table, points, *, resolutions, log2_rows):
    table = np.asarray(table, np.float64)
    result = []
    for point in np.asarray(points, np.float64):
        features, offset = [], 0
        for resolution in resolutions:
            dense = (resolution + 1) ** 3 <= 2**log2_rows
            size = (resolution + 1) ** 3 if dense else 2**log2_rows
            value = np.zeros(table.shape[1])
            position = np.clip(point, 0, 1) * resolution
            cell = np.minimum(np.floor(position).astype(int), resolution - 1)
            for step in itertools.product((0, 1), repeat=3):
                corner = [int(c) + s for c, s in zip(cell, step)]
                weight = np.prod([1 - abs(p - c) for p, c in zip(position, corner)])
                if dense:
                    row = (corner[0] * (resolution + 1) + corner[1]) * (resolution + 1) + corner[2]
                else:
                    row = 0
                    for c, prime in zip(corner, PRIMES):
                        row ^= (c * prime) % 2**32
                    row %= size
                value += weight * table[offset + row]
            features.append(value)
            offset += size
        result.append(np.concatenate(features))
    return np.stack(result)
