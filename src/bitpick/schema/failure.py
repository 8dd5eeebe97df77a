"""Why a run failed: a part of run.json, and what `--json` prints when a command fails."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from bitpick.errors import BitpickError


class Failure(BaseModel):
    """Why a run failed.

    Attributes:
        kind: the error's name in `bitpick.errors`.
        what: what happened, and where.
        expected: what was expected instead.
        fix: how to fix it.
        logs: the folder with the output of libraries, relative to the run directory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    what: str
    expected: str | None = None
    fix: str | None = None
    logs: str | None = None

    @classmethod
    def of(cls, error: BitpickError, logs: str | None = None) -> Failure:
        """Return the record of an error."""
        answers = {"expected": error.expected or None, "fix": error.fix or None}
        return cls(kind=type(error).__name__, what=error.what, logs=logs, **answers)
