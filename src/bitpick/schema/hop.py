"""The verified conversions of a run's model: a part of run.json."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Exact(BaseModel):
    """How far both sides of a conversion are from the exact output, which the same graph gives in float64.

    Attributes:
        samples: number of samples: those on which the sides differ most.
        source: root mean square of the source's differences from the exact output, as a share of the output's.
        target: the same for the target.
    """

    model_config = _STRICT

    samples: int
    source: float
    target: float


class Hop(BaseModel):
    """One conversion, run on both sides on the same samples.

    Attributes:
        samples: number of samples.
        max_abs_diff: largest absolute difference between the outputs of both sides; absent if their shapes differ.
        rms_diff: root mean square of the differences, as a share of the output's root mean square. With several
            outputs, this and the other measures are for the one that differs most.
        channel_diff: the same for the channel, row or other position along an axis that differs most, without the
            worst tenth of the samples.
        bound: upper limit of `rms_diff` and `channel_diff`; above it, `exact` decides.
        exact: how far both sides are from the exact output, measured if the bound is exceeded.
        no_exact: why the graph does not run in float64, if `exact` is absent for that reason.
        tolerance: upper limit of `max_abs_diff`, in older runs.
        top1_agreement: share of samples with the same top-1 class; absent if the outputs are not class scores.
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
