"""What every renderer returns."""

import flax.struct

from neurend.typing import Array


@flax.struct.dataclass
class Rendering:
    """The image quantities of one renderer call, over any leading dims `...` (rays, or `H W` for an image).

    Renderers fill what they compute; jit prunes what the caller does not pick.

    Attributes:
        rgb: `... 3` (or any number `c` of integrated features), colour in [0, 1], with the background if one was given.
        alpha: `...` accumulated opacity in [0, 1].
        depth: `...` expected ray parameter `t` given that the ray stops: `sum(w t) / sum(w)`; 0 where alpha is 0. It is
            z-depth for pinhole rays, whose directions have unit camera z, and distance where directions are unit.
        median: `...` the `t` that half of the accumulated opacity lies in front of; None if not computed.
        weights: `... n` the compositing weights along the ray, which sum to alpha; None if not computed.
        edges: `... n+1` the ends of the intervals those weights belong to, in `t`; None if not computed.
        normal: `... 3` unit world normal; None if not computed.
        extras: anything else a renderer reports, by name.
    """

    rgb: Array
    alpha: Array
    depth: Array
    median: Array | None = None
    weights: Array | None = None
    edges: Array | None = None
    normal: Array | None = None
    extras: dict = flax.struct.field(default_factory=dict)
