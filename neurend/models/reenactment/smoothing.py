"""Key points without flicker: a median over a sliding window of frames, by NumPy on the host.

As Chan et al., "Everybody Dance Now" (2019), smooth the person who drives.
"""

from collections.abc import Sequence

import numpy as np

from neurend import checks
from neurend.geometry.skeletons import Person

_PARTS = ('body', 'face', 'left_hand', 'right_hand')


def smooth_points(points: np.ndarray, *, window: int = 7) -> np.ndarray:
    """Medians of x, y and confidence over the frames of a window in which a point was found.

    A point that was found in less than half of the window's frames is left out: 0, 0, 0.

    Args:
        points: [n p 3] of x, y and confidence in n frames.
        window: odd number of frames.

    Returns:
        float32 [n-window+1 p 3]; frame k is that of the window's middle, k + window // 2.

    Raises:
        InputError: an even window, or fewer frames than it has.
    """
    checks.shape('points', points, 'n p 3')
    if window < 1 or window % 2 == 0:
        raise checks.InputError(f'window: got {window}, expected an odd number of frames')
    if len(points) < window:
        raise checks.InputError(f'points: got {len(points)} frames, expected at least the {window} of the window')
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(points, np.float32), window, axis=0)
    found = frames[:, :, 2:] > 0
    # Points that were not found are sorted behind the others, the middle of which is the median.
    ordered = np.sort(np.where(found, frames, np.inf), axis=-1)
    count = found.sum(-1, keepdims=True)
    low, high = (np.take_along_axis(ordered, np.maximum(k, 0), -1)[..., 0] for k in ((count - 1) // 2, count // 2))
    enough = count[..., 0] > window // 2
    return np.where(enough, 0.5 * (low + np.where(enough, high, 0)), 0).astype(np.float32)


def smooth_people(people: Sequence[Person | None], *, window: int = 7) -> list[Person | None]:
    """`smooth_points` of every part of one person through a clip.

    Args:
        people: one per frame; None, like a part that is None, counts as not found.
        window: odd number of frames.

    Returns:
        window - 1 fewer; None where no joint of the body is left. A face or hand is None if no frame has it.

    Raises:
        InputError: nobody in any frame, different layouts, or see `smooth_points`.
    """
    layouts = {person.layout for person in people if person is not None}
    if len(layouts) != 1:
        names = ', '.join(sorted(layout.name for layout in layouts)) or 'nobody'
        raise checks.InputError(f'people: got {names} in {len(people)} frames, expected one layout')
    smooth = []
    for part in _PARTS:
        frames = [None if person is None else getattr(person, part) for person in people]
        shape = next((points.shape for points in frames if points is not None), None)
        if shape is None:
            smooth.append([None] * (len(people) - window + 1))
        else:
            stacked = np.stack([np.zeros(shape, np.float32) if points is None else points for points in frames])
            smooth.append(smooth_points(stacked, window=window))
    layout = layouts.pop()
    return [Person(*parts, layout=layout) if (parts[0][:, 2] > 0).any() else None for parts in zip(*smooth)]
