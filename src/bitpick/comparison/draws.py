"""Other calibration draws: what a recipe loses whichever samples it is given, beside what its one file loses."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bitpick.datasets.dataset import Samples
from bitpick.datasets.sampling import redraw
from bitpick.errors import BitpickError
from bitpick.models.model import sha256_of
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import predictions_file
from bitpick.pipeline.rows import Rows
from bitpick.pipeline.store import Store, predictions, write_whole
from bitpick.recipe import Recipe
from bitpick.schema.robustness import Draw, OverDraws
from bitpick.schema.run import Recommendation, Row
from bitpick.selection.claims import candidates
from bitpick.statistics import mean_over_draws
from bitpick.tasks.task import Answers, Targets, Task
from bitpick.version import __version__

_RECORD = "draw.json"  # written last: a draw without it is made again


def measure(rows: Rows, found: Recommendation, store: Store, inputs: Inputs) -> None:
    """Build the recipes that matter from further calibration draws, and say what they lose over all of them.

    Of such a build the predictions are kept, and its files are not: they never ship, and the recipe and the seed make
    them again.

    Args:
        rows: the rows of the run, measured; those concerned get what was found.
        found: says which rows matter.
        store: the run directory and the record of the run.
        inputs: the run's inputs, with the first draw.
    """
    request = store.run.request
    chosen = matter(rows.native, found, request.recipes)
    no_mean = None if rows.averages else f"the {rows.task.measure.label} is no mean over samples"
    reasons = {row.id: _left_out(row) or no_mean for row in chosen}
    built = [row for row in chosen if reasons[row.id] is None]
    seeds = range(request.seed + 1, request.seed + request.calibration_seeds)
    drawn: dict[str, dict[int, Answers]] = {row.id: {} for row in built}
    failed: dict[str, dict[int, str]] = {row.id: {} for row in built}
    for seed in seeds if built else ():
        store.draws(seed).mkdir(parents=True, exist_ok=True)
        samples = redraw(inputs.calibration, seed, store.draws(seed) / "calibration_indices.npy")
        for row_id, error in _rebuild(rows, [row.quantization for row in built], seed, samples, store, inputs).items():
            if error is None:
                drawn[row_id][seed] = predictions(store.draw(seed, row_id))
            else:
                failed[row_id][seed] = error.line
    for row in rows.native:
        over, reason = None, reasons.get(row.id)
        if row.id in drawn:
            own = {request.seed: rows.predicted[row.id]}
            pair = rows.predicted, rows.targets
            over = over_draws(row, own | drawn[row.id], *pair, rows.task, request.alpha, failed[row.id])
            if over is None:
                reason = f"no further draw could be built: {next(iter(failed[row.id].values()))}"
        if (row.over_draws, row.no_over_draws) != (over, reason):
            store.put(row.model_copy(update={"over_draws": over, "no_over_draws": reason}))
    store.save()


def matter(native: Sequence[Row], found: Recommendation, asked: Sequence[str]) -> list[Row]:
    """The rows whose recipes are worth the cost: recommended for any use, or named in the request.

    Where nothing is recommended, the most accurate and the smallest of those that could have been.
    """
    ids = {found.id, *found.by_use.values(), *asked}
    possible = candidates(native)
    if possible and not found.by_use:
        best = max(possible, key=lambda row: (row.metric.quality if row.metric else 0, -(row.size_bytes or 0)))
        ids |= {best.id, min(possible, key=lambda row: row.size_bytes or 0).id}
    return [row for row in native if row.id in ids and row.kind == "quantized" and row.status == "ok"]


def over_draws(
    row: Row,
    drawn: Mapping[int, Answers],
    answers: Mapping[str, Answers],
    targets: Targets,
    task: Task,
    alpha: float,
    failed: Mapping[int, str],
) -> OverDraws | None:
    """What a recipe loses over calibration draws and evaluation samples.

    Args:
        row: its row, with its baseline.
        drawn: what the build of each draw answers for n samples, by the seed; the row's own first.
        answers: those of the rows, the baseline's among them.
        targets: what is right.
        task: how builds are judged; drops are means over samples, see `Task.losses`.
        alpha: the one-sided level of showing that the mean drop is under the row's margin.
        failed: why a draw is missing, by its seed.

    Returns:
        None with fewer than two draws.
    """
    if len(drawn) < 2:
        return None
    assert row.versus_baseline is not None
    own = answers[row.versus_baseline.baseline]
    points, losses = [], []
    for seed, found in drawn.items():
        lost = task.losses(own, found, targets)
        assert lost is not None
        versus, correct = task.versus(own, found, targets), task.correct(found, targets)
        points.append(Draw(seed=seed, correct=correct, total=len(targets), drop=versus.drop, flips=versus.flips))
        losses.append(lost)
    mean = mean_over_draws(np.stack(losses), 2 if points[0].correct is not None else 0)
    return OverDraws(
        draws=points,
        drop=mean.value,
        drop_interval=task.measure.possible(task.metric(own, targets).value, mean.interval()),
        noninferior=mean.shown_under(row.versus_baseline.margin, alpha),
        failed=dict(failed),
    )


def _left_out(row: Row) -> str | None:
    """Why a row's recipe is not built from other draws; None where it is."""
    if not row.quantization.static:
        return "it uses no calibration samples: every draw gives this file"
    return None if row.versus_baseline is not None else "it has no float32 build to be compared with"


def _rebuild(
    rows: Rows, recipes: Sequence[Recipe], seed: int, samples: Samples, store: Store, inputs: Inputs
) -> dict[str, BitpickError | None]:
    """Build and evaluate recipes from a draw, but for those whose predictions are there; the error of each, by id."""
    told: dict[str, BitpickError | None] = {}
    keys = {recipe.id: _key(recipe, samples, inputs, store) for recipe in recipes}

    def done(recipe_id: str, error: BitpickError | None) -> None:
        told[recipe_id] = error
        place = store.draw(seed, recipe_id)
        shutil.rmtree(place / "build", ignore_errors=True)
        if error is None:
            record = {"key": keys[recipe_id], "predictions": sha256_of(place / predictions_file("host"))}
            write_whole(place / _RECORD, json.dumps(record))

    kept = [recipe for recipe in recipes if _kept(store.draw(seed, recipe.id), keys[recipe.id])]
    told |= {recipe.id: None for recipe in kept}
    rows.rebuild([recipe for recipe in recipes if recipe not in kept], seed, samples, done)
    return told


def _key(recipe: Recipe, samples: Samples, inputs: Inputs, store: Store) -> str:
    """What the predictions of a draw depend on, beside the libraries: runs of other versions do not share a folder."""
    parts = [recipe.id, samples.sha256, inputs.evaluation.sha256, store.run.model.sha256, __version__]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _kept(place: Path, key: str) -> bool:
    """Whether an earlier run of the same request left the predictions of this draw, unchanged."""
    try:
        record = json.loads((place / _RECORD).read_text())
        return bool(record == {"key": key, "predictions": sha256_of(place / predictions_file("host"))})
    except (OSError, ValueError):
        return False
