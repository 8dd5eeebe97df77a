"""Training with a schedule, checkpoints, and the best epoch by samples that are held out of the training split."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any

import torch

from bitpick.artifacts import durable
from bitpick.conversion import onnx_file
from bitpick.datasets.dataset import Samples
from bitpick.datasets.sampling import apart
from bitpick.errors import RunError, Unsupported
from bitpick.passes.graph_pass import Applied, Trained, Training
from bitpick.passes.training.pupil import Pupil
from bitpick.passes.weight_grid import WeightGrid

_MOMENTS = (0.9, 0.99)  # of Adam
_TIMED = 5  # batches that tell how long an epoch takes
_BESIDES = 1.15  # what an epoch takes with its evaluation, as a multiple of its batches
_REPORTS = 10  # of progress in an epoch
_DIGEST = hashlib.sha256().digest_size  # bytes of a checkpoint before what torch.save wrote
_FEWEST = 256  # training samples: the statistics of batch norms, and the choice of the epoch, need some


@dataclass(frozen=True)
class Schedule:
    """How fast to train.

    Attributes:
        epochs: passes over the training split, at most; fewer if the first batches say that all would take too long.
        batch: samples in a batch.
        rate: by what share of its scale a weight moves in a step, at most; falls to 0 as a cosine.
    """

    epochs: int = 12
    batch: int = 128
    rate: float = 0.003


def train(
    source: Path, out: Path, samples: Samples, grid: WeightGrid, training: Training, schedule: Schedule = Schedule()
) -> Applied:
    """Train the weights of a clean graph so that it keeps its accuracy with weights on a grid and 8-bit activations.

    Args:
        source: the `.onnx` file to read.
        out: the `.onnx` file to write; not written if there is nothing to train.
        samples: the training split.
        grid: the grid of the weights.
        training: the budget, the seed, the evaluation set, the checkpoint, and who hears of the progress. A checkpoint
            of another training is not used.
        schedule: how fast to train.

    Raises:
        Unsupported: the grid has one scale for a tensor, the graph a fixed batch, or the split too few samples.
        RunError: the outputs became infinite.
    """
    began = process_time()
    places = apart(samples, training.evaluation)
    _check(source, grid, len(places))
    given = (samples.sha256, places.tobytes(), str(grid), training.minutes, training.seed, asdict(schedule))
    digest = hashlib.sha256(repr((source.read_bytes(), given)).encode()).hexdigest()
    pupil = Pupil(source, samples, places, grid, schedule.batch, training.seed)
    if not pupil.network.layers:
        return Applied([], "it has no convolution or matrix product whose weights and bias could be trained")
    pupil.start()
    optimizer = torch.optim.Adam(pupil.network.parameter_groups(), betas=_MOMENTS)
    state = _read(training.checkpoint, digest)
    if state is None:
        epochs, batches = _affordable(pupil, schedule.epochs, 60 * training.minutes + began)
        state = {"digest": digest, "epoch": 0, "epochs": epochs, "batches": batches, "best": math.inf}
    else:
        pupil.module.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    pupil.batches = replace(pupil.batches, most=state["batches"])
    for _ in range(state["epoch"], state["epochs"]):
        _epoch(pupil, optimizer, schedule, state, training)
        pupil.settle()
        held_out = pupil.held_out_loss()
        state |= {
            "epoch": state["epoch"] + 1,
            "network": pupil.module.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        if held_out <= state["best"]:
            best = {name: value.clone() for name, value in pupil.module.state_dict().items()}
            state |= {"best": held_out, "best_network": best}
        _write(state, training.checkpoint)
    if "best_network" not in state:
        raise RunError("training for quantization diverged: its outputs became infinite")
    pupil.module.load_state_dict(state["best_network"])
    changed = pupil.write(out)
    seen = len(pupil.batches) * pupil.batches.size
    how = Trained(state["epochs"], seen, len(pupil.held), pupil.uses_labels, pupil.changes)
    return Applied(changed, trained=how)


def _check(source: Path, grid: WeightGrid, count: int) -> None:
    """Refuse what cannot be trained."""
    if not grid.per_channel:
        raise Unsupported("qat trains weights with a scale for each channel", fix="ask for per_channel")
    if (fixed := onnx_file.fixed_batch(onnx_file.load(source))) is not None:
        raise Unsupported(f"qat needs a model that takes any number of samples at once; this one takes {fixed}")
    if count < _FEWEST:
        raise Unsupported(
            f"qat has {count:,} samples to train on, apart from those of the evaluation set",
            expected=f"at least {_FEWEST}",
            fix="give a data set with a training split",
        )


def _progress(state: dict[str, Any], share: float) -> str:
    so_far = "" if math.isinf(state["best"]) else f", held-out loss {state['best']:.4f} at best"
    return f"epoch {state['epoch'] + 1} of {state['epochs']}, {share:.0%}{so_far}"


def _affordable(pupil: Pupil, most: int, end: float) -> tuple[int, int]:
    """Return how many epochs fit in before a CPU time, and how many batches an epoch has if not even one fits.

    Args:
        pupil: the network, ready to be trained; it is left as it was.
        most: the largest number of epochs.
        end: when training must end, in seconds of `process_time`.
    """
    before = {name: value.clone() for name, value in pupil.module.state_dict().items()}
    started, timed = process_time(), 0
    for places, inputs in islice(pupil.batches.epoch(0), _TIMED):
        pupil.loss(places, inputs).backward()  # type: ignore[no-untyped-call]
        timed += 1
    each = (process_time() - started) / timed * _BESIDES
    pupil.module.load_state_dict(before)
    batches = int(max(0.0, end - process_time()) / max(each, 1e-9))
    whole = len(pupil.batches)
    return max(1, min(most, batches // whole)), max(1, min(whole, batches))


def _epoch(
    pupil: Pupil, optimizer: torch.optim.Optimizer, schedule: Schedule, state: dict[str, Any], training: Training
) -> None:
    """Train for an epoch, and report ten times how far it is."""
    number, steps = state["epoch"], len(pupil.batches)
    for step, (places, inputs) in enumerate(pupil.batches.epoch(number + 1)):
        if step % max(1, steps // _REPORTS) == 0:
            training.report(_progress(state, step / steps))
        done = (number + step / steps) / state["epochs"]
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate * group["scale"] * 0.5 * (1 + math.cos(math.pi * done))
        loss = pupil.loss(places, inputs)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _read(checkpoint: Path, digest: str) -> dict[str, Any] | None:
    """Return the state of this training; None if the checkpoint is missing, damaged or another's."""
    try:
        content = checkpoint.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(content[_DIGEST:]), map_location="cpu", weights_only=True)
    return state if state.get("digest") == digest else None


def _write(state: dict[str, Any], checkpoint: Path) -> None:
    """Write the state after its digest; a kill leaves the one before."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    torch.save(state, content)
    durable.write(checkpoint, hashlib.sha256(content.getbuffer()).digest() + content.getvalue())
