"""Cells that points have marked, made a solid: gaps closed and the inside filled (NumPy)."""

import numpy as np

from neurend import checks


def closed(cells: np.ndarray, reach: int) -> np.ndarray:
    """Grows cells, fills what they enclose, and shrinks them again: a morphological closing (Serra, 1982), filled.

    Neighbours are the six across faces, so that distances are sums along the axes.

    Args:
        cells: bool [X Y Z].
        reach: in cells, from 0: gaps of up to twice as many close, away from the ends of what is beside them.

    Returns:
        bool [X Y Z], True wherever `cells` is.

    Raises:
        InputError: the cells are no [X Y Z], or the reach is negative.

    >>> walls = np.zeros((4, 3, 3), bool)
    >>> walls[[0, 3]] = True
    >>> [closed(walls, reach)[:, 1, 1].tolist() for reach in (0, 1)]
    [[True, False, False, True], [True, True, True, True]]
    """
    checks.shape('cells', cells, 'X Y Z')
    if reach < 0:
        raise checks.InputError(f'reach: got {reach}, expected 0 or more cells')
    # A frame that stays empty: what is outside hangs together, and comes in again when cells shrink.
    margin = reach + 1
    found = np.pad(cells, margin)
    for _ in range(reach):
        found = _grown(found)
    found = ~_outside(found)
    for _ in range(reach):
        found = ~_grown(~found)
    return found[(slice(margin, -margin),) * 3]


def _grown(cells: np.ndarray) -> np.ndarray:
    """With the six neighbours of all cells [X Y Z] that are True."""
    grown = cells.copy()
    for axis in range(3):
        there, here = np.moveaxis(grown, axis, 0), np.moveaxis(cells, axis, 0)
        there[1:] |= here[:-1]
        there[:-1] |= here[1:]
    return grown


def _outside(cells: np.ndarray) -> np.ndarray:
    """Cells [X Y Z] that are False and that a way of such cells joins to the first one, which is."""
    found = np.zeros_like(cells)
    found[0, 0, 0] = True
    while True:
        more = _grown(found) & ~cells
        if (more == found).all():
            return found
        found = more
