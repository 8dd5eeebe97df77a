"""Finished runs made in memory: a small one, and one with every field that a report shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.datasets import pictures
from bitpick.recipe import Recipe
from bitpick.schema.data import CalibrationRecord, DataRecord, EvaluationRecord
from bitpick.schema.diagnosis import Change, Diagnosis, Example, Layer
from bitpick.schema.evidence import Accuracy, Fidelity, Finding, Metric, Unoptimized, VersusBaseline, VersusNative
from bitpick.schema.fingerprint import Coverage, Fingerprint, Grid
from bitpick.schema.robustness import Draw, Fold, OverDraws
from bitpick.schema.run import File, Flag, Hop, HostRecord, ModelRecord, Recommendation, Row, Run
from bitpick.schema.speed import Latency, SpeedRecord, Throughput
from tests import records
from tests.records import changed

OWN, PICK, UNSHOWN = "alpha:float32", "alpha:s8u8-per_channel-minmax", "alpha:u8u8-per_tensor-minmax"
FLAGGED, SLOW, OTHER = "alpha:s8s8-per_tensor-minmax", "beta:s8dynamic", "beta:float32"
SMALL = "e:s8u8-per_channel-minmax"  # the quantized row of the small run
CLASSES = ("ant", "bee", "cow")
Name = Callable[[str], str]

Numbers = tuple[int, int, float | None, float]  # correct of 1,000, bytes, time over the reference's, how sure that is
ROWS: dict[str, Numbers] = {
    OWN: (900, 300_000, None, 0.02),
    OTHER: (901, 310_000, 3.1, 0.02),
    PICK: (895, 100_000, 0.45, 0.02),
    UNSHOWN: (880, 95_000, 0.40, 0.02),
    FLAGGED: (820, 96_000, 0.55, 0.02),
    SLOW: (899, 98_000, 2.5, 2.0),
}


def small_run(**fields: Any) -> Run:
    """A run of one engine: a baseline, a row with a flag, and a row without a build.

    Args:
        fields: what is there instead, as in run.json.
    """
    accuracy = {"correct": 90, "total": 100, "value": 0.9, "interval": (0.8, 0.95)}
    rows = [
        records.row(
            "e:float32", samples=100, size_bytes=1000, accuracy=accuracy | {"per_class": {"ant": 0.8, "bee": 1.0}},
            metric={"name": "accuracy", "value": 0.9, "interval": (0.82, 0.95)},
            files=[{"path": "builds/e__float32/m", "bytes": 1000, "sha256": "0" * 64}],
        ),
        records.row(
            SMALL, samples=100, size_bytes=400, size_ratio=0.4,
            accuracy=accuracy | {"correct": 80, "value": 0.8, "per_class": {"ant": 0.6, "bee": 1.0}},
            metric={"name": "accuracy", "value": 0.8, "interval": (0.7, 0.87)},
            flags=[{"code": "drop", "text": "loses 10.00 points"}],
            versus_baseline={
                "baseline": "e:float32", "drop": 0.1, "drop_interval": (0.04, 0.17), "flips": 10, "p_value": 0.001,
                "only_baseline": 10, "only_row": 0, "margin": 0.009, "noninferior": False, "score": -3.0,
                "noninferiority_p": 0.999,
            },
        ),
        records.missing_row("e:u8u8-per_tensor-minmax", status="unsupported", reason="no | such <kernel>"),
    ]  # fmt: skip
    hop = {
        "name": "raw_onnx → onnx", "source": "raw_onnx", "target": "onnx", "samples": 128, "max_abs_diff": 1e-6,
        "tolerance": 6e-5, "top1_agreement": 1.0, "passed": True,
    }  # fmt: skip
    model = {
        "source": "dir/my|model.onnx", "format": "raw_onnx", "sha256": "1" * 64, "parameters": 1234, "macs": 5678,
        "hops": [hop],
    }  # fmt: skip
    data = {
        "name": "tiny", "preprocessing": "raw values as float32", "evaluation": {"count": 100, "sha256": "3" * 64},
        "calibration": {
            "count": 10, "seed": 0, "sha256": "4" * 64, "per_class": {"ant": 5, "bee": 5}, "overlap": 1,
        },
    }  # fmt: skip
    host = {
        "cpu": "A CPU", "isa": ["avx2"], "cores": 2, "threads": 1, "platform": "Linux", "python": "3.11",
        "versions": {"numpy": "2.0"},
    }  # fmt: skip
    because = ["No build can be recommended: all 1 quantized rows are flagged."]
    document = {
        "state": "complete", "command": "compare", "version": "1",
        "request": records.request(model="dir/my|model.onnx"), "model": model, "data": data, "host": host,
        "rows": rows, "recommendation": {"id": None, "because": because},
    }  # fmt: skip
    return Run.model_validate(document | fields)


def over_draws(**fields: Any) -> OverDraws:
    """What the recipe of the small run's row loses over two draws."""
    draws = [Draw(seed=seed, correct=80 + seed, total=100, drop=0.1 - seed / 100, flips=10) for seed in (0, 2)]
    return OverDraws(**{"draws": draws, "drop": 0.09, "drop_interval": (0.0, 0.2), "noninferior": False} | fields)


