"""Peak memory of calibration: every method with 500 and with 5,000 samples, each in a fresh worker process.

    python benchmarks/calibration_memory.py [--model FILE] [--recipe ID]... [--smoke]

Prints the peak resident memory of both, and their difference. A method that held its samples or its activations would
need ten times as much for ten times as many. Exits 1 where one needs 10% and 32 MiB more for them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bitpick import api
from bitpick.datasets.dataset import Dataset, Samples
from bitpick.datasets.sampling import draw
from bitpick.engines.registry import engine
from bitpick.executors.pool import Worker
from bitpick.models.model import Format
from bitpick.pipeline.build_job import FUNCTIONS
from bitpick.recipe import Recipe
from bitpick.targets.host import this_host
from parts import pictures

RECIPES = (
    "onnxruntime:s8u8-per_channel-minmax",
    "onnxruntime:s8u8-per_channel-moving_average",
    "onnxruntime:s8u8-per_channel-percentile99.99",
    "onnxruntime:s8u8-per_channel-entropy",
    "openvino:s8u8-per_channel-minmax",
    "openvino:s8u8-per_channel-minmax+full_bias_correction",
    "litert:s8s8-per_channel-minmax",
    "litert:s8s8-per_channel-moving_average",
    "executorch:s8s8-per_channel-histogram",
    "pytorch_pt2e:s8u8-per_channel-histogram",
    "pytorch_fx:s8u8-per_channel-histogram",
)
FEW, MANY = 500, 5000
SMOKE_RECIPES, SMOKE_FEW, SMOKE_MANY = RECIPES[:1], 300, 1500
ALLOWED_SHARE, ALLOWED_BYTES = 0.10, 32 * 2**20


def calibration(dataset: Dataset, count: int, folder: Path) -> Samples:
    import numpy as np

    path = folder / f"indices_{count}.npy"
    np.save(path, draw(dataset, count, seed=0).indices)
    pool = dataset.samples(dataset.calibration)
    return pool.model_copy(update={"indices": path, "count": count, "sha256": str(count)})


def peak(recipe: Recipe, source: Path, samples: Samples, folder: Path) -> int:
    """Peak resident bytes of a fresh worker that calibrates and builds."""
    each = engine(recipe.engine)
    worker = Worker(each.environment, threads=this_host().cores)
    ranges = None
    try:
        if each.calibration_key(recipe) is not None:
            ranges = folder / f"{recipe.file_name}_{samples.count}.json"
            payload = {"source": source, "recipe": recipe, "samples": samples, "out": ranges}
            worker.run(f"{FUNCTIONS}:calibrate", payload)
        payload = {"source": source, "recipe": recipe, "samples": samples, "ranges": ranges}
        worker.run(f"{FUNCTIONS}:build", payload | {"folder": folder / f"{recipe.file_name}_{samples.count}"})
        status = Path(f"/proc/{worker.pid}/status").read_text()
    finally:
        worker.close()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def starts_from(recipe: Recipe) -> Format:
    """The form of the model that a recipe's build is made from."""
    return engine(recipe.engine).form(recipe)[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(api.bundled_model().with_suffix(".onnx")))
    parser.add_argument("--recipe", action="append", help="instead of every method")
    parser.add_argument("--smoke", action="store_true", help="one method, with random pictures, fewer of them")
    arguments = parser.parse_args()
    few, many = (SMOKE_FEW, SMOKE_MANY) if arguments.smoke else (FEW, MANY)
    recipes = [Recipe.parse(text) for text in arguments.recipe or (SMOKE_RECIPES if arguments.smoke else RECIPES)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = api.data(pictures.write(folder / "pictures", calibration=many) if arguments.smoke else "cifar10")
        forms = {form: folder / f"m{form.suffix}" for form in dict.fromkeys(map(starts_from, recipes))}
        for form, path in forms.items():
            api.convert(arguments.model, form.value, path)
        both = [calibration(dataset, count, folder) for count in (few, many)]
        print(f"{'recipe':58} {few:>9,} {many:>9,}   difference")
        over = []
        for recipe in recipes:
            text, source = recipe.id, forms[starts_from(recipe)]
            first, second = (peak(recipe, source, samples, folder) for samples in both)
            within = second <= max(first * (1 + ALLOWED_SHARE), first + ALLOWED_BYTES)
            over += [] if within else [text]
            print(
                f"{text:58} {first / 2**20:5.0f} MiB {second / 2**20:5.0f} MiB   "
                f"{(second - first) / 2**20:+5.0f} MiB {100 * (second / first - 1):+5.1f}%{'' if within else '  OVER'}",
                flush=True,
            )
        print(f"more than 10% and 32 MiB: {', '.join(over) or 'none'}")
    return int(bool(over))


if __name__ == "__main__":
    sys.exit(main())
