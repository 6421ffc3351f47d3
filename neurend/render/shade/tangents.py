"""Normal maps: frames of tangents along the UVs of a mesh, and normals that a texture turns within them."""

import jax.numpy as jnp

from neurend import checks
from neurend.geometry import triangles
from neurend.geometry.leading import align, floating
from neurend.numerics import normalize, safe_norm, unstack
from neurend.render.shade.vectors import cross, dot, scaled, unit
from neurend.typing import Array


def tangents(vertices: Array, faces: Array, uvs: Array, uv_faces: Array) -> Array:
    """Tangents of a mesh at its UVs, in the direction in which u grows (Lengyel, 2001).

    They belong to UVs and not to vertices, so that they break where the texture does. Interpolate them with
    `texture.interpolate(tangents, uv_faces, fragments)`.

    Args:
        vertices: [V 3].
        faces: int32 [F 3], -1 in padding.
        uvs: [T 2].
        uv_faces: int32 [F 3] into `uvs`, -1 where a face has none.

    Returns:
        [T 4]: the mean over the faces at each UV, weighted by area, a unit vector; and as in glTF 1, or -1 where the
        texture is mirrored (what larger faces say, where faces that share a UV disagree). Zeros where no face has an
        area, in space and in the texture.
    """
    vertices, uvs, uv_faces = floating(vertices), floating(uvs), jnp.asarray(uv_faces)
    checks.shape('uvs', uvs, 't 2')
    sizes = checks.shape('faces', faces, 'f 3')
    checks.shape('uv_faces', uv_faces, 'f 3', 'Give one for every face', sizes=sizes)
    a, b, c = jnp.moveaxis(triangles.corners(vertices, faces), 1, 0)
    (ua, va), (ub, vb), (uc, vc) = (unstack(corner) for corner in jnp.moveaxis(triangles.corners(uvs, uv_faces), 1, 0))
    turn = (ub - ua) * (vc - va) - (uc - ua) * (vb - va)
    mirrored = jnp.sign(turn)
    along = normalize((b - a) * (mirrored * (vc - va))[:, None] - (c - a) * (mirrored * (vb - va))[:, None])
    area = safe_norm(jnp.cross(b - a, c - a))
    weighted = jnp.concatenate([along, mirrored[:, None]], axis=-1) * area[:, None]
    count = uvs.shape[0]
    total = jnp.zeros((count + 1, 4), weighted.dtype)
    for k in range(3):
        total = total.at[jnp.where(uv_faces[:, k] >= 0, uv_faces[:, k], count)].add(weighted, mode='drop')
    return jnp.concatenate([normalize(total[:-1, :3]), jnp.sign(total[:-1, 3:])], axis=-1)


def perturb(normals: Array, tangents: Array, texels: Array, *, strength: Array | float = 1.0) -> Array:
    """Normals as a tangent-space normal map says.

    Args:
        normals: [... 3] unit.
        tangents: [... 4] as of `tangents`, interpolated: need be neither unit nor at right angles to the normals. Where
            they are zero the normal stays.
        texels: [... 3] of the map in [0, 1], as they are in the file: 0.5 is 0; red is the part along u, green that
            along v (upwards in the texture, as in OpenGL and glTF), blue that along the normal.
        strength: what the parts along u and v are multiplied by.

    Returns:
        [... 3] unit.
    """
    tangents, texels = floating(tangents), floating(texels)
    checks.shape('tangents', tangents, '... 4', 'Give tangents and the sign of the third axis')
    checks.shape('texels', texels, '... 3')
    normals, texels, along, sign, strength = align(
        (floating(normals), 1), (texels, 1), (tangents[..., :3], 1), (tangents[..., 3], 0), (floating(strength), 0)
    )
    first = unit(along - scaled(normals, dot(along, normals)))[0]
    second = scaled(cross(normals, first), jnp.sign(sign))
    x, y, z = (2 * plane - 1 for plane in unstack(texels))
    flat = dot(first, first) == 0
    total = scaled(first, strength * x) + scaled(second, strength * y) + scaled(normals, jnp.where(flat, 1, z))
    return unit(total)[0]
