"""Check before any build whether the float model makes sense of the data; if it does not, no result can.

The most common mistakes leave a model that runs but guesses: values on the wrong scale, channels or classes in the
wrong order. Each is tried on a few samples; a change that makes the model clearly better is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion.route import reference_of
from bitpick.datasets import preparing
from bitpick.datasets.dataset import Samples
from bitpick.datasets.options import PixelOptions
from bitpick.datasets.sampling import part
from bitpick.errors import DataError
from bitpick.pipeline import class_orders, float_model
from bitpick.pipeline.arrays import read_outputs
from bitpick.pipeline.class_orders import GAIN, LEVEL, Classes
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.workshop import Workshop
from bitpick.preprocessing import Preprocessing
from bitpick.statistics import mcnemar_midp
from bitpick.statistics.distributions import binomial_at_least
from bitpick.tasks.classification import Classification

FEW, MANY, MACS = 100, 500, 10**11  # samples to try: as many as MACS operations allow, within these bounds
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_CAFFE = (103.939, 116.779, 123.68)  # blue, green, red

Predict = Callable[[Samples], Classes]


@dataclass(frozen=True)
class Suspicion:
    """What looks wrong, and how to fix it."""

    what: str
    fix: str
    grave: bool

    @property
    def line(self) -> str:
        """The suspicion in one line."""
        return f"{self.what}; {self.fix}"


@dataclass(frozen=True)
class _Improvement:
    """A change that makes the float model better: the mistake it reveals, the fix, and the gain in accuracy."""

    mistake: str
    fix: str
    gain: float


def look(shop: Workshop, inputs: Inputs, macs: int | None) -> None:
    """Run the float model on some evaluation samples, and check whether it predicts their classes.

    Anything suspicious is noted in the record of the data.

    Args:
        shop: the run's workshop.
        inputs: the run's inputs; only classification is checked.
        macs: multiply-accumulates for one sample, which limit the number of samples to try.

    Raises:
        DataError: the model guesses, and the request does not accept that.
        RunError: the model cannot be run.
    """
    task = inputs.task
    if not isinstance(task, Classification) or task.kind != "classification" or inputs.evaluation.labels is None:
        return
    shop.listener.phase("seeing whether the float model makes sense of the data")
    count = min(MANY, max(FEW, MACS // macs)) if macs else FEW
    samples, _ = part(inputs.evaluation, count, shop.directory.indices("sense"))
    problem = suspicion(partial(_predicted, shop, inputs, task), samples, task.classes)
    if problem is None:
        return
    if problem.grave and not shop.run.request.accept_baseline:
        raise DataError(problem.what, fix=f"{problem.fix}; if it is what you mean: --accept-baseline")
    shop.remark(problem.line)


def _predicted(shop: Workshop, inputs: Inputs, task: Classification, samples: Samples) -> Classes:
    """Return the classes that the float model predicts, of shape (n,)."""
    out = shop.directory.outputs(reference_of(inputs.format)).with_name("sense.npz")
    float_model.run(shop, inputs, "run_form", samples=samples, threads=inputs.threads, shapes=inputs.shapes, out=out)
    model_outputs = read_outputs(out)
    return task.predicted(model_outputs[task.output]).astype(np.int64)


def suspicion(predict: Predict, samples: Samples, classes: tuple[str, ...]) -> Suspicion | None:
    """Return what looks wrong with the samples, judging by the model's predictions; None if nothing does.

    Args:
        predict: returns the float model's classes for samples, of shape (n,).
        samples: some samples with labels.
        classes: names of the classes.
    """
    targets, predicted = samples.targets(), predict(samples)
    correct = predicted == targets
    share, chance = float(correct.mean()), by_chance(predicted, targets)
    guesses = not _above(int(correct.sum()), len(targets), chance)
    result = f"the float model gets {_percent(share)} of {len(targets)} evaluation samples right"
    result += f", no more than by chance ({_percent(chance)})" if guesses else ""
    improvements = [_better_preprocessing(predict, samples, correct), _better_order(predicted, targets, classes)]
    best = max(
        (improvement for improvement in improvements if improvement is not None),
        key=lambda improvement: improvement.gain,
        default=None,
    )
    if best is not None:
        return Suspicion(f"{best.mistake}: {result}", best.fix, guesses or best.gain >= GAIN)
    if not guesses:
        return None
    fix = "look at the scale (--scale, --mean, --std), and the order of channels (--channels) and classes (--classes)"
    return Suspicion(result, fix, len(targets) >= FEW // 2)


def by_chance(predicted: Classes, targets: Classes) -> float:
    """Return how often predictions of shape (n,) would be right if they were independent of the targets.

    J. Cohen, "A coefficient of agreement for nominal scales", 1960: the sum over classes of the product of both shares.
    """
    size = int(max(predicted.max(), targets.max())) + 1
    shares = [np.bincount(labels, minlength=size) / len(labels) for labels in (predicted, targets)]
    return float(shares[0] @ shares[1])


def _above(correct: int, total: int, chance: float, level: float = 0.01) -> bool:
    """Whether this many correct predictions are more than chance gives, by a one-sided binomial test."""
    return binomial_at_least(correct, total, min(chance, 1.0)) < level


def _better_preprocessing(predict: Predict, samples: Samples, correct: NDArray[np.bool_]) -> _Improvement | None:
    """Return the preprocessing that helps most, if it is shown to be better than this one and than guessing."""
    best, targets = None, samples.targets()
    for mistake, options, prepared in alternatives(samples):
        predicted = predict(prepared)
        correct_now = predicted == targets
        won, lost = int((correct_now & ~correct).sum()), int((correct & ~correct_now).sum())
        gain = (won - lost) / len(targets)
        is_shown = mcnemar_midp(lost, won) < LEVEL and _above(
            int(correct_now.sum()), len(targets), by_chance(predicted, targets)
        )
        if is_shown and gain > (0.02 if best is None else best.gain):
            best = _Improvement(mistake, f"{options} gives {_percent(float(correct_now.mean()))}", gain)
    return best


def alternatives(samples: Samples) -> Iterator[tuple[str, str, Samples]]:
    """Yield common alternative preprocessings: the mistake that each would fix, its options, and the samples with it.

    The options select exactly that preprocessing, on top of the user's other options.
    """
    for index, (path, current) in enumerate(zip(samples.inputs, samples.preprocessing, strict=True)):
        stored = np.load(path, mmap_mode="r")
        if current.dtype != "float32" or stored.ndim < 3:
            continue
        shape = current.shape or stored.shape[1:]
        colours = (shape[0] if current.stored_channels_first else shape[-1]) == 3
        where = f" for input {index + 1}, under preprocessing: in a data.yaml," if len(samples.inputs) > 1 else ""
        for options, fields in _choices(current, stored, colours):
            changed = current.model_copy(update=fields)
            if changed != current:
                prepared = (*samples.preprocessing[:index], changed, *samples.preprocessing[index + 1 :])
                mistake = "the values seem to be on the wrong scale"
                if changed.reverse_channels != current.reverse_channels:
                    mistake = "the channels look swapped"
                yield mistake, options + where, samples.model_copy(update={"preprocessing": prepared})


def _choices(current: Preprocessing, stored: NDArray[Any], colours: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield options as text, and the fields that they change in a preprocessing."""
    bytes_ = float(stored[:64].max()) > 2  # from 0 to 255, not from 0 to 1
    scales: list[tuple[str, dict[str, Any]]] = [
        ("leaving --scale, --mean and --std out", {"scale": 1.0}),
        ("--scale 255", {"scale": 255.0}) if bytes_ else ("--scale 1/255", {"scale": 1 / 255}),
        ("--mean 127.5 --std 127.5", {"mean": 127.5, "std": 127.5})
        if bytes_
        else ("--mean 0.5 --std 0.5", {"mean": 0.5, "std": 0.5}),
    ]
    if colours:
        imagenet = "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
        scales.append(
            (f"--scale 255 {imagenet}" if bytes_ else imagenet, {"scale": 255.0 if bytes_ else 1.0, **_IMAGENET})
        )
    replaces = (
        "" if (current.offset, current.scale) == (0.0, 1.0) else " instead of the given --scale, --mean and --std,"
    )
    channel_order: dict[str, Any] = {"channels": "bgr"} if current.reverse_channels else {}
    for options, fields in scales:
        (offset, scale), _ = preparing.offset_and_divisor(PixelOptions(**fields, **channel_order), stored.dtype)
        yield options + (replaces if options.startswith("--") else ""), {"offset": offset, "scale": scale}
    if colours:
        bgr = not current.reverse_channels
        # Means and deviations are in the model's channel order, so they are swapped with the channels.
        swapped = {
            name: value[::-1] for name in ("offset", "scale") if isinstance(value := getattr(current, name), tuple)
        }
        yield "--channels bgr" if bgr else "--channels rgb", {"reverse_channels": bgr, **swapped}
        if bytes_:
            yield f"--channels bgr --mean 103.939,116.779,123.68{replaces}", {
                "reverse_channels": True, "offset": _CAFFE[::-1], "scale": 1.0,
            }  # fmt: skip


def other_order(predicted: Classes, targets: Classes, classes: tuple[str, ...]) -> str:
    """Return a warning that the class order seems wrong, with the option that fixes it; empty if it seems right."""
    improvement = _better_order(predicted, targets, classes)
    return "" if improvement is None else f"{improvement.mistake}; {improvement.fix}"


def _better_order(predicted: Classes, targets: Classes, classes: tuple[str, ...]) -> _Improvement | None:
    """Return a class order that is shown to be better; None if there is none."""
    order = class_orders.better(predicted, targets, classes)
    if order is None:
        return None
    mistake = "the classes seem to be in a different order from the model's"
    return _Improvement(mistake, f"{order.option}, gives {_percent(order.share)}", order.gain)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
