from __future__ import annotations

from bitpick.reports import markdown, prepared
from bitpick.schema.evidence import VersusUnprepared
from bitpick.schema.tuning import TunedLayer, Tuning
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
    noise = "25.0 dB rounded to nearest, 28.0 dB tuned"
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
