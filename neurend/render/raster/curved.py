"""Divided triangles through lenses that bend straight lines: where their corners lie in the picture, and which show."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import cameras, distortion
from neurend.geometry.cameras import Camera
from neurend.numerics import normalize, safe_divide, safe_norm
from neurend.typing import Array

# At each pole of an equirectangular camera so many triangles are drawn, the nearest ones.
_CAPS = 16


class Picture(NamedTuple):
    """The part of a camera's image that is drawn: its first pixel (x, y), int32 [2], and its size (width, height)."""

    corner: Array
    size: tuple[int, int]


class Sheet(NamedTuple):
    """Points seen through a lens, before it is known which triangles they belong to.

    Attributes:
        local: [n 3] in the camera's frame.
        pixels: [n 2]; of equirectangular cameras less than half a turn from the picture's middle.
        depth: [n] parameter t of the ray to the point; where an opencv camera shows nothing, something positive.
        period: [] pixels to a full turn (equirectangular).
    """

    local: Array
    pixels: Array
    depth: Array
    period: Array


def sheet(camera: Camera, local: Array, picture: Picture) -> Sheet:
    """Projects points [n 3] of the camera's frame.

    Where a lens with distortion shows nothing, places go on outwards up to the angle pi, so that triangles that reach
    there are drawn as far as it shows them.
    """
    own = dataclasses.replace(camera, world_from_camera=jnp.eye(4, dtype=local.dtype))
    distance = safe_norm(local)
    period = 2 * jnp.pi * camera.focal[0]
    if camera.model == 'equirectangular':
        pixels, _ = cameras.project(own, local)
        middle = picture.corner[0].astype(local.dtype) + picture.size[0] / 2
        turned = jnp.mod(pixels[:, 0] - middle + period / 2, period) + middle - period / 2
        return Sheet(local, jnp.stack([turned, pixels[:, 1]], axis=-1), distance, period)
    last = last_angle(camera, picture)
    angle = jnp.arctan2(safe_norm(local[:, :2]), jnp.where(distance > 0, local[:, 2], 1))
    over = (angle - last)[:, None]

    def at(last: Array) -> Array:
        rim = [normalize(local[:, :2]) * jnp.sin(last), jnp.broadcast_to(jnp.cos(last), (len(local), 1))]
        return cameras.project(own, jnp.where(over > 0, jnp.concatenate(rim, axis=-1), local))[0]

    pixels, slope = jax.jvp(at, (last,), (jnp.ones_like(last),))
    # On without a kink, and outwards where the image stops growing.
    farther = pixels + over * slope + over**2 * (pixels - camera.center[None])
    if camera.model == 'opencv':
        distance = jnp.where(over[:, 0] > 0, distance * jnp.cos(last), local[:, 2])
    return Sheet(local, jnp.where(over > 0, farther, pixels), distance, period)


def last_angle(camera: Camera, picture: Picture | None = None) -> Array:
    """[] angle from the axis up to which a lens with distortion shows anything, or a little more than the picture does.

    Without gradient.
    """
    fisheye = camera.model == 'fisheye'
    if fisheye or picture is None:
        return distortion.last_angle(camera.distortion, fisheye=fisheye)
    start = picture.corner.astype(camera.center.dtype) - camera.center
    farthest = jnp.maximum(jnp.abs(start), jnp.abs(start + jnp.array(picture.size, start.dtype))) / camera.focal
    return distortion.last_angle(camera.distortion, fisheye=False, radius=1.25 * safe_norm(farthest))


def shown(camera: Camera, pixels: Array, directions: Array) -> Array:
    """Whether a lens with distortion shows anything at pixels [H W 2]: whether their rays project there again.

    `directions` [H W 3] are those of the rays.
    """
    axis, origin = (camera.world_from_camera[None, None, :3, k] for k in (2, 3))
    again, _ = cameras.project(camera, origin + directions)
    cosine = safe_divide(jnp.sum(directions * axis, axis=-1), safe_norm(directions))
    return (jnp.max(jnp.abs(again - pixels), axis=-1) < 0.05) & (cosine > jnp.cos(last_angle(camera)) - 1e-6)


def homogeneous(camera: Camera, sheet: Sheet) -> Array:
    """Homogeneous pixels [n 4]; of panoramas [3 n 4]: a turn to the left, in place, a turn to the right."""
    x, y = sheet.pixels[:, 0], sheet.pixels[:, 1]
    turns = (-1, 0, 1) if camera.model == 'equirectangular' else (0,)
    shifted = [_lifted(x + turn * sheet.period, y, sheet.depth) for turn in turns]
    return jnp.concatenate(shifted)


