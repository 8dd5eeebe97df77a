"""The contract: run a function, named by its module, on a payload that JSON can carry."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Payload = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a function returned, and what it cost.

    Attributes:
        value: the result, plain JSON.
        seconds: wall time.
        cpu_seconds: CPU time of the process, all its threads.
    """

    value: Any
    seconds: float
    cpu_seconds: float


class Executor(Protocol):
    """Runs functions in named environments."""

    def run(self, environment: str, function: str, payload: Payload) -> Outcome:
        """Call `function` (`package.module:name`) with the payload as keyword arguments.

        Raises:
            BitpickError: what the function raised; a `WorkerError` where its process died.
        """
        ...

    def places(self, environment: str) -> int:
        """How many calls may go on in an environment at once, as things are."""
        ...

    def close(self) -> None:
        """End everything that was started."""
        ...


def resolve(function: str) -> Callable[..., Any]:
    """The function that `package.module:name` names."""
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
