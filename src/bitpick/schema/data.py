"""The record of a run's data set."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

_STRICT = ConfigDict(extra="forbid", frozen=True)


class EvaluationRecord(BaseModel):
    """The evaluation set: the number of samples, and the digest of inputs and labels."""

    model_config = _STRICT

    count: int
    sha256: str


class CalibrationRecord(BaseModel):
    """The calibration set.

    Attributes:
        count: number of samples.
        seed: of the draw.
        sha256: digest of the drawn indices.
        split_sha256: digest of the split that they were drawn from.
        per_class: number of samples of each class in the calibration split, by class name.
        overlap: number of samples that are also in the evaluation set.
    """

    model_config = _STRICT

    count: int
    seed: int
    sha256: str
    split_sha256: str | None = None
    per_class: dict[str, int]
    overlap: int


class DataRecord(BaseModel):
    """The data set of a run.

    Attributes:
        name: as users write it.
        preprocessing: how a stored sample becomes a model input, in words.
        notes: what bitpick guessed about the data, or found strange, in words.
        evaluation: the evaluation set.
        calibration: the calibration set.
    """

    model_config = _STRICT

    name: str
    preprocessing: str
    notes: tuple[str, ...] = ()
    evaluation: EvaluationRecord
    calibration: CalibrationRecord