def full_run(folder: Path, name: Name = str) -> Run:
    """A run of two engines.

    Args:
        folder: where the example images go.
        name: what each name from outside is instead: of classes, recipes, files, models, operators.
    """
    rows = [_row(row_id, numbers, name) for row_id, numbers in ROWS.items()]
    rows += [_elsewhere(rows[2]), _missing("alpha:u8u8-per_channel-minmax", "unsupported", name)]
    rows.append(_missing("beta:s8weights", "failed", name))
    for sample in range(3):
        pictures.save(np.full((8, 8, 3), 80 * sample, np.uint8), folder / "examples" / f"{sample}.png")
    says = {name(OWN): name("ant"), name(PICK): name("bee")}
    examples = [Example(sample=s, image=f"examples/{s}.png", label=name("ant"), predictions=says) for s in range(3)]
    return Run(
        state="complete",
        command="compare",
        version="1",
        request=records.request(
            model=name("model.onnx"), data=name("tiny"), recipes=[name(PICK)], engines=["alpha"], calibration_seeds=4,
            max_drop=0.02, max_size=500_000, max_latency_ratio=1.5,
        ),
        model=ModelRecord(
            source=name("model.onnx"), format="raw_onnx", sha256="1" * 64, parameters=1234, macs=5678,
            hops=[
                Hop(
                    name="raw_onnx → onnx", source="raw_onnx", target="onnx", samples=128, max_abs_diff=1e-6,
                    rms_diff=1e-7, channel_diff=3e-7, bound=1e-5, top1_agreement=1.0, passed=True,
                )
            ],
        ),
        data=DataRecord(
            name=name("tiny"), preprocessing="raw values as float32",
            evaluation=EvaluationRecord(count=1000, sha256="3" * 64),
            calibration=CalibrationRecord(
                count=10, seed=0, sha256="4" * 64, per_class={name(c): 3 for c in CLASSES}, overlap=1
            ),
        ),
        host=HostRecord(
            cpu="A CPU", isa=["avx2", "avx512_vnni"], cores=2, threads=1, platform="Linux", python="3.11",
            versions={"numpy": "2.0", name("beta"): "3"},
        ),
        rows=rows,
        recommendation=Recommendation(
            id=name(PICK), because=[f"{name(PICK)} is the smallest build that is shown to be good enough."],
            by_use={"accuracy": name(SLOW), "size": name(PICK)},
            by_target={"host": name(PICK), "x86-avx2": name(PICK)},
            ties=[name(SLOW), name(PICK)], pareto=[name(SLOW), name(PICK)], selection="cross-fit",
            folds=[
                Fold(
                    chosen=name(PICK), choosing=500, judging=500, drop=0.004, drop_interval=(-0.001, 0.009),
                    noninferiority_p=0.03, confirmed=True,
                ),
                Fold(choosing=500, judging=500),
            ],
        ),
        speed=SpeedRecord(
            reference=name(OWN), budget_seconds=60, seconds=42, untimed={name("beta:s8weights"): "there is no build"}
        ),
        diagnosis=_diagnosis(name, examples),
        examples=examples,
        seconds={"total": 12.5},
    )  # fmt: skip


