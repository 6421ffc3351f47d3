"""How near predicted expressions are to true ones, on the host: arrays `t e` of consecutive frames."""

import numpy as np

from neurend import checks


def explained_variance(
    predicted: np.ndarray, truth: np.ndarray, mean: np.ndarray, *, root: np.ndarray | None = None
) -> float:
    """1 - the mean squared error over that of always saying `mean`, `e`, which is best that of other frames.

    1 is perfect, 0 as good as the mean, and less is worse. Constant truth that is `mean` gives nan.

    Args:
        predicted, truth: `t e`.
        mean: `e`.
        root: `e k`, by which differences are multiplied first, such as that of `expression_losses.Space`.
    """
    sizes = checks.shape('truth', truth, 't e')
    checks.shape('predicted', predicted, 't e', 'It must match truth', sizes=sizes)
    checks.shape('mean', mean, 'e', 'It must match truth', sizes=sizes)
    error, guessed = np.float64(predicted - truth), np.float64(truth - mean[None])
    if root is not None:
        error, guessed = error @ root, guessed @ root
    whole = np.square(guessed).sum()
    return float(1 - np.square(error).sum() / whole) if whole > 0 else float('nan')


def correlations(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pearson's coefficient `e` of each expression over time; 0 where one of the two does not change."""
    checks.shape('predicted', predicted, 't e', 'It must match truth', sizes=checks.shape('truth', truth, 't e'))
    a, b = (np.float64(values) - np.float64(values).mean(0, keepdims=True) for values in (predicted, truth))
    scale = np.sqrt(np.square(a).sum(0) * np.square(b).sum(0))
    return np.where(scale > 0, (a * b).sum(0) / np.where(scale > 0, scale, 1), 0.0)


def jitter_ratio(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square of the second difference in time, over that of the truth: 1 is as restless as it."""
    checks.shape('predicted', predicted, 't e', 'It must match truth', sizes=checks.shape('truth', truth, 't e'))
    ours, true = (np.sqrt(np.square(np.diff(np.float64(values), 2, axis=0)).mean()) for values in (predicted, truth))
    return float(ours / true) if true > 0 else float('nan')
