"""What lies behind the scene."""

from typing import Literal

import numpy as np

from neurend import checks
from neurend.models.nerf.batch import Batch
from neurend.typing import Array

Background = Literal['none', 'black', 'white', 'random']
"""What is behind the field.

'none': photographs show a whole scene, nothing is put behind it. 'black', 'white': one known colour. 'random': the
truth's alpha is known, and each training ray has a colour of its own, so that emptiness cannot be faked.
"""

_COLORS = {'none': (0.0, 0.0, 0.0), 'black': (0.0, 0.0, 0.0), 'white': (1.0, 1.0, 1.0), 'random': (1.0, 1.0, 1.0)}


def color(background: Background) -> np.ndarray:
    """The colour [3] to show and evaluate images on: white for 'random', black for 'none'."""
    checks.one_of('background', background, tuple(_COLORS))
    return np.array(_COLORS[background], np.float32)


def behind(batch: Batch, background: Background) -> Array | None:
    """What to composite predictions on in training, [n 3], or None for nothing."""
    return None if background == 'none' else batch.background
