"""The schema of run.json. Units are plain: fractions from 0 to 1, bytes, seconds; `drop` is in the metric's unit.

A field that was not measured is None here and absent from the file.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from bitpick.paths import PlainName, RelativePath
from bitpick.recipe import Kind, Recipe
from bitpick.schema.data import DataRecord
from bitpick.schema.diagnosis import Diagnosis, Example
from bitpick.schema.evidence import (
    Accuracy,
    Fidelity,
    Finding,
    Metric,
    Unoptimized,
    VersusBaseline,
    VersusNative,
    VersusUnprepared,
)
from bitpick.schema.failure import Failure
from bitpick.schema.fingerprint import Coverage, Fingerprint
from bitpick.schema.groups import Selection
from bitpick.schema.hop import Hop
from bitpick.schema.judging import Judging
from bitpick.schema.numbers import Count, Seconds
from bitpick.schema.robustness import Fold, OverDraws
from bitpick.schema.search import SearchRecord
from bitpick.schema.speed import Device, Latency, SpeedRecord, Throughput
from bitpick.schema.tuning import Tuning

SCHEMA_VERSION = 1

State = Literal["running", "complete", "interrupted", "failed"]
Status = Literal["ok", "failed", "unsupported"]
Measured = Literal["native", "emulated", "imported"]
FlagCode = Literal[
    "drop", "min_accuracy", "not_as_requested", "partly_float", "saturates", "differs", "dead_channel",
    "slower_than_float",
]  # fmt: skip


class Record(BaseModel):
    """A part of run.json: an immutable value that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class File(Record):
    """A file that ships; its path is relative to the run directory."""

    path: RelativePath
    bytes: Count
    sha256: str


class Flag(Record):
    """A warning about a row."""

    code: FlagCode
    text: str


class Row(Record):
    """One build measured on one target, or the reason why there is no build.

    Attributes:
        reason: why there is no build.
        out_of_reach: whether its engine cannot use this model on this machine, and the request does not name the
            engine; reports summarize all these rows in one line.
        recipe_fields: the recipe, if its id does not decode.
        deprecated: why new projects should not use this engine; such a row is measured but never recommended.
        settings: session settings that the runtime needs to open the files; they ship with the build.
        metric: the metric that it is judged by.
        metrics: further metrics.
        samples: number of evaluation samples.
        predictions_sha256: digest of the file of predictions next to the build.
        accuracy: top-1 accuracy, if the task is to predict the class that the label names.
        fidelity: how close the task's output is to the baseline's.
        fidelities: how close each output is to the baseline's, by name, if there are several.
        weight_bytes: bytes of the weights alone, in the formats that the runtime stores them in.
        over_draws: what the recipe loses over several calibration draws, if requested.
        no_over_draws: why `over_draws` is missing although it was requested.
        device: the device that an imported row was measured on.
        memory_bytes: peak memory growth of a process that opens the build and runs one sample.
        findings: what makes the build slow or big.
    """

    id: PlainName
    recipe: PlainName
    engine: str
    target: PlainName = "host"
    kind: Kind
    measured: Measured = "native"
    status: Status
    reason: str | None = None
    out_of_reach: bool | None = None
    recipe_fields: Recipe | None = None
    deprecated: str | None = None
    files: list[File] | None = None
    settings: dict[str, str] | None = None
    size_bytes: Count | None = None
    size_ratio: float | None = None
    weight_bytes: Count | None = None
    metric: Metric | None = None
    metrics: list[Metric] | None = None
    samples: Count | None = None
    predictions_sha256: str | None = None
    accuracy: Accuracy | None = None
    versus_baseline: VersusBaseline | None = None
    versus_native: VersusNative | None = None
    versus_unprepared: VersusUnprepared | None = None
    fidelity: Fidelity | None = None
    fidelities: dict[str, Fidelity] | None = None
    unoptimized: Unoptimized | None = None
    fingerprint: Fingerprint | None = None
    coverage: Coverage | None = None
    over_draws: OverDraws | None = None
    no_over_draws: str | None = None
    latency: Latency | None = None
    throughput: Throughput | None = None
    device: Device | None = None
    memory_bytes: Count | None = None
    findings: list[Finding] | None = None
    flags: list[Flag] = []
    seconds: dict[str, Seconds] = {}
    cpu_seconds: dict[str, Seconds] = {}

    @property
    def quantization(self) -> Recipe:
        """The row's recipe."""
        return self.recipe_fields or Recipe.parse(self.recipe)

    @property
    def slower(self) -> bool:
        """Whether it is flagged as slower than its own float32."""
        return any(flag.code == "slower_than_float" for flag in self.flags)

    @property
    def faults(self) -> list[Flag]:
        """The flags that rule out a recommendation: all but slowness, because a small build may be slow."""
        return [flag for flag in self.flags if flag.code != "slower_than_float"]


class FormRecord(Record):
    """A form of the model that the run made or received."""

    path: RelativePath
    sha256: str


class ModelRecord(Record):
    """The model, and how each of its forms was verified.

    Attributes:
        tunings: the passes that changed its function.
        notes: what was assumed about the model, or changed in it, before anything was built.
    """

    source: str
    format: str
    sha256: str
    parameters: int | None = None
    macs: int | None = None
    forms: dict[str, FormRecord] = {}
    hops: tuple[Hop, ...] = ()
    tunings: tuple[Tuning, ...] = ()
    notes: tuple[str, ...] = ()


