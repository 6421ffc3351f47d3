"""Where a ray meets a torus or an ellipsoid, from the roots of its polynomial."""

import numpy as np
from numpy.polynomial import Polynomial


def torus(origin, direction, center, major, minor) -> float:
    """First positive t at which a ray meets a torus around the vertical axis; inf if none."""
    o, d = np.asarray(origin) - center, np.asarray(direction)
    x, y, z = (Polynomial([a, b]) for a, b in zip(o, d))
    surface = (x**2 + y**2 + z**2 + major**2 - minor**2) ** 2 - 4 * major**2 * (x**2 + y**2)
    return _first(surface)


def ellipsoid(origin, direction, center, radii, pitch) -> float:
    """First positive t at which a ray meets an ellipsoid pitched around y; inf if none."""
    o, d = np.asarray(origin) - center, np.asarray(direction)
    x, y, z = (Polynomial([a, b]) for a, b in zip(o, d))
    along, up = np.cos(pitch) * x + np.sin(pitch) * z, np.cos(pitch) * z - np.sin(pitch) * x
    return _first((along / radii[0]) ** 2 + (y / radii[1]) ** 2 + (up / radii[2]) ** 2 - 1)


def _first(polynomial: Polynomial) -> float:
    roots = polynomial.roots()
    real = roots[np.abs(roots.imag) < 1e-6].real
    return float(min(real[real > 0], default=np.inf))
