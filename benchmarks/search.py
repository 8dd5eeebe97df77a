"""What a search saves: its pick and its CPU time, beside those of trying every recipe of its space.

    python benchmarks/search.py [MODEL ...] [--engine NAME ...] [--minutes N] [--smoke]

Exits 1 if a search takes more than a quarter of the CPU time of the whole grid, or if its pick is not that of the grid
or one within 0.1 points of accuracy and 5% in size. By default it searches for the smallest and for the most accurate
build of the bundled network and, if BITPICK_REFERENCE_MODELS names their folder, of MLPerf Tiny's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import bitpick
from bitpick.api import bundled_model
from bitpick.api.comparing import run_comparison, threads_of
from bitpick.datasets.load import data_source
from bitpick.engines.capability import Offer
from bitpick.models.model import Model
from bitpick.models.source import Source
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.request import make_request, new_run
from bitpick.pipeline.workshop import Workshop
from bitpick.recipe import baseline
from bitpick.schema.run import Row
from bitpick.schema.settings import Settings
from bitpick.searching.ranking import rank
from bitpick.searching.space import Space
from bitpick.targets.host import this_host

GOALS = ("size", "accuracy")
MOST, POINTS, SHARE = 0.25, 0.1, 0.05
"""Of the grid's CPU time; how many points less accurate, and what share larger the search's pick may be."""
MLPERF = "mlperf-tiny/pretrainedResnet.h5"


@dataclass(frozen=True)
class Grid:
    """Every recipe of a space, judged on all evaluation samples.

    Attributes:
        rows: the quantized rows that are ok, by id.
        seconds: CPU seconds of making and judging them.
    """

    rows: dict[str, Row]
    seconds: float

    def best(self, goal: str) -> Row:
        """Return the best of the rows that are shown to be good enough."""
        good = [row for row in self.rows.values() if row.versus_baseline and row.versus_baseline.noninferior]
        if goal == "size":
            return min(good, key=lambda row: row.size_bytes or 0)
        return max(good, key=_accuracy)


def _accuracy(row: Row) -> float:
    assert row.metric is not None
    return row.metric.value


def everything(model: Path, engines: Sequence[str], folder: Path, size: int) -> Grid:
    """Compare every recipe that a search could try."""

    def choose(shop: Workshop, inputs: Inputs, described: Model) -> tuple[Inputs, list[Offer]]:
        space = Space.of(engines, described, shop.host)
        recipes = [*map(baseline, engines), *space.ranked(rank(shop, inputs, space))]
        return inputs, [Offer(recipe, frozenset()) for recipe in recipes]

    settings = Settings().but(engines=engines, targets=("host",), bench_seconds=0.0, calibration_size=size)
    data = data_source("cifar10")
    request, model_format = make_request(Source(str(model)), data.name, settings, data.options.said)
    run = new_run(request, model_format, this_host(), threads_of(settings), "compare")
    load_data = partial(data.load, progress=lambda *_: None)
    rows = run_comparison(run, settings, folder, load_data, overwrite=False, listener=None, choose=choose).rows
    quantized = {row.id: row for row in rows if row.kind == "quantized" and row.status == "ok"}
    return Grid(quantized, _seconds(rows))


def _seconds(rows: Sequence[Row]) -> float:
    return sum(sum(row.cpu_seconds.values()) for row in rows)


def searched(
    model: Path, goal: str, engines: Sequence[str], folder: Path, minutes: float, size: int
) -> tuple[str | None, float, int]:
    """Search, and return the pick, the CPU seconds of searching and judging, and how many recipes it tried."""
    options = {"engines": list(engines), "targets": ["host"], "bench_seconds": 0, "calibration_size": size}
    run = bitpick.search(model, "cifar10", goal=goal, minutes=minutes, out=folder, **options).run
    assert run.search is not None
    assert run.recommendation is not None
    return run.recommendation.id, run.search.cpu_seconds + _seconds(run.rows), len(run.search.looks)


def _is_near(pick: Row | None, best: Row) -> bool:
    if pick is None:
        return False
    loses = 100 * (_accuracy(best) - _accuracy(pick))
    larger = (pick.size_bytes or 0) / (best.size_bytes or 1) - 1
    return loses <= POINTS and larger <= SHARE


def check(model: Path, engines: Sequence[str], minutes: float, size: int, goals: Sequence[str] = GOALS) -> bool:
    """Print a network's grid beside its searches; return whether all are within the bounds."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["BITPICK_STORE"] = f"{name}/grid"  # each one makes everything itself
        grid = everything(model, engines, Path(name) / "all", size)
        print(f"{model.name}, {', '.join(engines)}: {len(grid.rows)} builds in the grid, {grid.seconds:.0f} CPU s")
        fine = True
        for goal in goals:
            os.environ["BITPICK_STORE"] = f"{name}/{goal}"
            pick, seconds, looks = searched(model, goal, engines, Path(name) / goal, minutes, size)
            best, share = grid.best(goal), seconds / grid.seconds
            print(f"  {goal}: the grid's pick is {_told(best)}")
            print(f"    the search's is {_told(grid.rows[pick]) if pick in grid.rows else pick}")
            print(
                f"    {looks} recipes tried, {seconds:.0f} CPU s, {share:.2f} of the grid's (limit {MOST})", flush=True
            )
            fine &= share <= MOST and _is_near(grid.rows.get(pick or ""), best)
    return fine


def _told(row: Row) -> str:
    return f"{row.id} ({100 * _accuracy(row):.2f}%, {(row.size_bytes or 0) / 1000:.1f} kB)"


def main() -> int:
    """Print the figures; return 1 if one is out of its bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="by default the bundled one, and MLPerf Tiny's")
    parser.add_argument("--engine", action="append", help="by default onnxruntime and litert; repeat for more")
    parser.add_argument("--minutes", type=float, default=10.0, help="that a search may take")
    parser.add_argument("--smoke", action="store_true", help="one short search on a small grid, without bounds")
    given = parser.parse_args()
    if given.smoke:
        with tempfile.TemporaryDirectory() as name:
            os.environ["BITPICK_STORE"] = f"{name}/store"
            pick, _, looks = searched(
                bundled_model().with_suffix(".onnx"), "size", ["onnxruntime"], Path(name) / "run", 0.05, 50
            )
        print(f"{looks} recipes tried; the pick is {pick}")
        return 0 if looks else 1
    models = given.models or [bundled_model().with_suffix(".onnx")]
    if not given.models and (folder := os.environ.get("BITPICK_REFERENCE_MODELS")):
        models.append(Path(folder) / MLPERF)
    fine = [check(model, given.engine or ["onnxruntime", "litert"], given.minutes, 1000) for model in models]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    raise SystemExit(main())
