"""Meshes that textures are learned on: from files, from silhouettes, or stand-ins made of them."""

import dataclasses
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from neurend import app, checks
from neurend.data.posed import PosedImages
from neurend.geometry import transforms, triangles
from neurend.scenes import atlas, carving, mesh_files, proxies, remesh
from neurend.scenes.meshes import Mesh

Proxy = Literal['mesh', 'coarse', 'sphere', 'box', 'points']
_FACES = 10000
_OFF = 0.005  # by which points may be off, in parts of the scene's depth
_STRAY = 0.02  # of points, along each axis at either end, may be wrong matches
_SPARE = 0.2  # of the extent of the others, by which these may lie beyond them
_CELLS = 8  # of a ball, along a quarter of its girth
_MARGIN = 0.02  # by which a ball or box is larger than what it is about, in parts of its size


def make(
    proxy: Proxy,
    path: str,
    train: PosedImages,
    *,
    texture: int,
    faces: float = 0.05,
    noise: float = 0.02,
    margin: float = 0.0,
) -> Mesh:
    """A mesh with UVs in the world of the cameras.

    Args:
        proxy: 'mesh' as it is, 'coarse' for it decimated and disturbed, 'sphere' or 'box' for one about it; or 'points'
            for the surface of those that structure from motion found.
        path: file with the mesh, in the world of the scene's files; empty for the visual hull of the training images.
        train: those images, with masks or alpha where they make the hull.
        texture: side of the texture that is meant, in texels.
        faces: of 'coarse', in parts of the mesh's; at most.
        noise: of 'coarse', the standard deviation of its vertices in parts of the mesh's size.
        margin: by which the mesh grows along its normals in the end, in parts of its size, so that it holds what it
            stands for.

    Raises:
        InputError: the file cannot be read, its UVs are unsound (see `neurend.scenes.atlas.packed`), there is neither a
            file nor a silhouette, or the extra `mesh`, which lays out UVs, is not installed.
    """
    return grown(_made(proxy, path, train, texture, faces, noise), margin)


def grown(mesh: Mesh, margin: float) -> Mesh:
    """A mesh whose vertices go along their normals by a part of its size; 0 for the mesh as it is."""
    if not margin:
        return mesh
    vertices = jnp.asarray(mesh.vertices)
    size = jnp.linalg.norm(jnp.max(vertices, axis=0) - jnp.min(vertices, axis=0))
    places = vertices + margin * size * triangles.vertex_normals(vertices, jnp.asarray(mesh.faces))
    return dataclasses.replace(mesh, vertices=np.asarray(places), normals=None)


def _made(proxy: Proxy, path: str, train: PosedImages, texture: int, faces: float, noise: float) -> Mesh:
    if proxy == 'points':
        if path:
            raise checks.InputError(f'--mesh: got {path} with --proxy=points, expected one of them')
        points = subject_points(train)
        return proxies.surface_of_points(points, reach=_reach(len(points)), faces=_FACES, resolution=texture)
    mesh = placed(path, train.scene_from_source) if path else remesh.decimate(hull(train), _FACES)
    if proxy in ('sphere', 'box'):
        used = np.asarray(mesh.vertices)[np.unique(np.asarray(mesh.faces))]
        low, high = used.min(0), used.max(0)
        margin = _MARGIN * (high - low)
        corners = low - margin, high + margin
        if proxy == 'sphere':
            return proxies.sphere_about(*corners, cells=_CELLS, resolution=texture)
        return proxies.box_about(*corners, resolution=texture)
    if proxy == 'coarse':
        count = max(4, round(faces * len(mesh.faces)))
        return proxies.roughened(jax.random.key(0), mesh, faces=count, noise=noise, resolution=texture)
    if mesh.uvs is None:
        return remesh.unwrap(mesh, resolution=texture)
    if shared := atlas.check(mesh, side=texture):
        app.say(f'{path}: {shared:.0%} of the texels in use belong to several faces, whose places will look alike')
    return atlas.packed(mesh)


def placed(path: str, scene_from_source: np.ndarray) -> Mesh:
    """A mesh file in the world of the cameras, without normals of its own.

    Args:
        path: of the file.
        scene_from_source: [4 4] of the cameras, see `neurend.data.posed.PosedImages`.

    Raises:
        InputError: it cannot be read.
    """
    mesh = mesh_files.read(path)
    vertices = transforms.apply(jnp.asarray(scene_from_source, jnp.float32), jnp.asarray(mesh.vertices))
    return dataclasses.replace(mesh, vertices=np.asarray(vertices), normals=None)


def in_source(mesh: Mesh, scene_from_source: np.ndarray) -> Mesh:
    """A mesh of the cameras' world in that of the scene's files, without normals of its own; undoes `placed`."""
    back = jnp.asarray(np.linalg.inv(np.asarray(scene_from_source, np.float64)), jnp.float32)
    return dataclasses.replace(
        mesh, vertices=np.asarray(transforms.apply(back, jnp.asarray(mesh.vertices))), normals=None
    )


def hull(train: PosedImages) -> Mesh:
    """The visual hull of the training images, without UVs.

    Raises:
        InputError: images with neither masks nor alpha.
    """
    foreground = _foreground(train)
    if foreground is None:
        raise checks.InputError(
            'the images have neither masks nor alpha to make a hull of, expected one of them, or a --mesh'
        )
    radius = (train.far - train.near) / 2
    return proxies.hull_surface(train.cameras, foreground, radius=radius, nearest=train.near)


def subject_points(train: PosedImages) -> np.ndarray:
    """The capture's points [m 3] of what is learned: on no known background, and without stray ones.

    Raises:
        InputError: there are none.
    """
    if train.points is None or not len(train.points):
        raise checks.InputError(
            '--proxy=points: the capture has no points of structure from motion, expected a COLMAP model; give a '
            '--mesh, or leave it out for the hull of masks'
        )
    points, foreground = train.points, _foreground(train)
    if foreground is not None:
        wrong = _OFF * (train.far - train.near)
        carver = carving.Carver(train.cameras, foreground, radius=wrong, nearest=train.near)
        points = points[carver.occupied(points, wrong)]
        if not len(points):
            raise checks.InputError(
                f'--proxy=points: none of {len(train.points)} points is on all masks; check poses and masks'
            )
    low, high = np.quantile(points, (_STRAY, 1 - _STRAY), axis=0)
    wide = _SPARE * (high - low)
    return points[((points >= low - wide) & (points <= high + wide)).all(-1)]


def _reach(count: int) -> int:
    """How far points are from each other on a surface, in cells, and as much again."""
    return int(np.clip(np.ceil(250 / np.sqrt(count)), 3, 12))


def _foreground(train: PosedImages) -> list[np.ndarray] | None:
    """Where images show the subject, if they say so."""
    if train.masks is None and not all(image.shape[-1] == 4 for image in train.images):
        return None
    return [mask > 0 for mask in train.masks or [image[..., 3] for image in train.images]]


def name(proxy: Proxy, path: str) -> str:
    """Of the mesh, for tables."""
    if proxy == 'points':
        return 'surface of points of structure from motion'
    base = Path(path).name if path else 'visual hull'
    return base if proxy == 'mesh' else f'{proxy}, of {base}'
