"""The main job on real models, real data and real engines, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import skip_or_fail

pytestmark = [pytest.mark.data, pytest.mark.frameworks, pytest.mark.usefixtures("cifar10")]

COMMAND = [sys.executable, "-m", "bitpick"]
BASELINES = ("keras:float32", "onnxruntime:float32", "pytorch_fx:float32")


def compare(folder: Path, *arguments: object) -> dict:
    timing = [] if "--bench-seconds" in arguments else ["--no-bench"]
    command = [*COMMAND, "compare", *map(str, arguments), *timing, "--out", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def basic(mlperf_model, tmp_path_factory) -> dict:
    """`--preset basic` on MLPerf Tiny's ResNet8, its picks checked on a CPU without VNNI where that can be had."""
    folder = tmp_path_factory.mktemp("basic") / "run"
    return compare(folder, mlperf_model, "--data", "cifar10", "--preset", "basic", "--target-samples", 200)


def rows(run: dict) -> dict[str, dict]:
    return {row["id"]: row for row in run["rows"]}


def test_every_float_baseline_gets_the_known_8719(basic):
    assert {row_id: rows(basic)[row_id]["accuracy"]["correct"] for row_id in BASELINES} == dict.fromkeys(
        BASELINES, 8719
    )


def test_every_hop_agrees(basic):
    hops = {hop["name"]: hop for hop in basic["model"]["hops"]}
    assert list(hops) == ["keras → raw_onnx", "raw_onnx → onnx", "onnx → pytorch"]
    for hop in hops.values():
        assert hop["passed"]
        assert hop["top1_agreement"] == 1.0
        assert hop["max_abs_diff"] < 1e-4
        assert max(hop["rms_diff"], hop["channel_diff"]) < hop["bound"]
        assert hop["samples"] >= 100


def test_quantized_rows_reach_what_was_reached_by_hand(basic):
    native = [row for row in basic["rows"] if row["target"] == "host"]
    quantized = [row for row in native if row["kind"] == "quantized" and row["status"] == "ok"]
    assert len(quantized) >= 5
    assert not [row for row in basic["rows"] if row["status"] == "failed"]
    assert max(row["accuracy"]["value"] for row in quantized) >= 0.8675
    assert min(row["accuracy"]["value"] for row in quantized) >= 0.863
    best = max((r for r in quantized if r["engine"] == "onnxruntime"), key=lambda r: r["accuracy"]["correct"])
    assert best["size_bytes"] <= 116_000
    assert [f["path"] for f in best["files"]] == [f"builds/{best['id'].replace(':', '__')}/model.onnx"]


def test_signed_activations_say_which_convolutions_stay_in_float(basic):
    row = rows(basic)["onnxruntime:s8s8-per_tensor-minmax"]
    convolutions = [name for name in row["coverage"]["float_operators"] if name.startswith("Conv ")]
    assert len(convolutions) == 6
    assert 0.5 < row["coverage"]["macs"] < 0.6
    flags = {flag["code"]: flag["text"] for flag in row["flags"]}
    assert set(flags) == {"not_as_requested", "partly_float"}
    assert all(name in flags["partly_float"] for name in convolutions)
    integer = rows(basic)["onnxruntime:s8u8-per_channel-minmax"]
    assert integer["coverage"] == {"macs": 1.0, "weights": 1.0, "float_operators": [], "uncounted": []}
    assert integer["flags"] == []


@pytest.mark.shared_store
def test_the_slow_row_is_flagged_and_explained(mlperf_model, tmp_path):
    slow, fast = "onnxruntime:s8s8-per_tensor-minmax+raw_graph", "onnxruntime:s8u8-per_channel-minmax+reduced_range"
    arguments = ("--recipe", slow, "--recipe", fast, "--target", "host", "--bench-seconds", 20)
    found = rows(compare(tmp_path / "run", mlperf_model, *arguments))
    for row in found.values():
        assert row["latency"]["processes"] >= 3
        assert row["latency"]["p50"] <= row["latency"]["p90"]
        assert row["throughput"]["samples_per_second"] > 100
        raw = json.loads((tmp_path / "run" / "builds" / row["id"].replace(":", "__") / "timings.json").read_text())
        for clock, middle in (("wall", row["latency"]["p50"]), ("cpu", row["latency"]["cpu_time"])):
            blocks = [seconds for part in raw[clock]["row"] for seconds in part]
            assert min(blocks) <= middle <= max(blocks)
        assert row["latency"]["clock"] == "cpu"
    assert found[slow]["latency"]["ratio_own"] > 1 > found[fast]["latency"]["ratio_own"]
    assert "slower_than_float" in {flag["code"] for flag in found[slow]["flags"]}
    why = {finding["code"]: finding for finding in found[slow]["findings"]}
    assert len(why["unfused"]["nodes"]) > 20
    assert any("batch_normalization" in node and "mul" in node for node in why["float_operators"]["nodes"])
    assert "+raw_graph" in why["unfused"]["mend"]
    assert "unfused" not in {finding["code"] for finding in found[fast]["findings"]}


