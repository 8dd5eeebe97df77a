"""What tuning did to the float network on the way to a build: a part of run.json."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

_STRICT = ConfigDict(extra="forbid", frozen=True)


class TunedLayer(BaseModel):
    """What tuning did to a layer, as the ratio of signal to quantization noise in its outputs.

    Attributes:
        nearest: with weights rounded to the nearest value, in decibels.
        tuned: with the tuned weights.
    """

    model_config = _STRICT

    layer: str
    nearest: float
    tuned: float


class Training(BaseModel):
    """How a pass trained the network.

    Attributes:
        epochs: how often the network saw the training samples.
        samples: number of training samples.
        held_out: number of samples that the best epoch was chosen on.
        labels: whether it was trained with labels, not with the float network's outputs alone.
        changes: how pictures were changed at random, in words; empty if they were not.
    """

    model_config = _STRICT

    epochs: int
    samples: int
    held_out: int
    labels: bool
    changes: str = ""


class Tuning(BaseModel):
    """A pass that changed the float function, and by how much.

    Attributes:
        form: the form that it wrote.
        source: the form that it read.
        samples: number of samples that it had; layers with large activations may have used fewer.
        layers: what it did to each layer.
        training: how it trained the network; None for passes that do not.
        cpu_seconds: the processor time that it took.
        evaluated: number of evaluation samples that both metrics are computed on; None until they are.
        before: the metric of the source form, in float32.
        after: the metric of the form, in float32.
    """

    model_config = _STRICT

    form: str
    source: str
    samples: int
    layers: tuple[TunedLayer, ...] = ()
    training: Training | None = None
    cpu_seconds: float
    evaluated: int | None = None
    before: float | None = None
    after: float | None = None
