"""Clips of poses as the pictures that a generator sees."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from neurend import checks
from neurend.geometry.skeletons import Person
from neurend.models.reenactment.drawing import stick_figure
from neurend.models.reenactment.limb_maps import limb_maps

Kind = Literal['sticks', 'limbs', 'both']
KINDS = ('sticks', 'limbs', 'both')


def draw(
    people: Sequence[Person], width: int, height: int, *, frame: tuple[int, int], kind: Kind = 'sticks'
) -> np.ndarray:
    """Draws one person through a clip.

    Args:
        people: one per frame.
        width, height: of the pictures, in pixels.
        frame: (width, height) of the frames that the person's pixels are of.
        kind: 'sticks', see `drawing.stick_figure`; 'limbs', see `limb_maps.limb_maps`; 'both', sticks first.

    Returns:
        uint8 [t H W c], c being 3 for sticks, and one per limb and 3 for limbs.

    Raises:
        InputError: no frames, a kind that there is not, or a size that is not positive.
    """
    checks.one_of('kind', kind, KINDS)
    if not people:
        raise checks.InputError('people: got no frames, expected at least one')
    pictures = []
    for person in people:
        layers = []
        if kind != 'limbs':
            layers.append(stick_figure(person, width, height, frame=frame))
        if kind != 'sticks':
            layers.append((255 * limb_maps(person, width, height, frame=frame)).astype(np.uint8))
        pictures.append(np.concatenate(layers, axis=-1))
    return np.stack(pictures)
