"""What a run found: the schema of run.json.

Plain units: fractions from 0 to 1, bytes, seconds; `drop` in the metric's own unit. A field that was not measured is
None here and absent from the file.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from bitpick.recipe import Kind, Recipe
from bitpick.schema.data import DataRecord
from bitpick.schema.diagnosis import Diagnosis, Example
from bitpick.schema.evidence import Accuracy, Fidelity, Finding, Metric, Unoptimized, VersusBaseline, VersusNative
from bitpick.schema.failure import Failure
from bitpick.schema.fingerprint import Coverage, Fingerprint
from bitpick.schema.groups import Selection
from bitpick.schema.hop import Hop
from bitpick.schema.judging import Judging
from bitpick.schema.robustness import Fold, OverDraws
from bitpick.schema.speed import Device, Latency, SpeedRecord, Throughput

SCHEMA_VERSION = 1

State = Literal["running", "complete", "interrupted", "failed"]
Status = Literal["ok", "failed", "unsupported"]
Measured = Literal["native", "emulated", "imported"]
FlagCode = Literal[
    "drop",
    "min_accuracy",
    "not_as_requested",
    "partly_float",
    "saturates",
    "differs",
    "dead_channel",
    "slower_than_float",
]


class Record(BaseModel):
    """A part of run.json: a value that never changes. Unknown fields are refused, so that this page is the schema."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class File(Record):
    """A file that ships, its path relative to the run directory."""

    path: str
    bytes: int
    sha256: str


class Flag(Record):
    """Something about a row that a reader must not miss."""

    code: FlagCode
    text: str


class Row(Record):
    """One build measured on one target, or the reason why there is none.

    Attributes:
        reason: why there is none.
        out_of_reach: whether its engine cannot use this model on this machine, and the request does not name it;
            reports have one line for all such rows.
        recipe_fields: the recipe, where its id does not decode.
        deprecated: why nobody should start with this engine today; such a row is measured and never recommended.
        settings: what the runtime must be told when it opens the files; part of what ships.
        metric: what it is judged by.
        metrics: others that say more.
        samples: how many it was evaluated on.
        predictions_sha256: digest of the file beside the build that holds what it answered for them.
        accuracy: where the task is to predict classes that the labels name.
        fidelity: how alike the output that the task is about is to the baseline's.
        fidelities: the same of each output, by its name, where there are several.
        weight_bytes: bytes of the weights alone, in the formats that the runtime keeps them in.
        over_draws: what its recipe loses over several calibration draws, where that was asked for.
        no_over_draws: why that is not known, where it was asked for.
        device: where an imported row was measured.
        memory_bytes: peak growth of a process's memory as it opens the build and runs one sample.
        findings: what makes it slow or big.
    """

    id: str
    recipe: str
    engine: str
    target: str = "host"
    kind: Kind
    measured: Measured = "native"
    status: Status
    reason: str | None = None
    out_of_reach: bool | None = None
    recipe_fields: Recipe | None = None
    deprecated: str | None = None
    files: list[File] | None = None
    settings: dict[str, str] | None = None
    size_bytes: int | None = None
    size_ratio: float | None = None
    weight_bytes: int | None = None
    metric: Metric | None = None
    metrics: list[Metric] | None = None
    samples: int | None = None
    predictions_sha256: str | None = None
    accuracy: Accuracy | None = None
    versus_baseline: VersusBaseline | None = None
    versus_native: VersusNative | None = None
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
    memory_bytes: int | None = None
    findings: list[Finding] | None = None
    flags: list[Flag] = []
    seconds: dict[str, float] = {}
    cpu_seconds: dict[str, float] = {}

    @property
    def quantization(self) -> Recipe:
        """The row's recipe."""
        return self.recipe_fields or Recipe.parse(self.recipe)

    @property
    def slower(self) -> bool:
        """Whether it is flagged slower than its own float32."""
        return any(flag.code == "slower_than_float" for flag in self.flags)

    @property
    def faults(self) -> list[Flag]:
        """The flags that keep it from being recommended: all but that it is slow, which a small build may be."""
        return [flag for flag in self.flags if flag.code != "slower_than_float"]


class FormRecord(Record):
    """A form of the model that the run made or was given."""

    path: str
    sha256: str


class ModelRecord(Record):
    """The model and how each of its forms was verified.

    Attributes:
        notes: what was assumed about the model, or changed in it, before anything was built.
    """

    source: str
    format: str
    sha256: str
    parameters: int | None = None
    macs: int | None = None
    forms: dict[str, FormRecord] = {}
    hops: tuple[Hop, ...] = ()
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
    """What was asked for; `sha256` identifies the request, so that a killed run finds its folder again.

    Attributes:
        data_options: how the data set is read, where that is not left to bitpick, see `DataOptions`.
        accept_baseline: whether the run goes on with a float model that makes no sense of the data.
        keras_builder: the function that builds the model, where the file holds weights alone.
        state_dict: the file of the weights, where a function returns the model.
        recipe_fields: the recipes whose ids do not decode, by their ids.
        calibration_seeds: from how many calibration draws the builds that matter are made; 1 is their own alone.
        targets: the CPUs to measure for beside this one; empty where bitpick chooses.
        target_fields: what each of them is, by its name.
        target_samples: how many evaluation samples an emulated target gets.
        judging: how builds are to be judged, where the user says so.
        margin: the largest drop that does no harm: a share of the baseline's metric (`1%`), or points, or a number in
            the metric's unit (`0.5`). Where the user says none it is the task's own, and empty until that is known.
        alpha: how often, at most, one of the recommended rows may wrongly be called good enough; one-sided.
        selection: how choosing and judging on the same samples is kept from flattering what is chosen.
        max_drop: rows that lose more than this are not recommended: as a fraction, of the baseline's metric where that
            is none itself.
        max_size: rows of more bytes are not recommended.
        max_latency_ratio: rows whose time is more than this share of the reference's are not recommended.
        bench_seconds: how long speed may be measured; 0 is not at all.
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
    targets: list[str] = []
    target_fields: dict[str, dict[str, Any]] = {}
    target_samples: int = 1000
    judging: Judging = Judging()
    margin: str = ""
    alpha: float
    selection: Selection = "simultaneous"
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
        id: the row, or None where no row can be recommended.
        because: the reasons, in words.
        by_use: the best row by the metric, under its name, by `size`, by `latency` where it was measured, and of each
            engine, under its name.
        by_target: the row to ship for each CPU that was measured for; `host` is this one.
        ties: the rows whose metric is not shown to differ from that of the best one, it included.
        pareto: the rows shown to be good enough of which no other is as accurate, as small and, where that was
            measured, as fast.
        selection: `simultaneous`: chosen and judged on all samples, with all rows tested at once; `cross-fit`: chosen
            on each half and judged on the other.
        folds: the two halves, where it was that.
        held_out_drop: the drop over both halves, each sample with the row that was chosen without it.
        held_out_interval: its interval at 95%, see `VersusBaseline`.
    """

    id: str | None
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
        """That no build is recommended is an answer, not a field that was not filled: `id` is there as null."""
        return {"id": self.id, **handler(self)}


class Run(Record):
    """run.json.

    Attributes:
        error: why the run failed, where it did.
        diagnosis: which layers of a row hurt, where that was asked for.
        examples: evaluation samples that the recommended build, or the most accurate one, predicts otherwise than its
            float32.
        notes: why the run added rows to those of the preset.
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
    examples: list[Example] | None = None
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = {}

    def row(self, row_id: str) -> Row | None:
        """The row with this id."""
        return next((r for r in self.rows if r.id == row_id), None)
