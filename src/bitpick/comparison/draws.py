"""Build from other calibration draws, to measure what a recipe loses over draws and not just in one file."""

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


def measure(rows: Rows, recommendation: Recommendation, shop: Workshop, inputs: Inputs) -> None:
    """Build the recipes that matter from further calibration draws, and measure what they lose over all draws.

    The predictions of these builds are kept. Their files are not: they never ship, and the recipe and the seed can
    make them again.

    Args:
        rows: the measured rows of the run; the rows that matter are updated.
        recommendation: decides which rows matter.
        shop: the run's workshop.
        inputs: the run's inputs, with the first draw.
    """
    request, directory = shop.run.request, shop.directory
    chosen = matter(rows.native, recommendation, request.recipes)
    no_mean = None if rows.averages else f"the {rows.task.measure.label} is no mean over samples"
    reasons = {row.id: _reason_to_skip(row) or no_mean for row in chosen}
    to_build = [row for row in chosen if reasons[row.id] is None]
    seeds = range(request.seed + 1, request.seed + request.calibration_seeds)
    drawn: dict[str, dict[int, Answers]] = {row.id: {} for row in to_build}
    failed: dict[str, dict[int, str]] = {row.id: {} for row in to_build}
    trials = {
        trial.name: (row.id, seed, trial) for seed in seeds for row, trial in _trials(to_build, seed, shop, inputs)
    }

    def on_answer(trial: Trial, answer: Answer) -> None:
        row_id, seed, _ = trials[trial.name]
        if isinstance(answer, BitpickError):
            failed[row_id][seed] = answer.line
        else:
            drawn[row_id][seed] = predictions(trial.folder.parent)
        shutil.rmtree(trial.folder, ignore_errors=True)

    rows.trials.run([trial for _, _, trial in trials.values()], on_answer)
    for row in rows.native:
        losses, reason = None, reasons.get(row.id)
        if row.id in drawn:
            own_answers = {request.seed: rows.predicted[row.id]}
            row_answers = rows.predicted, rows.targets
            by_seed = dict(sorted(drawn[row.id].items()))
            losses = over_draws(
                row, own_answers | by_seed, *row_answers, rows.task, request.alpha, dict(sorted(failed[row.id].items()))
            )
            if losses is None:
                reason = f"no further draw could be built: {next(iter(failed[row.id].values()))}"
        if (row.over_draws, row.no_over_draws) != (losses, reason):
            directory.put(row.model_copy(update={"over_draws": losses, "no_over_draws": reason}))
    directory.save()


def _trials(rows: Sequence[Row], seed: int, shop: Workshop, inputs: Inputs) -> list[tuple[Row, Trial]]:
    """Return a trial of each row's recipe with another draw."""
    if not rows:
        return []
    folder = shop.directory.draws(seed)
    folder.mkdir(parents=True, exist_ok=True)
    samples = redraw(inputs.calibration, seed, folder / "calibration_indices.npy")
    shop.directory.watch.add(samples.files)
    folders = {row.id: shop.directory.draw(seed, row.id) for row in rows}
    return [
        (
            row,
            Trial(
                row.quantization,
                folders[row.id] / "build",
                calibration=samples,
                evaluation=inputs.evaluation,
                predictions=folders[row.id] / predictions_file("host"),
                ships=False,
                subject=f"{row.id}, draw {seed}",
            ),
        )
        for row in rows
    ]


def matter(native: Sequence[Row], recommendation: Recommendation, requested: Sequence[str]) -> list[Row]:
    """Return the rows whose recipes are worth the cost: recommended for any use, or named in the request.

    If nothing is recommended, these are the most accurate and the smallest candidate.
    """
    ids = {recommendation.id, *recommendation.by_use.values(), *requested}
    possible = candidates(native)
    if possible and not recommendation.by_use:
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
    """Return what a recipe loses over calibration draws and evaluation samples.

    Args:
        row: the recipe's row, which has a baseline.
        drawn: answers of each draw's build for n samples, by seed; the row's own first.
        answers: answers of the rows, including the baseline.
        targets: the targets.
        task: how builds are judged; drops are means over samples, see `Task.losses`.
        alpha: one-sided level of the test that the mean drop is under the row's margin.
        failed: why a draw is missing, by seed.

    Returns:
        The losses; None with fewer than two draws.
    """
    if len(drawn) < 2:
        return None
    assert row.versus_baseline is not None
    float_answers = answers[row.versus_baseline.baseline]
    points, losses = [], []
    for seed, draw_answers in drawn.items():
        sample_losses = task.losses(float_answers, draw_answers, targets)
        assert sample_losses is not None
        versus, correct = task.versus(float_answers, draw_answers, targets), task.correct(draw_answers, targets)
        points.append(Draw(seed=seed, correct=correct, total=len(targets), drop=versus.drop, flips=versus.flips))
        losses.append(sample_losses)
    mean = mean_over_draws(np.stack(losses), 2 if points[0].correct is not None else 0)
    return OverDraws(
        draws=points,
        drop=mean.value,
        drop_interval=task.measure.possible(task.metric(float_answers, targets).value, mean.interval()),
        noninferior=mean.shown_under(row.versus_baseline.margin, alpha),
        failed=dict(failed),
    )


def _reason_to_skip(row: Row) -> str | None:
    """Return why a row's recipe is not built from other draws; None if it is."""
    if not row.quantization.static:
        return "it uses no calibration samples: every draw gives this file"
    return None if row.versus_baseline is not None else "it has no float32 build to be compared with"
