"""Whether the float model makes sense of the data: looked at before any build, as no table can be better than that.

The commonest mistakes leave a model that runs and guesses: values on another scale, channels or classes in another
order. Each is tried on a few samples; what makes the model clearly better is named.
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

FEW, MANY, MACS = 100, 500, 10**11  # samples, as many as this much arithmetic allows
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_CAFFE = (103.939, 116.779, 123.68)  # blue, green, red

Predict = Callable[[Samples], Classes]


@dataclass(frozen=True)
class Suspicion:
    """What does not look right, and what to do about it."""

    what: str
    fix: str
    grave: bool

    @property
    def line(self) -> str:
        """In one line."""
        return f"{self.what}; {self.fix}"


@dataclass(frozen=True)
class _Better:
    """What makes the float model better: the mistake that it shows, its fix, and the gain in accuracy."""

    mistake: str
    fix: str
    gain: float


def look(shop: Workshop, inputs: Inputs, macs: int | None) -> None:
    """Run the float model on some evaluation samples, and see whether it knows their classes.

    What is strange, if anything, is noted in the record of the data.

    Args:
        shop: runs it.
        inputs: the run's; of tasks other than classification nothing is said.
        macs: multiply-accumulates for one sample, which say how many samples can be tried.

    Raises:
        DataError: it guesses, and the request does not accept that.
        RunError: it cannot be run.
    """
    task = inputs.task
    if not isinstance(task, Classification) or task.kind != "classification" or inputs.evaluation.labels is None:
        return
    shop.listener.phase("seeing whether the float model makes sense of the data")
    count = min(MANY, max(FEW, MACS // macs)) if macs else FEW
    samples, _ = part(inputs.evaluation, count, shop.directory.indices("sense"))
    found = suspicion(partial(_predicted, shop, inputs, task), samples, task.classes)
    if found is None:
        return
    if found.grave and not shop.run.request.accept_baseline:
        raise DataError(found.what, fix=f"{found.fix}; if it is what you mean: --accept-baseline")
    shop.remark(found.line)


def _predicted(shop: Workshop, inputs: Inputs, task: Classification, samples: Samples) -> Classes:
    """The classes that the float model predicts."""
    out = shop.directory.outputs(reference_of(inputs.format)).with_name("sense.npz")
    float_model.run(shop, inputs, "run_form", samples=samples, threads=inputs.threads, shapes=inputs.shapes, out=out)
    found = read_outputs(out)
    return task.predicted(found[task.output]).astype(np.int64)


def suspicion(predict: Predict, samples: Samples, classes: tuple[str, ...]) -> Suspicion | None:
    """What is wrong with samples, by what a model makes of them; None where nothing is.

    Args:
        predict: the classes that the float model predicts for samples, of shape (n,).
        samples: some, with labels.
        classes: names of the classes.
    """
    targets, predicted = samples.targets(), predict(samples)
    right = predicted == targets
    share, chance = float(right.mean()), by_chance(predicted, targets)
    guesses = not _above(int(right.sum()), len(targets), chance)
    told = f"the float model gets {_percent(share)} of {len(targets)} evaluation samples right"
    told += f", no more than by chance ({_percent(chance)})" if guesses else ""
    better = [_prepared_otherwise(predict, samples, right), _ordered_otherwise(predicted, targets, classes)]
    best = max((each for each in better if each is not None), key=lambda each: each.gain, default=None)
    if best is not None:
        return Suspicion(f"{best.mistake}: {told}", best.fix, guesses or best.gain >= GAIN)
    if not guesses:
        return None
    fix = "look at the scale (--scale, --mean, --std), and the order of channels (--channels) and classes (--classes)"
    return Suspicion(told, fix, len(targets) >= FEW // 2)


def by_chance(predicted: Classes, targets: Classes) -> float:
    """How often predictions of shape (n,) would be right if they had nothing to do with the targets.

    J. Cohen, "A coefficient of agreement for nominal scales", 1960: the sum over classes of the product of both shares.
    """
    size = int(max(predicted.max(), targets.max())) + 1
    shares = [np.bincount(each, minlength=size) / len(each) for each in (predicted, targets)]
    return float(shares[0] @ shares[1])


def _above(correct: int, total: int, chance: float, level: float = 0.01) -> bool:
    """Whether so many right are shown to be more than chance gives: a one-sided binomial test."""
    return binomial_at_least(correct, total, min(chance, 1.0)) < level


def _prepared_otherwise(predict: Predict, samples: Samples, right: NDArray[np.bool_]) -> _Better | None:
    """The other preprocessing that makes the model best, where it is shown to be better, and to be no guessing."""
    best, targets = None, samples.targets()
    for mistake, words, other in alternatives(samples):
        predicted = predict(other)
        also = predicted == targets
        won, lost = int((also & ~right).sum()), int((right & ~also).sum())
        gain = (won - lost) / len(targets)
        shown = mcnemar_midp(lost, won) < LEVEL and _above(int(also.sum()), len(targets), by_chance(predicted, targets))
        if shown and gain > (0.02 if best is None else best.gain):
            best = _Better(mistake, f"{words} gives {_percent(float(also.mean()))}", gain)
    return best


def alternatives(samples: Samples) -> Iterator[tuple[str, str, Samples]]:
    """The same samples, prepared in other ways that are common: the mistake that each would fix, the options, they.

    The options are those that lead to just that way, beside what was said of anything else.
    """
    for place, (path, own) in enumerate(zip(samples.inputs, samples.preprocessing, strict=True)):
        stored = np.load(path, mmap_mode="r")
        if own.dtype != "float32" or stored.ndim < 3:
            continue
        shape = own.shape or stored.shape[1:]
        colours = (shape[0] if own.stored_channels_first else shape[-1]) == 3
        where = f" for input {place + 1}, under preprocessing: in a data.yaml," if len(samples.inputs) > 1 else ""
        for words, fields in _choices(own, stored, colours):
            each = own.model_copy(update=fields)
            if each != own:
                prepared = (*samples.preprocessing[:place], each, *samples.preprocessing[place + 1 :])
                mistake = "the values seem to be on the wrong scale"
                if each.reverse_channels != own.reverse_channels:
                    mistake = "the channels look swapped"
                yield mistake, words + where, samples.model_copy(update={"preprocessing": prepared})


def _choices(own: Preprocessing, stored: NDArray[Any], colours: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Options, in words, and what they change in a preprocessing."""
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
    instead = "" if (own.offset, own.scale) == (0.0, 1.0) else " instead of the given --scale, --mean and --std,"
    order: dict[str, Any] = {"channels": "bgr"} if own.reverse_channels else {}
    for words, said in scales:
        (offset, scale), _ = preparing.offset_and_divisor(PixelOptions(**said, **order), stored.dtype)
        yield words + (instead if words.startswith("--") else ""), {"offset": offset, "scale": scale}
    if colours:
        turned = not own.reverse_channels
        # Means and deviations are said in the order of the model: with the other order they are those of others.
        moved = {n: v[::-1] for n in ("offset", "scale") if isinstance(v := getattr(own, n), tuple)}
        yield "--channels bgr" if turned else "--channels rgb", {"reverse_channels": turned, **moved}
        if bytes_:
            yield f"--channels bgr --mean 103.939,116.779,123.68{instead}", {
                "reverse_channels": True, "offset": _CAFFE[::-1], "scale": 1.0,
            }  # fmt: skip


def other_order(predicted: Classes, targets: Classes, classes: tuple[str, ...]) -> str:
    """That the classes seem to be in a different order, with the option that gives the model's; else nothing."""
    found = _ordered_otherwise(predicted, targets, classes)
    return "" if found is None else f"{found.mistake}; {found.fix}"


def _ordered_otherwise(predicted: Classes, targets: Classes, classes: tuple[str, ...]) -> _Better | None:
    """The other order of the classes that is shown to be better."""
    found = class_orders.better(predicted, targets, classes)
    if found is None:
        return None
    mistake = "the classes seem to be in a different order from the model's"
    return _Better(mistake, f"{found.option}, gives {_percent(found.share)}", found.gain)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
