"""An engine of another distribution that does not load: it costs its rows, and no command."""

from __future__ import annotations

from typing import Any, NoReturn

from bitpick.engines.capability import Offer
from bitpick.engines.engine import Engine
from bitpick.errors import EngineError
from bitpick.models.model import Model
from bitpick.recipe import PRESETS, Recipe, baseline
from bitpick.targets.host import Host


class BrokenEngine(Engine):
    """Stands for an engine that does not load.

    Args:
        name: the engine's name.
        reason: why it does not load, and what to do.
    """

    environment = "none"
    packages = ()
    extra = ""
    accepts = ()

    def __init__(self, name: str, reason: str) -> None:
        self.name = name  # type: ignore[misc]  # each of these has a name of its own
        self._reason = reason

    def missing(self) -> str:
        """See `Engine.missing`."""
        return self._reason

    def refusal(self, recipe: Recipe) -> str | None:  # noqa: ARG002 - the contract
        """Refuse nothing: a row says why there is no build."""
        return None

    def recipes(self, model: Model, host: Host) -> list[Offer]:  # noqa: ARG002 - the contract
        """See `Engine.recipes`."""
        return [Offer(baseline(self.name), frozenset(PRESETS), self._reason)]

    def build(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: it does not load."""
        raise EngineError(f"{self.name}: {self._reason}")

    def open(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: it does not load."""
        raise EngineError(f"{self.name}: {self._reason}")

    def inspect(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: it does not load."""
        raise EngineError(f"{self.name}: {self._reason}")
