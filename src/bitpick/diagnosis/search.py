"""From what the layers show to the next recipe: what could help is measured, not guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bitpick.diagnosis.candidates import calibrations, granularities, ranked
from bitpick.diagnosis.changes import Answer, Changes, Predictions, gain
from bitpick.diagnosis.scoped import without
from bitpick.engines.registry import engine
from bitpick.recipe import Recipe
from bitpick.schema.diagnosis import Change, Layer

MOST_LAYERS = 4  # left in float, one after the other, until little of the drop is left
_REST = 0.25  # of the drop: little
_FLOAT = 0.5  # integer multiply-accumulates: too few to go on


@dataclass(frozen=True)
class Tried:
    """A recipe that was measured on the way.

    Attributes:
        recipe: the recipe.
        why: what speaks for it.
        change: what it loses.
        gain: what it wins back of what the diagnosed recipe loses, as a fraction.
        interval: Tango's of that, at 95%.
    """

    recipe: Recipe
    why: str
    change: Change
    gain: float
    interval: tuple[float, float]

    @property
    def shown(self) -> bool:
        """Whether the samples show that it wins anything back."""
        return self.interval[0] > 0


@dataclass
class Search:
    """Looks for the next recipe.

    Args:
        changes: measures recipes.
        recipe: the diagnosed one.
        whole: what it loses.
        predicted: what it predicts on the same samples, classes of shape (n,).
        layers: what its layers show.
    """

    changes: Changes
    recipe: Recipe
    whole: Change
    predicted: Predictions
    layers: Sequence[Layer]
    tried: list[Tried] = field(default_factory=list)

    def next(self) -> Tried | None:
        """The recipe to try next; None where nothing that was tried promises to help."""
        base: Tried | None = None
        for alternatives in (granularities, calibrations):  # they leave no layer in float
            recipe = base.recipe if base else self.recipe
            tried = self._try(alternatives(recipe, self.layers, engine(recipe.engine)))
            if best := max(tried, key=_right, default=None):
                if self._fixed(best):
                    return best
                if best.shown and (base is None or _right(best) > _right(base)):
                    base = best
        chosen = self._leaving_out(base.recipe if base else self.recipe)
        if fixed := next((each for each in chosen if self._fixed(each)), None):
            return fixed
        most = max(self.tried, key=_right, default=None)
        # Half of the drop won back is worth a try, though the samples may not show it.
        worth = most is not None and (most.shown or (most.gain > 0 and most.gain >= self.whole.drop / 2))
        return most if worth else None

    def _leaving_out(self, base: Recipe) -> list[Tried]:
        """One layer more at a time, until the rest is small, another one changes nothing, or half of it is float."""
        order = [layer.name for layer in ranked(self.layers, self.whole)]
        why = "single layers take most of the noise, or of the drop, away as they are left in float"
        found: list[Tried] = []
        for count in range(1, min(len(order), MOST_LAYERS) + 1):
            found += self._try([(without(base, order[:count]), why)])
            if len(found) < count or self._fixed(found[-1]) or (found[-1].change.integer_macs or 1.0) < _FLOAT:
                break
            if count > 1 and not any(now > before for now, before in zip(*map(_right, found[:-3:-1]), strict=True)):
                break
        return found

    def _try(self, recipes: Sequence[tuple[Recipe, str]]) -> list[Tried]:
        answers: dict[str, Answer] = {}
        self.changes.measure([each for each, _ in recipes], lambda each, answer: answers.update({each.id: answer}))
        found = []
        for each, why in recipes:
            change = answers.get(each.id)
            if isinstance(change, Change):
                won, interval = gain(self.predicted, self.changes.predictions(each), self.changes.targets)
                found.append(Tried(each, why, change, won, interval))
        self.tried += found
        return found

    def _fixed(self, tried: Tried) -> bool:
        """Whether no drop is shown any more, and little of it is there."""
        return tried.gain > 0 and tried.change.drop_interval[0] <= 0 and tried.change.drop <= _REST * self.whole.drop


def _right(tried: Tried) -> tuple[int, float]:
    return tried.change.correct, float("inf") if tried.change.sqnr_db is None else tried.change.sqnr_db
