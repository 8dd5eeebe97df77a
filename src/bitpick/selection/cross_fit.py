"""Choose on one half of the evaluation samples and judge on the other, both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.sampling import stratified
from bitpick.schema.robustness import Fold
from bitpick.schema.run import Recommendation, RequestRecord, Row
from bitpick.selection.claims import candidates, samples_needed, score, with_claims
from bitpick.selection.judge import judge
from bitpick.selection.phrases import loses, roughly
from bitpick.selection.recommend import recommend
from bitpick.statistics import samples_to_show
from bitpick.statistics.distributions import normal_cdf, normal_quantile
from bitpick.tasks.task import Answers, Targets, Task, Versus


@dataclass(frozen=True)
class _Evidence:
    """The rows' answers, the targets, and how builds are judged."""

    answers: Mapping[str, Answers]
    targets: Targets
    task: Task
    request: RequestRecord

    def part(self, places: NDArray[np.int64]) -> _Evidence:
        """Return the evidence of a part of the samples."""
        answers = {row_id: row_answers[places] for row_id, row_answers in self.answers.items()}
        return replace(self, answers=answers, targets=self.targets[places])

    def recommend(self, rows: Sequence[Row]) -> Recommendation:
        return recommend(rows, self.answers, self.targets, self.task, self.request)


def cross_fit(
    rows: Sequence[Row], answers: Mapping[str, Answers], targets: Targets, task: Task, request: RequestRecord
) -> Recommendation:
    """Choose the build to ship on each half of the samples, judge it on the other half, and say what that shows.

    If both halves choose the same build, it is recommended if both confirm it. If they choose differently, the builds
    confirmed by the other half remain, and `recommend` chooses between two. Each half chooses as `recommend` does, so
    it picks a build that is not good enough at most alpha of the time, and the other half, which has other samples,
    confirms that at most alpha of the time: a wrong recommendation is rarer than 2·alpha². The idea is by Cox,
    Biometrika 62 (1975), 441-444; using both halves for both purposes is by Chernozhukov et al., The Econometrics
    Journal 21 (2018), C1-C68.

    Args:
        rows: the rows of one CPU, with their claims on all samples.
        answers: answers of each row that is ok, and of its baseline, for n samples.
        targets: the targets.
        task: how builds are judged.
        request: the margin, the level, the limits, and the seed that decides the halves.
    """
    evidence = _Evidence(answers, targets, task, request)
    whole = evidence.recommend(rows)
    possible = [row for row in candidates(rows) if row.versus_baseline is not None]
    if not possible or len(targets) < 2:
        return whole.model_copy(update={"selection": "cross-fit"})
    parts = [evidence.part(places) for places in halves(task.groups(targets), request.seed)]
    by_id = {row.id: row for row in rows}
    judged = [[_judged_on(half, row, by_id) for row in possible] for half in parts]
    choices = [_choose(half, rows_of_half) for half, rows_of_half in zip(parts, judged, strict=True)]
    chosen = [choice.id for choice in choices]
    folds = [_fold(chosen[i], judged[i], judged[1 - i], request.alpha) for i in (0, 1)]
    confirmed = _confirmed(folds)
    confirmed_rows = [_as_good_enough(row) for row in possible if row.id in confirmed]
    pick = evidence.recommend(confirmed_rows).id if confirmed_rows else None
    reasons = [_verdict(folds, confirmed, pick)]
    reasons += [_describe(folds[i], judged[i], choices[i].because[0], request.alpha) for i in (0, 1)]
    drop = interval = None
    if all(chosen):
        held_out = _held_out([str(each) for each in chosen], by_id, parts, task)
        drop, interval = held_out.drop, held_out.drop_interval
        loss = loses(possible[0].metric, drop, interval)
        reasons.append(f"Over both halves, each sample judged by a choice made without it: {loss}.")
    fields = {"id": pick, "because": reasons, "selection": "cross-fit", "folds": folds}
    return whole.model_copy(update=fields | {"held_out_drop": drop, "held_out_interval": interval})


def _held_out(chosen: Sequence[str], rows: Mapping[str, Row], parts: Sequence[_Evidence], task: Task) -> Versus:
    """Return the loss over both halves, each judged with the row that the other half chose."""
    sides = []
    for row_id, half in zip(chosen, reversed(parts), strict=True):
        versus = rows[row_id].versus_baseline
        assert versus is not None
        sides.append((half.answers[versus.baseline], half.answers[row_id], half.targets))
    float_answers, build_answers, targets = (np.concatenate(arrays) for arrays in zip(*sides, strict=True))
    return task.versus(float_answers, build_answers, targets)