def regression_run(folder: Path, name: Name = str) -> Run:
    """The same run, of a model that gives values: an error of 0.1 mm where 900 of 1,000 were right, and no classes."""
    run = full_run(folder, name)
    assert run.data is not None
    assert run.recommendation is not None
    return changed(
        run,
        task="regression",
        request=changed(run.request, margin="5%"),
        data=changed(run.data, calibration=changed(run.data.calibration, per_class={})),
        rows=tuple(_of_values(row, name) for row in run.rows),
        recommendation=changed(run.recommendation, by_use={"mae": name(SLOW), "size": name(PICK)}),
        diagnosis=None,
        examples=None,
    )


def _of_values(row: Row, name: Name) -> Row:
    """The row, of a model that gives values."""
    flags = [changed(flag, text=flag.text.replace("predictions", "outputs")) for flag in row.flags]
    fields: dict[str, Any] = {"accuracy": None, "flags": flags}
    if row.metric is not None:
        error = 1 - row.metric.value
        found = {"unit": name("mm"), "higher_is_better": False}
        fields["metric"] = Metric(name="mae", value=error, interval=(error - 0.02, error + 0.02), **found)
        fields["metrics"] = [Metric(name="rmse", value=2 * error, **found), Metric(name="r2", value=0.9, unit="")]
    if row.versus_baseline is not None:
        fields["versus_baseline"] = changed(row.versus_baseline, flips=None)
    if row.versus_native is not None:
        fields["versus_native"] = changed(row.versus_native, correct=None)
    if row.unoptimized is not None:
        fields["unoptimized"] = changed(row.unoptimized, correct=None)
    if row.over_draws is not None:
        draws = [changed(draw, correct=None, flips=None) for draw in row.over_draws.draws]
        fields["over_draws"] = changed(row.over_draws, draws=draws)
    if row.fidelity is not None or row.versus_baseline is not None:
        outputs = {name("value"): Fidelity(sqnr_db=30.5), name("class"): Fidelity(agreement=0.97, kl=0.01)}
        fields["fidelities"] = outputs
    return changed(row, **fields)


