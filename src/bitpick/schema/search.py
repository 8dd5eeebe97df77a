"""What a search looked at: a part of run.json."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Look(BaseModel):
    """A recipe that a search tried.

    Attributes:
        recipe: its id.
        samples: number of the search's evaluation samples that it was judged on.
        drop: how much worse its metric is than that of its engine's float32 on them, in the metric's unit.
        drop_interval: at 95%, see `VersusBaseline`.
        size_bytes: bytes of its files.
        microseconds: CPU time for a sample, while it was evaluated in batches.
        ended: why it went no further; None if it was judged on all samples.
    """

    model_config = _STRICT

    recipe: str
    samples: int = 0
    drop: float | None = None
    drop_interval: tuple[float, float] | None = None
    size_bytes: int | None = None
    microseconds: float | None = None
    ended: str | None = None


class SearchRecord(BaseModel):
    """A search for the recipes that a run compares.

    Attributes:
        goal: what the best build has: the least `size`, the least `latency`, or the most `accuracy`.
        space: number of recipes that it could have tried.
        searched: number of evaluation samples that the search could look at.
        confirmed: number of evaluation samples that it did not look at; the run's rows are judged on these.
        looks: the recipes that it tried, in order.
        front: the recipes that it chose.
        seconds: how long it took.
        cpu_seconds: the processor time of building and evaluating.
    """

    model_config = _STRICT

    goal: str
    space: int
    searched: int
    confirmed: int
    looks: tuple[Look, ...] = ()
    front: tuple[str, ...] = ()
    seconds: float = 0.0
    cpu_seconds: float = 0.0
