"""The published hand-made comparison of MLPerf Tiny's ResNet8, beside the same rows measured by `--preset reference`.

    python benchmarks/reference.py MODEL [--draws N]

MODEL is MLPerf Tiny's pretrainedResnet.h5 (MLCommons tiny, benchmark/training/image_classification/trained_models).
With --draws N the quantized rows are measured for N calibration draws, seeds 0 to N-1. Prints Markdown:
docs/reference/reproduction.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import bitpick
from bitpick.result import Row, Run

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


def compare(model: str, folder: Path, seed: int, recipes: tuple[str, ...] = ()) -> Run:
    return bitpick.compare(
        model,
        "cifar10",
        preset="reference",
        recipes=recipes,
        seed=seed,
        min_accuracy=0.85,
        bench_seconds=0,
        out=folder / f"run{seed}",
    ).run


def points(row: Row | None, published: float | None) -> tuple[str, str]:
    """Measured accuracy, and its difference from the published one in points."""
    if row is None or row.accuracy is None:
        return (row.status if row else "–"), ""
    measured = 100 * row.accuracy.value
    return f"{measured:.2f}", "" if published is None else f"{measured - published:+.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--draws", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = compare(arguments.model, Path(folder), 0)
        quantized = tuple(row.id for row in run.rows if row.kind == "quantized" and row.status == "ok")
        draws = [run] + [compare(arguments.model, Path(folder), s, quantized) for s in range(1, arguments.draws)]

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
        print(f"\nOver {len(draws)} calibration draws (seeds 0 to {len(draws) - 1}), correct of 10,000:\n")
        print("| row | each draw | mean |")
        print("|---|---|---|")
        for row_id in quantized:
            found = [r.row(row_id).accuracy.correct for r in draws]  # type: ignore[union-attr]  # each run has it, ok
            print(f"| `{row_id}` | {' '.join(map(str, found))} | {sum(found) / len(found):.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
