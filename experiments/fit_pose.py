"""Finds the pose of a known mesh in one picture, from a pose that is some degrees off, and shows every step.

    python -m experiments.fit_pose --flagfile=configs/fit_pose_spot.flags --mesh=spot.obj --data_dir=spot_views

What is compared is the silhouette, and with --texture the colours too. The mesh is in the world of the posed images,
whose poses are disturbed to start from, and taken for the truth. Where they are rough themselves, --degrees=0
--percent=0 improves them. Without --mesh and --data_dir a box is drawn and found again. Leaves in the workdir
`overlay.png` (picture, start, end: the mesh in orange) and `poses.json`: errors over all starts, and of the first one
where the mesh was put (`world_from_mesh`) and the pose of the camera that shows the same (`world_from_camera`).
"""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import app, checks
from neurend.data import posed, scenes
from neurend.geometry import cameras, transforms
from neurend.geometry.cameras import Camera
from neurend.images import io, resample
from neurend.models.mesh import pose as poses
from neurend.scenes import mesh_files, primitives
from neurend.scenes.meshes import Mesh

_ORANGE = np.array([1.0, 0.45, 0.0], np.float32)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        mesh: file of the mesh.
        texture: picture of its colours, to compare colours too; none compares silhouettes.
        texture_size: texels that it is reduced to, on each side.
        exposure: what its colours are multiplied by to be those of the picture.
        data_dir: folder with posed images, with alpha.
        split: of them.
        view: which of them, from 0.
        factor: whole number by which it is reduced.
        workdir: where the results go.
        degrees: that the start is turned by, about a random axis.
        percent: that the start is moved by in a random direction, in percent of the camera's distance.
        starts: how many random starts.
        blurs: of the pictures compared, in pixels, one after the other.
        steps: with each.
        seed: of the first start.
    """

    mesh: str = ''
    texture: str = ''
    texture_size: int = 128
    exposure: float = 0.75
    data_dir: str = ''
    split: str = 'test'
    view: int = 0
    factor: int = 1
    workdir: str = 'out/fit_pose'
    degrees: float = 20.0
    percent: float = 4.0
    starts: int = 1
    blurs: tuple[float, ...] = (16.0, 8.0, 4.0, 2.0, 1.0, 0.5)
    steps: int = 5
    seed: int = 0


def main(config: Config) -> dict[str, Any]:
    """Finds the pose from every start; returns the errors before and after."""
    if bool(config.mesh) != bool(config.data_dir):
        raise checks.InputError('--mesh, --data_dir: got one of them, expected both or neither')
    if config.starts < 1:
        raise checks.InputError(f'--starts: got {config.starts}, expected at least 1')
    mesh, camera, image = read(config) if config.mesh else example()
    size = (image.shape[1], image.shape[0])
    rgba = image.astype(np.float32) / 255
    target, colors = rgba[..., 3:], None
    if config.texture:
        target = np.concatenate([target, rgba[..., :3] * rgba[..., 3:]], axis=-1)
        side = config.texture_size
        colors = resample.resize(io.read(config.texture, channels=3), side, side).astype(np.float32) / 255
        colors = jnp.asarray(config.exposure * colors)
    center = jnp.asarray((np.min(mesh.vertices, axis=0) + np.max(mesh.vertices, axis=0)) / 2)
    distance = float(np.linalg.norm(np.asarray(camera.world_from_camera)[:3, 3] - center))
    truth = jnp.eye(4)
    draw = poses.drawn(mesh, camera, size, texture_map=colors)
    find = jax.jit(
        lambda start: poses.find(
            draw, jnp.asarray(target), start, center=center, blurs=config.blurs, steps=config.steps
        )
    )

    def error(pose: Any) -> np.ndarray:
        """Degrees, and percent of the distance [... 2]."""
        turn, move = poses.errors(jnp.asarray(pose), truth, center)
        return np.stack([np.asarray(turn), 100 * np.asarray(move) / distance], axis=-1)

    app.say('compiling ...')
    find = find.lower(truth).compile()
    before, after, seconds, shown = [], [], [], []
    for number in range(config.starts):
        key = jax.random.key(config.seed + number)
        start = poses.perturbed(
            key, truth, center=center, degrees=config.degrees, distance=config.percent / 100 * distance
        )
        began = time.perf_counter()
        found = jax.block_until_ready(find(start))
        seconds.append(time.perf_counter() - began)
        before.append(error(start))
        after.append(error(found.world_from_mesh))
        if not shown:
            shown = [start, found.world_from_mesh]
            told = slice(config.steps - 1, None, config.steps)
            for blur, (turn, move), cost in zip(config.blurs, error(found.path)[told], np.asarray(found.costs)[told]):
                print(f'blur {blur:4.1f}  rotation {turn:8.4f} degrees  translation {move:8.4f} %  cost {cost:.3e}')
        print(
            f'start {number}: rotation {before[-1][0]:.2f} to {after[-1][0]:.4f} degrees, translation '
            f'{before[-1][1]:.2f} to {after[-1][1]:.4f} % of the distance, in {seconds[-1]:.2f} s',
            flush=True,
        )
    turns = np.array(after)[:, 0]
    report = {
        'rotation_before_degrees': float(np.max(np.array(before)[:, 0])),
        'translation_before_percent': float(np.max(np.array(before)[:, 1])),
        'rotation_after_degrees': float(np.median(turns)),
        'translation_after_percent': float(np.median(np.array(after)[:, 1])),
        'worst_degrees': float(np.max(turns)),
        'succeeded': float(np.mean(turns < 0.5)),
        'seconds': float(np.median(seconds)),
    }
    write(config, mesh, camera, image, shown, report)
    return report


def read(config: Config) -> tuple[Mesh, Camera, np.ndarray]:
    """The mesh, the camera, and its picture with alpha."""
    images = scenes.read(config.data_dir, split=config.split, factor=config.factor)
    if not 0 <= config.view < len(images):
        raise checks.InputError(f'--view: got {config.view}, expected 0 to {len(images) - 1}')
    image = images.images[config.view]
    if image.shape[-1] != 4:
        raise checks.InputError(f'image {images.names[config.view]}: got no alpha, expected the object cut out by it')
    return mesh_files.read(config.mesh), jax.tree.map(jnp.asarray, images.camera(config.view)), image


def example() -> tuple[Mesh, Camera, np.ndarray]:
    """A box, seen from a corner."""
    mesh = primitives.box((1.0, 0.7, 0.45))
    pose = transforms.look_at(jnp.array([1.4, -1.9, 1.2]), jnp.zeros(3), jnp.array([0.0, 0.0, 1.0]))
    camera = cameras.make(pose, 110.0, size=(96, 96))
    cover = poses.drawn(mesh, camera, (96, 96))(jnp.eye(4))
    gray = jnp.full((96, 96, 3), 0.6)
    return mesh, camera, io.to_uint8(np.concatenate([gray, np.clip(cover, 0, 1)], axis=-1))


def write(config: Config, mesh: Mesh, camera: Camera, image: np.ndarray, found: list[Any], report: dict) -> None:
    """Writes the report, and the picture beside it with the mesh over it at the start and at the end."""
    folder = Path(config.workdir)
    folder.mkdir(parents=True, exist_ok=True)
    listed = {name: np.asarray(pose).tolist() for name, pose in zip(('start', 'found'), found)}
    seen = np.linalg.inv(np.asarray(found[-1], np.float64)) @ np.asarray(camera.world_from_camera, np.float64)
    poses_found = {'world_from_mesh': listed, 'world_from_camera': seen.tolist()}
    (folder / 'poses.json').write_text(json.dumps({**report, **poses_found}, indent=1))
    draw = jax.jit(poses.drawn(mesh, camera, (image.shape[1], image.shape[0])))
    picture = posed.composite(image, 1.0)
    panels = [picture]
    for pose in found:
        share = 0.55 * np.clip(np.asarray(draw(pose)), 0, 1)
        panels.append(picture * (1 - share) + share * _ORANGE)
    io.write(folder / 'overlay.png', np.concatenate(panels, axis=1))


if __name__ == '__main__':
    app.run(main, Config)