def drawn(camera: Camera, sheet: Sheet, rows: Array, corners: int) -> Array:
    """Which triangles or edges are drawn, as rows into `homogeneous`; of equirectangular cameras twice as many.

    Args:
        camera: not a pinhole or an orthographic one.
        sheet: of all points.
        rows: int32 [m k] into the points, -1 for none.
        corners: the first so many columns are drawn, others (third vertices of edges) only follow them.

    Returns:
        int32 [m k] or, first as they lie and then as they come in again at the picture's other end, [2 m k].
    """
    chosen = jnp.maximum(rows, 0)
    if camera.model == 'equirectangular':
        x = sheet.pixels[:, 0][chosen]
        turns = _turns(x[:, :1], x, sheet.period)
        again = turns - jnp.sign(jnp.sum(turns[:, :corners], axis=1, keepdims=True))
        around = _around(x, sheet.period) if corners == 3 else 0
        whole = (rows[:, :corners] >= 0).all(-1) & (around == 0)
        count = len(sheet.local)
        first = jnp.where(whole[:, None] & (rows >= 0), chosen + count * (turns + 1), -1)
        other = jnp.where((turns[:, :corners] == again[:, :corners]).all(-1)[:, None], -1, first)
        other = jnp.where(other >= 0, chosen + count * (jnp.clip(again, -1, 1) + 1), -1)
        return jnp.concatenate([first, other])
    # Straight in the picture, an edge that passes behind the camera from one side to the other would pass before it.
    across, behind = sheet.local[:, :2][chosen[:, :corners]], (sheet.local[:, 2] < 0)[chosen[:, :corners]]
    lost = behind.all(-1) if camera.model == 'opencv' else jnp.zeros(len(rows), bool)
    for k in range(corners):
        other = (k + 1) % corners
        opposed = jnp.sum(across[:, k] * across[:, other], axis=-1) < 0
        lost = lost | (opposed & (behind[:, k] | behind[:, other]))
    return jnp.where(lost[:, None], -1, rows)


def caps(camera: Camera, sheet: Sheet, rows: Array) -> tuple[Array, Array, Array]:
    """Triangles that hold a pole of an equirectangular camera: everything between their edges and the picture's border.

    Args:
        camera: equirectangular.
        sheet: of all points.
        rows: int32 [m 3] into the points, -1 for none.

    Returns:
        Homogeneous pixels [v 4], triangles int32 [t 3] into them and which row each of them is part of, [t].
    """
    corners = jnp.maximum(rows, 0)
    around = _around(sheet.pixels[:, 0][corners], sheet.period)
    nearness = -jnp.sum(sheet.depth[corners], axis=-1)
    nearness = jnp.where((around != 0) & (rows >= 0).all(-1) & jnp.isfinite(nearness), nearness, -jnp.inf)
    ranked, chosen = jax.lax.top_k(nearness, min(2 * _CAPS, len(rows)))
    corners, around = corners[chosen], around[chosen]
    local, (x, y) = sheet.local[corners], jnp.moveaxis(sheet.pixels[corners], -1, 0)
    period = sheet.period
    # Round the pole, back to the first corner a turn farther on.
    x = jnp.concatenate([x, x[:, :1]], axis=1)
    turns = jnp.cumsum(_turns(x[:, :-1], x[:, 1:], period), axis=1)
    x = x.at[:, 1:].add(turns * period)
    y, depth = (jnp.concatenate([part, part[:, :1]], axis=1) for part in (y, sheet.depth[corners]))
    normal = jnp.cross(local[:, 1] - local[:, 0], local[:, 2] - local[:, 0])
    pole = safe_divide(jnp.sum(normal * local[:, 0], axis=-1), normal[:, 1])[:, None]
    border = camera.center[1] + jnp.sign(pole) * (jnp.pi / 2) * camera.focal[1]
    x, y = jnp.concatenate([x, x], axis=1), jnp.concatenate([y, jnp.broadcast_to(border, y.shape)], axis=1)
    depth = jnp.concatenate([depth, jnp.broadcast_to(jnp.abs(pole), depth.shape)], axis=1)
    vertices = [_lifted(x + shift * period, y, depth) for shift in (0, -around[:, None])]
    pattern = np.array([[k, k + 1, 5 + k] for k in range(3)] + [[k, 5 + k, 4 + k] for k in range(3)])
    count = len(chosen)
    index = np.arange(2 * count).reshape(2, count, 1, 1) * 8 + pattern
    found = jnp.where((ranked > -jnp.inf)[None, :, None, None], index, -1).astype(jnp.int32)
    parents = jnp.broadcast_to(chosen[None, :, None], found.shape[:-1]).astype(jnp.int32)
    return jnp.concatenate(vertices).reshape(-1, 4), found.reshape(-1, 3), parents.reshape(-1)


def _lifted(x: Array, y: Array, w: Array) -> Array:
    return jnp.stack([x * w, y * w, -jnp.ones_like(w), w], axis=-1)


def _turns(start: Array, end: Array, period: Array) -> Array:
    """How many turns, -1 to 1, bring `end` nearest to `start`; the reverse of those from end to start."""
    step = end - start
    return (step < -period / 2).astype(jnp.int32) - (step > period / 2).astype(jnp.int32)


def _around(x: Array, period: Array) -> Array:
    """Turns about a pole that triangles with corners at x [m 3] make: 0 unless they hold it, else 1 or -1."""
    return jnp.sum(_turns(x, jnp.roll(x, -1, axis=1), period), axis=1)
