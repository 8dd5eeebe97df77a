"""bitpick's best rows beside those of its peers: accuracy, size and CPU time, at eight bits and at four.

    python benchmarks/peers.py [--work FOLDER] [--peer NAME …]
    python benchmarks/peers.py --smoke

Each peer gets the same float networks and the same 1,000 calibration samples, and runs in an environment of its own,
which this script makes in FOLDER (about 6 GB for all, by default in bitpick's cache). What it saves is evaluated on
CIFAR-10's 10,000 evaluation images, in the runtime that the file is for. The networks are the bundled one and, where
`BITPICK_REFERENCE_MODELS` names its folder, MLPerf Tiny's. Activations have eight bits, but for `s4weights`, where they
are floats. It takes about two hours, and continues where it was stopped; prints Markdown. A peer that cannot be
installed, or fails, is a line that says why.

CPU seconds are those of quantization alone, and with imports; for bitpick, whose workers do several things, those of
the whole `bitpick quantize`, with conversion and all checks.

With --smoke there is neither environment nor peer: one of bitpick's rows, on a few random pictures, and a driver that
copies the float network. Exits 1 where one of bitpick's rows fails: its own count of what is right must be that of
`parts/right.py`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import platformdirs

import bitpick
from bitpick.api import bundled_model
from bitpick.datasets.load import load
from bitpick.datasets.sampling import draw
from parts import pictures
from parts.rivals import DRIVERS, Peer, Place, Row, by_bitpick, by_peer

FORMATS = {"onnx": "model.onnx", "pytorch": "model.pt", "litert": "model.tflite"}
TORCH = "torch==2.13.0"
FLOAT = Peer("float network", "copy_float.py", (), "onnxruntime", {32: {"none": ""}})
PEERS = (
    Peer(
        "NNCF",
        "quantize_nncf.py",
        ("nncf==3.4.0", "openvino==2026.4.1"),
        "openvino",
        {
            8: {
                "histogram_full_mixed": "histogram ranges, full bias correction, preset mixed",
                "accuracy_control": "accuracy control, at most 0.1 points lost",
            }
        },
    ),
    Peer(
        "litert-quantizer",
        "quantize_litert_quantizer.py",
        ("litert-quantizer==0.11.0", "ai-edge-litert==2.3.0"),
        "litert",
        {
            8: {"moving_average": "moving averages", "minmax": "min-max", "octav": "min-max, OCTAV"},
            4: {
                "moving_average": "moving averages",
                "minmax": "min-max",
                "octav": "min-max, OCTAV",
                "mse": "min-max, MSE",
            },
        },
    ),
    Peer(
        "Sony MCT",
        "quantize_mct.py",
        (
            TORCH,
            "torchvision==0.28.0",
            "model-compression-toolkit==2.6.1",
            "onnx==1.23.2",
            "onnxruntime==1.32.0",
            "onnxscript==0.7.2",
        ),
        "onnxruntime, weights stored as floats",
        {bits: {"post_training": "post-training", "gradient_based": "gradient-based, 5 epochs"} for bits in (8, 4)},
    ),
    Peer(
        "esp-ppq",
        "quantize_esp_ppq.py",
        (TORCH, "esp-ppq==1.3.12", "onnxruntime==1.32.0"),
        "onnxruntime, in place of the chip",
        {8: {"default": "its defaults", "tqt": "trained thresholds (TQT)"}},
    ),
    Peer(
        "AIMET",
        "quantize_aimet.py",
        (TORCH, "aimet-onnx==2.42.0"),
        "onnxruntime",
        {bits: {"minmax": "min-max", "sequential_mse": "sequential MSE", "adaround": "AdaRound"} for bits in (4, 8)},
    ),
)
RECIPES = (
    "litert:s8s8-per_channel-minmax+adaround+integer_io+pool_as_mean",
    "onnxruntime:s8u8-per_channel-minmax+adaround+pool_as_mean+reduced_range",
    "openvino:s8u8-per_channel-histogram+full_bias_correction+mixed",
    "litert:s4s8-per_channel-minmax+adaround+integer_io+pool_as_mean",
    "onnxruntime:s4weights+adaround",
)
SMOKE_RECIPE = "onnxruntime:s8u8-per_channel-minmax+reduced_range"


def networks() -> dict[str, Path]:
    """Return the networks to quantize, by name."""
    found = {"bundled": bundled_model().with_suffix(".onnx")}
    reference = Path(os.environ.get("BITPICK_REFERENCE_MODELS", ""), "mlperf-tiny", "pretrainedResnet.h5")
    return found | ({"MLPerf Tiny": reference} if reference.is_file() else {})


def prepare(place: Place, models: dict[str, Path], formats: dict[str, str]) -> None:
    """Write the samples, and each network in the formats that peers read, unless they are there."""
    dataset = load(place.data)
    drawn = draw(dataset, place.count, 0)
    evaluation = place.work / "evaluation"
    evaluation.mkdir(parents=True, exist_ok=True)
    np.save(evaluation / "images.npy", dataset.evaluation.inputs["image"])
    np.save(evaluation / "labels.npy", dataset.evaluation.labels)
    for name, model in models.items():
        folder = place.inputs(name)
        folder.mkdir(parents=True, exist_ok=True)
        images = dataset.calibration.inputs["image"][drawn.indices]
        np.save(folder / "images.npy", images.astype(np.float32))
        np.save(folder / "labels.npy", dataset.calibration.labels[drawn.indices])
        for target, file in formats.items():
            if not (folder / file).exists():
                bitpick.convert(model, target, folder / file, place.data)


def measure(place: Place, names: list[str], peers: tuple[Peer, ...], recipes: tuple[str, ...]) -> Iterator[Row]:
    """Yield the rows, those of the slowest peer last."""
    for recipe, name in itertools.product(recipes, names):
        yield by_bitpick(recipe, name, place)
    for peer in peers:
        for bits, algorithms in peer.algorithms.items():
            for algorithm, name in itertools.product(algorithms, names):
                yield by_peer(peer, name, bits, algorithm, place)


def line(row: Row) -> str:
    """Return a row of the Markdown table."""
    bits = "float" if row.bits == 32 else str(row.bits)
    if row.reason:
        return f"| {row.network} | {bits} | {row.name} | – | – | – | – | {row.reason} |"
    alone = "–" if row.seconds is None else f"{row.seconds:.1f}"
    numbers = f"{row.right:,} | {row.size:,} | {alone} | {row.whole:.1f}"
    return f"| {row.network} | {bits} | {row.name} | {numbers} | {row.runtime} |"


def show(measured: Iterable[Row], evaluated: int) -> list[Row]:
    """Print each row on standard error as it comes, then the table: by network and bits, the most accurate first."""
    rows = []
    for row in measured:
        rows.append(row)
        print(line(row), file=sys.stderr, flush=True)
    print(
        f"| network | weights, bits | quantized by | right of {evaluated:,} | bytes | CPU s | with imports | runs in |"
    )
    print("|---|---|---|---|---|---|---|---|")
    order = list(dict.fromkeys(row.network for row in rows))
    for row in sorted(rows, key=lambda row: (order.index(row.network), -row.bits, -row.right)):
        print(line(row))
    return rows


def smoke() -> int:
    """Check the script itself, without any peer."""
    for driver in sorted(DRIVERS.glob("*.py")):
        compile(driver.read_text(encoding="utf-8"), str(driver), "exec")
    missing = [peer.driver for peer in PEERS if not (DRIVERS / peer.driver).is_file()]
    with tempfile.TemporaryDirectory() as scratch:
        place = Place(Path(scratch), str(pictures.write(Path(scratch) / "pictures")), 50)
        prepare(place, {"bundled": bundled_model().with_suffix(".onnx")}, {"onnx": FORMATS["onnx"]})
        fails = Peer(
            "a peer that fails", FLOAT.driver, (), FLOAT.runtime, {8: {"unknown": "without such an algorithm"}}
        )
        rows = show(measure(place, ["bundled"], (FLOAT, fails), (SMOKE_RECIPE,)), 60)
        again = by_peer(FLOAT, "bundled", 32, "none", place)
    quantized, unchanged, failed = rows
    return int(bool(missing or quantized.reason or unchanged != again or "unknown" not in failed.reason))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=platformdirs.user_cache_path("bitpick") / "peers")
    parser.add_argument("--peer", action="append", choices=["bitpick", *(peer.name for peer in PEERS)], default=[])
    parser.add_argument("--smoke", action="store_true", help="bitpick alone, on a few random pictures")
    arguments = parser.parse_args()
    if arguments.smoke:
        return smoke()
    models, chosen = networks(), arguments.peer or ["bitpick", *(peer.name for peer in PEERS)]
    place = Place(arguments.work.absolute(), "cifar10", 1000)
    prepare(place, models, FORMATS)
    peers = (FLOAT, *(peer for peer in PEERS if peer.name in chosen))
    rows = show(measure(place, list(models), peers, RECIPES if "bitpick" in chosen else ()), 10_000)
    print("\nNNCF and esp-ppq have no four-bit weights for convolutions.")
    return int(any(row.reason and row.name.startswith("bitpick") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
