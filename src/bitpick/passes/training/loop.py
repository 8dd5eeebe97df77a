"""Training with a schedule, checkpoints, and the best epoch by samples that are held out of the training split."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any

import torch

from bitpick.datasets.dataset import Samples
from bitpick.errors import RunError
from bitpick.passes.training.pupil import Pupil

_MOMENTS = (0.9, 0.99)  # of Adam
_TIMED = 5  # batches that tell how long an epoch takes


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        epochs: passes over the training split, at most.
        minutes: CPU minutes; fewer epochs are made if the first batches say that all would take longer.
        batch: samples in a batch.
        rate: by what share of its scale a weight moves in a step, at most; falls to 0 as a cosine.
        seed: of the order of the samples and of their changes.
    """

    epochs: int = 6
    minutes: float = math.inf
    batch: int = 128
    rate: float = 0.003
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """How training stands after an epoch.

    Attributes:
        number: epochs done.
        epochs: epochs in all.
        loss: the mean loss of its batches.
        held_out: the loss of the held-out samples.
        seconds: CPU seconds until now.
    """

    number: int
    epochs: int
    loss: float
    held_out: float
    seconds: float


def train(
    source: Path,
    out: Path,
    samples: Samples,
    levels: int,
    checkpoint: Path,
    schedule: Schedule = Schedule(),
    report: Callable[[Epoch], None] = lambda _: None,
) -> list[str]:
    """Train the weights of a clean graph so that it keeps its accuracy with weights on a grid for each channel.

    Args:
        source: the `.onnx` file to read.
        out: the `.onnx` file to write.
        samples: the training split. Labels are used if they are classes.
        levels: the largest multiple of the grid: 127 for 8 bits, 7 for 4.
        checkpoint: the file to continue from, written after each epoch. Another training's is not used.
        schedule: how long and how fast to train.
        report: called after each epoch.

    Returns:
        The names of the nodes that were trained; nothing is written if there are none.

    Raises:
        RunError: the outputs became infinite.
    """
    identity = (source.read_bytes(), samples.sha256, samples.count, levels, asdict(schedule))
    digest = hashlib.sha256(repr(identity).encode()).hexdigest()
    pupil = Pupil(source, samples, levels, schedule.batch, schedule.seed)
    if not pupil.network.layers:
        return []
    pupil.start()
    optimizer = torch.optim.Adam(pupil.network.parameter_groups(), betas=_MOMENTS)
    state = _read(checkpoint, digest)
    if state is None:
        state = {"digest": digest, "epoch": 0, "epochs": _affordable(pupil, schedule), "best": math.inf, "seconds": 0.0}
    else:
        pupil.module.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    for number in range(state["epoch"], state["epochs"]):
        started = process_time()
        loss = _epoch(pupil, optimizer, schedule, number, state["epochs"])
        pupil.settle()
        held_out = pupil.held_out_loss()
        state |= {"epoch": number + 1, "network": pupil.module.state_dict(), "optimizer": optimizer.state_dict()}
        state["seconds"] += process_time() - started
        if held_out <= state["best"]:
            best = {name: value.clone() for name, value in pupil.module.state_dict().items()}
            state |= {"best": held_out, "best_network": best}
        _write(state, checkpoint)
        report(Epoch(number + 1, state["epochs"], loss, held_out, state["seconds"]))
    if "best_network" not in state:
        raise RunError("training for quantization diverged: its outputs became infinite", fix="train at a lower rate")
    pupil.module.load_state_dict(state["best_network"])
    return pupil.write(out)


def _affordable(pupil: Pupil, schedule: Schedule) -> int:
    """Return how many epochs fit into the minutes; one at least."""
    if math.isinf(schedule.minutes):
        return schedule.epochs
    before = {name: value.clone() for name, value in pupil.module.state_dict().items()}
    started, timed = process_time(), 0
    for places, inputs in islice(pupil.batches.epoch(0), _TIMED):
        pupil.loss(places, inputs).backward()  # type: ignore[no-untyped-call]
        timed += 1
    each = (process_time() - started) / timed * len(pupil.batches)
    pupil.module.load_state_dict(before)
    return max(1, min(schedule.epochs, int(schedule.minutes * 60 / each)))


def _epoch(pupil: Pupil, optimizer: torch.optim.Optimizer, schedule: Schedule, number: int, epochs: int) -> float:
    """Train for an epoch; return the mean loss."""
    steps, losses = len(pupil.batches), 0.0
    for step, (places, inputs) in enumerate(pupil.batches.epoch(number + 1)):
        done = (number + step / steps) / epochs
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate * group["scale"] * 0.5 * (1 + math.cos(math.pi * done))
        loss = pupil.loss(places, inputs)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses += loss.item()
    return losses / steps


def _read(checkpoint: Path, digest: str) -> dict[str, Any] | None:
    """Return the state of this training; None if the checkpoint is missing or another's."""
    if not checkpoint.exists():
        return None
    state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return state if state.get("digest") == digest else None


def _write(state: dict[str, Any], checkpoint: Path) -> None:
    """Write the state by a rename, so that a kill leaves the one before."""
    partial = checkpoint.with_name(f"{checkpoint.name}.partial")
    torch.save(state, partial)
    partial.replace(checkpoint)
