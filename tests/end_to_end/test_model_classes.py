"""The classes of networks that people ship, each built and trained here, through every engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import bitpick
from tests.kept import use_executor

pytestmark = pytest.mark.frameworks

ROOT = Path(__file__).parents[2]
# Network, what it is judged by, what its float32 reaches at least (or, where less is better, at most), and options.
NETS = {
    "depthwise": ("accuracy", 0.9, {}),
    "audio": ("accuracy", 0.95, {}),
    "transformer": ("accuracy", 0.9, {}),
    # It leaves a sixth of the variance: too much to be taken for the input again.
    "autoencoder": ("mae", 0.12, {"task": "reconstruction"}),
    "tabular": ("mae", 0.25, {}),
}


# The quantized build that each engine is known for. What PyTorch compiles is left out where it takes longest and the
# layers are those of the other networks.
QUANTIZED = (
    "executorch:s8s8-per_channel-histogram",
    "litert:s8s8-per_channel-minmax",
    "onnxruntime:s8u8-per_channel-minmax",
    "openvino:s8u8-per_channel-minmax",
)
COMPILED = "pytorch_pt2e:s8u8-per_channel-histogram"
UNCOMPILED = ("autoencoder", "tabular")
# Of the first network, a deprecated engine's and prepared ones, too.
FURTHER = (
    "pytorch_fx:s8u8-per_channel-histogram",
    "litert:s4s8-per_channel-minmax+adaround+equalize+integer_io",
    "onnxruntime:s8u8-per_channel-minmax+adaround+reduced_range",
    "openvino:s8u8-per_channel-minmax+adaround+full_bias_correction",
)


def recipes(name: str) -> list[str]:
    """The recipes that a network is built with, each engine's float32 among them."""
    quantized = [*QUANTIZED, *([] if name in UNCOMPILED else [COMPILED]), *(FURTHER if name == "depthwise" else ())]
    floats = [f"{recipe.partition(':')[0]}:float32" for recipe in quantized]
    return [*dict.fromkeys(floats), *quantized]


@pytest.fixture(scope="module", params=NETS)
def run(request, workers, tmp_path_factory) -> dict:
    """A run of one of them; nothing of what it was made from was installed by hand."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    code = f"from tests.end_to_end import nets; print(nets.{name}({str(folder)!r}))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert made.returncode == 0, made.stderr
    model = made.stdout.strip().splitlines()[-1]
    source = bitpick.Source(model, trusted=True)
    options = {"calibration_size": 300, "targets": ["host"], "bench_seconds": 0, "out": folder / "run"}
    options["recipes"] = recipes(name)
    with use_executor(workers, folder / "cache"):
        bitpick.compare(source, folder, **options, **NETS[name][2])
    return {"name": name, **json.loads((folder / "run" / "run.json").read_text())}


def test_no_row_fails_and_a_row_that_is_unsupported_says_why(run):
    assert {row["id"]: row["reason"] for row in run["rows"] if row["status"] == "failed"} == {}
    assert all(row["reason"] for row in run["rows"] if row["status"] == "unsupported")
    engines = {row["engine"] for row in run["rows"] if row["status"] == "ok" and row["kind"] == "quantized"}
    assert engines >= {recipe.partition(":")[0] for recipe in recipes(run["name"])} - {"pytorch_fx"}


def test_every_engines_float_is_the_same_model(run):
    metric, bound, _ = NETS[run["name"]]
    floats = [row for row in run["rows"] if row["kind"] == "baseline" and row["status"] == "ok"]
    assert len(floats) >= 4
    values = [row["metric"]["value"] for row in floats]
    assert {row["metric"]["name"] for row in floats} == {metric}
    assert all(value >= bound if metric == "accuracy" else value <= bound for value in values)
    assert max(values) - min(values) <= 1e-3 * max(values)


def test_quantized_rows_are_near_their_float(run):
    native = [row for row in run["rows"] if row["target"] == "host"]
    rows = [row for row in native if row["kind"] == "quantized" and row["status"] == "ok"]
    near = [row for row in rows if not row["flags"]]
    assert len(near) >= len(rows) // 2
    for row in near:
        assert row["versus_baseline"]["drop"] <= 0.05 * (1 if run["name"] in ("depthwise", "audio") else 2)
