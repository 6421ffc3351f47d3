"""How probable a letter is after others: what a beam is guided by."""

import math
from collections import Counter
from collections.abc import Iterable

from neurend.speech.text import LETTERS


class LetterModel:
    """Letters after the few before them, as often as in some texts; mixed over lengths (Witten and Bell, 1991).

    Args:
        texts: in the alphabet of `text.LETTERS`.
        order: letters that are looked at, the new one among them.
    """

    def __init__(self, texts: Iterable[str], *, order: int = 6):
        self._order = order
        self._counts: dict[str, Counter[str]] = {}
        for each in texts:
            line = f' {each} '
            for place in range(1, len(line)):
                for length in range(min(order, place + 1)):
                    context = line[place - length : place]
                    self._counts.setdefault(context, Counter())[line[place]] += 1
        self._totals = {context: (sum(found.values()), len(found)) for context, found in self._counts.items()}

    def log_probability(self, before: str, letter: str) -> float:
        """The logarithm of the probability of a letter after a text."""
        history = f' {before}'
        probability = 1 / len(LETTERS)
        for length in range(min(self._order, len(history) + 1)):
            context = history[len(history) - length :]
            if context not in self._counts:
                break
            total, kinds = self._totals[context]
            probability = (self._counts[context][letter] + kinds * probability) / (total + kinds)
        return math.log(probability)
