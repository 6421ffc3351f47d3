"""One self-contained HTML page that shows a multi-plane image with parallax, by CSS alone.

The browser places every plane at its depth and draws it in perspective, farthest first. Everything is in the one file,
which asks the network for nothing and forbids the browser to.
"""

import base64
import html
import json
import os
from importlib import resources

import numpy as np

from neurend import checks
from neurend.images import io
from neurend.scenes.planes import Planes


def write(
    path: str | os.PathLike[str],
    planes: Planes,
    *,
    title: str,
    travel: float,
    border: int = 0,
    focus: float | None = None,
    background: str = '#fff',
) -> None:
    """Writes the page.

    Args:
        path: an .html file, in a folder that exists.
        planes: one multi-plane image of colours and opacity, its pixels square.
        title: heading and window title.
        travel: how far the eye moves to each side, in world units.
        border: pixels on every side that the page shows only when the eye moves.
        focus: depth that stays where it is while the eye moves; the middle plane's if not given.
        background: CSS colour behind all planes.

    Raises:
        InputError: planes that are no RGBA, a travel that is negative or not finite, a border that leaves nothing, or a
            place that cannot be written.
    """
    sizes = checks.shape('planes.rgba', planes.rgba, 'D H W 4', 'One image of colours and opacity')
    width, height = sizes['W'] - 2 * border, sizes['H'] - 2 * border
    if border < 0 or min(width, height) < 1:
        raise checks.InputError(
            f'border: got {border} of planes of {sizes["W"]} x {sizes["H"]}, expected to leave some'
        )
    if not 0 <= travel < np.inf:
        raise checks.InputError(f'travel: got {travel}, expected a distance in the world, at least 0')
    depths = np.asarray(planes.depths, np.float64)
    focus = float(depths[len(depths) // 2]) if focus is None else focus
    focal = float(np.asarray(planes.camera.focal)[0])
    center = np.asarray(planes.camera.center, np.float64)
    pictures = io.to_uint8(np.asarray(planes.rgba))
    lines = []
    for picture, depth in zip(pictures[::-1], depths[::-1]):
        source = base64.b64encode(io.encode_png(picture)).decode('ascii')
        style = (
            f'left:{-border}px;top:{-border}px;width:{sizes["W"]}px;height:{sizes["H"]}px;'
            f'transform-origin:{center[0]:.3f}px {center[1]:.3f}px;'
            f'transform:translateZ({focal * (1 - depth / focus):.4f}px) scale({depth / focus:.6f})'
        )
        lines.append(f'<img alt="" style="{style}" src="data:image/png;base64,{source}">')
    inner = [float(center[0]) - border, float(center[1]) - border]
    stage = (
        f'width:{width}px;height:{height}px;perspective:{focal:.4f}px;'
        f'perspective-origin:{inner[0]:.3f}px {inner[1]:.3f}px'
    )
    data = {'size': [width, height], 'center': inner, 'travel': travel * focal / focus}
    page = resources.files('neurend.viewer').joinpath('planes.html').read_text(encoding='utf-8')
    for name, value in (
        ('title', html.escape(title)),
        ('background', html.escape(background)),
        ('stage', stage),
        ('data', json.dumps(data).replace('<', '\\u003c')),
        ('planes', '\n'.join(lines)),
    ):
        page = page.replace('{{' + name + '}}', value)
    io.replace(path, page.encode())
