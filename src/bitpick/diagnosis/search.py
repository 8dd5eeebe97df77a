"""Search for the next recipe: changes that could help are measured, not guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bitpick.diagnosis.candidates import calibrations, granularities, ranked
from bitpick.diagnosis.changes import Answer, Changes, Predictions, gain
from bitpick.diagnosis.scoped import without
from bitpick.engines.registry import engine
from bitpick.recipe import Recipe
from bitpick.schema.diagnosis import Change, Layer

MOST_LAYERS = 4  # layers left in float, one after another, until little of the drop is left
_REST = 0.25  # share of the drop that counts as little
_FLOAT = 0.5  # stop once the integer share of multiply-accumulates is below this


@dataclass(frozen=True)
class Attempt:
    """A recipe that was measured in the search.

    Attributes:
        recipe: the recipe.
        why: the reason to try it.
        change: its losses against the float32.
        gain: the accuracy it wins back from the diagnosed recipe's drop, as a fraction.
        interval: Tango's 95% interval of the gain.
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
    """Searches for the next recipe.

    Args:
        changes: measures recipes.
        recipe: the diagnosed recipe.
        whole: its losses.
        predicted: its predictions on the same samples, classes of shape (n,).
        layers: its measured layers.
    """

    changes: Changes
    recipe: Recipe
    whole: Change
    predicted: Predictions
    layers: Sequence[Layer]
    tried: list[Attempt] = field(default_factory=list)

    def next(self) -> Attempt | None:
        """Return the recipe to try next; None if nothing that was tried promises to help."""
        base: Attempt | None = None
        for alternatives in (granularities, calibrations):  # these leave no layer in float
            recipe = base.recipe if base else self.recipe
            attempts = self._try(alternatives(recipe, self.layers, engine(recipe.engine)))
            if best := max(attempts, key=_merit, default=None):
                if self._is_fixed(best):
                    return best
                if best.shown and (base is None or _merit(best) > _merit(base)):
                    base = best
        chosen = self._leave_out(base.recipe if base else self.recipe)
        if fixed := next((attempt for attempt in chosen if self._is_fixed(attempt)), None):
            return fixed
        most = max(self.tried, key=_merit, default=None)
        # Winning back half of the drop is worth a try, even if the samples do not prove it.
        worth = most is not None and (most.shown or (most.gain > 0 and most.gain >= self.whole.drop / 2))
        return most if worth else None

    def _leave_out(self, base: Recipe) -> list[Attempt]:
        """Leave out one more layer at a time, until the drop is small, nothing changes, or half the work is float."""
        order = [layer.name for layer in ranked(self.layers, self.whole)]
        reason = "single layers take most of the noise, or of the drop, away as they are left in float"
        attempts: list[Attempt] = []
        for count in range(1, min(len(order), MOST_LAYERS) + 1):
            attempts += self._try([(without(base, order[:count]), reason)])
            if (
                len(attempts) < count
                or self._is_fixed(attempts[-1])
                or (attempts[-1].change.integer_macs or 1.0) < _FLOAT
            ):
                break
            if count > 1 and not any(
                newer > older for newer, older in zip(*map(_merit, attempts[:-3:-1]), strict=True)
            ):
                break
        return attempts

    def _try(self, recipes: Sequence[tuple[Recipe, str]]) -> list[Attempt]:
        answers: dict[str, Answer] = {}
        self.changes.measure(
            [recipe for recipe, _ in recipes], lambda recipe, answer: answers.update({recipe.id: answer})
        )
        attempts = []
        for recipe, reason in recipes:
            change = answers.get(recipe.id)
            if isinstance(change, Change):
                won, interval = gain(self.predicted, self.changes.predictions(recipe), self.changes.targets)
                attempts.append(Attempt(recipe, reason, change, won, interval))
        self.tried += attempts
        return attempts

    def _is_fixed(self, attempt: Attempt) -> bool:
        """Whether no drop is shown any more and what remains is small."""
        return (
            attempt.gain > 0 and attempt.change.drop_interval[0] <= 0 and attempt.change.drop <= _REST * self.whole.drop
        )


def _merit(attempt: Attempt) -> tuple[int, float]:
    return attempt.change.correct, float("inf") if attempt.change.sqnr_db is None else attempt.change.sqnr_db
