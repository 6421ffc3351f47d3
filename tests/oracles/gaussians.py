"""Splatting of Gaussians written one by one in float64, over all pixels and without tiles or boxes."""

import numpy as np


def splat(
    means,
    covariances,
    opacities,
    features,
    pose,
    focal,
    center,
    size,
    *,
    blur=0.3,
    antialiased=False,
    near=0.01,
    between=None,
):
    """Features [H W C] over black, opacity [H W] and summed depth [H W]; `size` is (width, height)."""
    means, covariances, opacities, features, pose, focal, center = (
        np.asarray(x, np.float64) for x in (means, covariances, opacities, features, pose, focal, center)
    )
    width, height = size
    y, x = np.mgrid[:height, :width] + 0.5
    color, passed = np.zeros((height, width, features.shape[1])), np.ones((height, width))
    depth, done = np.zeros((height, width)), np.zeros((height, width), bool)
    turn = pose[:3, :3].T
    local = (means - pose[:3, 3]) @ turn.T
    for i in np.argsort(local[:, 2], kind='stable'):
        if not (np.isfinite(local[i]).all() and local[i, 2] > near):
            continue
        z = local[i, 2]
        slope, margin = local[i, :2] / z, 0.3 * 0.5 * np.array(size) / focal
        bent = np.clip(slope, -center / focal - margin, (np.array(size) - center) / focal + margin)
        jacobian = np.array([[focal[0] / z, 0, -focal[0] * bent[0] / z], [0, focal[1] / z, -focal[1] * bent[1] / z]])
        flat = jacobian @ turn @ covariances[i] @ turn.T @ jacobian.T
        blurred = flat + blur * np.eye(2)
        opacity = opacities[i]
        if antialiased:
            opacity = opacity * np.sqrt(max(np.linalg.det(flat) / np.linalg.det(blurred), 0.005**2))
        offset = np.stack([x, y], axis=-1) - (slope * focal + center)
        power = 0.5 * np.einsum('hwi,ij,hwj->hw', offset, np.linalg.inv(blurred), offset)
        alpha = np.minimum(opacity * np.exp(-power), 0.99)
        alpha[alpha < 1 / 255] = 0
        if between is not None:
            alpha[(z < between[0]) | (z >= between[1])] = 0
        done |= passed * (1 - alpha) <= 1e-4
        weight = np.where(done, 0, alpha * passed)
        color += weight[..., None] * features[i]
        depth += weight * z
        passed = np.where(done, passed, passed * (1 - alpha))
    return color, 1 - passed, depth