def halves(groups: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sample indices of two halves with the same share of each group; groups of shape (n,)."""
    first = np.sort(stratified(groups, len(groups) // 2, seed))
    return first, np.setdiff1d(np.arange(len(groups)), first)


def _judged_on(half: _Evidence, row: Row, rows: Mapping[str, Row]) -> Row:
    """Return a row as if it and its baseline had been evaluated on one half alone; its margin stays."""
    assert row.versus_baseline is not None
    float_id, margin = row.versus_baseline.baseline, row.versus_baseline.margin
    half_rows = {
        row_id: rows[row_id].model_copy(
            update={"metric": half.task.metric(half.answers[row_id], half.targets), "samples": len(half.targets)}
        )
        for row_id in (row.id, float_id)
    }
    judged = judge(half_rows[row.id], half_rows, half.answers, half.targets, half.task, half.request)
    assert judged.versus_baseline is not None
    score = half.task.score(half.answers[float_id], half.answers[row.id], half.targets, margin)
    versus = judged.versus_baseline.model_copy(update={"margin": margin, "score": score})
    return judged.model_copy(update={"versus_baseline": versus})


def _choose(half: _Evidence, rows: Sequence[Row]) -> Recommendation:
    """Return what would be recommended from this half alone."""
    return half.recommend(with_claims(rows, half.answers, half.targets, half.task, half.request.alpha))


def _fold(chosen: str | None, choosing: Sequence[Row], judging: Sequence[Row], alpha: float) -> Fold:
    fold = Fold(choosing=_samples(choosing), judging=_samples(judging))
    row = next((row for row in judging if row.id == chosen), None)
    if row is None or row.versus_baseline is None:
        return fold
    p_value = normal_cdf(-score(row))
    fields = {"chosen": chosen, "noninferiority_p": p_value, "confirmed": p_value <= alpha}
    versus = row.versus_baseline
    return fold.model_copy(update=fields | {"drop": versus.drop, "drop_interval": versus.drop_interval})


def _samples(half: Sequence[Row]) -> int:
    return half[0].samples or 0


def _confirmed(folds: Sequence[Fold]) -> list[str]:
    """Return the builds that may be recommended: each half's choice must be confirmed by the other half."""
    chosen = [fold.chosen for fold in folds]
    if chosen[0] == chosen[1]:
        return [chosen[0]] if chosen[0] is not None and all(fold.confirmed for fold in folds) else []
    return [fold.chosen for fold in folds if fold.chosen is not None and fold.confirmed]


def _as_good_enough(row: Row) -> Row:
    """Return a confirmed row, marked as good enough for `recommend`."""
    assert row.versus_baseline is not None
    return row.model_copy(update={"versus_baseline": row.versus_baseline.model_copy(update={"noninferior": True})})


def _verdict(folds: Sequence[Fold], confirmed: Sequence[str], pick: str | None) -> str:
    one, other = (fold.chosen for fold in folds)
    if one is None and other is None:
        return "Cross-fit: no half of the samples chooses a build."
    limit_note = ", but not within the limits that were asked for" if confirmed and pick is None else ""
    if one == other:
        confirmation = "confirmed by the other both times" if confirmed else "not confirmed both times"
        return f"Cross-fit: each half of the samples chooses {one}, {confirmation}{limit_note}."
    differ = f"Cross-fit: the halves choose differently: {one or 'none'} and {other or 'none'}"
    if not confirmed:
        return f"{differ}; the half that did not choose it confirms neither."
    if len(confirmed) == 1:
        return f"{differ}; {confirmed[0]} is the one that the other half confirms{limit_note}."
    which = f", and {pick} is what would be chosen of the two" if pick else limit_note
    return f"{differ}; both are confirmed by the other half{which}."


def _describe(fold: Fold, half: Sequence[Row], reason: str, alpha: float) -> str:
    """Return what a half chose and whether the other confirms it, or why it chose none, and what would settle it."""
    prefix = f"Half of the samples ({fold.choosing:,}) chooses"
    row = next((row for row in half if row.id == fold.chosen), None)
    if row is None or fold.drop is None or fold.drop_interval is None or fold.noninferiority_p is None:
        nearest = max(half, key=score)
        needed = samples_needed(nearest, len(half), alpha)
        return f"{prefix} none: {reason.rstrip('.')}{_to_settle(needed) if needed and needed > fold.choosing else ''}."
    assert row.versus_baseline is not None
    assert row.metric is not None
    bound = f"under {row.metric.changed(row.versus_baseline.margin)}, one-sided p = {fold.noninferiority_p:.2g}"
    loss = loses(row.metric, fold.drop, fold.drop_interval)
    sentence = f"{prefix} {fold.chosen}; on the other {fold.judging:,} it has {loss}"
    if fold.confirmed:
        return f"{sentence}, confirmed to be {bound}."
    return f"{sentence}, not confirmed to be {bound}{_to_settle(_to_confirm(fold, alpha))}."


def _to_confirm(fold: Fold, alpha: float) -> int | None:
    assert fold.noninferiority_p is not None
    return samples_to_show(-normal_quantile(fold.noninferiority_p), fold.judging, -normal_quantile(alpha))


def _to_settle(needed: int | None) -> str:
    """Return how many evaluation samples would settle it; half of them judge."""
    return f"; some {roughly(2 * needed):,} samples would settle it, if it stays so" if needed else ""
