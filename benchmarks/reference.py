"""The published hand-made comparison of MLPerf Tiny's ResNet8, beside the same rows measured by `--preset reference`.

    python benchmarks/reference.py MODEL [--draws N]
    python benchmarks/reference.py --smoke

MODEL is MLPerf Tiny's pretrainedResnet.h5 (MLCommons tiny, benchmark/training/image_classification/trained_models).
With --draws N the quantized rows are measured for N calibration draws, seeds 0 to N-1. Prints Markdown:
docs/reference/reproduction.md. Exits 1 where a published row was not measured. With --smoke the rows of ONNX Runtime
alone are measured, of the bundled model on random pictures, for two draws.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bitpick
from bitpick.api import bundled_model
from bitpick.schema.run import Row, Run
from parts import pictures

KIB = 1024


@dataclass(frozen=True)
class Published:
    """A published figure: accuracy in percent, size in units of 1,024 bytes, and what is known of a difference."""

    row: str
    name: str
    accuracy: float | None
    size: int | None
    known: str


PUBLISHED = (
    Published("keras:float32", "Keras float32", 87.19, None, "the size was not published"),
    Published(
        "onnxruntime:float32", "ONNX Runtime float32", 87.19, 315, "the clean graph: batch norm folded, short names"
    ),
    Published("pytorch_fx:float32", "PyTorch float32", 87.19, 345, "nothing differs"),
    Published(
        "onnxruntime:u8u8-per_tensor-minmax+raw_graph",
        "ONNX Runtime uint8",
        86.75,
        123,
        "the published draw of calibration images is not known; see the spread over draws",
    ),
    Published(
        "onnxruntime:s8s8-per_tensor-minmax+raw_graph",
        "ONNX Runtime int8",
        85.58,
        123,
        "the published draw of calibration images is not known; see the spread over draws",
    ),
    Published(
        "pytorch_fx:s8u8-per_channel-histogram",
        "PyTorch FX int8",
        85.68,
        165,
        "the published importer and its settings are not known; here batch norm is folded before anything is observed, "
        "and the spread over draws shows that the draw alone does not explain it",
    ),
    Published("pytorch_fx:u8u8-per_channel-histogram", "PyTorch FX uint8", None, None, "as published"),
)


FULL: dict[str, Any] = {"data": "cifar10", "min_accuracy": 0.85}
SMOKE: dict[str, Any] = {
    "engines": ["onnxruntime"],
    "calibration_size": 100,
    "targets": ["host"],
    "accept_baseline": True,
}


def compare(model: str, folder: Path, seed: int, options: dict[str, Any], recipes: tuple[str, ...] = ()) -> Run:
    out = folder / f"run{seed}"
    return bitpick.compare(
        model, preset="reference", recipes=recipes, seed=seed, bench_seconds=0, out=out, **options
    ).run


def points(row: Row | None, published: float | None) -> tuple[str, str]:
    """Measured accuracy, and its difference from the published one in points."""
    if row is None or row.accuracy is None:
        return (row.status if row else "–"), ""
    measured = 100 * row.accuracy.value
    return f"{measured:.2f}", "" if published is None else f"{measured - published:+.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="the bundled model, in one engine, on random pictures")
    arguments = parser.parse_args()
    if not arguments.smoke and arguments.model is None:
        parser.error("name MLPerf Tiny's pretrainedResnet.h5")
    model = str(bundled_model().with_suffix(".onnx")) if arguments.smoke else arguments.model
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = SMOKE | {"data": pictures.write(folder / "pictures")} if arguments.smoke else FULL
        run = compare(model, folder, 0, options)
        quantized = tuple(row.id for row in run.rows if row.kind == "quantized" and row.status == "ok")
        seeds = range(1, 2 if arguments.smoke else arguments.draws)
        draws = [run] + [compare(model, folder, seed, options, quantized) for seed in seeds]

    print("| row | published % | measured % | difference | published KB | measured KB | what is known |")
    print("|---|---|---|---|---|---|---|")
    for each in PUBLISHED:
        row = run.row(each.row)
        measured, difference = points(row, each.accuracy)
        size = f"{row.size_bytes / KIB:.0f}" if row and row.size_bytes else ""
        published = f"{each.accuracy:.2f}" if each.accuracy is not None else "not possible"
        print(f"| {each.name} | {published} | {measured} | {difference} | {each.size or ''} | {size} | {each.known} |")
    flagged = [row.id for row in run.rows if row.flags]
    print(
        f"\nFlagged rows: {', '.join(flagged) or 'none'}. A KB is 1,024 bytes here, as it was in the published table."
    )
    if len(draws) > 1:
        total = next(row.accuracy.total for row in run.rows if row.accuracy is not None)
        print(f"\nOver {len(draws)} calibration draws (seeds 0 to {len(draws) - 1}), correct of {total:,}:\n")
        print("| row | each draw | mean |")
        print("|---|---|---|")
        for row_id in quantized:
            found = [r.row(row_id).accuracy.correct for r in draws]  # type: ignore[union-attr]  # each run has it, ok
            print(f"| `{row_id}` | {' '.join(map(str, found))} | {sum(found) / len(found):.1f} |")
    wanted = [each.row for each in PUBLISHED if not arguments.smoke or each.row.startswith("onnxruntime:")]
    missing = [name for name in wanted if (row := run.row(name)) is None or row.status == "failed"]
    if missing:
        print(f"not measured: {', '.join(missing)}", file=sys.stderr)
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
