"""Writes the surfaces that a trained radiance field shows as a PLY file of coloured points.

    python -m experiments.point_cloud --workdir=out/bronze_head

Reads `config.flags` and the newest checkpoint of the workdir, draws depth from the training cameras, and unprojects it.
`experiments.neural_points --points` and any viewer take the file.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage
from tqdm import tqdm

from experiments import trained
from neurend import app
from neurend.checks import InputError
from neurend.geometry import cameras
from neurend.models.nerf.evaluation import UNSEEN
from neurend.render.tiled import Tiler
from neurend.scenes import points, points_ply
from neurend.scenes.points import Points

_OPAQUE = 0.5


@dataclasses.dataclass(frozen=True)
class Config:
    """One cloud.

    Attributes:
        workdir: of the trained run.
        data_dir: of its scene, if that has moved.
        every: one of so many training cameras.
        scale: of the pictures relative to the training images.
        step: largest difference of depth to a neighbouring pixel, in parts of the depth: at edges it is a mean of what
            is before and behind.
        cell: of a grid that is left one point each, in parts of the cloud's size.
        memory_mb: pictures are rendered in this much memory; none for the run's own budget.
        output: the file; points.ply in the workdir if empty.
    """

    workdir: str
    data_dir: str | None = None
    every: int = 1
    scale: float = 1.0
    step: float = 0.02
    cell: float = 0.002
    memory_mb: int | None = None
    output: str = ''

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if self.every < 1 or not min(self.scale, self.step, self.cell) > 0:
            raise InputError(
                f'--every, --scale, --step, --cell: got {self.every}, {self.scale}, {self.step}, {self.cell}, expected '
                'at least 1, and numbers above 0'
            )


def main(config: Config) -> Points:
    """Draws and writes; returns the points in the world of the scene's files."""
    settings, setup, state = trained.load(config.workdir, data_dir=config.data_dir, memory_mb=config.memory_mb)
    tiler, scene, clouds = Tiler(setup.method.render, memory_mb=settings.memory_mb), setup.scene, []
    for k in tqdm(range(0, len(scene), config.every), desc='rendering', unit='view'):
        camera = cameras.resize(jax.tree.map(jnp.asarray, scene.camera(k)), config.scale)
        drawn = tiler(state, camera, index=UNSEEN)
        where = surface(np.asarray(drawn.depth), np.asarray(drawn.alpha), config.step)
        if where.any():
            clouds.append(points.from_depth(np.clip(drawn.rgb, 0, 1), np.asarray(drawn.depth), camera, where=where))
    if not clouds:
        raise InputError(f'workdir {config.workdir}: the field is nowhere opaque. Train it for longer')
    whole = points.concatenate(clouds)
    size = float(np.linalg.norm(np.ptp(np.asarray(whole.positions), axis=0)))
    found = points.moved(points.thinned(whole, config.cell * size), np.linalg.inv(scene.scene_from_source))
    path = Path(config.output or Path(config.workdir) / 'points.ply')
    points_ply.write(path, found)
    app.say(f'{path}: {len(found.positions)} points of {len(whole.positions)} pixels')
    return found


def surface(depth: np.ndarray, alpha: np.ndarray, step: float) -> np.ndarray:
    """Pixels bool [h w] that show a surface: opaque, and of about the depth of the pixels around.

    Args:
        depth: [h w].
        alpha: [h w].
        step: see `Config`.
    """
    opaque = alpha > _OPAQUE
    near = ndimage.minimum_filter(np.where(opaque, depth, np.inf), 3)
    far = ndimage.maximum_filter(np.where(opaque, depth, -np.inf), 3)
    inside = np.asarray(ndimage.binary_erosion(opaque, np.ones((3, 3))), bool)
    return opaque & inside & (far - near < 2 * step * depth)


if __name__ == '__main__':
    app.run(main, Config, record=None)
