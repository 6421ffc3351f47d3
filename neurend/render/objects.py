"""Pictures of objects that were drawn apart, put together so that near ones hide far ones."""

from collections.abc import Sequence

import jax.numpy as jnp

from neurend import checks
from neurend.render import layers
from neurend.render.rendering import Rendering
from neurend.typing import Array


def together(renderings: Sequence[Rendering], background: Array, *, reach: int = 4) -> Rendering:
    """One picture of several, from one camera: pixel by pixel, the nearest first, each over what lies behind it.

    Every object has one depth at a pixel. Where objects cut through each other the seam is therefore as jagged as
    pixels are. Edges of one object before another are as smooth as they were drawn: opacity counts as the part of the
    pixel that is covered, independently for each object, so that where two outlines coincide a little of the background
    shines through. An object's pixels with opacity and no depth, at its edge, lie as near as the nearest pixel beside
    them, as far as the reach goes; beyond it they lie behind all others.

    Args:
        renderings: [H W] each, drawn on black, so that colours are already multiplied by opacities. Their depth is
            positive, and 0 where there is none.
        background: [3] or [H W 3], what is behind all of them.
        reach: in pixels.

    Returns:
        rgb on the background, alpha of all, and depth by the shares that they have in the pixel.

    Raises:
        InputError: there are none, or shapes differ.
    """
    if not renderings:
        raise checks.InputError('renderings: got none, expected at least one')
    sizes = checks.shape('renderings[0].alpha', renderings[0].alpha, 'H W')
    for k, each in enumerate(renderings):
        checks.shape(f'renderings[{k}].rgb', each.rgb, 'H W 3', 'Draw all with one camera', sizes=sizes)
        checks.shape(f'renderings[{k}].alpha', each.alpha, 'H W', sizes=sizes)
        checks.shape(f'renderings[{k}].depth', each.depth, 'H W', sizes=sizes)
    behind = jnp.asarray(background)
    return layers.composite(
        layers.stack([layers.of_picture(each, reach=reach) for each in renderings]),
        background=behind if behind.ndim == 3 else behind[None, None],
    )
