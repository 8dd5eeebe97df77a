"""Choose the recipes that a search tries next, from what it has seen: Optuna's tree-structured Parzen estimator."""

from __future__ import annotations

import warnings
from typing import Any

from bitpick.errors import RequestError
from bitpick.recipe import Recipe
from bitpick.searching.space import NOTHING, Space
from bitpick.version import installed_version

_ATTEMPTS = 20  # asks in a row that bring nothing new
PLAIN = 16
"""Recipes that are proposed before any that treats single layers differently: passes tune each mix anew."""


class Sampler:
    """Proposes recipes of a space, each once.

    Args:
        space: the space.
        seed: makes the proposals repeatable.

    Raises:
        RequestError: Optuna is not installed.
    """

    def __init__(self, space: Space, seed: int) -> None:
        if installed_version("optuna") is None:
            raise RequestError("a search needs optuna, which is not installed", fix="pip install 'bitpick[search]'")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._trials: dict[str, Any] = {}
        self._mixing = False
        self._pruned = optuna.trial.TrialState.FAIL
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # `group` is, since years
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
        self._study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)

    def ask(self, count: int) -> list[Recipe]:
        """Return up to so many recipes that were not proposed before; fewer if no new ones are found."""
        proposed: list[Recipe] = []
        failed = 0
        while len(proposed) < count and failed < _ATTEMPTS:
            self._mixing = self._mixing or len(self._trials) >= PLAIN
            trial = self._study.ask()
            recipe = self._recipe(trial)
            if recipe is None or recipe.id in self._trials:
                self._study.tell(trial, state=self._pruned)
                failed += 1
                if failed == _ATTEMPTS and not self._mixing:  # hardly a plain recipe is left
                    self._mixing, failed = True, 0
                continue
            self._trials[recipe.id] = trial
            proposed.append(recipe)
        if len(proposed) < count:  # the sampler repeats itself: take what is left of the space
            for recipe in self._space:
                if len(proposed) == count:
                    break
                if recipe.id not in self._trials:
                    self._trials[recipe.id] = None
                    proposed.append(recipe)
        return proposed

    def _recipe(self, trial: Any) -> Recipe | None:
        name = trial.suggest_categorical("engine", sorted(self._space.schemes))
        scheme = trial.suggest_categorical(f"recipe of {name}", list(self._space.schemes[name]))
        rewritten = bool(self._space.rewriting) and trial.suggest_categorical("rewritten", [False, True])
        tuned = trial.suggest_categorical("tuned", [NOTHING, *self._space.tuning])
        eight, in_float = (
            trial.suggest_categorical(f"layers {how}", list(counts)) if self._mixing and len(counts) > 1 else counts[0]
            for how, counts in zip(("with eight bits", "in float"), self._space.mixes(scheme), strict=True)
        )
        return self._space.recipe(scheme, rewritten, tuned, eight, in_float)

    def tell(self, recipe: Recipe, drop: float, cost: float) -> None:
        """Report what a proposed recipe loses and costs."""
        if (trial := self._trials.get(recipe.id)) is not None:
            self._study.tell(trial, (drop, cost))

    def tell_failed(self, recipe: Recipe) -> None:
        """Report that a proposed recipe could not be built or run."""
        if (trial := self._trials.get(recipe.id)) is not None:
            self._study.tell(trial, state=self._pruned)
