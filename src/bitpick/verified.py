"""The conversions of a run's model, each verified: a part of run.json."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

_STRICT = ConfigDict(extra="forbid")


class Exact(BaseModel):
    """How far both sides of a conversion are from exact arithmetic: the same graph, run in float64.

    Attributes:
        samples: on how many samples: those on which the sides differ most.
        source: root mean square of the source's differences from it, as a share of the output's.
        target: that of the target.
    """

    model_config = _STRICT

    samples: int
    source: float
    target: float


class Hop(BaseModel):
    """One conversion, run on both sides on the same samples.

    Attributes:
        samples: how many.
        max_abs_diff: largest absolute difference between the outputs of both sides; absent where their shapes differ.
        rms_diff: root mean square of the differences, as a share of that of the output. Of several
            outputs, this and the other measures are of the one that differs most.
        channel_diff: the same for the channel, row or other place along an axis that differs most, without the
            unluckiest tenth of the samples.
        bound: what `rms_diff` and `channel_diff` are held to; beyond it, `exact` decides.
        exact: what was measured where that bound was exceeded.
        no_exact: why nothing was, where the graph does not run in float64.
        tolerance: what `max_abs_diff` was held to, in older runs.
        top1_agreement: share of samples with the same top-1 class; absent where the outputs are not the scores of
            classes.
    """

    model_config = _STRICT

    name: str
    source: str
    target: str
    samples: int
    max_abs_diff: float | None = None
    rms_diff: float | None = None
    channel_diff: float | None = None
    bound: float | None = None
    exact: Exact | None = None
    no_exact: str | None = None
    tolerance: float | None = None
    top1_agreement: float | None = None
    passed: bool
