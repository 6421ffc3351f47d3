"""At which steps the loop comes back to the host, and for what."""

import dataclasses
from collections.abc import Iterator

from neurend.checks import InputError


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The boundaries of a run; between them steps run on the device in chunks.

    Attributes:
      steps: at the end all of it is done.
      log_every: steps between two lines of metrics.
      evaluate_every: steps between two evaluations; 0 for one at the end.
      checkpoint_every: steps between two checkpoints; 0 for one at the end.
      update_steps: where `Method.update` is called.
    """

    steps: int
    log_every: int
    evaluate_every: int = 0
    checkpoint_every: int = 0
    update_steps: tuple[int, ...] = ()

    def __post_init__(self):
        """Raises `InputError` for numbers of steps that make no sense."""
        for name, least in (('steps', 1), ('log_every', 1), ('evaluate_every', 0), ('checkpoint_every', 0)):
            if getattr(self, name) < least:
                raise InputError(f'{name}: got {getattr(self, name)}, expected at least {least}')
        if any(step < 1 for step in self.update_steps):
            raise InputError(f'Method.update_steps: got {self.update_steps}, expected numbers of finished steps from 1')

    def logs(self, step: int) -> bool:
        """Whether metrics are written after `step` finished steps."""
        return step % self.log_every == 0 or step == self.steps

    def evaluates(self, step: int) -> bool:
        """Whether the examples are evaluated after `step` finished steps."""
        return step == self.steps or bool(self.evaluate_every and step % self.evaluate_every == 0)

    def checkpoints(self, step: int) -> bool:
        """Whether a checkpoint is saved after `step` finished steps."""
        return step == self.steps or bool(self.checkpoint_every and step % self.checkpoint_every == 0)

    def updates(self, step: int) -> bool:
        """Whether the method is updated after `step` finished steps."""
        return step in self.update_steps

    def chunks(self, start: int, longest: int) -> Iterator[int]:
        """Numbers of steps to run at a time from step `start` to the end: to the next boundary, `longest` at most."""
        step = start
        while step < self.steps:
            stops = [self.steps, step + longest]
            every = (self.log_every, self.evaluate_every, self.checkpoint_every)
            stops += [(step // period + 1) * period for period in every if period]
            stops += [update for update in self.update_steps if update > step]
            yield min(stops) - step
            step = min(stops)
