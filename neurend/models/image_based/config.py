"""Choices of image-based rendering."""

import dataclasses

from neurend.checks import InputError


@dataclasses.dataclass(frozen=True)
class ImageBasedConfig:
    """Photographs warped to a view, blended and finished.

    Attributes:
        neighbors: photographs that a view is drawn from.
        tolerance: by which part of its depth a point may lie behind the proxy's surface and count as seen; as much as
            the proxy is wrong.
        beyond: pixels by which the proxy's surface goes on past its outline, see `views.continued`, so that it may be
            smaller than what photographs show: their opacity draws outlines.
        angle, resolution: weights of the two penalties of a photograph, see `neurend.render.lumigraph.penalties`.
        width: channels of the convolutions that see each warped photograph and say how much more or less it counts
            than by its penalties.
        unet, depth, context: of the U-Net that sees what is blended, fills holes and draws outlines, see
            `neurend.models.neural_texture.network.DeferredShader`.
        crop: side of the window of a photograph that a step draws, in pixels; 0 for all of it.
        outline: weight of the mean squared error of opacity.
    """

    neighbors: int = 8
    tolerance: float = 0.02
    beyond: int = 8
    angle: float = 1.0
    resolution: float = 0.1
    width: int = 16
    unet: int = 16
    depth: int = 4
    context: int = 8
    crop: int = 128
    outline: float = 0.1

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        whole = {name: getattr(self, name) for name in ('neighbors', 'width', 'unet', 'depth', 'context')}
        if any(value < 1 for value in whole.values()) or min(self.crop, self.beyond) < 0:
            raise InputError(
                f'image-based rendering: got {whole}, crop {self.crop}, beyond {self.beyond}, expected 1 or more, '
                'crop and beyond 0 or more'
            )