def test_what_would_be_recommended_was_checked_on_a_cpu_without_vnni(basic):
    from bitpick.targets.host import this_host
    from bitpick.targets.target import AVX2, VNNI

    if reason := AVX2.missing(this_host()):
        skip_or_fail("emulator", reason)
    if not VNNI & set(this_host().isa):
        pytest.skip("this CPU has no VNNI: its own results are those")
    there = {row["recipe"]: row for row in basic["rows"] if row["target"] == AVX2.name}
    assert basic["recommendation"]["id"] in there
    pick = basic["recommendation"]["by_target"][AVX2.name]
    assert there[pick]["versus_native"]["flips"] == 0
    assert there[pick]["accuracy"]["total"] == 200


@pytest.mark.shared_store
def test_a_build_that_saturates_without_vnni_is_found_and_repaired(mlperf_model, tmp_path):
    from bitpick.targets.host import this_host
    from bitpick.targets.target import AVX2, VNNI

    if reason := AVX2.missing(this_host()):
        skip_or_fail("emulator", reason)
    if not VNNI & set(this_host().isa):
        pytest.skip("this CPU has no VNNI: it saturates here too")
    recipe = "onnxruntime:s8u8-per_channel-minmax"
    wanted = ("--recipe", recipe, "--target", AVX2.name, "--target-samples", 200)
    found = compare(tmp_path / "run", mlperf_model, *wanted)
    there = {row["recipe"]: row for row in found["rows"] if row["target"] == AVX2.name}
    assert there[recipe]["measured"] == "emulated"
    assert there[recipe]["versus_native"]["flips"] >= 5
    assert there[recipe]["seconds"] == {}
    assert [flag["code"] for flag in there[recipe]["flags"]] == ["saturates"]
    assert set(there) == {recipe, f"{recipe}+reduced_range", f"{recipe}+x64quantprecision"}
    assert [row["versus_native"]["flips"] for name, row in there.items() if name != recipe] == [0, 0]
    assert found["recommendation"]["by_target"][AVX2.name] in set(there) - {recipe}
    setting = {row["id"]: row.get("settings") for row in found["rows"]}[f"{recipe}+x64quantprecision"]
    assert setting == {"session.x64quantprecision": "1"}


def test_unsigned_weights_are_an_explained_row(basic):
    row = rows(basic)["pytorch_fx:u8u8-per_channel-histogram"]
    assert row["status"] == "unsupported"
    assert "signed 8-bit weights only" in row["reason"]


def test_the_model_is_described(basic):
    assert basic["model"]["parameters"] == 77_706  # 78,666 with the 960 of batch norm, which is folded
    assert 12.4e6 < basic["model"]["macs"] < 12.6e6


@pytest.mark.shared_store
def test_a_recipe_is_judged_over_calibration_draws(mlperf_model, tmp_path):
    recipe = "onnxruntime:s8u8-per_channel-minmax"
    run = compare(
        tmp_path / "run", mlperf_model, "--recipe", recipe, "--calibration-seeds", 3, "--target", "host", "--no-bench"
    )
    over = rows(run)[recipe]["over_draws"]
    correct = [draw["correct"] for draw in over["draws"]]
    assert len(correct) == 3
    assert all(8670 <= each <= 8720 for each in correct)
    assert len(set(correct)) > 1
    assert over["drop_interval"][0] < over["drop"] < over["drop_interval"][1]
    assert correct[0] == rows(run)[recipe]["accuracy"]["correct"]


PUBLISHED = (
    "keras:float32",
    "onnxruntime:float32",
    "onnxruntime:s8s8-per_tensor-minmax+raw_graph",
    "onnxruntime:u8u8-per_tensor-minmax+raw_graph",
    "pytorch_fx:float32",
    "pytorch_fx:s8u8-per_channel-histogram",
    "pytorch_fx:u8u8-per_channel-histogram",
)


@pytest.mark.shared_store
def test_the_published_comparison(basic, mlperf_model, tmp_path):
    """Keras's and PyTorch's rows of it are in `basic` too; test_request.py says what the preset has."""
    wanted = ("--preset", "reference", "--engine", "onnxruntime", "--target", "host")
    found = rows(basic) | rows(compare(tmp_path / "run", mlperf_model, *wanted))
    for row in map(found.__getitem__, PUBLISHED):
        # Nobody said so then: with signed activations ONNX Runtime leaves convolutions in float.
        flags = ["not_as_requested", "partly_float"] if row["id"].startswith("onnxruntime:s8s8") else []
        assert [flag["code"] for flag in row["flags"]] == flags
        assert row["status"] == ("unsupported" if "u8u8-per_channel" in row["id"] else "ok")
        if row["status"] == "ok":
            assert row["accuracy"]["value"] > 0.85


