"""Other calibration draws: what a recipe loses whichever samples it is given, beside what its one file loses."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

import numpy as np

from bitpick.comparison.rows import Rows
from bitpick.datasets.sampling import redraw
from bitpick.errors import BitpickError
from bitpick.pipeline.build_job import predictions_file
from bitpick.pipeline.directory import predictions
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.trial import Trial
from bitpick.pipeline.trials import Answer
from bitpick.pipeline.workshop import Workshop
from bitpick.schema.robustness import Draw, OverDraws
from bitpick.schema.run import Recommendation, Row
from bitpick.selection.claims import candidates
from bitpick.statistics import mean_over_draws
from bitpick.tasks.task import Answers, Targets, Task


def measure(rows: Rows, found: Recommendation, shop: Workshop, inputs: Inputs) -> None:
    """Build the recipes that matter from further calibration draws, and say what they lose over all of them.

    Of such a build the predictions are kept, and its files are not: they never ship, and the recipe and the seed make
    them again.

    Args:
        rows: the rows of the run, measured; those concerned get what was found.
        found: says which rows matter.
        shop: what to work with.
        inputs: the run's inputs, with the first draw.
    """
    request, directory = shop.run.request, shop.directory
    chosen = matter(rows.native, found, request.recipes)
    no_mean = None if rows.averages else f"the {rows.task.measure.label} is no mean over samples"
    reasons = {row.id: _left_out(row) or no_mean for row in chosen}
    built = [row for row in chosen if reasons[row.id] is None]
    seeds = range(request.seed + 1, request.seed + request.calibration_seeds)
    drawn: dict[str, dict[int, Answers]] = {row.id: {} for row in built}
    failed: dict[str, dict[int, str]] = {row.id: {} for row in built}
    trials = {trial.name: (row.id, seed, trial) for seed in seeds for row, trial in _trials(built, seed, shop, inputs)}

    def told(trial: Trial, answer: Answer) -> None:
        row_id, seed, _ = trials[trial.name]
        if isinstance(answer, BitpickError):
            failed[row_id][seed] = answer.line
        else:
            drawn[row_id][seed] = predictions(trial.folder.parent)
        shutil.rmtree(trial.folder, ignore_errors=True)

    rows.trials.run([trial for _, _, trial in trials.values()], told)
    for row in rows.native:
        over, reason = None, reasons.get(row.id)
        if row.id in drawn:
            own = {request.seed: rows.predicted[row.id]}
            pair = rows.predicted, rows.targets
            by_seed = dict(sorted(drawn[row.id].items()))
            over = over_draws(row, own | by_seed, *pair, rows.task, request.alpha, dict(sorted(failed[row.id].items())))
            if over is None:
                reason = f"no further draw could be built: {next(iter(failed[row.id].values()))}"
        if (row.over_draws, row.no_over_draws) != (over, reason):
            directory.put(row.model_copy(update={"over_draws": over, "no_over_draws": reason}))
    directory.save()


def _trials(built: Sequence[Row], seed: int, shop: Workshop, inputs: Inputs) -> list[tuple[Row, Trial]]:
    """A trial of each row's recipe from another draw."""
    if not built:
        return []
    folder = shop.directory.draws(seed)
    folder.mkdir(parents=True, exist_ok=True)
    samples = redraw(inputs.calibration, seed, folder / "calibration_indices.npy")
    shop.directory.watch.add(samples.files)
    places = {row.id: shop.directory.draw(seed, row.id) for row in built}
    return [
        (
            row,
            Trial(
                row.quantization,
                places[row.id] / "build",
                calibration=samples,
                evaluation=inputs.evaluation,
                predictions=places[row.id] / predictions_file("host"),
                ships=False,
                subject=f"{row.id}, draw {seed}",
            ),
        )
        for row in built
    ]


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
