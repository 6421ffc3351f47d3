"""What a Scene Representation Network is made of."""

import dataclasses
from typing import Literal

from neurend import checks

Gradient = Literal['unrolled', 'recomputed', 'last']
"""How gradients pass the march: through all steps, whose activations are kept; through all steps, of which only the
points and the marcher's state are kept and the rest is computed again; or through the last step alone, so that memory
does not depend on the number of steps."""


@dataclasses.dataclass(frozen=True)
class SRNConfig:
    """The published numbers (Sitzmann et al., 2019); whole pictures train there, with Adam at 5e-5.

    Attributes:
        width: units of the scene function and of the pixel generator.
        depth: layers of the scene function.
        code_size: numbers in the code of an instance.
        code_scale: their standard deviation at first. High learning rates want larger codes, which they disturb less.
        hyper_width: units of the networks that make the scene function's layers.
        hyper_depth: their hidden layers.
        marcher_width: units of the marcher's LSTM.
        steps: of the march.
        generator_depth: hidden layers of the pixel generator.
        frequencies: octaves of sines and cosines beside a point's coordinates; none as published.
        start: of the march: at depth 0.05 give or take 5e-4 ('depth'), or where rays enter the ball around the scene
            ('ball').
        gradient: see `Gradient`.
        color_weight: of the mean squared error of colours in [-1, 1].
        depth_weight: of the mean square of depths that are negative.
        code_weight: of the mean square of the codes in a batch, their prior.
    """

    width: int = 256
    depth: int = 4
    code_size: int = 256
    code_scale: float = 0.01
    hyper_width: int = 256
    hyper_depth: int = 2
    marcher_width: int = 16
    steps: int = 10
    generator_depth: int = 5
    frequencies: int = 0
    start: Literal['depth', 'ball'] = 'depth'
    gradient: Gradient = 'unrolled'
    color_weight: float = 200.0
    depth_weight: float = 10.0
    code_weight: float = 1.0

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        names = ('width', 'depth', 'code_size', 'hyper_width', 'marcher_width', 'steps', 'generator_depth')
        for name in names:
            if getattr(self, name) < 1:
                raise checks.InputError(f'{name}: got {getattr(self, name)}, expected at least 1')
        for name in ('code_scale', 'hyper_depth', 'frequencies', 'color_weight', 'depth_weight', 'code_weight'):
            if getattr(self, name) < 0:
                raise checks.InputError(f'{name}: got {getattr(self, name)}, expected at least 0')
        checks.one_of('start', self.start, ('depth', 'ball'))
        checks.one_of('gradient', self.gradient, ('unrolled', 'recomputed', 'last'))

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(units in, units out) of each layer of the scene function."""
        return ((3 + 6 * self.frequencies, self.width), *[(self.width, self.width)] * (self.depth - 1))
