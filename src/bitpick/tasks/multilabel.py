"""Multi-label classification: several labels for each sample, each present or absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from bitpick.preprocessing import Arrays
from bitpick.schema.evidence import Measure, Metric
from bitpick.statistics import Replicates
from bitpick.tasks.classification import threshold_of
from bitpick.tasks.formulas import MACRO_AUC, Formula, exact_at, f1_at
from bitpick.tasks.resampled import Resampled
from bitpick.tasks.task import Answers, Targets

MACRO_F1 = Measure(name="macro_f1", unit="")
EXACT_MATCH = Measure(name="exact_match")


class MultiLabel(Resampled):
    """A score for each label against labels of 0 and 1, both of shape (n, labels).

    Attributes:
        classes: names of the labels.
        output: index of the output with the scores.
        judged_by: the metric. The default needs no threshold; a shift of all scores changes only the others.
        threshold: the score above which a label is predicted; None until it is known whether scores are probabilities.
    """

    kind: Literal["multilabel"] = "multilabel"
    classes: tuple[str, ...]
    output: int = 0
    judged_by: Literal["macro_auc", "macro_f1", "exact_match"] = "macro_auc"
    threshold: float | None = None

    @property
    def formulas(self) -> Mapping[str, Formula]:
        """The metrics, by name."""
        threshold = 0.5 if self.threshold is None else self.threshold
        return {
            "macro_auc": MACRO_AUC,
            "macro_f1": Formula(
                MACRO_F1, "2·hits / (predicted + present) of each label, averaged over labels", f1_at(threshold)
            ),
            "exact_match": Formula(EXACT_MATCH, "share of samples of which every label is right", exact_at(threshold)),
        }

    @property
    def measure(self) -> Measure:
        """See `Task.measure`."""
        return self.formulas[self.judged_by].measure

    @property
    def unsettled(self) -> bool:
        """See `Task.unsettled`."""
        return self.threshold is None

    def settled(self, outputs: Arrays, targets: Targets | None) -> MultiLabel:  # noqa: ARG002 - see Task
        """See `Task.settled`."""
        return self.model_copy(update={"threshold": threshold_of(outputs[self.output])})

    def answers(self, inputs: Arrays, outputs: Arrays, targets: Targets | None) -> Answers:  # noqa: ARG002 - see Task
        """See `Task.answers`: the scores, of shape (n, labels)."""
        return outputs[self.output]

    def replicates(self, answers: Answers, targets: Targets) -> Replicates:
        """See `Resampled.replicates`."""
        return self.formulas[self.judged_by].replicates(answers, targets)

    def metrics(self, answers: Answers, outputs: Arrays, targets: Targets) -> list[Metric]:  # noqa: ARG002 - see Task
        """See `Task.metrics`: the other two."""
        return [each.metric(answers, targets) for name, each in self.formulas.items() if name != self.judged_by]
