from __future__ import annotations

from bitpick.comparison.dead_ends import next_steps, no_quantized_row
from bitpick.passes.graph_pass import GraphPass
from tests.records import missing_row
from tests.selection.judging import TASK, judged_rows, request


def test_the_commonest_reasons_are_told_with_their_engines_and_the_next_step():
    rows = [missing_row(f"{engine}:s8dynamic", reason="no kernel") for engine in "ab"]
    rows += [missing_row(f"a:s8weights+o{n}", reason=f"reason {n}") for n in range(4)]
    rows.append(missing_row("c:s8dynamic", status="unsupported", reason="no way there", out_of_reach=True))
    error = no_quantized_row(rows, request().model_copy(update={"preset": "basic", "engines": ["a", "b"]}))
    assert error.what.splitlines() == [
        "no quantized row is ok",
        "  2 of 6 (a, b): no kernel",
        "  1 of 6 (a): reason 0",
        "  1 of 6 (a): reason 1",
        "  and 2 other reasons",
        "  No builds of c (no way there).",
    ]
    assert error.fix == "leave out --engine, so that every engine is tried; or try more recipes with --preset full"


def test_an_engine_that_is_not_installed_is_told_though_nothing_quantized_was_asked_of_it():
    baseline = missing_row("a:float32", status="unsupported", reason="not installed")
    error = no_quantized_row([baseline], request())
    assert error.what.splitlines()[1] == "  1 of 1 (a): not installed"


def test_recipes_that_were_named_can_be_left_out():
    assert "leave out --recipe" in no_quantized_row([], request().model_copy(update={"recipes": ["a:s8dynamic"]})).fix


def test_where_builds_were_made_the_next_step_is_a_command():
    judged, _ = judged_rows([("a:s8weights", range(120), {}), ("a:s8dynamic", range(90), {})])
    asked = request(model="my model.onnx", data="set.npz", preset="full")
    (told,) = next_steps(judged, asked, TASK)
    assert told.startswith("Next: evaluate on more samples; or see which layers of a:s8dynamic lose it: ")
    assert ": bitpick diagnose 'my model.onnx' --data set.npz --recipe a:s8dynamic; or let bitpick look" in told
    assert told.endswith("for a better build: bitpick search 'my model.onnx' --data set.npz.")
    searched = asked.model_copy(update={"goal": "size"})
    longer = "bitpick search 'my model.onnx' --data set.npz --minutes 30"
    assert next_steps(judged, searched, TASK)[0].startswith(
        f"Next: search longer: {longer}; or evaluate on more samples"
    )
    hopeless, _ = judged_rows([("a:s8weights", range(3000), {})])
    assert next_steps(hopeless, asked, TASK)[0].startswith("Next: see which layers of a:s8weights")
    assert next_steps([missing_row("a:s8weights")], asked, TASK) == []


def test_training_is_a_step_for_recipes_that_it_can_prepare(monkeypatch):
    monkeypatch.setattr(GraphPass, "missing", lambda self: None)
    asked = request(model="m.onnx", data="set.npz", preset="full")

    def step(recipe):
        judged, _ = judged_rows([(recipe, range(120), {})])
        (told,) = next_steps(judged, asked, TASK)
        return told

    recipe = "litert:s4s8-per_channel-minmax+adaround+integer_io"
    trained = "litert:s4s8-per_channel-minmax+adaround+integer_io+qat"
    command = f"bitpick compare m.onnx --data set.npz --recipe {trained}"
    assert f"; or train {recipe} for quantization: {command}." in step(recipe)
    assert "for quantization" not in step(trained)
    assert "for quantization" not in step("onnxruntime:u8u8-per_tensor-minmax")
    assert "for quantization" not in step("onnxruntime:s8s8-per_tensor-minmax")
