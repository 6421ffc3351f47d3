"""Options of `gaussians`."""

import dataclasses
from typing import Literal

from neurend import checks


@dataclasses.dataclass(frozen=True)
class RatesConfig:
    """Learning rates of Adam; each falls geometrically to a part of itself.

    They are several times the published ones, for thousands of steps where those are for tens of thousands.

    Attributes:
        means: in parts of the scene's extent.
        scales, rotations, logits: of the other parameters.
        color: of the constant harmonics; others have a part `view` of it.
        view: see there.
        final_means, final: what is left of the rate of the means and of all others at the end.
    """

    means: float = 2e-3
    scales: float = 2e-2
    rotations: float = 5e-3
    logits: float = 0.1
    color: float = 2e-2
    view: float = 0.5
    final_means: float = 0.02
    final: float = 0.1


@dataclasses.dataclass(frozen=True)
class GaussiansConfig:
    """What is learned, and how.

    Attributes:
        count: places for Gaussians, the same at all times.
        degree: of the harmonics, 0 to 3.
        degree_every: steps after which the next degree begins to be learned; 0 for all at once.
        capacity: pairs of a Gaussian and a tile of 8 x 8 pixels that a picture has room for while training.
        antialiased: Gaussians smaller than a pixel are fainter and not thicker, see `render.gaussians`.
        density: how Gaussians come to be where they are needed. 'mcmc' moves those that are faint to where others are,
            all places being in use from the start (Kheradmand et al., "3D Gaussian splatting as Markov chain Monte
            Carlo", 2024). 'classic' clones, splits and prunes (Kerbl et al., 2023) as far as there are places. 'fixed'
            leaves them.
        every, begin, end: of 'mcmc' and 'classic': each so many steps, after the first so many, until this part of all.
        faintest: opacity at which a Gaussian is moved or pruned.
        noise: of 'mcmc': how far faint Gaussians wander in a step, in parts of what is published.
        pull: of 'classic': gradient by the place in the picture, which is 2 wide and high, from which one is too few.
        large: of 'classic': standard deviation, in parts of the extent, from which one is split and not cloned.
        reset_every: of 'classic': steps after which all become faint; 0 for never.
        ssim: weight of 1 - SSIM in the loss, the rest is that of the mean absolute error.
        opacity_penalty, scale_penalty: weights of the mean opacity, and of the mean deviation in parts of the extent.
        rates: of learning.
    """

    count: int = 10_000
    degree: int = 1
    degree_every: int = 0
    capacity: int = 1 << 17
    antialiased: bool = False
    density: Literal['mcmc', 'classic', 'fixed'] = 'mcmc'
    every: int = 100
    begin: int = 200
    end: float = 0.8
    faintest: float = 0.005
    noise: float = 0.1
    pull: float = 2e-4
    large: float = 0.01
    reset_every: int = 0
    ssim: float = 0.2
    opacity_penalty: float = 0.0
    scale_penalty: float = 0.0
    rates: RatesConfig = dataclasses.field(default_factory=RatesConfig)

    def __post_init__(self):
        """Raises `InputError` for options out of their range."""
        checks.one_of('degree', self.degree, range(4))
        for name, least in (('count', 1), ('capacity', 1), ('every', 1), ('begin', 0), ('reset_every', 0)):
            if getattr(self, name) < least:
                raise checks.InputError(f'{name}: got {getattr(self, name)}, expected at least {least}')
        if not 0 <= self.ssim <= 1:
            raise checks.InputError(f'ssim: got {self.ssim}, expected a weight from 0 to 1')
        if not 0 < self.faintest < 1:
            raise checks.InputError(f'faintest: got {self.faintest}, expected an opacity between 0 and 1')
