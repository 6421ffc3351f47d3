"""Copies of a mesh inside each other, with a texture for each, and how what they show is put together.

A mesh that is wrong shows each photograph the wrong place of its texture. Between two shells lies the right one: which
of them is opaque, and where, is learned with the texture, as in multi-plane images. Shells of learned thickness about
a surface: Wang et al., "Adaptive shells for efficient neural radiance field rendering" (2023).
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import triangles
from neurend.models.neural_texture.config import ShellConfig
from neurend.scenes.meshes import Mesh
from neurend.typing import Array


def fits(mesh: Mesh) -> bool:
    """Whether there are UVs, all in [0, 1], so that textures of shells can lie above each other."""
    uvs = np.zeros((0, 2)) if mesh.uvs is None else np.asarray(mesh.uvs)
    return len(uvs) > 0 and bool(((uvs >= 0) & (uvs <= 1)).all())


def stacked(mesh: Mesh, count: int) -> Mesh:
    """The faces of `count` copies of a mesh, whose textures lie above each other in one of `count` times the height.

    Vertices are those of the mesh, `count` times; `places` moves them.

    Raises:
        InputError: UVs that lie beyond [0, 1], which repeat the texture, in more than one copy.
    """
    if count == 1:
        return mesh
    faces, uvs, uv_faces = (np.asarray(each) for each in (mesh.faces, mesh.uvs, mesh.uv_faces))
    if not fits(mesh):
        raise checks.InputError(
            f'mesh.uvs: got {uvs.min():.3g} to {uvs.max():.3g}, expected [0, 1] for several shells, whose textures lie '
            'side by side. Lay the mesh out anew with scenes.remesh.unwrap'
        )
    vertices = np.asarray(mesh.vertices)
    parts = [(np.stack([uvs[:, 0], (k + uvs[:, 1]) / count], axis=-1)) for k in range(count)]
    return Mesh(
        np.tile(vertices, (count, 1)),
        np.concatenate([np.where(faces < 0, faces, faces + k * len(vertices)) for k in range(count)]),
        uvs=np.concatenate(parts).astype(np.float32),
        uv_faces=np.concatenate([np.where(uv_faces < 0, uv_faces, uv_faces + k * len(uvs)) for k in range(count)]),
    )


def places(config: ShellConfig, vertices: Array, faces: Array) -> Array:
    """Where the shells' vertices are [count V 3], flattened to [count * V 3], the mesh's own first."""
    if config.count == 1:
        return vertices
    low, high = jnp.min(vertices, axis=0), jnp.max(vertices, axis=0)
    if config.shape == 'center':
        inwards = ((low + high) / 2)[None] - vertices
    else:
        inwards = -jnp.linalg.norm(high - low) * triangles.vertex_normals(vertices, faces)
    steps = jnp.linspace(0, config.depth, config.count)[:, None, None]
    return (vertices[None] + steps * inwards[None]).reshape(-1, 3)


def moved(config: ShellConfig, mesh: Mesh) -> Mesh:
    """All shells of a mesh where they lie, for files; the errors are those of `stacked`."""
    vertices = places(config, jnp.asarray(mesh.vertices), jnp.asarray(mesh.faces))
    return dataclasses.replace(stacked(mesh, config.count), vertices=np.asarray(vertices), normals=None)


def weights(alphas: Sequence[Array]) -> tuple[list[Array], Array]:
    """How much is seen of each of several layers in front of each other, and how opaque they are together.

    Args:
        alphas: of the layers, nearest first, in [0, 1].
    """
    through, found = jnp.ones_like(alphas[0]), []
    for alpha in alphas:
        found.append(through * alpha)
        through = through * (1 - alpha)
    return found, 1 - through


def weighted(weights: Sequence[Array], values: Sequence[Array]) -> Array:
    """The sum of values times their weights."""
    return functools.reduce(jnp.add, (weight * value for weight, value in zip(weights, values)))
