"""Triangle meshes: arrays that the rasterizer and the shaders take, padded so that meshes of any size batch."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks


@flax.struct.dataclass
class Material:
    """How a part of a surface looks, in the metallic-roughness model.

    Attributes:
        name: of the material.
        color: [3] linear base colour in [0, 1], which multiplies the texture.
        metallic, roughness: in [0, 1].
        texture: float [h w 3] base colour in [0, 1], sRGB-encoded, row 0 at the top; None for none. A fourth channel is
            opacity, which files keep and nothing here draws.
    """

    color: Any
    metallic: Any
    roughness: Any
    texture: Any = None
    name: str = flax.struct.field(pytree_node=False, default='')


@flax.struct.dataclass
class Mesh:
    """A triangle mesh, counter-clockwise seen from outside, in a right-handed world.

    UVs have indices of their own, so that a vertex at a seam stays one vertex, and neighbours know each other. Leading
    dims, if any, are shared by all arrays.

    Attributes:
        vertices: float [V 3].
        faces: int32 [F 3], -1 in padding.
        uvs: float [T 2], (0, 0) at the bottom left of the texture; None for none.
        uv_faces: int32 [F 3] into `uvs`, -1 where a face has none; None for none.
        normals: float [V 3] unit; None where they follow from the faces.
        colors: float [V 3] linear, in [0, 1]; None for none.
        material: int32 [F] into `materials`; None where there is at most one.
        materials: by their number.
    """

    vertices: Any
    faces: Any
    uvs: Any = None
    uv_faces: Any = None
    normals: Any = None
    colors: Any = None
    material: Any = None
    materials: tuple[Material, ...] = ()


def check(mesh: Mesh) -> Mesh:
    """Returns the mesh if it is sound, on the host: renderers leave out what is not, and say nothing.

    Raises:
        InputError: shapes that do not fit, vertices that are not finite, indices out of range or no integers.
    """
    sizes = checks.shape('mesh.vertices', mesh.vertices, 'V 3')
    sizes = checks.shape('mesh.faces', mesh.faces, 'F 3', sizes=sizes)
    if not np.issubdtype(np.asarray(mesh.faces).dtype, np.integer):
        raise checks.InputError(f'mesh.faces: got {np.asarray(mesh.faces).dtype}, expected integers')
    checks.finite('mesh.vertices', mesh.vertices, 'Remove these vertices and the faces that use them')
    _in_range('mesh.faces', mesh.faces, sizes['V'], 'vertices')
    if (mesh.uvs is None) != (mesh.uv_faces is None):
        raise checks.InputError('mesh.uvs, mesh.uv_faces: got one of them, expected both or neither')
    if mesh.uvs is not None:
        sizes |= checks.shape('mesh.uvs', mesh.uvs, 'T 2')
        checks.shape('mesh.uv_faces', mesh.uv_faces, 'F 3', 'Give one for every face', sizes=sizes)
        checks.finite('mesh.uvs', mesh.uvs)
        _in_range('mesh.uv_faces', mesh.uv_faces, sizes['T'], 'UVs')
    for name in ('normals', 'colors'):
        if getattr(mesh, name) is not None:
            checks.shape(f'mesh.{name}', getattr(mesh, name), 'V 3', sizes={'V': sizes['V']})
    if mesh.material is not None:
        checks.shape('mesh.material', mesh.material, 'F', sizes={'F': sizes['F']})
        _in_range('mesh.material', mesh.material, len(mesh.materials), 'materials')
    return mesh


def pad(mesh: Mesh, vertices: int, faces: int, uvs: int = 0) -> Mesh:
    """Gives a mesh fixed sizes (NumPy): vertices that no face uses, and faces of -1, which no renderer draws.

    Args:
        mesh: without leading dims.
        vertices, faces, uvs: numbers to reach.

    Raises:
        InputError: the mesh is larger.

    >>> small = Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]]))
    >>> pad(small, 5, 2).faces.tolist()
    [[0, 1, 2], [-1, -1, -1]]
    """
    wanted = {'vertices': vertices, 'normals': vertices, 'colors': vertices, 'uvs': uvs}
    wanted |= {'faces': faces, 'uv_faces': faces, 'material': faces}
    changes = {}
    for name, count in wanted.items():
        array = getattr(mesh, name)
        if array is None:
            continue
        missing = count - len(array)
        if missing < 0:
            raise checks.InputError(f'mesh.{name}: got {len(array)}, expected at most {count}, the size to pad to')
        fill = -1 if name.endswith('faces') else 0
        widths = ((0, missing), *((0, 0),) * (np.ndim(array) - 1))
        changes[name] = np.pad(np.asarray(array), widths, constant_values=fill)
    return dataclasses.replace(mesh, **changes)


def stack(meshes: Sequence[Mesh]) -> Mesh:
    """Meshes of any sizes as one with a leading dim, padded to the largest; all have the same arrays, no materials."""
    if not meshes:
        raise checks.InputError('meshes: got none, expected at least one')
    bare = [dataclasses.replace(mesh, material=None, materials=()) for mesh in meshes]
    if len({jax.tree.structure(mesh) for mesh in bare}) > 1:
        raise checks.InputError('meshes: got some with UVs, normals or colours and some without, expected all alike')
    sizes = [(len(m.vertices), len(m.faces), 0 if m.uvs is None else len(m.uvs)) for m in bare]
    largest = [max(size) for size in zip(*sizes)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *(pad(mesh, *largest) for mesh in bare))


def join(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of several, which hide each other when they are drawn together; positions and faces only.

    Faces of the k-th begin where those of the ones before end.
    """
    counts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    vertices = jnp.concatenate([mesh.vertices for mesh in meshes])
    faces = [jnp.where(mesh.faces < 0, -1, mesh.faces + begin) for mesh, begin in zip(meshes, counts)]
    return Mesh(vertices, jnp.concatenate(faces))


def _in_range(name: str, indices: Any, count: int, of: str) -> None:
    values = np.asarray(indices)
    bad = np.argwhere((values < -1) | (values >= count))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise checks.InputError(
            f'{name}: got {int(values[index])} at {index}, expected 0 to {count - 1}, since there are {count} {of} '
            '(-1 pads)'
        )
