"""What a network is trained for: the float network's outputs, and the labels where there are classes.

G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", 2015.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

_TEMPERATURE = 2.0
_SMALLEST = 1e-12


class Objective:
    """A loss that compares a batch of outputs with the float network's and with labels.

    Args:
        softmaxes: for each output, the axis of the softmax that follows it, None if there is none.
        examples: outputs of the float network for some samples.
        labels: the labels of those samples, of shape (n,); None to train without labels.

    Attributes:
        uses_labels: whether the labels are classes that the only output has scores of, and the float network mostly
            knows them.
        has_classes: whether the only output has scores of classes.
    """

    def __init__(
        self, softmaxes: Sequence[int | None], examples: Sequence[torch.Tensor], labels: torch.Tensor | None
    ) -> None:
        self._softmaxes = list(softmaxes)
        classes = len(examples) == 1 and labels is not None and _are_classes(examples[0], labels)
        if classes and self._softmaxes[0] is None:
            self._softmaxes[0] = 1  # scores of classes without a softmax
        # Labels in another order, or from 1, would only teach mistakes.
        self.uses_labels = classes and labels is not None and _knows(examples[0], labels)
        self.has_classes = len(examples) == 1 and self._softmaxes[0] is not None
        # Outputs of unlike scales count alike.
        self._variances = [_variance(each) for each in examples]

    def __call__(
        self, outputs: Sequence[torch.Tensor], floats: Sequence[torch.Tensor], labels: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the loss of a batch.

        Args:
            outputs: the network's outputs.
            floats: the float network's.
            labels: the labels; not read if the objective does not use them.
        """
        terms = map(self._distance, outputs, floats, self._softmaxes, self._variances)
        loss = torch.stack(list(terms)).mean()
        if not self.uses_labels or labels is None:
            return loss
        scores = outputs[0].float().reshape(len(labels), -1)
        return 0.5 * loss + 0.5 * F.cross_entropy(scores, labels)

    @staticmethod
    def _distance(
        output: torch.Tensor, target: torch.Tensor, softmax: int | None, variance: torch.Tensor
    ) -> torch.Tensor:
        output, target = output.float(), target.float()
        if softmax is None:
            return ((output - target).square() / variance).mean()
        ours = F.log_softmax(output / _TEMPERATURE, softmax)
        theirs = F.log_softmax(target / _TEMPERATURE, softmax)
        divergence = (theirs.exp() * (theirs - ours)).sum(softmax).mean()
        return divergence * _TEMPERATURE**2  # so that its gradients are as large as those of the labels


def _variance(outputs: torch.Tensor) -> torch.Tensor:
    """Return the variance of each channel of the last axis; of all values if there is no axis but the batch."""
    rows = outputs.double().reshape(-1, outputs.shape[-1] if outputs.ndim > 1 else 1)
    return rows.var(0, correction=0).float().clamp_min(_SMALLEST)


def _are_classes(scores: torch.Tensor, labels: torch.Tensor) -> bool:
    """Whether labels are numbers of classes, and the output has a score for each class."""
    if labels.ndim != 1 or labels.is_floating_point() or scores.ndim < 2 or scores.shape[1] < 2:
        return False
    one_each = scores[0].numel() == scores.shape[1]
    return one_each and int(labels.min()) >= 0 and int(labels.max()) < scores.shape[1]


def _knows(scores: torch.Tensor, labels: torch.Tensor) -> bool:
    """Whether scores are right about labels: half of the time, or twice as often as chance."""
    right = float((scores.flatten(1).argmax(1) == labels).float().mean())
    return right >= min(0.5, 2 / scores.shape[1])
