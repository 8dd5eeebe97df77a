"""Training for quantization as its users meet it: what it gains, what is told about it, and a kill in the middle."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

from tests.passes.training import small_net

pytestmark = pytest.mark.frameworks

PLAIN = "onnxruntime:s4weights"
TRAINED = f"{PLAIN}+qat"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model and two sets of pictures."""
    place = tmp_path_factory.mktemp("training")
    small_net.network(place / "net.onnx")
    (place / "data").mkdir()
    for name, count, seed in (("train", 4000, 2), ("test", 1000, 3)):
        pictures, labels = small_net.data(count, seed)
        np.savez(place / "data" / f"{name}.npz", picture=pictures, label=labels)
    return place


def command(place, out, *options):
    arguments = ["compare", "net.onnx", "--data", "data", "--recipe", PLAIN, "--recipe", TRAINED]
    fixed = ["--no-bench", "--target", "host", "--out", out]
    return [sys.executable, "-m", "bitpick", *arguments, *fixed, *options]


def environment(place):
    return os.environ | {"BITPICK_STORE": str(place / "store"), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def run(place):
    """A training that was killed after its first epochs, and the same command again."""
    process = subprocess.Popen(command(place, "run"), cwd=place, env=environment(place), stdout=subprocess.DEVNULL)
    end = time.monotonic() + 300
    while not (found := list(place.glob("run/forms/*.checkpoint.pt"))) and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert found, "it ended before it was killed"
    checkpoint = found[0]
    import torch

    done = torch.load(io.BytesIO(checkpoint.read_bytes()[32:]), weights_only=True)["epoch"]
    again = subprocess.run(
        command(place, "run"), cwd=place, env=environment(place), capture_output=True, text=True, timeout=300
    )
    assert again.returncode == 0, again.stderr
    return {"epochs done": done, "checkpoint": checkpoint, "stdout": again.stdout} | json.loads(
        (place / "run" / "run.json").read_text()
    )


def test_a_killed_run_goes_on_with_its_training_and_clears_up(run):
    assert run["state"] == "complete"
    (tuning,) = run["model"]["tunings"]
    assert 0 < run["epochs done"] < tuning["training"]["epochs"]
    assert not run["checkpoint"].exists()


def test_training_gains_and_the_report_tells_it_apart_from_quantization(run, place):
    rows = {row["id"]: row for row in run["rows"]}
    assert rows[TRAINED]["versus_unprepared"]["row"] == PLAIN
    assert rows[TRAINED]["metric"]["value"] > rows[PLAIN]["metric"]["value"]
    (tuning,) = run["model"]["tunings"]
    assert tuning["form"] == "onnx+qat=7_per_channel_clipped"
    assert tuning["evaluated"] == 1000
    training = tuning["training"]
    assert (training["samples"], training["held_out"], training["labels"]) == (29 * 128, 200, True)
    report = (place / "run" / "report.md").read_text()
    assert f"`{TRAINED}`: the float network gets" in report
    assert "samples with labels" in report


def test_a_budget_is_part_of_the_request(place):
    wrong = subprocess.run(
        command(place, "other", "--training-minutes", "0"), cwd=place, env=environment(place),
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert wrong.returncode != 0
    assert "0 training minutes are out of range" in wrong.stderr
    assert not (place / "other").exists()