def test_a_model_that_was_quantized_elsewhere(mlperf_model):
    """Integer input and output, whose scale and zero point must be honoured."""
    model = mlperf_model.with_name("pretrainedResnet_quant.tflite")
    command = [*COMMAND, "evaluate", str(model), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    row = json.loads(done.stdout)
    assert abs(row["accuracy"]["correct"] - 8697) <= 2
    assert row["kind"] == "quantized"
    assert (row["fingerprint"]["input"], row["fingerprint"]["output"]) == ("s8", "s8")
    assert row["fingerprint"]["weights"]["dtype"] == "s8"
    assert row["fingerprint"]["weights"]["granularity"] == "per_channel"
    assert row["coverage"] == {"macs": 1.0, "weights": 1.0, "float_operators": [], "uncounted": []}


def test_a_model_that_was_quantized_elsewhere_is_not_quantized_again(mlperf_model, tmp_path):
    command = [*COMMAND, "compare", str(mlperf_model.with_name("pretrainedResnet_quant.tflite"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 2
    assert "give the float model that it was made from; with labels, bitpick evaluate" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def bundled(tmp_path_factory) -> tuple[Path, dict]:
    """The bundled model through the default preset, on this CPU alone, and with less time spent on timing."""
    folder = tmp_path_factory.mktemp("bundled") / "run"
    return folder, compare(folder, "--target", "host", "--bench-seconds", 30)


def test_the_bundled_model_keeps_its_promise(bundled):
    _, run = bundled
    baselines = [row for row in run["rows"] if row["kind"] == "baseline"]
    assert len(baselines) == 7
    assert {row["accuracy"]["correct"] for row in baselines} == {8934}
    assert not [row for row in run["rows"] if row["status"] == "failed"]
    assert run["recommendation"]["id"] is not None
    pick = rows(run)[run["recommendation"]["id"]]
    assert pick["versus_baseline"]["drop"] < 0.01
    assert pick["size_ratio"] < 0.4
    assert {row["fingerprint"]["activations"]["dtype"] for row in baselines} == {"float32"}
    native = [row for row in run["rows"] if row["target"] == "host"]
    quantized = [row for row in native if row["kind"] == "quantized" and row["status"] == "ok"]
    assert len(quantized) >= 12
    assert len({row["engine"] for row in quantized}) == 6
    assert min(row["versus_baseline"]["drop"] for row in quantized) <= 0.002
    assert min(row["accuracy"]["value"] for row in quantized) >= 0.88
    assert {flag["code"] for row in quantized for flag in row["flags"]} <= {"slower_than_float"}
    assert all(row["coverage"]["macs"] == 1.0 for row in quantized)


def test_every_row_has_its_evidence(bundled):
    _, run = bundled
    assert run["speed"]["reference"] == "onnxruntime:float32"
    untimed = run["speed"]["untimed"]
    assert all("went to the rows that may be recommended" in why for why in untimed.values())
    for row in run["rows"]:
        if row["status"] != "ok" or row["kind"] == "baseline" or row["target"] != "host" or row["id"] in untimed:
            continue
        versus, latency = row["versus_baseline"], row["latency"]
        assert versus["drop_interval"][0] <= versus["drop"] <= versus["drop_interval"][1]
        assert versus["flips"] >= versus["only_baseline"] + versus["only_row"]
        for name in ("own", "reference"):
            low, high = latency[f"ratio_{name}_interval"]
            assert low <= latency[f"ratio_{name}"] <= high
        assert 0 <= row["coverage"]["macs"] <= 1
        assert row["weight_bytes"] <= row["size_bytes"]
        assert (row.get("throughput") or {"batch": 32})["batch"] == 32


def test_the_explanation_can_be_computed_again_from_the_run(bundled):
    """By hand, by the rule in the docs, from run.json alone."""
    found, recommendation = rows(bundled[1]), bundled[1]["recommendation"]
    native = [row for row in found.values() if row["target"] == "host"]
    good = [row for row in native if (row.get("versus_baseline") or {}).get("noninferior")]
    for row in good:
        versus, own = row["versus_baseline"], found[f"{row['engine']}:float32"]
        assert versus["drop"] == (own["accuracy"]["correct"] - row["accuracy"]["correct"]) / 10_000
        assert versus["only_baseline"] - versus["only_row"] == own["accuracy"]["correct"] - row["accuracy"]["correct"]
        assert versus["margin"] == pytest.approx(0.01 * own["accuracy"]["value"])
        assert versus["drop_interval"][1] < versus["margin"]

    def most_accurate(some):
        return max(some, key=lambda row: (row["accuracy"]["correct"], -row["size_bytes"]))

    quick = [row for row in good if not row["flags"]] or good
    small = [r for r in quick if r["size_bytes"] <= 1.1 * min(row["size_bytes"] for row in quick)]
    fastest = min(row["latency"]["ratio_reference"] for row in small)
    small = [row for row in small if row["latency"]["ratio_reference"] <= 1.1 * fastest]
    assert recommendation["id"] == most_accurate(small)["id"]
    assert recommendation["by_use"]["accuracy"] == most_accurate(good)["id"]
    said = " ".join(recommendation["because"])
    pick = found[recommendation["id"]]
    assert f"{100 * pick['accuracy']['value']:.2f}%, {pick['size_bytes'] / 1000:.1f} kB" in said
    assert f"a drop of {100 * pick['versus_baseline']['drop']:.2f} points" in said
    assert f"{1e6 * pick['latency']['cpu_time']:.0f} µs of CPU time for one sample" in said


@pytest.mark.shared_store
def test_the_bundled_onnx_is_the_clean_graph_of_the_bundled_keras(bundled):
    """Two files of one model: their scores agree, and so does their accuracy in the table above."""
    from bitpick.api import bundled_model

    folder, run = bundled
    row = json.loads(
        subprocess.run(
            [*COMMAND, "evaluate", str(bundled_model().with_suffix(".onnx")), "--json"],
            capture_output=True, text=True, timeout=300, check=True,
        ).stdout
    )  # fmt: skip
    assert row["accuracy"]["correct"] == rows(run)["onnxruntime:float32"]["accuracy"]["correct"]
    made = folder / "forms" / "onnx.onnx"
    assert made.read_bytes() == bundled_model().with_suffix(".onnx").read_bytes()


def test_predictions_are_kept_and_are_what_the_row_says(bundled, cifar10):
    import numpy as np

    folder, run = bundled
    targets = np.asarray(cifar10.evaluation.labels)
    for row in run["rows"]:
        if row["status"] == "ok" and row["target"] == "host":
            with np.load(folder / "builds" / row["id"].replace(":", "__") / "predictions.npz") as file:
                assert (file["predictions"] == targets).sum() == row["accuracy"]["correct"]
                assert (file["output0"].argmax(1) == file["predictions"]).all()
                assert file["output0"].shape == (10_000, 10)


def test_the_report_can_be_filed(bundled):
    folder, run = bundled
    text = (folder / "report.md").read_text()
    order = [
        "## Summary", "## Results", "## What really runs", "## Flagged rows", "## Impact on each class", "## Sizes",
        "## Calibration", "## How it was measured", "## Versions",
    ]  # fmt: skip
    places = [text.index(title) for title in order]
    assert places == sorted(places)
    assert f"**Ship `{run['recommendation']['id']}`.**" in text
    for row in run["rows"]:
        assert f"`{row['recipe']}`" in text


def test_the_report_opens_in_a_browser(bundled, opened):
    folder, run = bundled
    page, seen = opened(folder / "report.html", width=360)
    assert (seen.errors, seen.outside, seen.dialogs) == ([], [], [])
    assert page.get_by_role("heading", level=1).inner_text() == f"Ship {run['recommendation']['id']}"
    assert page.locator("#rows tbody tr").count() == len(run["rows"])
    charts = page.locator("figure[data-chart]").evaluate_all("all => all.map(each => each.dataset.chart)")
    assert {"size", "drops", "classes"} <= set(charts)
    assert page.locator("figure[data-chart=size] .plot svg path").count() >= 10
    assert page.locator(".examples img").count() == len(run["examples"]) == 12
    assert page.evaluate("[...document.images].every(image => image.naturalWidth === 32)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert (folder / "report.html").stat().st_size < 1_000_000


def test_an_interrupt_while_the_model_is_converted(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "compare", "--out", str(tmp_path / "run")], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 30
    while not (children := psutil.Process(process.pid).children()) and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(1)  # TensorFlow is being imported
    process.send_signal(2)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "interrupted"


@pytest.mark.parametrize(("suffix", "says"), [(".h5", "Keras cannot read"), (".keras", "is damaged")])
def test_a_truncated_keras_file_is_refused(tmp_path, request, suffix, says):
    from bitpick.api import bundled_model

    model = request.getfixturevalue("mlperf_model") if suffix == ".h5" else bundled_model().with_suffix(".keras")
    whole = model.read_bytes()
    half = tmp_path / f"half{suffix}"
    half.write_bytes(whole[: len(whole) // 2])
    done = subprocess.run(
        [*COMMAND, "compare", str(half), "--out", str(tmp_path / "run")],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [half]
