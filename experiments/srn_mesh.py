"""Meshes of what a Scene Representation Network learned: its depth pictures from all around, fused.

    python -m experiments.srn_mesh --workdir=out/figures --instance=3 --output=out/figures/third.glb

Rays that end on white end nowhere: what shall be in the mesh must be darker than `white`. Needs the extra `mesh`.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from experiments import srn
from neurend import app, checks
from neurend.geometry import cameras, paths
from neurend.render.tiled import Tiler
from neurend.scenes import fusion, mesh_files
from neurend.scenes.meshes import Mesh


@dataclasses.dataclass(frozen=True)
class Config:
    """Which mesh to make.

    Attributes:
        workdir: of a run of `experiments.srn`.
        output: file to write, .glb, .ply or .obj; empty for `mesh.glb` in the workdir.
        instance: number of the training instance; 0 for a single scene.
        views: pictures from all around.
        size: width and height of them.
        cells: along each side of the cube that the scene is in.
        white: brightness in [0, 1] of the darkest channel, above which a pixel shows nothing.
    """

    workdir: str = 'out/srn'
    output: str = ''
    instance: int = 0
    views: int = 40
    size: int = 64
    cells: int = 48
    white: float = 0.9

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if min(self.views, self.size, self.cells) < 1 or self.instance < 0 or not 0 < self.white <= 1:
            raise checks.InputError(
                f'--views, --size, --cells, --instance, --white: got {self.views}, {self.size}, {self.cells}, '
                f'{self.instance}, {self.white}, expected at least 1, at least 0 for the instance, white in (0, 1]'
            )


def main(config: Config) -> Mesh:
    """Draws, fuses, writes; returns the mesh."""
    settings, setup, state = srn.load(config.workdir)
    count = 1 if settings.single else len(setup.data.train)
    if config.instance >= count:
        raise checks.InputError(f'--instance: got {config.instance}, expected 0 to {count - 1}')
    path = Path(config.output or Path(config.workdir) / 'mesh.glb')
    if not path.parent.is_dir():
        raise checks.InputError(f'--output: {path.parent} is no folder, expected one that exists')
    half = setup.data.train.scale / 2
    low, high = np.full(3, -half), np.full(3, half)
    fused = fusion.fuse(views(config, setup, state), low, high, cells=config.cells)
    if fused.values.min() >= 0:
        raise checks.InputError(
            f'instance {config.instance}: nothing darker than --white={config.white} in the cube of side {2 * half:g}, '
            'where the scene should be; train longer, or give a value nearer to 1'
        )
    mesh = fusion.mesh(fused, low, high)
    mesh_files.write(path, mesh)
    app.say(f'{path}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces')
    return mesh


def views(config: Config, setup: srn.Setup, state: srn.State) -> Iterator[fusion.View]:
    """What the network draws of an instance from all around, at the distance and with the lens of its photographs."""
    train = setup.data.train.cameras
    poses = np.asarray(train.world_from_camera)
    radius = float(np.linalg.norm(poses[..., :3, 3], axis=-1).mean())
    focal = float(np.mean(np.asarray(train.focal) / np.asarray(train.size))) * config.size
    around = cameras.make(paths.sphere(config.views, radius=radius), focal, size=(config.size, config.size))
    tiler = Tiler(setup.method.render)
    for k in range(config.views):
        drawn = tiler(state, around[k], index=config.instance)
        rgb = np.clip(drawn.rgb, 0, 1)
        yield fusion.View(around[k], jnp.asarray(drawn.depth), rgb, rgb.min(-1) < config.white)


if __name__ == '__main__':
    app.run(main, Config, record=None)
