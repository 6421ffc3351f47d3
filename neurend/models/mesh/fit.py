"""A surface fitted to silhouettes: the vertices of a mesh, moved by gradients of where its outlines lie.

Steps are made in differential coordinates, so that what one outline asks for moves the surface around it (Nicolet et
al., 2021), and the mesh becomes finer while it is fitted: long edges are divided after some steps. Silhouettes tell the
visual hull; hollows that show in no outline stay as smooth as the regularisers leave them.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.geometry import smoothing, surface, triangles
from neurend.geometry.cameras import Camera
from neurend.losses import meshes as regularizers
from neurend.models import state as states
from neurend.models.mesh import pictures
from neurend.models.mesh.silhouettes import Silhouettes, overlap
from neurend.models.method import Method, Stepper
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.scenes import remesh
from neurend.scenes.meshes import Mesh
from neurend.typing import Array, Key, Metrics, PyTree


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """How a mesh is fitted.

    Attributes:
        views: silhouettes in the batch of a step.
        strength: of the smoothness of steps, see `geometry.smoothing`.
        divide_steps: steps after which long edges are divided.
        divide_edges: longest edge after each of them, relative to the longest of the mesh to start from.
        normals: weight of the bends between neighbouring faces, 1 - cos of their angle.
    """

    views: int = 4
    strength: float = 3.0
    divide_steps: tuple[int, ...] = (150,)
    divide_edges: tuple[float, ...] = (0.5,)
    normals: float = 1e-3


class Surface(NamedTuple):
    """The true surface, for `evaluate`.

    Attributes:
        points: [n 3] spread over it, see `geometry.surface.sample`.
    """

    points: Array


def fit(config: FitConfig, *, start: Mesh, size: tuple[int, int], stepper: Stepper) -> Method:
    """Makes the method.

    Args:
        config: see `FitConfig`.
        start: the mesh to begin with, e.g. of `silhouettes.start_sphere`.
        size: (width, height) of the silhouettes, in pixels.
        stepper: how the loss is minimised, see `train.optimizers.uniform_adam`. Where the mesh is divided, moments of
            vertices begin anew and what is not of single vertices goes on.

    Returns:
        A Method whose batches are `Silhouettes` [n], see `silhouettes.source`. Parameters: 'differential' [V 3], see
        `mesh_of`. `render` takes one camera. `evaluate` takes one silhouette, of which it gives the 'iou' (what target
        and fit both cover over what either does) and a picture of the target, the fit and the difference; or a
        `Surface`, of which it gives the 'chamfer' distance: mean squared distances there and back, added.

    Raises:
        InputError: `divide_steps` and `divide_edges` do not have the same length.
    """
    if len(config.divide_steps) != len(config.divide_edges):
        raise checks.InputError(
            f'divide_steps, divide_edges: got {config.divide_steps} and {config.divide_edges}, expected one edge for '
            'each step'
        )
    coarsest = float(np.max(_lengths(start)))

    @draws.quickly
    def init(key: Key) -> State:
        del key
        params, aux = _from_mesh(start, config)
        return states.create(params, stepper, aux=aux)

    def loss(key: Key, params: PyTree, aux: PyTree, batch: Silhouettes, step: Array) -> tuple[Array, Metrics]:
        del key, step
        vertices = _vertices(params, aux, config)

        def one(view: Silhouettes) -> tuple[Array, Array]:
            target = view.mask.astype(vertices.dtype) / 255
            cover = pictures.coverage(vertices, aux['faces'], aux['topology'], view.camera, size)
            return jnp.mean(jnp.square(cover - target)), overlap(cover, target)

        errors, overlaps = jax.lax.map(one, batch)
        total = jnp.mean(errors)
        if config.normals:
            bends = regularizers.normal_consistency(vertices, aux['faces'], aux['topology'].edge_faces)
            total += config.normals * bends
        return total, {'iou': jnp.mean(overlaps)}

    def render(state: State, camera: Camera) -> Rendering:
        mesh = mesh_of(state, config)
        return pictures.shaded(mesh.vertices, mesh.faces, state.aux['topology'], camera, size)

    rendered = jax.jit(render)

    @jax.jit
    def distance(state: State, points: Array) -> Array:
        mesh = mesh_of(state, config)
        own = surface.sample(jax.random.key(0), mesh.vertices, mesh.faces, len(points)).points
        there, back = surface.chamfer(own, points)
        return there + back

    def evaluate(state: State, example: Silhouettes | Surface) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        if isinstance(example, Surface):
            return {'chamfer': float(distance(state, jnp.asarray(example.points)))}, {}
        rendering = jax.device_get(rendered(state, example.camera))
        target = np.asarray(example.mask, np.float32) / 255
        truth = np.repeat(1 - target[..., None], 3, axis=-1)
        picture = np.concatenate([truth, rendering.rgb, pictures.difference(rendering.alpha, target)], axis=1)
        return {'iou': float(overlap(rendering.alpha, target))}, {'comparison': np.clip(picture, 0, 1)}

    def update(state: State) -> State:
        longest = coarsest * config.divide_edges[config.divide_steps.index(int(state.step))]
        divided = remesh.subdivide_to(jax.tree.map(np.asarray, mesh_of(state, config)), longest)
        params, aux = _from_mesh(divided, config)
        optimizer = jax.tree.map(
            lambda old, new: old if old.shape == new.shape else new, state.optimizer, stepper.init(params)
        )
        return dataclasses.replace(state, params=params, optimizer=optimizer, aux=aux)

    return Method(init, stepper.step(loss), render, evaluate, update, config.divide_steps)


def mesh_of(state: State, config: FitConfig) -> Mesh:
    """The mesh of a state."""
    return Mesh(_vertices(state.params, state.aux, config), state.aux['faces'])


def _vertices(params: PyTree, aux: PyTree, config: FitConfig) -> Array:
    return smoothing.vertices_from_differential(params['differential'], aux['topology'].edges, config.strength)


def _from_mesh(mesh: Mesh, config: FitConfig) -> tuple[PyTree, PyTree]:
    topology = jax.tree.map(jnp.asarray, triangles.topology(mesh.faces))
    vertices = jnp.asarray(mesh.vertices, jnp.float32)
    differential = smoothing.differential_from_vertices(vertices, topology.edges, config.strength)
    return {'differential': differential}, {'faces': jnp.asarray(mesh.faces), 'topology': topology}


def _lengths(mesh: Mesh) -> np.ndarray:
    corners = np.asarray(mesh.vertices)[np.asarray(mesh.faces)]
    return np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=-1)
