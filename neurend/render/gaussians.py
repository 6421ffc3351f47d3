"""Splatting of Gaussians: exact, differentiable through everything, cameras included, in both modes.

After Kerbl et al., "3D Gaussian splatting for real-time radiance field rendering" (2023), with the constants of gsplat
(Ye et al., 2024): Gaussians are blurred by 0.3 squared pixels, alphas are cut at 0.99, alphas below 1/255 are left out,
and a pixel takes no Gaussian that would leave it with 1e-4 or less of the light behind. Unlike theirs a Gaussian counts
wherever its alpha is 1/255 or more, and not only within some boxes.

One call is one picture; vmap makes many, of one scene or of several (on a CPU one after the other).
"""

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry.cameras import Camera
from neurend.geometry.leading import floating
from neurend.numerics import safe_divide
from neurend.render import gaussians_blend, gaussians_tiles
from neurend.render.gaussians_project import Screen, project
from neurend.render.rendering import Rendering
from neurend.typing import Array

# Beyond this many pixels places have no fractions in float32, and beyond this many tiles pairs are no exact floats.
_LARGEST = 8192
_MOST_PAIRS = 1 << 24


def splat(
    means: Array,
    covariances: Array,
    opacities: Array,
    features: Array,
    camera: Camera,
    *,
    width: int,
    height: int,
    capacity: int,
    live: Array | None = None,
    background: Array | None = None,
    shift: Array | None = None,
    between: tuple[Array, Array] | None = None,
    blur: float = 0.3,
    antialiased: bool = False,
    near: float = 0.01,
    far: float = 1e6,
) -> Rendering:
    """Draws Gaussians.

    Derivatives, in reverse and forward mode, are with respect to all arrays and to the camera's pose, focal lengths and
    centre; there are no second ones in reverse mode. Which Gaussians are seen where, and in which order, is constant.

    Args:
        means: [N 3] in the world.
        covariances: [N 3 3], of which the symmetric part counts.
        opacities: [N] in [0, 1].
        features: [N C], colours or anything else; they are blended as they are.
        camera: one, 'pinhole' or 'opencv', whose lens must be one to one up to 0.15 of the picture beyond it.
        width, height: of the picture in pixels, up to 8192; its first pixel is the camera's.
        capacity: how many pairs of a Gaussian and a tile of 8 x 8 pixels there is room for. If there are more, those
            farthest behind are left out; `extras` tell, and `check` raises.
        live: bool [N], which Gaussians there are; all if not given.
        background: [C] behind all; black if not given.
        shift: [N 2] added to places in the picture, pixels; the gradient by zeros tells where Gaussians are pulled.
        between: depths [H W] each, from which on and before which Gaussians count at a pixel, by their middles: what is
            before a surface and what behind it, in two pictures, see `neurend.render.layers`. It has no derivatives.
        blur: added to the variances in the picture, squared pixels.
        antialiased: Gaussians smaller than a pixel become fainter, by as much as the blur makes them larger (Yu et al.,
            "Mip-Splatting", 2024), instead of thicker.
        near, far: depths between which middles of Gaussians are shown.

    Returns:
        Rendering: `rgb` [H W C], `alpha` [H W], `depth` [H W], of the middles of what is seen; and in `extras`
        'visible', bool [N], which Gaussians may be seen; 'radii' [N], standard deviations along their longer axes in
        pixels, 0 where not visible; 'pairs', int32, which the capacity must hold; and 'missing', int32, how many it
        did not. Gaussians that are not finite, or whose covariance is not positive after the blur, are not visible.

    Raises:
        InputError: a shape or an option does not fit.
    """
    means, covariances, opacities, features = map(floating, (means, covariances, opacities, features))
    count = checks.shape('means', means, 'n 3')
    checks.shape(
        'covariances', covariances, 'n 3 3', 'Of rotations and scales: scenes.gaussians.covariance', sizes=count
    )
    checks.shape('opacities', opacities, 'n', sizes=count)
    channels = checks.shape('features', features, 'n c', 'Give single numbers an axis of size 1', sizes=count)['c']
    checks.shape('camera.focal', camera.focal, '2', 'Give one camera; vmap draws several')
    if live is not None:
        checks.shape('live', live, 'n', sizes=count)
    if background is not None:
        checks.shape('background', background, 'c', sizes={'c': channels})
    if shift is not None:
        checks.shape('shift', shift, 'n 2', sizes=count)
    for end in between or ():
        checks.shape('between', end, f'{height} {width}', 'Give depths for every pixel')
    checks.one_of('camera.model', camera.model, ('pinhole', 'opencv'))
    if not (0 < width <= _LARGEST and 0 < height <= _LARGEST):
        raise checks.InputError(f'width, height: got {width}, {height}, expected 1 to {_LARGEST} pixels')
    if not 0 < capacity <= _MOST_PAIRS:
        raise checks.InputError(f'capacity: got {capacity}, expected 1 to {_MOST_PAIRS} pairs')
    if not 0 < near < far:
        raise checks.InputError(f'near, far: got {near}, {far}, expected 0 < near < far')
    if not blur >= 0:
        raise checks.InputError(f'blur: got {blur}, expected at least 0 squared pixels')

    screen = project(
        means, covariances, opacities, camera, live=live, blur=blur, antialiased=antialiased, near=near, far=far
    )
    if shift is not None:
        screen = screen._replace(x=screen.x + shift[:, 0], y=screen.y + shift[:, 1])
    size = (width, height)
    lists = gaussians_tiles.lists(screen, size, capacity, near=near, far=far)
    if between is not None:
        ends = jax.lax.stop_gradient(jnp.stack(between, axis=-1))
        lists = lists._replace(between=gaussians_tiles.Between(screen.depth, gaussians_tiles.tiled(ends)))
    rows = jnp.stack([screen.x, screen.y, *screen.conic, screen.opacity], axis=-1)
    rows = jnp.concatenate([rows, features, screen.depth[:, None]], axis=-1)
    rows = jnp.where(screen.visible[:, None], rows, 0)
    tiles = gaussians_blend.blend(rows, lists, gaussians_tiles.grid(*size)[0])
    image = gaussians_tiles.untiled(tiles, size)
    color, depth, passed = image[..., :-2], image[..., -2], image[..., -1]
    if background is not None:
        color = color + passed[..., None] * background[None, None]
    alpha = 1 - passed
    extras = {'visible': screen.visible, 'radii': _radii(screen), 'pairs': lists.needed, 'missing': lists.missing}
    return Rendering(rgb=color, alpha=alpha, depth=safe_divide(depth, alpha), extras=extras)


