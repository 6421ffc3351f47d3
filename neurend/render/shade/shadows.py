"""Shadow maps (Williams, 1978): what a light sees, drawn from its place, and which surfaces that hides from it.

Shadows have no gradient, neither through the shapes that cast them nor through where they fall.
"""

import flax.struct
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry import cameras, clip, transforms
from neurend.geometry.cameras import Camera
from neurend.geometry.leading import floating
from neurend.numerics import safe_divide, safe_norm, unstack
from neurend.render import texture
from neurend.render.rasterize import rasterize
from neurend.typing import Array


@flax.struct.dataclass
class ShadowMap:
    """What one light sees; `jax.vmap` for more.

    Attributes:
        camera: of the light, pinhole or orthographic.
        depth: [H W] linear in the picture: z, or -1/z in a pinhole camera; infinite where there is nothing.
        slope: [H W 2] its change per pixel to the right and downwards.
    """

    camera: Camera
    depth: Array
    slope: Array


def directional_camera(direction: Array, points: Array, *, side: int) -> Camera:
    """An orthographic camera, square, that sees all of a scene as a directional light does.

    Args:
        direction: [3] towards the light.
        points: [... 3] of the scene, e.g. vertices.
        side: of the picture, in pixels; one of them is left free along the borders.
    """
    points = floating(points).reshape(-1, 3)
    direction = floating(direction)
    checks.shape('direction', direction, '3')
    low, high = points.min(0), points.max(0)
    middle, radius = (low + high) / 2, jnp.maximum(safe_norm(high - low) / 2, 1e-20)
    offset = direction * safe_divide(2 * radius, safe_norm(direction))
    pose = transforms.look_at(middle + offset, middle, jnp.array([0.0, 0.0, 1.0], points.dtype))
    focal = jnp.full(2, side / 2 - 1) / radius
    return cameras.make(pose, focal, size=(side, side), model='orthographic')


def shadow_map(
    camera: Camera, vertices: Array, faces: Array, *, width: int, height: int, near: float = 1e-3
) -> ShadowMap:
    """Draws a mesh as a light sees it.

    Args:
        camera: of the light, without leading dims: pinhole for a spot light or one side of a point light, orthographic
            for a directional light (`directional_camera`).
        vertices: [V 3] in the world.
        faces: int32 [F 3], -1 in padding.
        width, height: of the picture that the camera was made for.
        near: smallest depth that casts a shadow in a pinhole camera.

    Raises:
        InputError: the camera is of another model.
    """
    checks.one_of('camera.model', camera.model, ('pinhole', 'orthographic'))
    vertices = jax.lax.stop_gradient(floating(vertices))
    camera = jax.lax.stop_gradient(camera)
    fragments = rasterize(clip.from_camera(camera, vertices), faces, width=width, height=height, near=near)
    # The fragments' own depth is that of corners moved to the grid of coverage: too coarse where slopes are steep.
    depth = cameras.project(camera, vertices)[1][:, None]
    slope = texture.interpolate_derivatives(depth, faces, fragments)[..., 0, :]
    depth = texture.interpolate(depth, faces, fragments)[..., 0]
    if camera.model == 'pinhole':
        depth = safe_divide(-1.0, depth)
        slope = slope * depth[..., None] ** 2
    return ShadowMap(camera, jnp.where(fragments.face >= 0, depth, jnp.inf), slope)


def visibility(shadows: ShadowMap, positions: Array, *, bias: float = 1e-3, taps: int = 2) -> Array:
    """Which share of a light arrives, by percentage-closer filtering (Reeves et al., 1987).

    Each of several texels says whether what it shows hides a position, and the answers are averaged over a box of
    `taps - 1` texels, between texels too. What a texel shows goes on to the position with the mean of the slopes at
    both, so that lit surfaces, flat or smoothly bent, do not shade themselves, but for where light grazes them.

    Args:
        shadows: of one light.
        positions: [... 3] in the world.
        bias: by how much of depth, in units of the world, positions are taken to be nearer to the light. About half of
            what a texel covers suits bent surfaces; less will do for flat ones.
        taps: how many texels on a side are asked: 2 gives edges as wide as a texel, k as k - 1 of them.

    Returns:
        [...] in [0, 1]; 1 beyond the borders of the map and behind its camera. Without gradient.
    """
    if taps < 2:
        raise checks.InputError(f'taps: got {taps}, expected at least 2')
    known, positions = jax.lax.stop_gradient((shadows, floating(positions)))
    height, width = known.depth.shape
    pixels, distance = cameras.project(known.camera, positions)
    x, y = pixels[..., 0] - 0.5, pixels[..., 1] - 0.5
    near = distance - bias
    inside = (x > -0.5) & (y > -0.5) & (x < width - 0.5) & (y < height - 0.5)
    if known.camera.model == 'pinhole':
        inside &= near > 0
        near = -1 / jnp.where(near > 0, near, 1)
    # Slopes at the positions, of the texels around them that show anything.
    shown = jnp.isfinite(known.depth)
    uv = jnp.stack([pixels[..., 0] / width, 1 - pixels[..., 1] / height], axis=-1)
    *around, share = unstack(
        texture.bilinear(jnp.concatenate([known.slope, shown[..., None]], axis=-1), uv, wrap='clamp')
    )
    around, outside = [safe_divide(slope, share) for slope in around], share == 0
    left, top = jnp.floor(x - (taps - 2) / 2), jnp.floor(y - (taps - 2) / 2)
    shares = [_shares(place - (taps - 2) / 2 - first, taps) for place, first in ((y, top), (x, left))]
    planes = [plane.reshape(-1) for plane in (known.depth, known.slope[..., 0], known.slope[..., 1])]
    hidden = jnp.zeros_like(near)
    for row in range(taps):
        for column in range(taps):
            u, v = jnp.clip(left + column, 0, width - 1), jnp.clip(top + row, 0, height - 1)
            place = (v * width + u).astype(jnp.int32)
            depth, right, down = (plane.at[place].get(mode='promise_in_bounds') for plane in planes)
            # Beyond an outline the texel's own slope has to do.
            slopes = [(own + jnp.where(outside, own, here)) / 2 for own, here in zip((right, down), around)]
            change = slopes[0] * (x - u) + slopes[1] * (y - v)
            hidden = hidden + shares[0][row] * shares[1][column] * (near > depth + change)
    return jnp.where(inside, jnp.maximum(1 - hidden / (taps - 1) ** 2, 0), 1)


def _shares(fraction: Array, taps: int) -> list[Array]:
    """What a box of `taps - 1` texels covers of `taps` ones, when it begins a fraction of a texel into the first."""
    return [1 - fraction, *[jnp.ones_like(fraction)] * (taps - 2), fraction]
