"""How alike the outputs of two builds are, whatever the labels say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays
from bitpick.schema.evidence import Fidelity
from bitpick.statistics.channels import channels, windows
from bitpick.tasks.classification import Classification, rows
from bitpick.tasks.task import Task

_LEAST = 1e-6  # a quantized softmax gives zeros, from which no divergence would be finite


def fidelities(names: Sequence[str], reference: Arrays, outputs: Arrays, task: Task) -> dict[str, Fidelity]:
    """Compare each output of a build with a reference's for the same samples.

    An output has a score for each class where the task says so, or where the reference's are probabilities.

    Args:
        names: of the outputs.
        reference: each of shape (n, …).
        outputs: those of the other build, of the same shapes.
        task: says which output has the scores, if any.

    Returns:
        How alike they are, by the names.
    """
    found = {}
    for place, (name, own, other) in enumerate(zip(names, reference, outputs, strict=True)):
        if isinstance(task, Classification) and task.output == place and not task.numbers:
            of_scores = fidelity(task.scores(own), task.scores(other))
            alike = of_scores.model_copy(update={"sqnr_db": decibels(own, other)})
        elif _probabilities(own):
            alike = fidelity(rows(own), rows(other))
        else:
            alike = Fidelity(sqnr_db=decibels(own, other))
        found[name] = alike.model_copy(update=_worst(own, other))
    return found


def fidelity(reference: NDArray[np.float32], scores: NDArray[np.float32]) -> Fidelity:
    """Compare scores with a reference's for the same samples.

    Args:
        reference: scores of shape (n, classes), float32: probabilities, or what a softmax makes them of.
        scores: those of the other build, of the same shape.

    Returns:
        Agreement, mean divergence of the probabilities (those under 1e-6 count as that), signal over noise.
    """
    expected, found = probabilities(reference), probabilities(scores)
    divergence = (expected * (np.log(expected) - np.log(found))).sum(axis=1)
    return Fidelity(
        agreement=float((reference.argmax(axis=1) == scores.argmax(axis=1)).mean()),
        kl=float(divergence.mean()),
        sqnr_db=decibels(reference, scores),
    )


def _worst(own: NDArray[np.float32], other: NDArray[np.float32]) -> dict[str, str | float]:
    """The channel that differs most, and its signal over noise; nothing of an output that has one alone."""
    known = channels(own)
    found = known.deviations(known.terms(own, other).mean(axis=0)[None])[0]
    worst = int(found.argmax())
    if not known.called(worst) or not found[worst]:
        return {}
    return {"channel": known.called(worst), "channel_sqnr_db": -20 * float(np.log10(found[worst]))}


def decibels(reference: NDArray[np.float32], found: NDArray[np.float32]) -> float | None:
    """10·log₁₀ of the signal of a reference over the noise of the difference; None without either; of any shape."""
    noise = signal = 0.0
    for window in windows(reference):
        whole = reference[window].astype(np.float64)
        noise += float(((whole - found[window]) ** 2).sum())
        signal += float((whole**2).sum())
    return 10 * float(np.log10(signal / noise)) if noise and signal else None


def _probabilities(scores: NDArray[np.float32]) -> bool:
    """Whether an output is of probabilities of classes that exclude each other."""
    flat = rows(scores)
    if flat.shape[1] < 2 or flat.shape[1] != max(scores.shape[1:]):
        return False
    return bool(flat.min() >= 0 and np.ptp(flat.sum(axis=1)) < 0.01)


def probabilities(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores as probabilities: as they are where they nearly add up to 1, else by a softmax."""
    whole = scores.astype(np.float64)
    if whole.min() < 0 or np.abs(whole.sum(axis=1) - 1).max() > 0.05:
        shifted = np.exp(whole - whole.max(axis=1, keepdims=True))
        whole = shifted / shifted.sum(axis=1, keepdims=True)
    clipped = np.clip(whole, _LEAST, None)
    normal: NDArray[np.float64] = clipped / clipped.sum(axis=1, keepdims=True)
    return normal
