"""A painted sphere in exact images, small enough to be learned in seconds."""

import jax
import jax.numpy as jnp
import numpy as np

from neurend.data import posed
from neurend.geometry import cameras as cameras_lib
from neurend.geometry import transforms
from neurend.models.nerf import fast_start

SIZE = 24
NEAR, FAR = 2.0, 4.2


def sphere(count, *, phase=0.0, size=SIZE):
    """Views of a painted sphere of radius 0.6 with exact silhouettes (alpha by 16 rays a pixel)."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False) + phase
    eyes = np.stack([np.cos(angles), np.sin(angles), 0.6 * np.sin(2 * angles)], -1)
    eyes = 3 * eyes / np.linalg.norm(eyes, axis=-1, keepdims=True)
    poses = np.asarray(jax.jit(transforms.look_at)(eyes, np.zeros(3), np.array([0, 0, 1.0])))
    cameras = cameras_lib.make(poses.astype(np.float32), 1.5 * size, size=np.full((count, 2), size))
    pixels = (np.asarray(cameras_lib.pixel_centers(size * 4, size * 4)) / 4).astype(np.float32)
    rays = jax.tree.map(np.asarray, jax.jit(cameras_lib.rays)(cameras[:, None, None], pixels))
    toward = -np.sum(rays.origins * rays.viewdirs, -1)
    inside = 0.36 - (np.sum(rays.origins**2, -1) - toward**2)
    hit = inside > 0
    points = rays.origins + (toward - np.sqrt(np.maximum(inside, 0)))[..., None] * rays.viewdirs
    rgb = np.where(hit[..., None], 0.3 + 0.3 * np.sin(9 * points), 0)
    alpha = hit.reshape(count, size, 4, size, 4).mean((2, 4))
    rgb = rgb.reshape(count, size, 4, size, 4, 3).mean((2, 4)) / np.maximum(alpha, 1e-6)[..., None]
    images = (255 * np.concatenate([rgb, alpha[..., None]], -1) + 0.5).astype(np.uint8)
    return posed.PosedImages(
        names=tuple(f'view {k}' for k in range(count)),
        images=tuple(images),
        cameras=jax.tree.map(np.asarray, cameras),
        masks=None,
        near=NEAR,
        far=FAR,
        scene_from_source=np.eye(4),
    )


def prepared(config, views, *, margin=0.0, slack=0.0):
    """What `fast` finds out before training on views with alpha."""
    foreground = [image[..., 3] > 0 for image in views.images]
    return fast_start.prepare(config, views.cameras, foreground, near=NEAR - margin, far=FAR + margin, slack=slack)


def ball(voxels, rows):
    """Tables of a soft ball of smooth colours, which is gone before the occupied cells end."""
    cells = np.asarray(voxels.cells)
    where = np.argwhere(cells)
    places = np.zeros((rows, 3), np.float32)
    for k, rows_of_corner in enumerate(np.asarray(voxels.fine)[cells[tuple(where.T)]].T):
        corner = where + np.array([k >> 2 & 1, k >> 1 & 1, k & 1])
        places[rows_of_corner] = np.asarray(voxels.low) + corner * np.asarray(voxels.edge)
    density = 12 * (1 - np.sum(places**2, -1) / 0.45**2)
    return jnp.asarray(density), jnp.asarray(0.5 + 0.4 * np.sin(5 * places))
