"""Choices of DeepVoxels."""

import dataclasses
from typing import Literal

from neurend.checks import InputError


@dataclasses.dataclass(frozen=True)
class DeepVoxelsConfig:
    """DeepVoxels (Sitzmann et al., 2019). The defaults are the paper's, for photographs of 512 x 512.

    Attributes:
        grid_dim: cells along each side of the volume.
        features: of a cell.
        width: channels of the networks' outermost layers; they double with each halving, up to eight times as many.
        halvings: from photographs to the feature maps that are lifted and rendered: 3 for 64 x 64 of 512 x 512.
        depth: halvings of the U-Nets on these maps: 6 down to one pixel of 64 x 64.
        refined: whether each halving and doubling of a picture has a 3x3 convolution beside it.
        taps: of convolutions of the whole volume along each axis, 3 or 1. On a CPU most of a step goes there.
        volume: 'integrated' from views by a gated network, one step after the other, as published; 'learned' by
            gradients itself, with nothing lifted.
        sources: views that are lifted in a step; of several the mean is integrated, the same in any order.
        inpainting: halvings of the U-Net that fills the volume up; 0 for none.
        planes: of the camera volumes.
        span: their depth, in sides of the cube; the default is its diagonal.
        occlusion: 'volume', a 3-D U-Net of camera volumes as published, or 'rays': dense layers say how opaque each
            cell is, and rays stop where the cells before are not, or nowhere, which is many times faster. 'none' for
            the ablation, which has convolutions of all planes at once instead.
        occlusion_width: channels of the occlusion network's cells.
        occlusion_depth: of 'volume' the halvings of its U-Net, of 'rays' the hidden dense layers.
        norm: 'batch' standardizes channels of each picture, at test time too, as elsewhere here; 'fixed' only scales
            and shifts them, and is what imported checkpoints are drawn with; 'none'.
        dropout: rate in the rendering network, of whole channels.
        gate_dropout: the same in the integration.
        l1: weight of the mean absolute difference of colours.
        adversarial: weight of what the discriminator says; 0 for none.
        compact: weight of the variance of where rays stop, in squares of the cube's side, so that they stop at surfaces
            and soft depth is theirs; 0 for none, as published.
        silhouette: weight of the mean squared difference between what stops of 'rays' and the photographs' alpha or
            masks, so that nothing is drawn as a fog about what there is; 0 for none, as published.
        discriminator: its channels.
        border: pixels at the border of photographs that have no loss.
        released: do as the released code does: values lie at the corners of cells and pixels, planes are a cell apart
            and begin at `near`, and features are the mean along rays instead of the sum.
        near: depth of the first plane in world units, if `released`.
    """

    grid_dim: int = 32
    features: int = 64
    width: int = 64
    halvings: int = 3
    depth: int = 6
    refined: bool = True
    taps: int = 3
    volume: Literal['integrated', 'learned'] = 'integrated'
    sources: int = 1
    inpainting: int = 2
    planes: int = 64
    span: float = 3**0.5
    occlusion: Literal['volume', 'rays', 'none'] = 'volume'
    occlusion_width: int = 4
    occlusion_depth: int = 6
    norm: Literal['batch', 'fixed', 'none'] = 'batch'
    dropout: float = 0.1
    gate_dropout: float = 0.2
    l1: float = 200.0
    adversarial: float = 1.0
    compact: float = 0.0
    silhouette: float = 0.0
    discriminator: int = 28
    border: int = 5
    released: bool = False
    near: float = 3**0.5 / 2

    def __post_init__(self):
        """Raises `InputError` for numbers out of range, and for choices that do not go together."""
        least = {'grid_dim': 2, 'features': 1, 'width': 2, 'halvings': 1, 'depth': 1, 'sources': 1, 'planes': 2}
        least |= {'inpainting': 0, 'occlusion_width': 1, 'occlusion_depth': 0, 'border': 0}
        least |= {'l1': 0, 'adversarial': 0, 'compact': 0, 'silhouette': 0}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise InputError(f'{name}: got {getattr(self, name)}, expected at least {smallest}')
        if self.taps not in (1, 3):
            raise InputError(f'taps: got {self.taps}, expected 1 or 3')
        if self.grid_dim % 2**self.inpainting:
            raise InputError(
                f'grid_dim, inpainting: got {self.grid_dim} cells, which cannot be halved {self.inpainting} times'
            )
        if self.occlusion == 'volume' and self.planes % 2**self.occlusion_depth:
            raise InputError(
                f'planes, occlusion_depth: got {self.planes} planes, expected a multiple of {2**self.occlusion_depth}'
            )
        if not (0 <= self.dropout < 1 and 0 <= self.gate_dropout < 1):
            raise InputError(f'dropout, gate_dropout: got {self.dropout} and {self.gate_dropout}, expected parts of 1')
        if self.compact and self.occlusion == 'none':
            raise InputError(f'compact: got {self.compact} without an occlusion network, expected 0')
        if self.silhouette and self.occlusion != 'rays':
            raise InputError(
                f"silhouette: got {self.silhouette} with occlusion='{self.occlusion}', by which every ray stops, "
                "expected 0, or occlusion='rays'"
            )
        if self.span <= 0 or self.near <= 0:
            raise InputError(f'span, near: got {self.span} and {self.near}, expected positive numbers')

    @property
    def multiple(self) -> int:
        """What the sides of photographs must be multiples of."""
        deepest = max(self.depth, self.occlusion_depth if self.occlusion == 'volume' else 0)
        return 2 ** (self.halvings + deepest)