class HostRecord(Record):
    """The machine that measured."""

    cpu: str
    isa: list[str]
    cores: int
    threads: int
    platform: str
    python: str
    versions: dict[str, str]


class RequestRecord(Record):
    """The request; `sha256` identifies it, so that a killed run finds its folder again.

    Attributes:
        data_options: how to read the data set, see `DataOptions`; empty if bitpick decides.
        accept_baseline: whether the run continues even if the float model makes no sense of the data.
        keras_builder: the function that builds the model, if the file holds only weights.
        state_dict: the file of the weights, if a function returns the model.
        recipe_fields: the recipes whose ids do not decode, by id.
        calibration_seeds: number of calibration draws to make the important builds from; 1 is only their own.
        training_minutes: the CPU minutes that each training may take.
        targets: the other CPUs to measure for; empty if bitpick chooses.
        target_fields: the definition of each target, by its name.
        target_samples: number of evaluation samples for an emulated target.
        judging: how the user wants builds to be judged.
        margin: the largest acceptable drop, see `schema.margin`; empty until the task, which has a default, is known.
        alpha: upper bound of the probability of wrongly calling a recommended row good enough; one-sided.
        selection: how to avoid the bias of choosing and judging on the same samples.
        goal: choose the build with the least `size` or `latency`, or the most `accuracy`; None for a balance.
        use: what to ship for, see `schema.uses`; None for anything.
        max_drop: do not recommend rows that lose more: a fraction, of the baseline's metric if it is not one itself.
        max_size: do not recommend rows with more bytes.
        max_latency_ratio: do not recommend rows that take a larger share of the reference's time.
        bench_seconds: how long speed may be measured; 0 disables it.
    """

    model: str
    model_sha256: str
    keras_builder: str | None = None
    state_dict: str | None = None
    data: str
    data_options: dict[str, Any] = {}
    accept_baseline: bool = False
    preset: str
    recipes: list[str]
    recipe_fields: dict[str, Recipe] = {}
    engines: list[str]
    calibration_size: int
    seed: int
    calibration_seeds: int = 1
    training_minutes: float = 15.0
    targets: list[str] = []
    target_fields: dict[str, dict[str, Any]] = {}
    target_samples: int = 1000
    judging: Judging = Judging()
    margin: str = ""
    alpha: float
    selection: Selection = "simultaneous"
    goal: str | None = None
    use: str | None = None
    max_drop: float | None = None
    max_size: int | None = None
    max_latency_ratio: float | None = None
    bench_seconds: float = 0.0
    flag_drop: float
    min_accuracy: float | None = None
    sha256: str


class Recommendation(Record):
    """The build to ship.

    Attributes:
        id: id of the row; None if no row can be recommended.
        because: the reasons, in words.
        by_use: the best row for each use: the name of the metric, `size`, `latency` if it was measured, and the name of
            each engine.
        by_target: the row to ship for each CPU; `host` is this one.
        ties: the rows whose metric is not shown to differ from the best row's, including the best row.
        pareto: the good enough rows for which no other is as accurate, as small and, if speed was measured, as fast.
        selection: `simultaneous`: chosen and judged on all samples, with all rows tested at once; `cross-fit`: chosen
            on each half and judged on the other.
        folds: the two halves of a cross-fit.
        held_out_drop: the drop over both halves, each sample with the row that was chosen without it.
        held_out_interval: its interval at 95%, see `VersusBaseline`.
    """

    id: PlainName | None
    because: list[str]
    by_use: dict[str, str] = {}
    by_target: dict[str, str] = {}
    ties: list[str] = []
    pareto: list[str] = []
    selection: Selection = "simultaneous"
    folds: list[Fold] | None = None
    held_out_drop: float | None = None
    held_out_interval: tuple[float, float] | None = None

    @model_serializer(mode="wrap")
    def _with_id(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keep `id` in the file even if it is null: "no build is recommended" is an answer, not a missing field."""
        return {"id": self.id, **handler(self)}


class Run(Record):
    """A run, as run.json stores it.

    Attributes:
        error: why the run failed, if it failed.
        diagnosis: the layers of a row that cost accuracy, if a diagnosis was requested.
        search: the search that chose the recipes, if one was requested.
        examples: evaluation samples that the recommended build, or the most accurate, predicts unlike its float32.
        notes: why the run added rows to those of the preset.
        sha256: digest of the file up to here; what was changed since is measured again when the run continues.
    """

    schema_version: int = SCHEMA_VERSION
    state: State
    command: str
    version: str
    error: Failure | None = None
    request: RequestRecord
    task: str = "classification"
    model: ModelRecord
    data: DataRecord | None = None
    host: HostRecord
    rows: tuple[Row, ...] = ()
    recommendation: Recommendation | None = None
    speed: SpeedRecord | None = None
    diagnosis: Diagnosis | None = None
    search: SearchRecord | None = None
    examples: list[Example] | None = None
    notes: tuple[str, ...] = ()
    seconds: dict[str, Seconds] = {}
    sha256: str | None = None

    def row(self, row_id: str) -> Row | None:
        """Return the row with this id, or None."""
        return next((r for r in self.rows if r.id == row_id), None)
