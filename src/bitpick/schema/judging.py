"""How the user wants builds to be judged."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Judging(BaseModel):
    """How the user wants builds to be judged; what is None follows from the model and the data.

    Attributes:
        task: the kind of task, e.g. `regression`.
        metric: a metric of that task, e.g. `rmse`, or `module:function`.
        metric_sha256: digest of the function's file, because another function makes another request.
        unit: of the metric's values.
        lower_is_better: whether the metric of `module:function` is an error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str | None = None
    metric: str | None = None
    metric_sha256: str | None = None
    unit: str | None = None
    lower_is_better: bool | None = None
