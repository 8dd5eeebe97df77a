"""A step of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bitpick.executors.executor import Payload

Shapes = list[tuple[int | None, ...] | None]


@dataclass(frozen=True)
class Job:
    """A step: a function on a payload, in an environment, after other steps.

    Attributes:
        id: names it, within one plan.
        environment: the worker that runs it.
        module: where the function is.
        function: its name.
        payload: its keyword arguments.
        makes: those of them that are files or folders that it writes.
        needs: ids of the jobs that make what it reads.
        subject: the row or the hop that it serves.
        wanted: whether somebody reads what it gives, beside jobs that need it.
        kept: whether what it gives depends on nothing but its payload, so that it need not be done twice.
        stands: for parts of the payload what they come down to, where two that differ give the same.
    """

    id: str
    environment: str
    module: str
    function: str
    payload: Payload
    makes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    subject: str = ""
    wanted: bool = True
    kept: bool = True
    stands: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The function as executors take it."""
        return f"{self.module}:{self.function}"
