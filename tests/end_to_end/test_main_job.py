"""The main job on real models, real data and real engines, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.data, pytest.mark.frameworks, pytest.mark.usefixtures("cifar10")]

COMMAND = [sys.executable, "-m", "bitpick"]
BASELINES = ("keras:float32", "onnxruntime:float32", "pytorch_fx:float32")


def compare(folder: Path, *arguments: object) -> dict:
    command = [*COMMAND, "compare", *map(str, arguments), "--out", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def basic(mlperf_model, tmp_path_factory) -> dict:
    """`--preset basic` on MLPerf Tiny's ResNet8."""
    return compare(tmp_path_factory.mktemp("basic") / "run", mlperf_model, "--data", "cifar10", "--preset", "basic")


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
        assert hop["tolerance"] < 1e-4
        assert hop["samples"] >= 100


def test_quantized_rows_reach_what_was_reached_by_hand(basic):
    quantized = [row for row in basic["rows"] if row["kind"] == "quantized" and row["status"] == "ok"]
    assert len(quantized) >= 5
    assert not [row for row in basic["rows"] if row["status"] == "failed"]
    assert max(row["accuracy"]["value"] for row in quantized) >= 0.8675
    assert min(row["accuracy"]["value"] for row in quantized) >= 0.863
    best = max((r for r in quantized if r["engine"] == "onnxruntime"), key=lambda r: r["accuracy"]["correct"])
    assert best["size_bytes"] <= 116_000
    assert [f["path"] for f in best["files"]] == [f"builds/{best['id'].replace(':', '__')}/model.onnx"]


def test_unsigned_weights_are_an_explained_row(basic):
    row = rows(basic)["pytorch_fx:u8u8-per_channel-histogram"]
    assert row["status"] == "unsupported"
    assert "signed 8-bit weights only" in row["reason"]


def test_the_model_is_described(basic):
    assert basic["model"]["parameters"] == 77_706  # 78,666 with the 960 of batch norm, which is folded
    assert 12.4e6 < basic["model"]["macs"] < 12.6e6


def test_the_published_comparison(mlperf_model, tmp_path):
    run = compare(tmp_path / "run", mlperf_model, "--preset", "reference")
    assert len(run["rows"]) == 7
    for row in run["rows"]:
        assert row["flags"] == []
        assert row["status"] == ("unsupported" if "u8u8-per_channel" in row["id"] else "ok")
        if row["status"] == "ok":
            assert row["accuracy"]["value"] > 0.85


@pytest.fixture(scope="module")
def bundled(tmp_path_factory) -> tuple[Path, dict]:
    """No arguments at all: the bundled model."""
    folder = tmp_path_factory.mktemp("bundled") / "run"
    return folder, compare(folder)


def test_the_bundled_model_keeps_its_promise(bundled):
    _, run = bundled
    baselines = [row for row in run["rows"] if row["kind"] == "baseline"]
    assert len(baselines) == 6
    assert {row["accuracy"]["correct"] for row in baselines} == {8934}
    assert not [row for row in run["rows"] if row["status"] == "failed"]
    assert run["recommendation"]["id"] is not None
    pick = rows(run)[run["recommendation"]["id"]]
    assert pick["versus_baseline"]["drop"] < 0.01
    assert pick["size_ratio"] < 0.4


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
        if row["status"] == "ok":
            with np.load(folder / "builds" / row["id"].replace(":", "__") / "predictions.npz") as file:
                assert (file["predictions"] == targets).sum() == row["accuracy"]["correct"]
                assert (file["scores"].argmax(1) == file["predictions"]).all()
                assert file["scores"].shape == (10_000, 10)


def test_the_report_can_be_filed(bundled):
    folder, run = bundled
    text = (folder / "report.md").read_text()
    order = [
        "## Summary", "## Results", "## Flagged rows", "## Impact on each class", "## Sizes", "## Calibration",
        "## How it was measured", "## Versions",
    ]  # fmt: skip
    places = [text.index(title) for title in order]
    assert places == sorted(places)
    assert f"**Ship `{run['recommendation']['id']}`.**" in text
    for row in run["rows"]:
        assert f"`{row['id']}`" in text


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


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_truncated_keras_file_is_refused(tmp_path, request, suffix):
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
    assert "Keras cannot read" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [half]
