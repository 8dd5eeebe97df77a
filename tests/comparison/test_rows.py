"""Rows as they come, with the fake engine, in this process."""

from __future__ import annotations

import shutil

import pytest

from bitpick.comparison.rows import Rows
from bitpick.engines.capability import Offer
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.errors import raised_by_library
from bitpick.executors.inline import InlineExecutor
from bitpick.models.model import Format, sha256_of
from bitpick.pipeline import directory as stores
from bitpick.recipe import Recipe
from bitpick.schema.fingerprint import Coverage, Grid
from bitpick.targets.target import Target

FLOAT, PLAIN, OTHER = "fake:float32", "fake:s8s8-per_tensor-minmax", "fake:s8u8-per_channel-minmax"


@pytest.mark.parametrize(
    ("option", "status", "says"),
    [
        ("error", "failed", "ArithmeticError"),
        ("absent", "unsupported", "was asked to lack it"),
        ("nan", "failed", "not finite, first for sample 0"),
    ],
)
def test_a_row_fails_alone(compare, monkeypatch, option, status, says):
    real = InlineExecutor.run

    def as_a_worker_would(self, environment, function, payload, *progress):
        try:
            return real(self, environment, function, payload, *progress)
        except (ArithmeticError, RuntimeError) as error:
            raise raised_by_library(error) from error

    monkeypatch.setattr(InlineExecutor, "run", as_a_worker_would)
    run = compare(f"fake:s8u8-per_tensor-minmax+{option}", "fake:s8s8-per_tensor-minmax")
    bad = run.row(f"fake:s8u8-per_tensor-minmax+{option}")
    assert bad.status == status
    assert says in bad.reason
    assert run.row("fake:s8s8-per_tensor-minmax").status == "ok"
    assert run.recommendation.id == "fake:s8s8-per_tensor-minmax"
    assert not [p for p in (compare.directory.root / "builds").iterdir() if p.name.startswith("partial")]


@pytest.mark.parametrize(
    ("option", "codes"), [("half_float", ["partly_float"]), ("other_granularity", ["not_as_requested"])]
)
def test_a_build_that_is_not_what_was_asked_for_is_flagged(compare, option, codes):
    run = compare(f"fake:s8u8-per_channel-minmax+{option}", "fake:s8s8-per_tensor-minmax")
    row = run.row(f"fake:s8u8-per_channel-minmax+{option}")
    assert row.status == "ok"
    assert [flag.code for flag in row.flags] == codes
    assert row.coverage.macs == (0.5 if option == "half_float" else 1.0)
    assert run.recommendation.id == "fake:s8s8-per_tensor-minmax"


def test_a_build_in_which_nothing_that_was_asked_for_happened_fails(compare):
    run = compare("fake:s8u8-per_channel-minmax+float", "fake:s8s8-per_tensor-minmax")
    row = run.row("fake:s8u8-per_channel-minmax+float")
    assert row.status == "failed"
    assert row.reason.startswith("no part of this build runs as integers: the runtime executes Gemm dense")


def test_the_fingerprint_of_a_row_and_of_its_baseline(finished):
    run = finished.directory.run
    build, floats = run.row("fake:s8u8-per_channel-minmax"), run.row("fake:float32")
    assert build.fingerprint.weights == Grid(dtype="s8", granularity="per_channel", symmetric=True, bits=8)
    assert build.fingerprint.activations == Grid(dtype="u8", granularity="per_tensor", symmetric=False, bits=8)
    assert build.coverage == Coverage(macs=1.0, weights=1.0, float_operators=[])
    assert floats.fingerprint.weights == Grid(dtype="float32")
    assert floats.coverage is None


def test_flags(compare):
    run = compare(flag_drop=0.0, min_accuracy=0.999)
    assert [f.code for f in run.row("fake:float32").flags] == ["min_accuracy"]
    for row in run.rows:
        if row.kind == "quantized" and row.status == "ok":
            assert ("drop" in [f.code for f in row.flags]) == (row.versus_baseline.drop > 0)
    assert run.recommendation.id is None
    assert "flagged" in run.recommendation.because[0]


@pytest.fixture
def rows(prepared):
    """Rows of a run of which nothing was built."""
    run = prepared(engines=("fake",), margin="10", target_samples=200)
    return Rows(run.shop, run.model, run.inputs), run


def offer(text, unsupported=None):
    return Offer(Recipe.parse(text), frozenset(), unsupported)


def target(name, **fields):
    return Target(name, ("env",), emulated=True, **fields)


def test_rows_come_in_the_order_of_the_offers_whichever_is_done_first(rows):
    found, run = rows
    found.measure([offer(FLOAT), offer(OTHER, "it is not for this machine"), offer(PLAIN)])
    assert [row.id for row in run.shop.run.rows] == [FLOAT, OTHER, PLAIN]
    assert run.listener.rows[0].id == OTHER  # it is known without any work
    found.measure([offer(f"{PLAIN}+drawn")])
    assert [row.id for row in found.all] == [FLOAT, OTHER, PLAIN, f"{PLAIN}+drawn"]
    assert found.known == {row.id for row in found.all}


def test_an_offer_that_is_refused_is_a_row_and_no_work(rows):
    found, run = rows
    found.measure([offer(PLAIN, "it is not for this machine"), offer("onnxruntime:float32", "not here")])
    mine, other = run.shop.run.rows
    assert (mine.status, mine.reason) == ("unsupported", "it is not for this machine")
    assert mine.out_of_reach is None  # somebody asked for this engine
    assert other.out_of_reach is None  # it can be reached
    assert not [job for job in run.executor.ran if job.startswith("build")]


