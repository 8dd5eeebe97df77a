"""Measure how close the outputs of two builds are, regardless of the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays
from bitpick.schema.evidence import Fidelity
from bitpick.statistics.channels import channels, windows
from bitpick.tasks.classification import Classification, rows
from bitpick.tasks.task import Task

_LEAST = 1e-6  # smallest probability: a quantized softmax gives zeros, which would make the divergence infinite


def fidelities(names: Sequence[str], reference: Arrays, outputs: Arrays, task: Task) -> dict[str, Fidelity]:
    """Compare each output of a build with a reference's, for the same samples.

    An output has a score for each class if the task says so, or if the reference's output is probabilities.

    Args:
        names: of the outputs.
        reference: the reference's outputs, each of shape (n, …).
        outputs: the build's outputs, of the same shapes.
        task: knows which output has the scores, if any.

    Returns:
        The fidelity of each output, by name.
    """
    results = {}
    for place, (name, expected, actual) in enumerate(zip(names, reference, outputs, strict=True)):
        if isinstance(task, Classification) and task.output == place and not task.numbers:
            score_fidelity = fidelity(task.scores(expected), task.scores(actual))
            result = score_fidelity.model_copy(update={"sqnr_db": decibels(expected, actual)})
        elif _are_probabilities(expected):
            result = fidelity(rows(expected), rows(actual))
        else:
            result = Fidelity(sqnr_db=decibels(expected, actual))
        results[name] = result.model_copy(update=_worst_channel(expected, actual))
    return results


def fidelity(reference: NDArray[np.float32], scores: NDArray[np.float32]) -> Fidelity:
    """Compare class scores with a reference's, for the same samples.

    Args:
        reference: scores of shape (n, classes), float32: probabilities or logits.
        scores: the build's scores, of the same shape.

    Returns:
        Agreement, mean divergence of the probabilities (at least 1e-6 each), and signal over noise.
    """
    expected, actual = probabilities(reference), probabilities(scores)
    divergence = (expected * (np.log(expected) - np.log(actual))).sum(axis=1)
    return Fidelity(
        agreement=float((reference.argmax(axis=1) == scores.argmax(axis=1)).mean()),
        kl=float(divergence.mean()),
        sqnr_db=decibels(reference, scores),
    )


def _worst_channel(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> dict[str, str | float]:
    """Return the channel that differs most with its signal over noise; empty if there is only one channel."""
    output_channels = channels(expected)
    deviations = output_channels.deviations(output_channels.terms(expected, actual).mean(axis=0)[None])[0]
    worst = int(deviations.argmax())
    if not output_channels.label(worst) or not deviations[worst]:
        return {}
    return {"channel": output_channels.label(worst), "channel_sqnr_db": -20 * float(np.log10(deviations[worst]))}


def decibels(reference: NDArray[np.float32], actual: NDArray[np.float32]) -> float | None:
    """Return 10·log₁₀ of a reference's signal over the noise of the difference; None without noise or signal."""
    noise = signal = 0.0
    for window in windows(reference):
        expected = reference[window].astype(np.float64)
        noise += float(((expected - actual[window]) ** 2).sum())
        signal += float((expected**2).sum())
    return 10 * float(np.log10(signal / noise)) if noise and signal else None


def _are_probabilities(scores: NDArray[np.float32]) -> bool:
    """Whether an output is probabilities of mutually exclusive classes."""
    flat = rows(scores)
    if flat.shape[1] < 2 or flat.shape[1] != max(scores.shape[1:]):
        return False
    return bool(flat.min() >= 0 and np.ptp(flat.sum(axis=1)) < 0.01)


def probabilities(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return scores as probabilities: unchanged if they nearly add up to 1, else by a softmax."""
    values = scores.astype(np.float64)
    if values.min() < 0 or np.abs(values.sum(axis=1) - 1).max() > 0.05:
        shifted = np.exp(values - values.max(axis=1, keepdims=True))
        values = shifted / shifted.sum(axis=1, keepdims=True)
    clipped = np.clip(values, _LEAST, None)
    normalized: NDArray[np.float64] = clipped / clipped.sum(axis=1, keepdims=True)
    return normalized