def _row(row_id: str, numbers: Numbers, name: Name) -> Row:
    correct, size, ratio, sure = numbers
    recipe = Recipe.parse(row_id)
    baseline = recipe.kind == "baseline"
    own = ROWS[f"{recipe.engine}:float32"]
    fields: dict[str, Any] = {}
    if not baseline:
        drop = (own[0] - correct) / 1000
        tested = row_id != FLAGGED
        fields["versus_baseline"] = VersusBaseline(
            baseline=name(f"{recipe.engine}:float32"), drop=drop, drop_interval=(drop - 0.004, drop + 0.004), flips=31,
            only_baseline=20, only_row=11, p_value=0.1, margin=0.009, noninferior=drop < 0.009 if tested else None,
            noninferiority_p=0.004 if tested else None, score=2.7 if drop < 0.009 else -2.7,
        )  # fmt: skip
        fields["size_ratio"] = size / own[1]
        fields["over_draws"] = OverDraws(
            draws=[Draw(seed=s, correct=correct + s, total=1000, drop=drop - s / 1000, flips=30 + s) for s in range(3)],
            drop=drop, drop_interval=(drop - 0.006, drop + 0.006), noninferior=drop < 0.009,
            failed={3: f"there is no kernel {name('Conv d')}"},
        )  # fmt: skip
        fields["findings"] = [
            Finding(
                code="transposes", about="slow", text="2 transposes run in every inference",
                nodes=[name("Transpose a"), name("Transpose b")], mend="export with channels first",
            ),
            Finding(code="container", about="big", text="a third of the file is its container"),
        ]  # fmt: skip
    if row_id == SLOW:
        fields["flags"] = [Flag(code="slower_than_float", text="takes 2.50 times as long as its float32")]
    if row_id == FLAGGED:
        fields["flags"] = [Flag(code="partly_float", text=f"1 operator runs in float ({name('Conv c')})")]
        fields["unoptimized"] = Unoptimized(samples=100, correct=80, correct_optimized=82, flips=4)
    grid = Grid(dtype="s8", granularity="per_channel", symmetric=True, bits=8)
    interval = None if ratio is None else (ratio - sure, ratio + (sure + 0.01))
    return records.row(
        name(row_id), engine=name(recipe.engine), kind=recipe.kind, recipe_fields=recipe,
        deprecated="it has had its day" if recipe.engine == "beta" else None,
        files=[File(path=f"builds/x/{name('model.bin')}", bytes=size, sha256="5" * 64)],
        settings=None if baseline else {"precise": "1"}, size_bytes=size, weight_bytes=size // 2,
        accuracy=Accuracy(
            correct=correct, total=1000, value=correct / 1000, interval=(correct / 1000 - 0.02, correct / 1000 + 0.02),
            per_class={name(c): correct / 1000 + 0.01 * (i - 1) * (not baseline) for i, c in enumerate(CLASSES)},
        ),
        metric=Metric(name="accuracy", value=correct / 1000, interval=(correct / 1000 - 0.02, correct / 1000 + 0.02)),
        samples=1000,
        fingerprint=Fingerprint(weights=grid, activations=grid, input="float32", output="float32"),
        coverage=Coverage(
            macs=0.6 if row_id == FLAGGED else 1.0, weights=1.0,
            float_operators=[name("Conv c")] if row_id == FLAGGED else [],
        ),
        latency=Latency(
            p50=0.0005 * (ratio or 1), p90=0.0006 * (ratio or 1), cpu_time=0.0004 * (ratio or 1),
            clock="wall" if row_id == SLOW else "cpu",
            clock_reason=f"it waits for {name('another')}" if row_id == SLOW else None,
            ratio_own=None if baseline else ratio, ratio_own_interval=None if baseline else interval,
            ratio_own_wall=None if baseline else ratio, reference=name(OWN), ratio_reference=ratio,
            ratio_reference_interval=interval, ratio_reference_wall=None if ratio is None else 1.1 * ratio,
            control=1.002, control_interval=(0.99, 1.01), threads=1, processes=5, pairs=100,
        ),
        throughput=Throughput(batch=32, threads=1, samples_per_second=5000 / (ratio or 1)), memory_bytes=12_345_678,
        **fields,
    )  # fmt: skip


def _elsewhere(row: Row) -> Row:
    assert row.accuracy is not None
    kept = ("recipe_fields", "files", "size_bytes", "accuracy", "metric", "samples")
    return records.row(
        row.recipe, id=f"{row.id}@x86-avx2", engine=row.engine, target="x86-avx2", measured="emulated",
        versus_native=VersusNative(samples=1000, correct=899, drop=0.004, flips=9),
        flags=[Flag(code="saturates", text="9 of 1,000 predictions differ from those on this CPU")],
        **{name: getattr(row, name) for name in kept},
    )  # fmt: skip


def _missing(row_id: str, status: Any, name: Name) -> Row:
    recipe = Recipe.parse(row_id)
    reason = f"there is no kernel {name('Conv c')}"
    own = {"engine": name(recipe.engine), "recipe_fields": recipe}
    return records.missing_row(name(row_id), status, reason, **own)


def _diagnosis(name: Name, examples: list[Example]) -> Diagnosis:
    def change(drop: float) -> Change:
        return Change(recipe="x", correct=890, drop=drop, drop_interval=(drop - 0.004, drop + 0.004), flips=12)

    layers = [
        Layer(
            name=name(layer), kind=name("Conv"), weight_sqnr_db=31.0 + i, activation_sqnr_db=20.0 - i,
            only_quantized=change(0.001 * i), only_float=change(0.002),
        )
        for i, layer in enumerate(("first", "second"))
    ]  # fmt: skip
    return Diagnosis(
        recipe=name(UNSHOWN), samples=1000, layers=layers, worst=examples[:1],
        advice=[f"{name('second')} alone costs 0.10 points"], next=Recipe.parse(PICK), applied=name(PICK),
    )  # fmt: skip
