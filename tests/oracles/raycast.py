"""Which triangle a ray meets first, by testing all of them in float64."""

import numpy as np


def cast(origins, directions, corners):
    """Möller and Trumbore's test of rays [n 3] against triangles [F 3 3].

    Returns:
        Triangle [n], -1 for none; barycentrics [n 3], zeros for none; parameter t [n], infinite for none.
    """
    a, b, c = np.moveaxis(np.asarray(corners, np.float64), 1, 0)
    b, c = b - a, c - a
    across = np.cross(directions[:, None], c[None])
    determinant = (across * b).sum(-1)
    safe = np.where(determinant == 0, 1, determinant)
    offset = origins[:, None] - a[None]
    u = (offset * across).sum(-1) / safe
    turned = np.cross(offset, b[None])
    v = (turned * directions[:, None]).sum(-1) / safe
    t = (turned * c).sum(-1) / safe
    weights = np.stack([1 - u - v, u, v], axis=-1)
    t = np.where((weights >= 0).all(-1) & (t > 0) & (determinant != 0), t, np.inf)
    chosen = t.argmin(1)
    rows = np.arange(len(t))
    t = t[rows, chosen]
    met = np.isfinite(t)
    return np.where(met, chosen, -1), np.where(met[:, None], weights[rows, chosen], 0), t
