"""Options of `fast`."""

import dataclasses

from neurend import checks
from neurend.models.nerf.poses import Part

MOST_FIELDS = 8


@dataclasses.dataclass(frozen=True)
class FastConfig:
    """Options of `fast`; those for each grid go from the coarsest to the finest.

    Attributes:
        cell_pixels: edge of the finest cells, in pixels at the middle of the scene.
        node_pixels: how many pixels the nodes of the cached spans are apart, see `fast_spans`.
        seen_by: with unknown background, the part of the images that must see a cell.
        subdivide_steps: after which the cells are halved; one less than there are grids. View dependence begins on the
            finest grid: the longer the coarse ones learn, the better surfaces are placed.
        prune_steps: after which cells that nothing sees are dropped and the spans are renewed.
        rays: that a step uses, for each grid and each field; the source draws `batch_rays`.
        segments: room in the buffer for each ray, in segments of 4 samples, for each grid.
        samples: room for each ray in the buffer of samples that matter, for each grid.
        longest: segments that a single ray may have.
        step: edges of a cell between samples in training.
        render_step: the same in rendering; 0.5 is more exact, at twice the price.
        threshold: weight above which a sample matters.
        prune_threshold: cells no sample of which reaches this weight are dropped, unless a neighbour's does.
        rate_density: first learning rate of raw density.
        rate_color: the same of colour.
        rate_view: the same of view dependence.
        final_rate: what the rates are multiplied with by the end.
        degree: of the spherical harmonics.
        shift: added to raw density before the softplus; the density to start from.
        spread: weight of the squared error of each sample's own colour, which keeps colours from mixing along a ray.
        final_spread: what it is multiplied with by the end.
        background_error: with unknown background: the squared error at which a ray would rather see the background
            than a sample, in units of the variance of all pixels. What lies between the cameras and the scene shows
            every camera another colour, so that its error is near 1; what is solid fits better.
        final_background_error: what it is multiplied with by the end, as surfaces come to fit far better.
        density_delay: with unknown background: steps over which the rate of density rises on each grid, so that colours
            are found before anything is given up as background.
        fields: how many are learned on the finest grid, each shifted by another part of a cell; their mean is shown.
            Time, memory and compilation grow in proportion.
    """

    cell_pixels: float = 1.0
    node_pixels: int = 2
    seen_by: float = 0.5
    subdivide_steps: tuple[int, ...] = (80, 200)
    prune_steps: tuple[int, ...] = (130, 240, 320, 500)
    rays: tuple[int, ...] = (2048, 4096, 8192)
    segments: tuple[float, ...] = (8.0, 5.0, 2.8)
    samples: tuple[float, ...] = (8.0, 5.0, 2.4)
    longest: int = 24
    step: float = 1.0
    render_step: float = 0.5
    threshold: float = 3e-3
    prune_threshold: float = 0.01
    rate_density: float = 0.6
    rate_color: float = 0.07
    rate_view: float = 0.03
    final_rate: float = 0.03
    degree: int = 2
    shift: float = -4.0
    spread: float = 0.1
    final_spread: float = 0.1
    background_error: float = 0.75
    final_background_error: float = 0.1
    density_delay: int = 50
    fields: int = 1

    def __post_init__(self):
        levels = len(self.rays)
        if not 1 <= self.fields <= MOST_FIELDS:
            raise checks.InputError(f'fields: got {self.fields}, expected 1 to {MOST_FIELDS}')
        for name in ('segments', 'samples'):
            if len(getattr(self, name)) != levels:
                raise checks.InputError(
                    f'{name}: got {len(getattr(self, name))} numbers, expected {levels}, one for each grid as in rays'
                )
        if len(self.subdivide_steps) != levels - 1:
            raise checks.InputError(
                f'subdivide_steps: got {len(self.subdivide_steps)} steps for {levels} grids (as many as numbers in '
                f'rays), expected {levels - 1}'
            )

    @property
    def batch_rays(self) -> int:
        """Rays that the source of batches must draw: other ones for every field."""
        return self.fields * max(self.rays)


@dataclasses.dataclass(frozen=True)
class RefineConfig:
    """How `fast` refines the cameras of its images.

    Attributes:
        parts: what to correct, see `poses.init`.
        rate: first learning rate, of numbers of which a unit moves the picture by about the depth of the scene.
        final_rate: what it is multiplied with by the end.
        begin: steps before the cameras move: the gradient through a field that shows nothing yet is noise.
    """

    parts: tuple[Part, ...] = ('pose',)
    rate: float = 1e-3
    final_rate: float = 0.02
    begin: int = 50
