"""A metric of the user's: any function of the outputs and targets of the whole evaluation set."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from bitpick.errors import DataError, RequestError
from bitpick.library_errors import typed_line
from bitpick.models import user_code
from bitpick.models.model import sha256_of
from bitpick.preprocessing import Arrays
from bitpick.schema.evidence import Measure
from bitpick.statistics import Replicates, of_places
from bitpick.tasks.parts import packed, unpacked
from bitpick.tasks.resampled import Resampled
from bitpick.tasks.task import Answers, Targets

_RESAMPLES = 1000  # each calls the function once


class Custom(Resampled):
    """A task that is judged by the user's `module:function`.

    The function takes outputs and targets of any n samples and returns a number. The outputs are one array of shape
    (n, …), or a dictionary of arrays by name if the model has several outputs; the targets have shape (n, …).

    Attributes:
        path: `module:function`.
        outputs: names of the model's outputs.
        name: of the metric.
        unit: of its values; `fraction` for numbers from 0 to 1.
        higher_is_better: whether a higher value is better.
    """

    sees_values = True

    kind: Literal["custom"] = "custom"
    path: str
    outputs: tuple[str, ...]
    name: str
    unit: str = ""
    higher_is_better: bool = True

    @property
    def measure(self) -> Measure:
        """See `Task.measure`."""
        return Measure(name=self.name, unit=self.unit, higher_is_better=self.higher_is_better)

    @property
    def code(self) -> str | None:
        """See `Task.code`: the digest of the function's file."""
        return digest(self.path)

    @property
    def unsettled(self) -> bool:
        """See `Task.unsettled`: the function is tried out before anything is built."""
        return True

    def settled(self, outputs: Arrays, targets: Targets | None) -> Custom:
        """See `Task.settled`."""
        assert targets is not None
        self._call(packed(outputs, self.outputs), targets)
        return self

    def answers(self, inputs: Arrays, outputs: Arrays, targets: Targets | None) -> Answers:  # noqa: ARG002 - see Task
        """See `Task.answers`: all outputs, see `packed`."""
        return packed(outputs, self.outputs)

    def replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """See `Resampled.replicates`: one call for each resample."""
        return of_places(lambda places: self._call(answers[places], targets[places]), len(targets), _RESAMPLES)

    def _call(self, answers: Answers, targets: Targets) -> float:
        parts = unpacked(answers)
        try:
            return float(load(self.path)(parts.get("", parts), targets))
        except Exception as error:
            raise DataError(
                f"the metric {self.path} fails on {len(targets):,} samples: {typed_line(error)}",
                expected=f"a function of outputs {_shapes(parts)} and targets {targets.shape} that returns a number",
                fix="the same call on arrays of these shapes shows where it fails",
            ) from error


def _shapes(parts: Mapping[str, NDArray[Any]]) -> str:
    """Describe the shapes of the outputs that a metric receives, e.g. `(640, 1)` or `{'boxes': (640, 4)}`."""
    return str(parts[""].shape) if "" in parts else str({name: part.shape for name, part in parts.items()})


@functools.cache
def load(path: str) -> Callable[..., Any]:
    """Import the function that `module:function` names; the module may be in the current folder.

    Raises:
        RequestError: the module cannot be imported, or has no such function.
    """
    return user_code.load(path, RequestError)


def digest(path: str) -> str | None:
    """Return the digest of the function's file; None if it has no file.

    Raises:
        RequestError: there is no such function.
    """
    load(path)
    file = getattr(sys.modules[path.partition(":")[0]], "__file__", None)
    return sha256_of(Path(file)) if file else None
