"""A job: one step of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bitpick.executors.executor import Payload

Shapes = list[tuple[int | None, ...] | None]


@dataclass(frozen=True)
class Job:
    """A call of a function, in an environment, after other jobs.

    Attributes:
        id: the job's name, unique within a plan.
        environment: the environment of the worker that runs it.
        module: the function's module.
        function: the function's name.
        payload: its keyword arguments.
        makes: names of the arguments that are files or folders to write.
        needs: ids of the jobs that make its input files.
        subject: the row or hop that it serves.
        wanted: whether its result is used by anything except the jobs that need it.
        kept: whether its result depends only on its payload, so it can be stored and reused.
        stand_ins: values that replace arguments in the job's key, for arguments that may differ without effect.
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
    stand_ins: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The function's path, in the form that executors take."""
        return f"{self.module}:{self.function}"
