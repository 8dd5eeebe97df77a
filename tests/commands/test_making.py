from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from tests.commands.command import (
    GOOD_THEN_HANGING,
    QUICK,
    bitpick,
    compare,
    left_in,
)

pytestmark = pytest.mark.frameworks


def test_compare_shows_the_rows_the_pick_and_where_everything_is(place):
    done = compare(place, "--target", "host", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for text in ("fake:float32", "fake:s8s8-per_tensor-minmax", "accuracy", "Ship fake:", "unsupported:", "run.json"):
        assert text in done.stdout
    left = {p.name for p in (place / "run").iterdir()} - {"ranges", "examples"}
    assert left == {"report.md", "report.html", "run.json", "builds", "forms", "logs"}
    build = place / "run" / "builds" / "fake__s8s8-per_tensor-minmax"
    assert {p.name for p in build.iterdir()} == {
        "model.npz", "recipe.yaml", "predictions.npz", "labels.txt", "run.py",
    }  # fmt: skip


def test_without_out_the_same_request_finds_its_own_folder_again(place):
    first = compare(place)
    assert first.returncode == 0, first.stderr
    (folder,) = (place / "runs").iterdir()
    run = json.loads((folder / "run.json").read_text())
    assert folder.name == f"linear-pictures-{run['request']['sha256'][:8]}"
    assert compare(place).returncode == 0
    assert list((place / "runs").iterdir()) == [folder]
    again = json.loads((folder / "run.json").read_text())
    assert again["rows"] == run["rows"]
    assert compare(place, "--seed", 1).returncode == 0
    assert len(list((place / "runs").iterdir())) == 2


def test_quantize_and_evaluate_agree_with_compare(place):
    recipe = "fake:s8u8-per_channel-minmax"
    made = bitpick(place, "quantize", "../linear.onnx", "--recipe", recipe, "-o", "build", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["files"][0]["path"] == "model.npz"
    row = json.loads(bitpick(place, "evaluate", "build", "--json").stdout)
    compared = json.loads(compare(place, "--out", "run", "--json").stdout)
    same = next(r for r in compared["rows"] if r["id"] == recipe)
    assert row["accuracy"] == same["accuracy"]
    assert row["files"][0]["sha256"] == same["files"][0]["sha256"]
    assert "predictions.npz" not in left_in(place / "build")
    text = bitpick(place, "evaluate", "build").stdout
    assert "of 4,000 (95% interval" in text
    assert "ibis" in text


def test_a_build_made_alone_ships_the_same_bytes_as_in_a_comparison(place):
    recipe = "onnxruntime:s8u8-per_channel-minmax"
    assert bitpick(place, "quantize", "../linear.onnx", "--recipe", recipe, "-o", "build").returncode == 0
    wanted = ("compare", "../linear.onnx", "--recipe", recipe, "--target", "host", "--no-bench", "--out", "run")
    assert bitpick(place, *wanted).returncode == 0
    other = place / "run" / "builds" / "onnxruntime__s8u8-per_channel-minmax"
    names = {path.name for path in (place / "build").iterdir()}
    assert names == {"model.onnx", "recipe.yaml", "labels.txt", "run.py"}
    for name in names:
        assert (place / "build" / name).read_bytes() == (other / name).read_bytes(), name


def test_convert_writes_a_verified_file(place):
    done = bitpick(place, "convert", "../linear.onnx", "--to", "onnx", "-o", "clean.onnx")
    assert done.returncode == 0, done.stderr
    assert "100.00%" in done.stdout
    assert left_in(place) == ["clean.onnx"]


def test_a_run_without_a_quantized_row_is_exit_3_and_its_report_says_why(place):
    done = compare(place, "--recipe", "fake:s8s8-per_tensor-minmax+absent", "--out", "run")
    assert done.returncode == 3
    assert "no quantized row is ok" in done.stderr
    assert json.loads((place / "run" / "run.json").read_text())["state"] == "failed"
    assert "was asked to lack it" in (place / "run" / "report.md").read_text()


def test_a_worker_that_dies_costs_its_row_not_the_run(place):
    crash, fine = "fake:s8s8-per_tensor-minmax+crash", "fake:s8u8-per_channel-minmax"
    done = compare(place, "--recipe", crash, "--recipe", fine, "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["id"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows[crash]["status"] == "failed"
    assert "the worker process fake ended with exit code 70" in rows[crash]["reason"]
    assert rows[fine]["status"] == "ok"


def exported(place: Path) -> Path:
    """The linear model as another exporter might write it: a fixed batch, and its weights in a file beside it."""
    model = onnx.load(place.parent / "linear.onnx")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    folder = place.parent / "exported"
    folder.mkdir()
    onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    return folder / "m.onnx"


def test_a_fixed_batch_and_weights_in_a_file_of_their_own(place):
    model = exported(place)
    done = bitpick(place, "compare", model, "--engine", "onnxruntime", "--preset", "basic", *QUICK)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    same = json.loads(bitpick(place, "evaluate", "../linear.onnx", "--json").stdout)
    rows = {row["id"]: row for row in run["rows"]}
    assert rows["onnxruntime:float32"]["accuracy"] == same["accuracy"]
    assert not [row for row in run["rows"] if row["status"] != "ok"]
    assert json.loads(bitpick(place, "evaluate", model, "--json").stdout)["accuracy"] == same["accuracy"]


def test_other_weights_in_the_file_beside_it_are_another_model(place):
    model = exported(place)
    arguments = [
        "compare",
        model,
        "--engine",
        "onnxruntime",
        "--recipe",
        "onnxruntime:s8s8-per_tensor-minmax",
        "--target",
        "host",
        "--no-bench",
        "--json",
    ]
    first = json.loads(bitpick(place, *arguments).stdout)
    data = bytearray((model.parent / "m.data").read_bytes())
    data[3] ^= 0x80  # one weight with another sign
    (model.parent / "m.data").write_bytes(data)
    second = json.loads(bitpick(place, *arguments).stdout)
    assert first["request"]["sha256"] != second["request"]["sha256"]
    assert first["model"]["sha256"] != second["model"]["sha256"]


def test_a_recipe_from_a_file_is_the_same_request(place):
    """The file that a build has beside it makes exactly that build again."""
    first = json.loads(compare(place, "--recipe", "fake:s8s8-per_tensor-minmax", "--out", "a", "--json").stdout)
    file = place / "a" / "builds" / "fake__s8s8-per_tensor-minmax" / "recipe.yaml"
    second = json.loads(compare(place, "--recipe", file, "--out", "b", "--json").stdout)
    assert first["request"]["sha256"] == second["request"]["sha256"]
    assert [row["files"] for row in first["rows"]] == [row["files"] for row in second["rows"]]


def test_a_job_that_hangs_costs_its_row_not_the_run(place):
    done = compare(place, *GOOD_THEN_HANGING, "--timeout", 3, "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["id"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["fake:s8u8-per_channel-minmax"]["status"] == "ok"
    hanging = rows["fake:s8s8-per_tensor-minmax+hang"]
    assert hanging["status"] == "failed"
    assert "took longer than 3 s" in hanging["reason"]
    assert "--timeout" in hanging["reason"]


def test_a_target_by_configuration_is_measured_beside_this_cpu(place):
    (place / "other.yaml").write_text(
        "name: other\nprefix: [env, BITPICK_FAKE_SATURATES=1]\nemulated: true\nsaturates: true\n"
    )
    recipe = "fake:s8u8-per_channel-minmax"
    done = compare(
        place, "--recipe", recipe, "--target", "other.yaml", "--target-samples", 100, "--out", "run", "--json"
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    rows = {row["id"]: row for row in run["rows"]}
    assert rows[f"{recipe}@other"]["accuracy"]["total"] == 100
    assert rows[f"{recipe}@other"]["versus_native"]["flips"] > 0
    assert [flag["code"] for flag in rows[f"{recipe}@other"]["flags"]] == ["saturates"]
    assert rows[f"{recipe}+reduced_range@other"]["versus_native"]["flips"] == 0
    assert run["recommendation"]["by_target"]["other"] == f"{recipe}+reduced_range"
    report = (place / "run" / "report.md").read_text()
    assert "## On other CPUs" in report
    assert "| other (emulated) |" in report


def test_a_recipe_that_leaves_a_layer_in_float_is_refused_where_the_engine_cannot(place):
    (place / "r.yaml").write_text(
        "engine: executorch\ndtypes: s8s8\ngranularity: per_channel\ncalibration: histogram\nexclude: [x]\n"
    )
    done = bitpick(place, "compare", "../linear.onnx", "--recipe", "r.yaml")
    assert done.returncode == 2
    assert "executorch cannot leave single layers in float (exclude)" in done.stderr
    assert left_in(place) == ["r.yaml"]


def test_compare_times_its_rows_and_keeps_every_sample(place):
    timed = ("--bench-seconds", 1, "--margin", "20", "--target", "host", "--out", "run", "--json")
    done = compare(place, *timed)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    rows = {row["id"]: row for row in run["rows"] if row["status"] == "ok"}
    assert run["speed"]["reference"] == "fake:float32"  # ONNX Runtime's own is not in this run
    assert "latency" in run["recommendation"]["by_use"]
    for row_id, row in rows.items():
        latency = row["latency"]
        assert (latency["reference"], latency["threads"]) == ("fake:float32", 1)
        assert ("ratio_own" in latency) == ("ratio_reference" in latency) == (row["kind"] != "baseline")
        raw = json.loads((place / "run" / "builds" / row_id.replace(":", "__") / "timings.json").read_text())
        assert len(raw["wall"]["row"]) == len(raw["cpu"]["row"])
        assert len(raw["cpu"]["row"]) % latency["processes"] == 0
        assert latency["clock"] == "cpu"  # numpy computes on the thread that calls it
        assert latency["cpu_time"] > 0
    again = json.loads(compare(place, *timed).stdout)
    assert again["speed"] == run["speed"]
    assert {row["id"]: row for row in again["rows"] if row["status"] == "ok"} == rows
    gated = bitpick(place, "gate", "run", "--max-latency-ratio", 1000, "--json")
    (check,) = json.loads(gated.stdout)
    assert check["rule"] == "latency"
    assert check["passed"]
    assert gated.returncode == 0


def test_a_limit_on_times_needs_times(place):
    done = compare(place, "--max-latency-ratio", "0.5")
    assert done.returncode == 2
    assert "needs measured times" in done.stderr
    assert compare(place, "--target", "host", "--out", "run").returncode == 0
    gated = bitpick(place, "gate", "run", "--row", "fake:s8s8-per_tensor-minmax", "--max-latency-ratio", 1)
    assert gated.returncode == 1
    assert "has no time that was measured" in gated.stdout


def test_a_margin_that_is_none_is_refused(place):
    done = compare(place, "--margin", "a lot")
    assert done.returncode == 2
    assert "the margin 'a lot' is no margin" in done.stderr
    assert left_in(place) == []


def test_a_recipe_file_with_a_setting_is_built_evaluated_and_compared(place):
    recipe = "engine: onnxruntime\ndtypes: s8s8\ngranularity: per_tensor\ncalibration: minmax\n"
    (place / "mine.yaml").write_text(recipe + 'settings: {session.qdqisint8allowed: "1"}\n')
    built = bitpick(place, "quantize", "../linear.onnx", "--recipe", "mine.yaml", "-o", "build", "--json")
    assert built.returncode == 0, built.stderr
    name = json.loads(built.stdout)["recipe"]
    assert name.startswith("onnxruntime:mine.")
    row = json.loads(bitpick(place, "evaluate", "build", "--json").stdout)
    assert (row["id"], row["settings"]) == (name, {"session.qdqisint8allowed": "1"})
    again = bitpick(place, "compare", "../linear.onnx", "--recipe", "build/recipe.yaml", *QUICK)
    rows = {found["id"]: found for found in json.loads(again.stdout)["rows"]}
    assert rows[name]["files"][0]["sha256"] == row["files"][0]["sha256"]
    assert rows[name]["settings"] == row["settings"]


def test_calibration_seeds_judge_the_recipe_beside_its_file(place):
    recipe, still = "fake:s8u8-per_channel-minmax+drawn", "fake:s8s8-per_tensor-minmax"
    wanted = ("--recipe", recipe, "--recipe", still, "--calibration-seeds", 3, "--target", "host", "--out", "run")
    done = compare(place, *wanted)
    assert done.returncode == 0, done.stderr
    assert "Over calibration draws" in done.stdout
    assert "the recipe, over 3 draws, loses" in " ".join(done.stdout.split())
    run = json.loads((place / "run" / "run.json").read_text())
    over = {row["id"]: row["over_draws"] for row in run["rows"] if "over_draws" in row}
    assert set(over) == {recipe, still}
    assert len({draw["correct"] for draw in over[recipe]["draws"]}) == 3
    assert "## Over calibration draws" in (place / "run" / "report.md").read_text()
    assert {p.name for p in (place / "run" / "draws").iterdir()} == {"seed-1", "seed-2"}
    assert not list((place / "run" / "draws").rglob("model.npz"))
    record = place / "run" / "draws" / "seed-1" / recipe.replace(":", "__") / "predictions.npz"
    made = record.stat().st_mtime_ns
    assert compare(place, *wanted).returncode == 0
    assert record.stat().st_mtime_ns == made
    again = json.loads((place / "run" / "run.json").read_text())
    assert again["rows"] == run["rows"]


def test_cross_fit_chooses_on_one_half_and_judges_on_the_other(place):
    recipe = "fake:s8u8-per_channel-minmax"
    wanted = (
        "--recipe",
        recipe,
        "--selection",
        "cross-fit",
        "--margin",
        "20",
        "--target",
        "host",
        "--no-bench",
        "--out",
        "run",
    )
    done = compare(place, *wanted)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert f"Cross-fit: each half of the samples chooses {recipe}, confirmed by the other both times." in told
    assert "Selection: cross-fit." in told
    found = json.loads((place / "run" / "run.json").read_text())["recommendation"]
    assert (found["id"], found["selection"]) == (recipe, "cross-fit")
    assert [fold["judging"] for fold in found["folds"]] == [2000, 2000]
