from __future__ import annotations

import pytest

from bitpick.engines.fake.engine import FakeEngine
from bitpick.passes.weight_grid import WeightGrid
from bitpick.reports import markdown, prepared
from bitpick.schema.evidence import VersusUnprepared
from bitpick.schema.tuning import Training, TunedLayer, Tuning
from tests import records


def run_of(finished):
    """A finished run in which one build is the prepared twin of another, with what its pass did."""
    rows = [row for row in finished.rows if row.metric is not None and row.kind == "quantized"]
    plain, twin = rows[:2]
    gain = VersusUnprepared(row=plain.id, gain=0.0125, gain_interval=(0.01, 0.015), p_value=0.001)
    run = records.with_row(finished, twin.id, versus_unprepared=gain)
    layers = (TunedLayer(layer="a", nearest=20, tuned=24), TunedLayer(layer="b", nearest=30, tuned=32))
    form = "onnx+adaround=64_per_channel"
    tunings = tuple(
        Tuning(form=name, source="onnx", samples=100, layers=layers, cpu_seconds=6.2, **metrics)
        for name, metrics in (
            (form, {"evaluated": 1000, "before": 0.875, "after": 0.874}),
            (f"{form}@1a2b3c4d", {"evaluated": 1000, "before": 0.875, "after": 0.87}),  # another draw
            ("onnx+adaround=7_per_channel", {}),  # it was not measured yet
        )
    )
    return plain, twin, records.changed(run, model=records.changed(run.model, tunings=tunings))


def test_each_prepared_build_is_beside_its_twin(finished):
    plain, twin, run = run_of(finished.directory.run)
    (cells,) = prepared.gains(run)
    assert cells == [twin.id, plain.metric.shown(), twin.metric.shown(), "1.25 points", "1.00 to 1.50"]
    assert len(cells) == len(prepared.GAIN_COLUMNS)


def test_what_tuning_did_to_the_float_graph(finished):
    *_, run = run_of(finished.directory.run)
    (cells,) = prepared.tunings(run)
    noise = "signal over noise of its layers: 25.0 dB rounded to nearest, 28.0 dB tuned"
    assert cells == ["onnx+adaround=64_per_channel", "87.50%", "87.40%", noise, "6 CPU s"]
    assert len(cells) == len(prepared.TUNING_COLUMNS)
    assert "on 1,000 evaluation samples" in prepared.tuning_note(run)


def test_both_are_in_the_report(finished):
    *_, run = run_of(finished.directory.run)
    text = markdown.render(run)
    assert "## What preparing gained" in text
    assert "1.25 points" in text
    assert "| onnx + adaround=64_per_channel | 87.50% | 87.40% |" in text
    assert "What preparing gained" not in markdown.render(finished.directory.run)


@pytest.mark.usefixtures("fake_engine")
def test_what_training_gained_is_told_apart_from_what_quantization_cost(finished, monkeypatch):
    monkeypatch.setattr(FakeEngine, "weight_grid", lambda self, recipe: WeightGrid(7, per_channel=True))
    row = next(row for row in finished.directory.run.rows if row.metric is not None and row.kind == "quantized")
    how = Training(epochs=12, samples=950, held_out=50, labels=True, changes="turned left to right")
    measured = {"evaluated": 2000, "before": 0.872, "after": 0.8786}
    form = "onnx+qat=7_per_channel"
    tuning = Tuning(form=form, source="onnx", samples=1000, cpu_seconds=300, training=how, **measured)
    run = records.with_row(finished.directory.run, row.id, recipe=f"{row.recipe}+qat")
    run = records.changed(run, model=records.changed(run.model, tunings=(tuning,)))
    ((build, text),) = prepared.training_shares(run)
    assert build == row.id
    assert text.startswith(
        "the float network gets 87.20%; trained, with its weights already on their grid, 87.86%; as this build, "
    )
    ((_, _, _, done, took),) = prepared.tunings(run)
    assert done == (
        "trained for 12 epochs of 950 samples with labels, pictures turned left to right; the best of them on 50 others"
    )
    assert took == "300 CPU s"
    assert f"- `{build}`: {text}" in markdown.render(run)


def test_a_run_of_an_engine_that_is_not_here_is_shown_without_the_share_of_training(finished):
    row = next(row for row in finished.directory.run.rows if row.metric is not None and row.kind == "quantized")
    run = records.with_row(finished.directory.run, row.id, recipe="nobody:s8s8-per_channel-minmax+qat")
    assert prepared.training_shares(run) == []
