"""Choices of the network from speech to expressions and of its training."""

import dataclasses

from neurend import checks
from neurend.speech import expression
from neurend.speech.expression_losses import LossConfig


@dataclasses.dataclass(frozen=True)
class PuppetryConfig:
    """Neural Voice Puppetry (Thies et al., 2020). The defaults are the published ones but for `intermediate`.

    Attributes:
        look_ahead: whether four of the eight windows come after the frame's, which makes live speech late by as many
            frames; or all before it.
        intermediate: which of the eight windows the loss asks alone; -1 for the frame's own, 3 with look-ahead. The
            published code takes 4, the one after it.
        spread: standard deviation of the speakers' matrices at first.
        noise: standard deviation of normal noise on letter logits in training, in those of each letter. Where there is
            little speech it keeps the network from learning it by heart (Bishop, 1995).
        loss: kind and weights.
    """

    look_ahead: bool = True
    intermediate: int = -1
    spread: float = 1.0
    noise: float = 0.0
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if not -1 <= self.intermediate < expression.STEPS:
            raise checks.InputError(
                f'intermediate: got {self.intermediate}, expected 0 to {expression.STEPS - 1}, or -1 for the own window'
            )
        if self.noise < 0 or not self.spread > 0:
            raise checks.InputError(f'noise, spread: got {self.noise} and {self.spread}, expected 0 or more, and more')

    @property
    def own(self) -> int:
        """Which of the eight windows is asked alone."""
        return expression.current(self.look_ahead) if self.intermediate < 0 else self.intermediate

    @property
    def before(self) -> int:
        """Windows before the frame's."""
        return expression.current(self.look_ahead)

    @property
    def after(self) -> int:
        """Windows after the frame's."""
        return expression.STEPS - 1 - self.before
