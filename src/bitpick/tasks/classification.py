"""Classification: one class for each sample, right or wrong. All tests are exact, without resampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays
from bitpick.schema.evidence import Accuracy, Measure, Metric
from bitpick.statistics import mcnemar_midp, noninferiority_score, tango_interval, wilson_interval
from bitpick.tasks.formulas import AUC
from bitpick.tasks.task import Answers, Targets, Task, Versus


class Classification(Task):
    """The class with the best score.

    Attributes:
        classes: names of the classes, in the order of the labels.
        output: index of the output with the scores, of shape (n, classes), or (n, 1) for two classes; further axes of
            size 1 do not matter.
        numbers: whether that output is the class number itself, of shape (n,), as ArgMax gives it.
        threshold: with one score for two classes, the score above which the second is predicted: 0.5 for
            probabilities, 0 for others; None until it is known which they are.
    """

    kind: Literal["classification", "agreement"] = "classification"
    classes: tuple[str, ...]
    output: int = 0
    numbers: bool = False
    threshold: float | None = 0.5

    @property
    def measure(self) -> Measure:
        """See `Task.measure`."""
        return Measure(name="accuracy" if self.kind == "classification" else "agreement")

    @property
    def unsettled(self) -> bool:
        """See `Task.unsettled`."""
        return self.threshold is None

    def settled(self, outputs: Arrays, targets: Targets | None) -> Classification:  # noqa: ARG002 - see Task
        """See `Task.settled`."""
        return self.model_copy(update={"threshold": threshold_of(outputs[self.output])})

    @property
    def against_float(self) -> bool:
        """See `Task.against_float`: without labels, builds are compared with the float model."""
        return self.kind == "agreement"

    def answers(self, inputs: Arrays, outputs: Arrays, targets: Targets | None) -> Answers:  # noqa: ARG002 - see Task
        """See `Task.answers`: the predicted class, of shape (n,), int32."""
        return self.predicted(outputs[self.output])

    def predicted(self, scores: NDArray[np.float32]) -> NDArray[np.int32]:
        """Return the class of each sample, from scores of shape (n, classes), (n, 1) or (n,)."""
        flat = rows(scores)
        if self.numbers:
            return np.rint(flat[:, 0]).astype(np.int32)
        if flat.shape[1] == 1:
            assert self.threshold is not None
            return np.greater(flat[:, 0], self.threshold).astype(np.int32)
        classes: NDArray[np.int32] = flat.argmax(axis=1).astype(np.int32)
        return classes

    def scores(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a score for each class, of shape (n, classes); a single score gives the probabilities of both."""
        if self.numbers:
            return np.equal(self.predicted(output)[:, None], np.arange(len(self.classes))).astype(np.float32)
        if output.size != len(output):
            return rows(output)
        second = output.reshape(-1) if self.threshold == 0.5 else 1 / (1 + np.exp(-output.reshape(-1)))
        return np.stack([1 - second, second], axis=1)

    def drop(self, own: Answers, other: Answers, targets: Targets) -> float:
        """See `Task.drop`."""
        lost, won = discordant(own, other, targets)
        return (lost - won) / len(targets)

    def metric(self, answers: Answers, targets: Targets) -> Metric:
        """See `Task.metric`: the interval is Wilson's."""
        correct = int((answers == targets).sum())
        interval = wilson_interval(correct, len(targets))
        return Metric(**self.measure.model_dump(), value=correct / len(targets), interval=interval)

    def metrics(self, answers: Answers, outputs: Arrays, targets: Targets) -> list[Metric]:  # noqa: ARG002 - see Task
        """See `Task.metrics`: for two classes, the AUC of the second class's score."""
        scores = rows(outputs[self.output])
        if self.kind != "classification" or self.numbers or scores.shape[1] > 2 or not 0 < targets.sum() < len(targets):
            return []
        return [AUC.metric(scores[:, -1] - (scores[:, 0] if scores.shape[1] == 2 else 0), targets)]

    def accuracy(self, answers: Answers, outputs: Arrays, targets: Targets) -> Accuracy | None:
        """See `Task.accuracy`."""
        if self.kind != "classification":
            return None
        hits = answers == targets
        metric = self.metric(answers, targets)
        assert metric.interval is not None
        scores = rows(outputs[self.output])
        top5 = None
        if len(self.classes) > 5 and not self.numbers:
            best = np.argpartition(scores, -5, axis=1)[:, -5:]
            top5 = float((best == targets[:, None]).any(axis=1).mean())
        return Accuracy(
            correct=int(hits.sum()),
            total=len(hits),
            value=metric.value,
            interval=metric.interval,
            per_class={n: float(hits[targets == i].mean()) for i, n in enumerate(self.classes) if (targets == i).any()},
            top5=top5,
        )

    def versus(self, own: Answers, other: Answers, targets: Targets) -> Versus:
        """See `Task.versus`: Tango's interval, McNemar's mid-p."""
        lost, won = discordant(own, other, targets)
        return Versus(
            drop=(lost - won) / len(targets),
            drop_interval=self.measure.possible(
                self.correct(own, targets) / len(targets), tango_interval(lost, won, len(targets))
            ),
            p_value=mcnemar_midp(lost, won),
            flips=int((own != other).sum()),
            only_baseline=lost,
            only_row=won,
        )

    def score(self, own: Answers, other: Answers, targets: Targets, margin: float) -> float:
        """See `Task.score`: Tango's."""
        return noninferiority_score(*discordant(own, other, targets), len(targets), margin)

    def spread(self, pairs: Sequence[tuple[Answers, Answers]], targets: Targets) -> NDArray[np.float64]:
        """See `Task.spread`: the contribution of each sample to each drop."""
        return np.stack([self.losses(own, other, targets) for own, other in pairs], axis=1)

    def losses(self, own: Answers, other: Answers, targets: Targets) -> NDArray[np.float64]:
        """See `Task.losses`: 1, 0 or -1."""
        losses: NDArray[np.float64] = (own == targets).astype(np.float64) - (other == targets)
        return losses

    def differing(self, first: Answers, second: Answers) -> NDArray[np.bool_]:
        """See `Task.differing`: the flips."""
        flips: NDArray[np.bool_] = first != second
        return flips

    def correct(self, answers: Answers, targets: Targets) -> int:
        """See `Task.correct`."""
        return int((answers == targets).sum())

    def groups(self, targets: Targets) -> NDArray[np.int64]:
        """See `Task.groups`: the classes."""
        return targets.astype(np.int64)


def rows(output: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flatten each sample's values into a row: e.g. shape (n, classes, 1, 1) to (n, classes)."""
    return output.reshape(len(output), -1)


def threshold_of(scores: NDArray[np.float32]) -> float:
    """Return the score above which its class is predicted: 0.5 if all scores are probabilities, else 0."""
    return 0.5 if scores.min() >= 0 and scores.max() <= 1 else 0.0


def discordant(first: Answers, second: Answers, targets: Targets) -> tuple[int, int]:
    """Count the samples that only the first gets right, and only the second; predictions have shape (n,)."""
    first_right, second_right = first == targets, second == targets
    return int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
