"""Edits of meshes as flags tell them, in the world of the mesh's file."""

import dataclasses
from typing import Literal

import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import arap, rotations
from neurend.scenes import editing, selection
from neurend.scenes.meshes import Mesh

Vector = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class EditConfig:
    """One edit.

    Attributes:
        kind: 'remove' the selected faces, 'copy' them to another place, 'move' them there, torn off from the rest, or
            'deform' what is neither selected nor fixed, as rigidly as possible, while the selected vertices move.
        select: faces within a 'box', those of the 'component' nearest to a point, or those of a 'material'.
        low, high: corners of the box.
        point: by the component.
        material: its name.
        rotate: about the middle of what is selected, a vector along the axis as long as the angle in degrees.
        scale: from that middle.
        translate: after that.
        fixed_low, fixed_high: corners of a box whose vertices stay where they are under 'deform'. Components that have
            none, and nothing selected, stay too.
    """

    kind: Literal['remove', 'copy', 'move', 'deform'] = 'remove'
    select: Literal['box', 'component', 'material'] = 'box'
    low: Vector = (0.0, 0.0, 0.0)
    high: Vector = (0.0, 0.0, 0.0)
    point: Vector = (0.0, 0.0, 0.0)
    material: str = ''
    rotate: Vector = (0.0, 0.0, 0.0)
    scale: float = 1.0
    translate: Vector = (0.0, 0.0, 0.0)
    fixed_low: Vector = (0.0, 0.0, 0.0)
    fixed_high: Vector = (0.0, 0.0, 0.0)


def apply(config: EditConfig, mesh: Mesh, world_from_file: np.ndarray) -> Mesh:
    """The edited mesh. Vertices that an edit leaves alone keep their exact places.

    Args:
        config: in the world of the file.
        mesh: in another world.
        world_from_file: [4 4] similarity between them, `data.posed.PosedImages.scene_from_source`.

    Raises:
        InputError: nothing is selected, or too much, or nothing is fixed.
    """
    # Selections are made where the flags tell them, everything else where the mesh is.
    source_vertices = _moved(np.linalg.inv(np.asarray(world_from_file, np.float64)), mesh.vertices)
    source = dataclasses.replace(mesh, vertices=source_vertices)
    chosen = _selected(config, source)
    used = np.unique(np.asarray(mesh.faces)[chosen])
    transform = world_from_file @ _transform(config, source_vertices[used]) @ np.linalg.inv(world_from_file)
    if config.kind == 'remove':
        if chosen[(np.asarray(mesh.faces) >= 0).all(1)].all():
            raise checks.InputError('--edit.kind=remove: all faces are selected, expected some that stay')
        return editing.remove(mesh, chosen)
    if config.kind == 'copy':
        return editing.duplicate(mesh, chosen, transform)
    if config.kind == 'move':
        twice = editing.duplicate(mesh, chosen, transform)
        return editing.remove(twice, np.pad(chosen, (0, len(twice.faces) - len(chosen))))
    fixed = _fixed(config, source, used)
    vertices = np.asarray(mesh.vertices)
    handles, places = (
        np.concatenate([used, fixed]),
        np.concatenate([_moved(transform, vertices[used]), vertices[fixed]]),
    )
    positions = jnp.asarray(places, jnp.float32)
    deformed = arap.deform(jnp.asarray(vertices), jnp.asarray(mesh.faces), jnp.asarray(handles), positions)
    return dataclasses.replace(mesh, vertices=np.asarray(deformed), normals=None)


def placed(config: EditConfig, mesh: Mesh, own_from_file: np.ndarray, world_from_file: np.ndarray) -> Mesh:
    """A whole mesh of another world, turned, scaled and moved, in this one; both files' worlds are one.

    Args:
        config: of which it uses `rotate`, `scale` and `translate`.
        mesh: in the world that it was trained in.
        own_from_file: [4 4] similarity, of that world.
        world_from_file: [4 4] similarity, of the world that it comes to.
    """
    source = _moved(np.linalg.inv(np.asarray(own_from_file, np.float64)), mesh.vertices)
    used = source[np.unique(np.asarray(mesh.faces)[(np.asarray(mesh.faces) >= 0).all(1)])]
    moved = _moved(world_from_file @ _transform(config, used), source)
    return dataclasses.replace(mesh, vertices=moved.astype(np.float32), normals=None)


def _selected(config: EditConfig, mesh: Mesh) -> np.ndarray:
    if config.select == 'component':
        return selection.by_component(mesh, config.point)
    if config.select == 'material':
        chosen = selection.by_material(mesh, config.material)
        if not chosen.any():
            raise checks.InputError(f'--edit.material: no face is of {config.material!r}, expected some')
        return chosen
    chosen = selection.in_box(mesh, config.low, config.high)
    if not chosen.any():
        faces = np.asarray(mesh.faces)
        used = np.asarray(mesh.vertices)[np.unique(faces[(faces >= 0).all(1)])]
        low, high = (bound.round(3).tolist() for bound in (used.min(0), used.max(0)))
        given = f'no face lies within {config.low} to {config.high}' if config.low != config.high else 'not given'
        raise checks.InputError(
            f'--edit.low, --edit.high: {given}, expected corners of a box with faces in it; the mesh reaches from '
            f'{low} to {high}'
        )
    return chosen


def _fixed(config: EditConfig, mesh: Mesh, used: np.ndarray) -> np.ndarray:
    """Vertices that stay when those used are moved."""
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    faces = faces[(faces >= 0).all(1)]
    low, high = np.array(config.fixed_low), np.array(config.fixed_high)
    within = np.flatnonzero(np.all((vertices >= low) & (vertices <= high), axis=1))
    within = np.setdiff1d(np.intersect1d(within, faces), used)
    if not len(within):
        raise checks.InputError(
            f'--edit.fixed_low, --edit.fixed_high: no vertex but selected ones lies within {config.fixed_low} to '
            f'{config.fixed_high}, expected some that hold the mesh, which '
            f'reaches from {vertices[np.unique(faces)].min(0).round(3).tolist()} to '
            f'{vertices[np.unique(faces)].max(0).round(3).tolist()}'
        )
    component = selection.components(dataclasses.replace(mesh, faces=faces, uvs=None, uv_faces=None, material=None))
    held = np.isin(faces, np.concatenate([used, within])).any(1)
    alone = ~np.isin(component, component[held])
    return np.union1d(within, faces[alone])


def _transform(config: EditConfig, points: np.ndarray) -> np.ndarray:
    """The similarity [4 4] that moves what is selected, in the world of the file."""
    if config.scale <= 0:
        raise checks.InputError(f'--edit.scale: got {config.scale}, expected a positive factor')
    middle = (points.min(0) + points.max(0)) / 2
    turn = np.asarray(rotations.exp(jnp.radians(jnp.asarray(config.rotate, jnp.float32))), np.float64)
    transform = np.eye(4)
    transform[:3, :3] = config.scale * turn
    transform[:3, 3] = middle + np.array(config.translate) - transform[:3, :3] @ middle
    return transform


def _moved(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.asarray(points, np.float64) @ transform[:3, :3].T + transform[:3, 3]
