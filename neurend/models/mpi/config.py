"""Choices of multi-plane images that are optimised for a scene."""

import dataclasses

from neurend.checks import InputError


@dataclasses.dataclass(frozen=True)
class MpiConfig:
    """Multi-plane images, one or several of which are blended.

    Attributes:
        planes: of each, uniform in disparity.
        border: how far planes reach beyond the photograph they face, in parts of its longer side.
        basis: functions of the direction of view, learned and shared by all pixels, whose coefficients every pixel of
            every plane holds (NeX, Wizadwongsa et al., 2021); 0 for colours that are the same from everywhere.
        basis_width: units of the two hidden layers of the network that these functions are.
        backdrop: whether the farthest plane is opaque, so that something is seen wherever planes are, and blending
            divides by opacity (LLFF, Mildenhall et al., 2019). False for an object on nothing, whose planes are blended
            by their weights alone.
        blended: how many images, those from nearest to a view, are blended.
        trained: how many of these, at random, a step draws and improves.
        crop: side of the random window of a photograph that a step draws, in pixels; 0 for all of it.
        edges: weight of the mean squared error of differences between neighbouring pixels.
        smooth: weight of the mean squared difference of neighbouring opacities in a plane.
        sharpness: with which views that differ on a plane rule it out at the start, in parts of the colours' variance.
    """

    planes: int = 32
    border: float = 0.1
    basis: int = 0
    basis_width: int = 32
    backdrop: bool = True
    blended: int = 5
    trained: int = 1
    crop: int = 0
    edges: float = 0.2
    smooth: float = 0.01
    sharpness: float = 500.0

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        whole = {'planes': self.planes, 'blended': self.blended, 'trained': self.trained}
        if any(value < 1 for value in whole.values()) or self.basis < 0 or self.crop < 0 or self.border < 0:
            raise InputError(
                f'planes, blended, trained, basis, crop, border: got {self.planes}, {self.blended}, {self.trained}, '
                f'{self.basis}, {self.crop} and {self.border}, expected 1 or more of the first three and no less than 0'
            )
        if self.trained > self.blended:
            raise InputError(
                f'trained: got {self.trained}, expected at most blended, {self.blended}: those that are drawn together'
            )

    @property
    def channels(self) -> int:
        """Of each pixel of a plane: colour, three coefficients for each function of the basis, and opacity."""
        return 4 + 3 * self.basis
