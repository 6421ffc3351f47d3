r"""One picture of a mesh, a radiance field, Gaussians and a multi-plane image: a talking head in a ring of light.

    python -m experiments.compose --workdir=out/compose

The head is a mesh with a neural texture, learned from film of the procedural head in a minute, or `--head`, what
`experiments.neural_head` left. Around it lies a ring of glowing gas, dense voxels, partly before and partly behind it;
sparks, Gaussians, are everywhere; far hills are planes. Each pixel has them in the order of its own depths, and a
gradient reaches all of them, and the camera: that is `picture`.

Writes to the workdir `picture.png`, `depth.png`, `parts.png`, each part alone and all together, and `orbit.mp4`.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from experiments import neural_head, trained
from experiments.toy_head import toy_head
from experiments.translation import RunConfig
from neurend import app
from neurend.data.tracked_head import TrackedHead
from neurend.data.tracked_shots import shot_source
from neurend.geometry import cameras, intersect, transforms
from neurend.geometry.cameras import Camera
from neurend.images import io, show, video
from neurend.models.gaussians import picture as gaussian_pictures
from neurend.models.method import Method
from neurend.models.neural_texture.config import NetworkConfig, NeuralTextureConfig, TextureConfig
from neurend.models.neural_texture.deferred import Shot
from neurend.render import layers, planes
from neurend.render.layers import Layers
from neurend.render.rendering import Rendering
from neurend.scenes import distances, fields, level_sets
from neurend.scenes import gaussians as gaussian_scenes
from neurend.scenes import planes as plane_scenes
from neurend.scenes.gaussians import Gaussians
from neurend.scenes.planes import Planes
from neurend.train import loop
from neurend.typing import Array, PyTree

EYE = (0.0, 0.0, 80.0)  # centimetres; the head is about the origin, and looks at it
_FOCAL = 2.2  # widths of a picture
_LOW, _HIGH = (-16.0, -8.0, -16.0), (16.0, 8.0, 16.0)
_RING, _TUBE, _TILT = 13.0, 1.3, (0.45, 0.0, 0.25)
_DENSITY, _SOFT, _SAMPLES = 0.15, 0.5, 64
_ROOM = 1 << 12
_HILLS, _ROWS, _WIDE = (110.0, 400.0), 5, 0.7  # depths of planes, rows before the sky, focal length in widths


@dataclasses.dataclass(frozen=True)
class Config:
    """What is drawn.

    Attributes:
        workdir: where results go.
        head: folder that `experiments.neural_head` left; empty for the procedural head, learned here.
        steps: to learn it.
        size: side of pictures in pixels.
        frames: of the video.
        swing: how far to each side the camera of the video goes, in degrees.
    """

    workdir: str = 'out/compose'
    head: str = ''
    steps: int = 150
    size: int = 160
    frames: int = 40
    swing: float = 20.0


@flax.struct.dataclass
class Scene:
    """All that is drawn, every number of which has a gradient.

    Attributes:
        head: parameters of the head's neural texture.
        ring: [X Y Z 4] distances and colours of the gas.
        sparks: Gaussians.
        hills: planes.
    """

    head: PyTree
    ring: Array
    sparks: Gaussians
    hills: Planes


class Actor(NamedTuple):
    """A head that was learned.

    Attributes:
        head: its film.
        method: that draws it.
        state: of the method.
    """

    head: TrackedHead
    method: Method
    state: Any


def main(config: Config) -> None:
    """Learns the head, composes the scene, writes pictures and the video."""
    folder = Path(config.workdir)
    actor = learned(config)
    scene = build(actor)

    @jax.jit
    def draw(scene: Scene, camera: Camera, deformation: Any) -> Rendering:
        return picture(actor, scene, camera, deformation, size=config.size)

    count = len(actor.head)
    front = camera_at(0.0, config.size)
    still = frame(actor.head, count // 3)
    found = draw(scene, front, still)
    shown = {name: draw(part, front, moved) for name, (part, moved) in alone(scene, still).items()}
    shown['together'] = found
    io.write(folder / 'picture.png', np.clip(found.rgb, 0, 1))
    io.write(folder / 'depth.png', show.depth_picture(found.depth, found.alpha))
    row = [np.clip(each.rgb, 0, 1) for each in shown.values()]
    io.write(folder / 'parts.png', show.contact_sheet([row], columns=tuple(shown)))
    turns = config.swing * np.sin(2 * math.pi * np.arange(config.frames) / max(config.frames, 1))
    film = (
        np.clip(draw(scene, camera_at(turn, config.size), frame(actor.head, k % count)).rgb, 0, 1)
        for k, turn in enumerate(turns)
    )
    if config.frames:
        video.write(folder / 'orbit.mp4', film, fps=actor.head.fps)
    app.say(f'{folder.absolute()}: picture.png, parts.png, depth.png, orbit.mp4')


def learned(config: Config) -> Actor:
    """The head, which is learned if it was not yet.

    Raises:
        InputError: `--head` is no run of `experiments.neural_head`.
    """
    if config.head:
        given = trained.configuration(neural_head.Config, config.head, 'experiments.neural_head')
        given = dataclasses.replace(given, size=config.size)
        head = neural_head.read(given)
        method = neural_head.build(given, head)
        return Actor(head, method, trained.restore(method, Path(config.head)))
    head = toy_head(frames=50, size=config.size)
    method = neural_head.build(settings(config), head)
    workdir = Path(config.workdir) / 'head'
    state = loop.fit(
        method,
        shot_source(head, frames=1, window=1),
        workdir=workdir,
        steps=config.steps,
        seed=0,
        keep=1,
        log_every=50,
        evaluate_every=0,
        checkpoint_every=0,
    )
    return Actor(head, method, state)


def settings(config: Config) -> neural_head.Config:
    """How the procedural head is learned: a shader of single pixels, which takes a minute."""
    return neural_head.Config(
        size=config.size,
        model=NeuralTextureConfig(
            texture=TextureConfig(side=128, channels=12, levels=2),
            network=NetworkConfig(unet=0, width=16, layers=1, reflection=0),
        ),
        run=RunConfig(steps=config.steps),
    )


def gas(ring: Array) -> fields.FieldFn:
    """The field of [X Y Z 4] distances and colours."""
    return fields.grid(ring, _LOW, _HIGH, density=lambda distance: _DENSITY * fields.of_distance(distance, _SOFT))


def frame(head: TrackedHead, k: int) -> tuple[Array, Array]:
    """Expression and pose of a frame."""
    return jnp.asarray(head.performance.expressions[k]), jnp.asarray(head.performance.world_from_head[k])


def build(actor: Actor, *, cells: int = 48, sparks: int = 80, side: int = 256) -> Scene:
    """The scene around a head.

    Args:
        actor: the head.
        cells: of the gas, along each side of its box.
        sparks: how many.
        side: height of the planes' pictures, in pixels.
    """
    level = transforms.se3_exp(jnp.array([0.0, 0, 0, math.pi / 2, 0, 0]))
    world_from_ring = transforms.se3_exp(jnp.array([0.0, 0, 0, *_TILT])) @ level
    torus = distances.torus(_RING, _TUBE)

    def distance(points: Array) -> Array:
        return torus(transforms.apply_inverse(world_from_ring, points))

    values = jnp.asarray(level_sets.sample(distance, _LOW, _HIGH, cells))
    axes = [np.linspace(a, b, cells + 1) for a, b in zip(_LOW, _HIGH)]
    places = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1)
    around = np.arctan2(places[..., 2], places[..., 0])[..., None] + np.array([0.0, 2.1, 4.2])
    colors = jnp.asarray(0.6 + 0.4 * np.sin(around), jnp.float32)
    return Scene(
        actor.state.weights, jnp.concatenate([values[..., None], colors], axis=-1), _sparks(sparks), _hills(side)
    )


def picture(actor: Actor, scene: Scene, camera: Camera, deformation: Any, *, size: int) -> Rendering:
    """Draws all of it from one camera, whose pictures are `size` pixels wide and high.

    Args:
        actor: whose method draws the head.
        scene: what there is.
        camera: pinhole.
        deformation: expression and pose of the head, see `frame`.
        size: of the picture.

    Returns:
        See `neurend.render.layers.within`; `extras['layers']` has first the sparks before the head, the head, the
        sparks behind it, and then the hills.
    """
    rays = cameras.rays(camera, cameras.pixel_centers(size, size))
    state = dataclasses.replace(actor.state, params=scene.head)
    surface = layers.of_picture(actor.method.render(state, Shot(camera, jnp.zeros(3), deformation)))
    ends = jnp.zeros_like(surface.t[0]), surface.t[0], jnp.full_like(surface.t[0], jnp.inf)
    before, behind = (_of_sparks(scene.sparks, camera, size, pair) for pair in (ends[:2], ends[1:]))
    hills = planes.layers(scene.hills.rgba, scene.hills.depths, scene.hills.camera, rays)
    enter, leave = intersect.ray_box(rays.origins, rays.directions, jnp.asarray(_LOW), jnp.asarray(_HIGH))
    share = jnp.linspace(0, 1, _SAMPLES + 1)[None, None]
    edges = enter[..., None] + share * jnp.maximum(leave - enter, 1e-3)[..., None]
    return layers.integrate(gas(scene.ring), rays, edges, layers.stack([before, surface, behind, hills]))


def _of_sparks(sparks: Gaussians, camera: Camera, size: int, between: tuple[Array, Array]) -> Layers:
    drawn = gaussian_pictures.picture(sparks, camera, size=(size, size), capacity=_ROOM, between=between)
    return layers.of_picture(drawn, reach=0)


def camera_at(turn: float, size: int) -> Camera:
    """The camera that was turned about the head by some degrees."""
    angle = math.radians(turn)
    eye = EYE[2] * jnp.array([math.sin(angle), 0.0, math.cos(angle)])
    pose = transforms.look_at(eye, jnp.zeros(3), jnp.array([0.0, 1.0, 0.0]))
    return cameras.make(pose, _FOCAL * size, size=(size, size))


def alone(scene: Scene, deformation: tuple[Array, Array]) -> dict[str, tuple[Scene, tuple[Array, Array]]]:
    """Scenes that show one of the parts, and what the head does in them."""
    away = deformation[0], deformation[1].at[2, 3].add(10 * EYE[2])  # behind the camera
    parts = {
        'ring': scene.ring.at[..., 0].set(1e3),
        'sparks': dataclasses.replace(scene.sparks, live=jnp.zeros_like(scene.sparks.live)),
        'hills': dataclasses.replace(scene.hills, rgba=scene.hills.rgba.at[..., -1].set(0)),
    }
    found = {'head': (dataclasses.replace(scene, **parts), deformation)}
    for name in parts:
        others = {other: none for other, none in parts.items() if other != name}
        found[name] = dataclasses.replace(scene, **others), away
    return found


def _sparks(count: int) -> Gaussians:
    random = np.random.default_rng(0)
    return gaussian_scenes.make(
        random.uniform(-1, 1, size=(count, 3)) * [17, 13, 17],
        random.uniform(0.15, 0.4, size=count),
        opacities=0.9,
        colors=random.uniform([0.9, 0.6, 0.2], [1.0, 0.9, 0.5], size=(count, 3)),
    )


def _hills(side: int) -> Planes:
    """Rows of hills before a sky, painted; twice as wide as high."""
    size = 2 * side, side
    pose = transforms.look_at(jnp.asarray(EYE), jnp.zeros(3), jnp.array([0.0, 1.0, 0.0]))
    camera = cameras.make(pose, _WIDE * size[0], size=size)
    across, down = np.meshgrid(*(((np.arange(n) + 0.5) - n / 2) / size[0] for n in size))
    sky = np.stack([0.55 + 0.9 * down, 0.65 + 0.5 * down, 0.85 + 0 * down], axis=-1)
    sun = np.exp(-((across - 0.12) ** 2 + (down + 0.12) ** 2) / 0.0015)[..., None]
    planes_of = [np.concatenate([sky + sun * [0.9, 0.7, 0.2], np.ones((side, 2 * side, 1))], axis=-1)]
    for k in range(_ROWS):
        near = (k + 1) / _ROWS
        ridge = (
            0.13 * near - 0.02 + 0.02 * np.sin((9 + 7 * k) * across + 2 * k) + 0.008 * np.sin((31 + 9 * k) * across + k)
        )
        shade = near * np.array([0.10, 0.25, 0.12]) + (1 - near) * np.array([0.5, 0.6, 0.75])
        color = shade + 0.25 * (down - ridge)[..., None]
        opaque = 1 / (1 + np.exp(-2 * size[0] * np.clip(down - ridge, -0.1, 0.1)))
        planes_of.append(np.concatenate([color, opaque[..., None]], axis=-1))
    rgba = jnp.asarray(np.clip(np.stack(planes_of[::-1]), 0, 1), jnp.float32)
    return Planes(rgba, jnp.asarray(plane_scenes.depths(*_HILLS, _ROWS + 1)), camera)


if __name__ == '__main__':
    app.run(main, Config)
