"""Choices of neural points and of the network that turns them into pictures."""

import dataclasses
from typing import Literal

from neurend.checks import InputError


@dataclasses.dataclass(frozen=True)
class PointsConfig:
    """Neural point-based graphics (Aliev et al., 2020) and how they are trained.

    Attributes:
        channels: of a point's descriptor, of which the first three are its colour, and the next (harmonics + 1)^2 are
            multiplied by spherical harmonics of the direction towards the camera.
        harmonics: degree of these harmonics, up to 4; -1 for none.
        shared: how many more descriptors are added to a point's own, each one for all points in a cell of a grid whose
            edge is 4, 16, ... times the distance between neighbours: they learn fast, are smooth, and reach points that
            few views show.
        levels: sizes that points are drawn at, each half the one before.
        thickness: how far behind the nearest point in its four by four pixels one may lie to be seen, in parts of the
            cloud's size. Else it shows through gaps.
        deviation: of the normal distribution that descriptors begin with.
        unet: channels of the U-Net's first level; it sees each of the picture's sizes where its own are as large.
        depth: halvings of the U-Net, at least `levels`.
        maximum: of its channels, in `unet`.
        context: channels that it hands to the dense layers.
        width: units of each hidden dense layer, which see what is at the pixel besides.
        layers: hidden dense layers.
        loss: of colours in [0, 1]: the mean absolute difference 'l1', or the mean squared one 'l2'.
        color: weight of the same loss of the points' own colours, where there are points.
        crop: side in pixels of the random window of a photograph that a step sees, about a point; 0 for all of it.
        zoom: windows are enlarged by a random factor of up to this, the camera with them; 1 for none.
    """

    channels: int = 16
    harmonics: int = 2
    shared: int = 2
    levels: int = 4
    thickness: float = 0.05
    deviation: float = 0.01
    unet: int = 16
    depth: int = 4
    maximum: int = 8
    context: int = 8
    width: int = 32
    layers: int = 2
    loss: Literal['l1', 'l2'] = 'l2'
    color: float = 1.0
    crop: int = 0
    zoom: float = 1.0

    def __post_init__(self):
        """Raises `InputError` for choices that do not go together."""
        least = {
            'shared': 0,
            'levels': 1,
            'unet': 1,
            'maximum': 1,
            'context': 1,
            'width': 1,
            'layers': 1,
            'crop': 0,
            'zoom': 1,
        }
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise InputError(f'{name}: got {getattr(self, name)}, expected at least {smallest}')
        if not -1 <= self.harmonics <= 4:
            raise InputError(f'harmonics: got {self.harmonics}, expected a degree of 0 to 4, or -1 for none')
        if self.channels < 3 + (self.harmonics + 1) ** 2:
            raise InputError(
                f'channels: got {self.channels}, expected at least {3 + (self.harmonics + 1) ** 2}: 3 of colour and '
                f'those that harmonics of degree {self.harmonics} multiply'
            )
        if self.depth < max(2, self.levels):
            raise InputError(f'depth: got {self.depth}, expected at least 2 and levels, {self.levels}')
        if not self.thickness > 0:
            raise InputError(f'thickness: got {self.thickness}, expected a part of the size above 0')
        if self.crop % self.multiple:
            raise InputError(f'crop: got {self.crop}, expected a multiple of 2^depth, {self.multiple}')

    @property
    def multiple(self) -> int:
        """What the sides of what is drawn are multiples of."""
        return 2**self.depth
