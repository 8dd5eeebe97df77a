"""The samples of a run: its record of the data set."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

_STRICT = ConfigDict(extra="forbid", frozen=True)


class EvaluationRecord(BaseModel):
    """The evaluation set: number of samples, digest of inputs and labels."""

    model_config = _STRICT

    count: int
    sha256: str


class CalibrationRecord(BaseModel):
    """The calibration set.

    Attributes:
        count: number of samples.
        seed: of their draw.
        sha256: digest of the drawn indices.
        split_sha256: digest of the split that they were drawn from.
        per_class: how many of each class that the calibration split has, by its name.
        overlap: how many of them are in the evaluation set too.
    """

    model_config = _STRICT

    count: int
    seed: int
    sha256: str
    split_sha256: str | None = None
    per_class: dict[str, int]
    overlap: int


class DataRecord(BaseModel):
    """The data set as a run used it.

    Attributes:
        name: as users write it.
        preprocessing: from a stored sample to what the model takes, in words.
        notes: what was guessed of it, or is strange about it, in words.
        evaluation: the evaluation set.
        calibration: the calibration set.
    """

    model_config = _STRICT

    name: str
    preprocessing: str
    notes: tuple[str, ...] = ()
    evaluation: EvaluationRecord
    calibration: CalibrationRecord
