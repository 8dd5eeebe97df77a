"""The contract of executors: run a function, given as `package.module:name`, on a JSON payload."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bitpick.errors import OperatorError, Unsupported, system_cause, unexpected
from bitpick.executors.progress import Report

Payload = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The result of a call, and its cost.

    Attributes:
        value: the result, plain JSON.
        seconds: wall time.
        cpu_seconds: CPU time of the process, over all threads.
    """

    value: Any
    seconds: float
    cpu_seconds: float


def unheard(text: str) -> None:
    """Do nothing with a report of progress."""


class Executor(Protocol):
    """Runs functions in named environments."""

    def run(self, environment: str, function: str, payload: Payload, progress: Report = unheard) -> Outcome:
        """Call `function` (`package.module:name`) with the payload as keyword arguments.

        Args:
            environment: the environment.
            function: the function's path.
            payload: its arguments.
            progress: called with what the function reports while it runs, in the calling thread.

        Raises:
            BitpickError: the function raised it; a `WorkerError` if its process died.
        """
        ...

    def slots(self, environment: str) -> int:
        """Return how many calls an environment can currently run at once."""
        ...

    def close(self) -> None:
        """Stop everything that was started."""
        ...


def call(function: str, payload: Payload) -> Any:
    """Call a function, and return what it returns.

    Raises:
        BitpickError: the function raised it. What the system refused is never taken for something that an engine or a
            conversion cannot do.
    """
    try:
        return resolve(function)(**payload)
    except (Unsupported, OperatorError) as error:
        if (cause := system_cause(error)) is not None:
            raise unexpected(cause) from error
        raise


def resolve(function: str) -> Callable[..., Any]:
    """Return the function that `package.module:name` names."""
    module, _, name = function.partition(":")
    target: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return target
