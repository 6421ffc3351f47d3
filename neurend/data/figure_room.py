"""The still room that the procedural figure is seen in, and the camera that sees it."""

import colorsys

import numpy as np
from PIL import Image

CAMERA_HEIGHT = 1.12
"""Of the camera above the floor, in metres; it looks level, along +z."""
FOCAL = 1.56
"""In widths of the picture."""
_WALL = 6.4


def project(points: np.ndarray, size: int) -> np.ndarray:
    """Pixels (x, y) and depth `[... 3]` of world points `[... 3]` in a picture `size` wide and high."""
    depth = points[..., 2:]
    return np.concatenate([size * (0.5 + FOCAL * points[..., :2] / depth), depth], axis=-1)


def unproject(pixels: np.ndarray, size: int) -> np.ndarray:
    """World points `[... 3]` of pixels (x, y) and depth `[... 3]`: the inverse of `project`."""
    depth = pixels[..., 2:]
    return np.concatenate([(pixels[..., :2] / size - 0.5) * depth / FOCAL, depth], axis=-1)


def draw(size: int, seed: int) -> np.ndarray:
    """The empty room as float32 `[size size 3]`, sRGB in [0, 1]; colours and furniture depend on the seed."""
    rng = np.random.default_rng((seed, 7))
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    wall_x, wall_y = (
        x * _WALL / FOCAL,
        CAMERA_HEIGHT - y * _WALL / FOCAL,
    )  # metres, from the camera's axis and the floor
    depth = FOCAL * CAMERA_HEIGHT / np.maximum(y, 1e-3)
    rgb = np.where((wall_y > 0)[..., None], _wall(wall_x, wall_y, rng), _floor(x * depth / FOCAL, depth, rng))
    shade = 1.02 - 0.35 * x**2 - 0.25 * np.maximum(-y, 0) ** 2 - 0.22 * np.exp(-np.abs(wall_y) / 0.12)
    grain = 0.03 * (_noise(rng, size, 48) - 0.5) + 0.05 * (_noise(rng, size, 9) - 0.5)
    return np.clip(rgb * shade[..., None] + grain[..., None], 0, 1).astype(np.float32)


def shadow(rgb: np.ndarray, feet: np.ndarray, radius: float) -> None:
    """Darkens the floor in place around points `[n 3]` (pixels and depth, as projected) with a soft ellipse each.

    Args:
        rgb: `[h w 3]`, as large as `feet` were projected for.
        feet: on the floor.
        radius: in metres; where a third of the darkness is left.
    """
    size = len(rgb)
    for u, v, depth in feet:
        across, down = FOCAL * size * radius / depth, FOCAL * size * radius * CAMERA_HEIGHT / depth**2
        left, right = np.clip([int(u - 2.2 * across), int(u + 2.2 * across) + 1], 0, size)
        top, bottom = np.clip([int(v - 2.2 * down), int(v + 2.2 * down) + 1], 0, size)
        y, x = np.arange(top, bottom)[:, None] + 0.5, np.arange(left, right)[None] + 0.5
        dark = np.maximum(np.exp(-(((x - u) / across) ** 2) - ((y - v) / down) ** 2) - 0.008, 0)
        rgb[top:bottom, left:right] *= (1 - 0.45 * dark).astype(np.float32)[..., None]


def _wall(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    hue = rng.random()
    paper, motif, frame, sea = (np.array(colorsys.hsv_to_rgb(h % 1, s, v)) for h, s, v in (
        (hue, 0.16, 0.82), (hue, 0.26, 0.68), (hue + 0.45, 0.5, 0.35), (hue + 0.55, 0.55, 0.65),
    ))  # fmt: skip
    rgb = paper + (motif - paper) * (0.5 + 0.5 * np.tanh(6 * np.sin(x * 2 * np.pi / 0.42)))[..., None]
    dots = np.cos(x * 4 * np.pi / 0.42) * np.cos(y * 4 * np.pi / 0.42)
    rgb = rgb + (0.13 * (dots > 0.8))[..., None]
    side = rng.choice([-1, 1])
    across, up = x - side * rng.uniform(1.0, 1.3), y - rng.uniform(1.75, 2.0)
    outside = np.maximum(np.abs(across) / 0.42, np.abs(up) / 0.32)
    hills = up < 0.08 * np.sin(9 * across) - 0.04
    picture = np.where(hills[..., None], np.array([0.3, 0.45, 0.25]), sea + 0.3 * (up / 0.3)[..., None])
    rgb = np.where((outside < 1)[..., None], picture, rgb)
    rgb = np.where(((outside >= 1) & (outside < 1.17))[..., None], frame, rgb)
    return np.where(
        (y < 0.14)[..., None], np.array([0.9, 0.88, 0.84]) - 0.25 * (np.abs(y - 0.12) < 0.012)[..., None], rgb
    )


def _floor(x: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    plank = np.floor(x / 0.19).astype(int)
    shift, tone = rng.uniform(0, 1.6, 512), rng.uniform(0.8, 1.12, 512)
    board = np.floor((depth + shift[plank % 512]) / 1.6).astype(int)
    grain = 0.05 * np.sin(x * 130 + 3 * np.sin(depth * 4 + plank)) * (depth < 5)
    gap = (np.abs(x / 0.19 - np.round(x / 0.19)) < 0.03) * 0.3
    wood = np.array(colorsys.hsv_to_rgb(rng.uniform(0.06, 0.09), 0.5, 0.62))
    return wood * (tone[(7 * plank + 31 * board) % 512] + grain - gap)[..., None]


def _noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise in [0, 1]."""
    coarse = Image.fromarray(rng.random((cells, cells), np.float32))
    return np.clip(np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)), 0, 1)