def test_an_engine_that_no_conversion_leads_to_is_out_of_reach_unless_it_is_named(rows, monkeypatch):
    found, run = rows
    monkeypatch.setattr(OnnxRuntimeEngine, "accepts", (Format.EXPORTED,))
    found.measure([offer("onnxruntime:float32")])
    (row,) = run.shop.run.rows
    assert (row.status, row.out_of_reach) == ("unsupported", True)
    assert row.reason == "it starts from exported, and no conversion goes there from raw_onnx"


def test_a_row_is_judged_beside_its_baseline_as_soon_as_that_is_known(rows):
    found, run = rows
    found.measure([offer(PLAIN)])
    assert run.shop.run.row(PLAIN).versus_baseline is None
    found.measure([offer(FLOAT)])
    row = run.shop.run.row(PLAIN)
    assert row.versus_baseline.baseline == FLOAT
    assert row.versus_baseline.noninferior is None  # claimed at once, of all rows
    assert row.fidelity.sqnr_db > 20
    assert [each.id for each in run.listener.rows] == [PLAIN, PLAIN, FLOAT]
    found.claim(0.05)
    assert run.shop.run.row(PLAIN).versus_baseline.noninferior is True
    assert stores.read(run.shop.directory.root).rows == run.shop.run.rows


def test_a_row_has_what_its_jobs_gave_and_its_files_beside_the_record(rows):
    found, run = rows
    found.measure([offer(FLOAT), offer(PLAIN)])
    row = run.shop.run.row(PLAIN)
    assert [file.path for file in row.files] == ["builds/fake__s8s8-per_tensor-minmax/model.npz"]
    assert row.size_bytes == (run.shop.directory.root / row.files[0].path).stat().st_size
    assert set(row.seconds) == set(row.cpu_seconds) == {"build", "inspect", "evaluate"}
    assert row.predictions_sha256 == sha256_of(run.shop.directory.build(PLAIN) / "predictions.npz")
    assert (found.predicted[PLAIN] == stores.predictions(run.shop.directory.build(PLAIN))).all()
    assert found.averages


def test_a_pass_that_has_nothing_to_do_is_an_unsupported_row_that_says_so(rows):
    found, run = rows
    found.measure([offer(FLOAT), offer(f"{PLAIN}+equalize"), offer(PLAIN)])
    row = run.shop.run.row(f"{PLAIN}+equalize")
    assert row.status == "unsupported"
    assert row.reason.startswith("equalize changes nothing in this model")
    assert run.shop.run.row(PLAIN).status == "ok"


@pytest.mark.parametrize("order", [(FLOAT, PLAIN, f"{PLAIN}+adaround"), (FLOAT, f"{PLAIN}+adaround", PLAIN)])
def test_a_prepared_row_is_beside_the_row_without_passes(rows, order):
    found, run = rows
    found.measure([offer(each) for each in order])
    plain, prepared = (run.shop.run.row(each) for each in (PLAIN, f"{PLAIN}+adaround"))
    assert plain.versus_unprepared is None
    gain = prepared.versus_unprepared
    assert gain.row == PLAIN
    assert gain.gain == pytest.approx(prepared.metric.value - plain.metric.value)
    assert prepared.versus_baseline.baseline == FLOAT
    (tuning,) = run.shop.run.model.tunings
    assert tuning.form == "onnx+adaround=127_per_tensor"
    assert tuning.evaluated == 200


def test_each_calibration_draw_tunes_a_graph_of_its_own(compare):
    recipe = f"{PLAIN}+adaround"
    run = compare(recipe, calibration_seeds=3)
    assert len(run.row(recipe).over_draws.draws) == 3
    forms = [tuning.form for tuning in run.model.tunings]
    assert len(forms) == 3
    assert forms[0] == "onnx+adaround=127_per_tensor"
    assert all(form.startswith("onnx+adaround=127_per_tensor@") for form in forms[1:])
    assert compare.executor.ran.count("apply_pass") == 3


def test_rows_of_a_target_stand_behind_the_row_of_their_files(rows, monkeypatch):
    found, run = rows
    found.measure([offer(FLOAT), offer(PLAIN), offer(OTHER)])
    natives = [run.shop.run.row(each) for each in (OTHER, PLAIN)]
    monkeypatch.setattr(shutil, "which", lambda name: name)
    found.measure_on(target("phone"), natives)
    ids = [FLOAT, PLAIN, f"{PLAIN}@phone", OTHER, f"{OTHER}@phone"]
    assert [row.id for row in run.shop.run.rows] == ids
    assert [row.id for row in found.native] == [FLOAT, PLAIN, OTHER]
    there = run.shop.run.row(f"{PLAIN}@phone")
    assert (there.target, there.measured, there.status) == ("phone", "emulated", "ok")
    assert there.versus_native.samples == there.accuracy.total == 200
    assert there.versus_native.flips == 0
    assert there.files == run.shop.run.row(PLAIN).files


def test_a_target_that_is_not_here_is_rows_without_work(rows, monkeypatch):
    found, run = rows
    found.measure([offer(FLOAT), offer(PLAIN)])
    ran = list(run.executor.ran)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found.measure_on(target("phone", package="qemu-user"), [run.shop.run.row(PLAIN)])
    row = run.shop.run.row(f"{PLAIN}@phone")
    assert (row.status, row.reason) == ("unsupported", "there is no env on the PATH: apt install qemu-user")
    assert run.executor.ran == ran


def test_rows_of_an_earlier_run_that_were_not_asked_for_again_are_left_out(rows):
    found, run = rows
    found.measure([offer(FLOAT), offer(PLAIN)])
    later = Rows(run.shop, run.model, run.inputs)
    later.measure([offer(FLOAT)])
    assert [row.id for row in later.all] == [FLOAT]
    assert [row.id for row in run.shop.run.rows] == [FLOAT, PLAIN]  # until the run knows which it has
