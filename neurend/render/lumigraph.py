"""How much each of several photographs counts at points of a surface: unstructured lumigraph rendering.

After Buehler, Bosse, McMillan, Gortler and Cohen, "Unstructured lumigraph rendering" (2001): a photograph is penalised
for the angle between its ray to a point and the one that is drawn, and for showing the point more coarsely; what it
does not see has an infinite penalty. Weights are continuous, in points as in cameras.
"""

import jax.numpy as jnp

from neurend import checks
from neurend.geometry import cameras, transforms
from neurend.geometry.cameras import Camera
from neurend.numerics import safe_divide, safe_norm, unstack
from neurend.render import warps
from neurend.render.rendering import Rendering
from neurend.render.warps import Seen, Sources
from neurend.typing import Array

_LEAST = 1e-3  # penalty of a photograph from the very place that is drawn from
_KEPT = 1e-4  # of the weights of those that are too far, so that something is left where all are equally far


def penalties(points: Array, target: Camera, sources: Camera, *, angle: float = 1.0, resolution: float = 0.1) -> Array:
    """What speaks against each photograph at each point.

    Args:
        points: [... 3] in the world.
        target: the camera that is drawn, one.
        sources: [k] of the photographs; not orthographic, as the target.
        angle: weight of the angle at the point between the two eyes, in radians.
        resolution: weight of how much larger the photograph's pixels are at the point, in parts of the target's; finer
            ones are not penalised.

    Returns:
        [k ...], at least 0.

    Raises:
        InputError: shapes that do not fit, or an orthographic camera.
    """
    checks.shape('points', points, '... 3', 'Give points in the world')
    checks.shape('target.focal', target.focal, '2', 'One camera; vmap over others')
    checks.shape('sources.focal', sources.focal, 'k 2')
    for name, camera in (('target', target), ('sources', sources)):
        checks.one_of(f'{name}.model', camera.model, tuple(each for each in cameras.MODELS if each != 'orthographic'))
    flat = points.reshape(-1, 3)
    here = unstack(target.world_from_camera[None, :3, 3] - flat)
    there = unstack(sources.world_from_camera[:, None, :3, 3] - flat[None])
    here = [each[None] for each in here]
    dot = sum((a * b for a, b in zip(here, there)), jnp.zeros(()))
    cross = jnp.stack(
        [here[a] * there[b] - here[b] * there[a] for a, b in ((1, 2), (2, 0), (0, 1))],
        axis=-1,
    )
    turned = jnp.arctan2(safe_norm(cross), dot)
    coarser = safe_divide(_pixel(sources, flat), _pixel(target[None], flat)) - 1
    found = angle * turned + resolution * jnp.maximum(coarser, 0)
    return found.reshape(len(found), *points.shape[:-1])


def _pixel(camera: Camera, points: Array) -> Array:
    """Sizes [k n] of pixels of cameras [k] at points [n 3], in the world."""
    focal = jnp.sqrt(jnp.prod(camera.focal, axis=-1))[:, None]
    if camera.model in ('pinhole', 'opencv'):
        pose = camera.world_from_camera
        offsets = points[None] - pose[:, None, :3, 3]
        return jnp.maximum(jnp.sum(offsets * pose[:, None, :3, 2], axis=-1), 0) / focal
    return safe_norm(transforms.apply_inverse(camera.world_from_camera[:, None], points[None])) / focal


def weights(penalties: Array, share: Array, *, keep: int | None = None) -> Array:
    """Weights of photographs, which sum to one where any sees the point, and to zero elsewhere.

    With penalties p they are 1/p - 1/q, with q that of the first that is not kept: the photographs with the least
    penalties count, one that leaves them fades out, and one from the very place that is drawn from counts alone.

    Args:
        penalties: [k ...].
        share: [k ...] in [0, 1], how much of the point each sees (`warps.Seen`): the penalty rises to infinity as it
            falls to 0.
        keep: how many count; all if None.

    Raises:
        InputError: shapes that do not fit, or none to keep.
    """
    count = len(penalties)
    checks.shape('share', share, ' '.join(map(str, penalties.shape)), 'One for each penalty')
    if keep is not None and keep < 1:
        raise checks.InputError(f'keep: got {keep}, expected at least 1, or None for all')
    merits = share / (penalties + _LEAST)
    kept = merits
    if keep is not None and keep < count:
        first_out = -jnp.sort(-merits, axis=0)[keep]
        kept = jnp.maximum(merits - first_out[None], 0) + _KEPT * merits
    return safe_divide(kept, jnp.sum(kept, axis=0, keepdims=True))


def blend(seen: Seen, weights: Array) -> tuple[Array, Array]:
    """Features [... c], multiplied by opacity, and opacity [...] of photographs under weights [k ...].

    Weights that sum to less than one leave the rest transparent.
    """
    opaque = weights * seen.alpha
    rgb = sum((opaque[k][..., None] * seen.rgb[k] for k in range(len(opaque))), jnp.zeros(()))
    return rgb, jnp.sum(opaque, axis=0)


def weigh(
    sources: Sources,
    camera: Camera,
    depth: Array,
    *,
    keep: int | None = None,
    angle: float = 1.0,
    resolution: float = 0.1,
    tolerance: float = 0.02,
) -> tuple[Seen, Array]:
    """Photographs warped to a view by the depth of a proxy, and their weights; arguments as for `render`.

    Returns:
        What each photograph shows of every pixel [k H W ...], and weights [k H W].
    """
    seen, points = warps.warp(sources, camera, depth, tolerance=tolerance)
    found = penalties(points, camera, sources.cameras, angle=angle, resolution=resolution)
    return seen, weights(found, seen.share, keep=keep)


def render(
    sources: Sources,
    camera: Camera,
    depth: Array,
    *,
    keep: int | None = None,
    angle: float = 1.0,
    resolution: float = 0.1,
    tolerance: float = 0.02,
) -> Rendering:
    """Draws a view from photographs and the depth of a proxy.

    Args:
        sources: photographs.
        camera: of the view, one.
        depth: [H W] of the proxy there, 0 where there is no surface.
        keep: see `weights`.
        angle, resolution: see `penalties`.
        tolerance: see `warps.look`.

    Returns:
        Colours multiplied by alpha, alpha (0 where no photograph sees the surface), depth, and as `weights` [H W k] how
        much of each photograph is in every pixel.
    """
    seen, found = weigh(sources, camera, depth, keep=keep, angle=angle, resolution=resolution, tolerance=tolerance)
    rgb, alpha = blend(seen, found)
    return Rendering(rgb, alpha, jnp.where(alpha > 0, depth, 0), weights=jnp.moveaxis(found, 0, -1))