def check(rendering: Rendering) -> None:
    """Looks on the host whether renderings of `splat`, with any leading dims, show what they should.

    Raises:
        InputError: Gaussians found no room in the lists, with the capacity to set, or none is visible.
    """
    missing, pairs = (np.asarray(rendering.extras[name]) for name in ('missing', 'pairs'))
    if missing.max(initial=0) > 0:
        raise checks.InputError(
            f'capacity: {int(missing.max())} of {int(pairs.max())} pairs of a Gaussian and a tile found no room, '
            f'expected room for all. Set capacity={gaussians_tiles.suggested(int(pairs.max()))}'
        )
    seen = np.asarray(rendering.extras['visible']).any(-1)
    if not seen.all():
        which = f' in picture {tuple(int(k) for k in np.argwhere(~seen)[0])}' if seen.ndim else ''
        raise checks.InputError(
            f'means: no Gaussian is visible{which}, expected some in front of the camera, finite, and not fainter than '
            '1/255. Cameras look along +z; check the pose, near and far'
        )


def _radii(screen: Screen) -> Array:
    a, b, c = screen.conic
    det = a * c - b * b
    half, apart = 0.5 * (a + c), 0.5 * (a - c)
    least = half - jnp.sqrt(apart * apart + b * b)
    shown = screen.visible & (least > 0) & (det > 0)
    return jnp.where(shown, 1 / jnp.sqrt(jnp.where(shown, least, 1)), 0)
