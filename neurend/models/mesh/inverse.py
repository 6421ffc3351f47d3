"""Inverse rendering: albedo, light, the places of vertices and the poses of cameras, learned together from photographs.

A mesh is rasterized, textured, shaded and antialiased as `models.appearance` does it, and the error of the picture goes
back through all of it. Vertices move in differential coordinates, so that a step moves regions and not single vertices
(Nicolet et al., "Large steps in inverse rendering of geometry", 2021); outlines move them by antialiasing, and what is
inside of outlines by shading and texture. Cameras are corrected as those of radiance fields are (`models.nerf.poses`).

Where photographs have an alpha channel, outlines are compared besides: a white cow on white has none otherwise. Where
both vertices and poses are learned, surface and cameras may together turn, move and grow a little, for no
photograph tells.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import smoothing, triangles
from neurend.geometry.cameras import Camera
from neurend.images import color
from neurend.losses import meshes as regularizers
from neurend.models.appearance import AppearanceConfig, Geometry, appearance
from neurend.models.method import LossFn, Method, StepFn, Stepper
from neurend.models.nerf import poses
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.scenes.meshes import Mesh
from neurend.typing import Array, Key, Metrics, PyTree, Source

Part = Literal['albedo', 'light', 'vertices', 'poses']

PARTS: tuple[Part, ...] = ('albedo', 'light', 'vertices', 'poses')
# The parameters of each.
_NAMES = {
    'albedo': ('texture',),
    'light': ('light', 'mirrored', 'directions', 'strengths'),
    'vertices': ('differential',),
    'poses': ('pose',),
}


@dataclasses.dataclass(frozen=True)
class InverseConfig:
    """What is learned, and what is asked of it.

    Attributes:
        appearance: albedo, light, and a coat, whose roughness is learned where there is one.
        parts: which of 'albedo', 'light', 'vertices' and 'poses' are learned. Others stay as they begin: grey, white
            from all sides, where the mesh has them, and as they were given.
        strength: of the smoothness of the vertices' steps, see `geometry.smoothing`.
        bends: weight of the bends between neighbouring faces, 1 - cos of their angle.
        outlines: weight of the mean squared error of the opacity of pixels, where photographs have one.
    """

    appearance: AppearanceConfig = dataclasses.field(default_factory=AppearanceConfig)
    parts: tuple[Part, ...] = ('albedo', 'light', 'vertices')
    strength: float = 0.3
    bends: float = 1e-2
    outlines: float = 1.0


@flax.struct.dataclass
class View:
    """A photograph with the number of its camera, over leading dims `...`.

    Attributes:
        index: int32 [...].
        camera: as it was given.
        rgb: [... H W 3] in [0, 1], on the background.
        alpha: [... H W], or None where nobody knows.
        background: [... 3].
    """

    index: Array
    camera: Camera
    rgb: Array
    alpha: Array | None
    background: Array


def source(
    cameras: Camera,
    images: Sequence[np.ndarray],
    *,
    views: int,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Source:
    """Batches of `views` photographs drawn at random, none of them twice, which lie on the device.

    Args:
        cameras: [n].
        images: n of one size, uint8 [H W 3], or [H W 4] with straight alpha.
        views: in a batch.
        background: what transparent pixels are put on.

    Raises:
        InputError: more views than there are, or none; or some images have alpha and others not.
    """
    count = len(images)
    if not 1 <= views <= count:
        raise checks.InputError(f'views: got {views}, expected 1 to {count}, the number of photographs')
    kinds = {image.shape for image in images}
    if len(kinds) > 1:
        raise checks.InputError(f'images: got the shapes {sorted(kinds)}, expected one size, all with alpha or none')

    def draw(key: Key, data: Any) -> View:
        index = jax.random.choice(key, count, (views,), replace=False)
        cameras, pixels, behind = jax.tree.map(jnp.asarray, data)
        rgba = pixels[index].astype(jnp.float32) / 255
        opaque = rgba.shape[-1] == 3
        rgb, alpha = (rgba, None) if opaque else (color.composite(rgba, behind), rgba[..., 3])
        behind = jnp.broadcast_to(behind, (views, 3))
        return View(index.astype(jnp.int32), cameras[index], rgb, alpha, behind)

    return Source(data=(cameras, np.stack(images), np.asarray(background, np.float32)), draw=draw)


def inverse(
    config: InverseConfig,
    mesh: Mesh,
    *,
    cameras: Camera,
    size: tuple[int, int],
    stepper: Stepper,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Method:
    """Makes the method.

    Args:
        config: see `InverseConfig`.
        mesh: to begin with; as for `models.appearance.appearance`.
        cameras: [n] of the photographs, as they are given.
        size: (width, height) of pictures, in pixels.
        stepper: how the loss is minimised. Vertices ('differential') and poses ('pose') want rates of their own, see
            `train.optimizers.by_name`, and vertices 'uniform_adam'.
        background: sRGB colour that `render` and `evaluate` have behind the mesh.

    Returns:
        A Method whose batches are `View`s [n], see `source`; `render` and `evaluate` are those of
        `models.appearance.appearance`, whose parameters are in `State.params` too. `mesh_of` and `cameras_of` tell
        the rest.

    Raises:
        InputError: a part of another name, a mesh without UVs, or options out of range.
    """
    for part in config.parts:
        checks.one_of('parts', part, PARTS)
    if not config.strength >= 0:
        raise checks.InputError(f'strength: got {config.strength}, expected 0 or more')
    faces, topology = jnp.asarray(mesh.faces), jax.tree.map(jnp.asarray, triangles.topology(mesh.faces))
    still, depth = jnp.asarray(mesh.vertices), _depth(mesh, cameras)
    moves, turns = ('vertices' in config.parts), ('poses' in config.parts)
    params: dict[str, Array] = {}
    if moves:
        params['differential'] = smoothing.differential_from_vertices(still, topology.edges, config.strength)
    if turns:
        params |= poses.init(len(cameras.focal))

    def vertices(params: PyTree) -> Array:
        return smoothing.vertices_from_differential(params['differential'], topology.edges, config.strength)

    def camera(params: PyTree, view: View) -> Camera:
        if not turns:
            return view.camera
        one = jax.tree.map(lambda leaf: leaf[None], view.camera)
        return poses.correct({'pose': params['pose'][view.index][None]}, one, depth=depth)[0]

    def penalty(vertices: Array) -> Array:
        if not (moves and config.bends):
            return jnp.zeros(())
        return config.bends * regularizers.normal_consistency(vertices, faces, topology.edge_faces)

    def mismatch(drawn: Rendering, view: View) -> Array:
        if view.alpha is None or not (moves or turns):
            return jnp.zeros(())
        return config.outlines * jnp.mean(jnp.square(drawn.alpha - view.alpha))

    held = {name for part in PARTS if part not in config.parts for name in _NAMES[part]}
    return appearance(
        config.appearance,
        mesh,
        size=size,
        stepper=_holding(stepper, held),
        background=background,
        geometry=Geometry(params, vertices if moves else None, camera, penalty, mismatch),
    )


def mesh_of(config: InverseConfig, mesh: Mesh, state: State) -> Mesh:
    """The mesh that `inverse` began with, its vertices where the state has them (NumPy)."""
    if 'differential' not in state.weights:
        return mesh
    edges = jnp.asarray(triangles.topology(mesh.faces).edges)
    vertices = smoothing.vertices_from_differential(state.weights['differential'], edges, config.strength)
    return dataclasses.replace(mesh, vertices=np.asarray(vertices), normals=None)


def cameras_of(mesh: Mesh, cameras: Camera, state: State) -> Camera:
    """The cameras that `inverse` was given, as the state has them.

    Args:
        mesh: that `inverse` began with.
        cameras: [n].
        state: of the method.
    """
    if 'pose' not in state.weights:
        return cameras
    return poses.correct({'pose': state.weights['pose']}, cameras, depth=_depth(mesh, cameras))


def _depth(mesh: Mesh, cameras: Camera) -> float:
    """How far the cameras are from the middle of the mesh, in the median."""
    faces = np.asarray(mesh.faces)
    used = np.asarray(mesh.vertices)[np.unique(faces[faces >= 0])]
    middle = (used.min(0) + used.max(0)) / 2
    return float(np.median(np.linalg.norm(np.asarray(cameras.world_from_camera)[:, :3, 3] - middle, axis=-1)))


def _holding(stepper: Stepper, held: set[str]) -> Stepper:
    """A stepper to which these parameters have no gradient."""

    def step(loss_fn: LossFn) -> StepFn:
        def loss(key: Key, params: PyTree, aux: PyTree, batch: PyTree, step: Array) -> tuple[Array, Metrics]:
            params = {k: jax.lax.stop_gradient(value) if k in held else value for k, value in params.items()}
            return loss_fn(key, params, aux, batch, step)

        return stepper.step(loss)

    return stepper._replace(step=step)
