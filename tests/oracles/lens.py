"""Projection formulas point by point in float64, from the publications and not from the library."""

import math

import numpy as np


def opencv(x: float, y: float, k: np.ndarray) -> tuple[float, float]:
    """OpenCV calib3d: radial powers r^2 to r^8, tangential p1, p2."""
    r = math.hypot(x, y)
    radial = 1 + sum(k[i] * r ** (2 * i + 2) for i in range(4))
    return (
        x * radial + 2 * k[4] * x * y + k[5] * (r**2 + 2 * x**2),
        y * radial + k[4] * (r**2 + 2 * y**2) + 2 * k[5] * x * y,
    )


def kannala_brandt(direction: np.ndarray, k: np.ndarray) -> tuple[float, float]:
    """The fisheye: the image radius is an odd polynomial of the angle from the axis."""
    x, y, z = direction
    theta = math.acos(z / math.sqrt(x * x + y * y + z * z))
    radius = theta + sum(k[i] * theta ** (2 * i + 3) for i in range(4))
    azimuth = math.atan2(y, x)
    return radius * math.cos(azimuth), radius * math.sin(azimuth)


def project(model: str, pose: np.ndarray, focal, center, k, point: np.ndarray) -> tuple[np.ndarray, float]:
    """Pixel and depth of one world point in one camera."""
    x, y, z = np.linalg.solve(pose, np.append(point, 1))[:3]
    distance = math.sqrt(x * x + y * y + z * z)
    if model == 'pinhole':
        plane, depth = (x / z, y / z), z
    elif model == 'opencv':
        plane, depth = opencv(x / z, y / z, k), z
    elif model == 'fisheye':
        plane, depth = kannala_brandt(np.array([x, y, z]), k), distance
    elif model == 'orthographic':
        plane, depth = (x, y), z
    else:
        plane, depth = (math.atan2(x, z), math.asin(y / distance)), distance
    return np.asarray(plane) * focal + center, depth
