"""Choosing on one half of the evaluation samples and judging on the other, both ways."""

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
    """What rows answered, what is right, and how that is judged."""

    answers: Mapping[str, Answers]
    targets: Targets
    task: Task
    request: RequestRecord

    def part(self, places: NDArray[np.int64]) -> _Evidence:
        """The same of some of the samples."""
        answers = {row_id: found[places] for row_id, found in self.answers.items()}
        return replace(self, answers=answers, targets=self.targets[places])

    def recommend(self, rows: Sequence[Row]) -> Recommendation:
        return recommend(rows, self.answers, self.targets, self.task, self.request)


def cross_fit(
    rows: Sequence[Row], answers: Mapping[str, Answers], targets: Targets, task: Task, request: RequestRecord
) -> Recommendation:
    """Choose the build to ship on each half of the samples, judge it on the other half, and say what that shows.

    A build that both halves choose is recommended where both confirm it. Where they choose differently, those that the
    other half confirms remain, and of two `recommend` chooses. Each half chooses as `recommend` does, so at most
    alpha of the time a build that is not good enough, and the other half, whose samples are others, confirms it at most
    alpha of the time: a wrong recommendation is rarer than 2·alpha². The idea is that of Cox, Biometrika 62 (1975),
    441-444; that both halves serve both ends, of Chernozhukov et al., The Econometrics Journal 21 (2018), C1-C68.

    Args:
        rows: the rows of one CPU, with their claims on all samples.
        answers: of each row that is ok, and of its baseline, for n samples.
        targets: what is right.
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
    seen = [[_seen_on(half, row, by_id) for row in possible] for half in parts]
    choices = [_choose(half, rows_of_half) for half, rows_of_half in zip(parts, seen, strict=True)]
    chosen = [choice.id for choice in choices]
    folds = [_fold(chosen[i], seen[i], seen[1 - i], request.alpha) for i in (0, 1)]
    confirmed = _confirmed(folds)
    shown = [_shown(row) for row in possible if row.id in confirmed]
    pick = evidence.recommend(shown).id if shown else None
    reasons = [_verdict(folds, confirmed, pick)]
    reasons += [_told(folds[i], seen[i], choices[i].because[0], request.alpha) for i in (0, 1)]
    drop = interval = None
    if all(chosen):
        held_out = _held_out([str(each) for each in chosen], by_id, parts, task)
        drop, interval = held_out.drop, held_out.drop_interval
        told = loses(possible[0].metric, drop, interval)
        reasons.append(f"Over both halves, each sample judged by a choice made without it: {told}.")
    found = {"id": pick, "because": reasons, "selection": "cross-fit", "folds": folds}
    return whole.model_copy(update=found | {"held_out_drop": drop, "held_out_interval": interval})


def _held_out(chosen: Sequence[str], rows: Mapping[str, Row], parts: Sequence[_Evidence], task: Task) -> Versus:
    """What is lost over both halves, where each is judged with the row that the other one chose."""
    sides = []
    for row_id, half in zip(chosen, reversed(parts), strict=True):
        versus = rows[row_id].versus_baseline
        assert versus is not None
        sides.append((half.answers[versus.baseline], half.answers[row_id], half.targets))
    own, other, targets = (np.concatenate(each) for each in zip(*sides, strict=True))
    return task.versus(own, other, targets)


def halves(groups: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of samples in two halves with each group's share in both; groups of shape (n,)."""
    first = np.sort(stratified(groups, len(groups) // 2, seed))
    return first, np.setdiff1d(np.arange(len(groups)), first)


def _seen_on(half: _Evidence, row: Row, rows: Mapping[str, Row]) -> Row:
    """A row as if it and its baseline had been evaluated on some of the samples alone; its margin stays."""
    assert row.versus_baseline is not None
    own, margin = row.versus_baseline.baseline, row.versus_baseline.margin
    cut = {
        each: rows[each].model_copy(
            update={"metric": half.task.metric(half.answers[each], half.targets), "samples": len(half.targets)}
        )
        for each in (row.id, own)
    }
    seen = judge(cut[row.id], cut, half.answers, half.targets, half.task, half.request)
    assert seen.versus_baseline is not None
    score = half.task.score(half.answers[own], half.answers[row.id], half.targets, margin)
    versus = seen.versus_baseline.model_copy(update={"margin": margin, "score": score})
    return seen.model_copy(update={"versus_baseline": versus})


def _choose(half: _Evidence, rows: Sequence[Row]) -> Recommendation:
    """What would be recommended if there were only this half."""
    return half.recommend(with_claims(rows, half.answers, half.targets, half.task, half.request.alpha))


def _fold(chosen: str | None, choosing: Sequence[Row], judging: Sequence[Row], alpha: float) -> Fold:
    fold = Fold(choosing=_samples(choosing), judging=_samples(judging))
    row = next((row for row in judging if row.id == chosen), None)
    if row is None or row.versus_baseline is None:
        return fold
    p = normal_cdf(-score(row))
    found = {"chosen": chosen, "noninferiority_p": p, "confirmed": p <= alpha}
    versus = row.versus_baseline
    return fold.model_copy(update=found | {"drop": versus.drop, "drop_interval": versus.drop_interval})


def _samples(half: Sequence[Row]) -> int:
    return half[0].samples or 0


def _confirmed(folds: Sequence[Fold]) -> list[str]:
    """The builds that may be recommended: confirmed by the half that did not choose them, or by both if both did."""
    chosen = [fold.chosen for fold in folds]
    if chosen[0] == chosen[1]:
        return [chosen[0]] if chosen[0] is not None and all(fold.confirmed for fold in folds) else []
    return [fold.chosen for fold in folds if fold.chosen is not None and fold.confirmed]


def _shown(row: Row) -> Row:
    """A row that was confirmed, as `recommend` knows it."""
    assert row.versus_baseline is not None
    return row.model_copy(update={"versus_baseline": row.versus_baseline.model_copy(update={"noninferior": True})})


def _verdict(folds: Sequence[Fold], confirmed: Sequence[str], pick: str | None) -> str:
    one, other = (fold.chosen for fold in folds)
    if one is None and other is None:
        return "Cross-fit: no half of the samples chooses a build."
    beyond = ", but not within the limits that were asked for" if confirmed and pick is None else ""
    if one == other:
        how = "confirmed by the other both times" if confirmed else "not confirmed both times"
        return f"Cross-fit: each half of the samples chooses {one}, {how}{beyond}."
    differ = f"Cross-fit: the halves choose differently: {one or 'none'} and {other or 'none'}"
    if not confirmed:
        return f"{differ}; the half that did not choose it confirms neither."
    if len(confirmed) == 1:
        return f"{differ}; {confirmed[0]} is the one that the other half confirms{beyond}."
    of_two = f", and {pick} is what would be chosen of the two" if pick else beyond
    return f"{differ}; both are confirmed by the other half{of_two}."


def _told(fold: Fold, half: Sequence[Row], why: str, alpha: float) -> str:
    """What a half chose and what the other half says to that, or why it chose none; and what would settle it."""
    chose = f"Half of the samples ({fold.choosing:,}) chooses"
    row = next((row for row in half if row.id == fold.chosen), None)
    if row is None or fold.drop is None or fold.drop_interval is None or fold.noninferiority_p is None:
        nearest = max(half, key=score)
        needed = samples_needed(nearest, len(half), alpha)
        return f"{chose} none: {why.rstrip('.')}{_enough(needed) if needed and needed > fold.choosing else ''}."
    assert row.versus_baseline is not None
    assert row.metric is not None
    under = f"under {row.metric.changed(row.versus_baseline.margin)}, one-sided p = {fold.noninferiority_p:.2g}"
    told = loses(row.metric, fold.drop, fold.drop_interval)
    judged = f"{chose} {fold.chosen}; on the other {fold.judging:,} it has {told}"
    if fold.confirmed:
        return f"{judged}, confirmed to be {under}."
    return f"{judged}, not confirmed to be {under}{_enough(_to_confirm(fold, alpha))}."


def _to_confirm(fold: Fold, alpha: float) -> int | None:
    assert fold.noninferiority_p is not None
    return samples_to_show(-normal_quantile(fold.noninferiority_p), fold.judging, -normal_quantile(alpha))


def _enough(needed: int | None) -> str:
    """How many evaluation samples would settle it: half of them judge."""
    return f"; some {roughly(2 * needed):,} samples would settle it, if it stays so" if needed else ""
