"""Pictures of a tracked face for a generator to finish: colour, correspondence, normals, depth, gaze; landmarks.

After Kim et al., "Deep Video Portraits" (2018), whose conditions are a colour rendering, the coordinates of the mean
face as colours, and a picture of the eyes. Normals and depth are as for bodies in Liu et al. (2019).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import cameras, clip, transforms, triangles
from neurend.geometry.cameras import Camera
from neurend.models.reenactment import limb_maps
from neurend.numerics import normalize
from neurend.render import rasterize, texture
from neurend.typing import Array

CHANNELS = 11
"""Of `mesh_condition`: colour 3, code 3, normal 3, depth 1, gaze 1."""


class Surface(NamedTuple):
    """What does not change about a face's mesh from frame to frame.

    Attributes:
        faces: int32 [f 3].
        uvs: [v 2].
        code: [v 3] in [0, 1], what tells each point of the face from others.
        gaze: [v], 1 on the white of the eyes, 0.5 on the iris and 0 elsewhere.
    """

    faces: Array
    uvs: Array
    code: Array
    gaze: Array


class FaceMaps(NamedTuple):
    """A rendered face; zeros, and a normal of zeros, where it is not.

    Attributes:
        mask: bool [h w], where the face is.
        uv: [h w 2], and its change per pixel `uv_change` [h w 2 2].
        code: [h w 3] in [0, 1].
        normal: [h w 3] unit, in the camera's axes.
        depth: [h w], along the camera's axis.
        gaze: [h w] in [0, 1].
    """

    mask: Array
    uv: Array
    uv_change: Array
    code: Array
    normal: Array
    depth: Array
    gaze: Array


def surface(
    vertices: np.ndarray, faces: np.ndarray, uvs: np.ndarray, *, white: np.ndarray, iris: np.ndarray
) -> Surface:
    """The surface of a face.

    Args:
        vertices: [v 3] without expression, whose positions are the code, scaled to [0, 1] by the box around them.
        faces: int32 [f 3].
        uvs: [v 2].
        white, iris: bool [v], which vertices belong to the white of the eyes and to the iris.
    """
    low, high = vertices.min(0, keepdims=True), vertices.max(0, keepdims=True)
    code = ((vertices - low) / np.maximum(high - low, 1e-12)).astype(np.float32)
    gaze = white + np.float32(0.5) * iris
    return Surface(*map(jnp.asarray, (faces, uvs, code, gaze)))


def face_maps(surface: Surface, camera: Camera, points: Array, *, width: int, height: int) -> FaceMaps:
    """Renders a face.

    Args:
        surface: of the face.
        camera: pinhole, one.
        points: [v 3] in the world.
        width, height: of the picture, which the camera's intrinsics belong to.
    """
    faces, uvs = surface.faces, surface.uvs
    found = rasterize.rasterize(clip.from_camera(camera, points), faces, width=width, height=height)
    _, depth = cameras.project(camera, points)
    normals = transforms.rotate_back(camera.world_from_camera, triangles.vertex_normals(points, faces))
    values = jnp.concatenate([uvs, surface.code, normals, depth[:, None], surface.gaze[:, None]], axis=-1)
    uv, code, normal, depth, gaze = jnp.split(texture.interpolate(values, faces, found), (2, 5, 8, 9), axis=-1)
    change = texture.interpolate_derivatives(uvs, faces, found)
    return FaceMaps(found.face >= 0, uv, change, code, normalize(normal), depth[..., 0], gaze[..., 0])


def mesh_condition(maps: FaceMaps, levels: list[Array], background: Array, depths: tuple[float, float]) -> Array:
    """The condition of one frame, [h w 11] in [0, 1], in the order of `CHANNELS`.

    The colour is the texture, unlit, over the background; the code is 0 there; normals are (n + 1) / 2; depth falls
    from 1 where it is nearest to 0, which the background has too.

    Args:
        maps: of `face_maps`.
        levels: pyramid of the face's texture (`texture.pyramid`), e.g. of its mean over frames.
        background: [h w 3] in [0, 1]: what is known to be behind the face, or zeros.
        depths: (nearest, farthest), the same for all frames.
    """
    shown = maps.mask[..., None]
    color = jnp.where(shown, texture.trilinear(levels, maps.uv, maps.uv_change), background)
    near, far = depths
    depth = jnp.where(maps.mask, (far - maps.depth) / (far - near), 0.0)[..., None]
    return jnp.clip(jnp.concatenate([color, maps.code, (maps.normal + 1) / 2, depth, maps.gaze[..., None]], -1), 0, 1)


def landmark_condition(points: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The lines through 68 landmarks [68 2], in pixels, white on the background uint8 [h w 3]; uint8 [h w 3]."""
    checks.shape('points', points, '68 2', "Give x and y of iBUG's landmarks")
    sizes = checks.shape('background', background, 'h w 3')
    width, height = sizes['w'], sizes['h']
    face = np.concatenate([points, np.ones((68, 1))], axis=-1)
    edges = limb_maps.face_edges(face, width, height, frame=(width, height))
    return np.where(edges > 0, np.uint8(255), background)
