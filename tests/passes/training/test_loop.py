from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

from bitpick.errors import RunError, Unsupported  # noqa: E402
from bitpick.passes.graph_pass import Training  # noqa: E402
from bitpick.passes.training import loop  # noqa: E402
from bitpick.passes.training.loop import Schedule, train  # noqa: E402
from bitpick.passes.weight_grid import WeightGrid  # noqa: E402
from tests.passes.training import small_net  # noqa: E402

pytestmark = pytest.mark.frameworks

GRID = WeightGrid(1, per_channel=True)  # two bits, so that there is something to win
SCHEDULE = Schedule(epochs=6, batch=32, rate=0.02)


@pytest.fixture
def source(tmp_path):
    return small_net.network(tmp_path / "net.onnx")


@pytest.fixture
def training(tmp_path):
    """What training is given; its `report` keeps the sentences."""
    told = []
    (tmp_path / "evaluation").mkdir()
    evaluation = small_net.samples(tmp_path / "evaluation", count=50, seed=9)
    training = Training(60, 0, evaluation, tmp_path / "checkpoints" / "net.pt", told.append)
    return training, told


def but(training, **changes):
    return dataclasses.replace(training, **changes)


def epochs(told):
    """The epochs that were reported, each once, in order."""
    return list(dict.fromkeys(text.partition(",")[0] for text in told))


def held_out(told):
    """The least loss of the held-out samples at each report that has one."""
    return [float(text.split()[-3]) for text in told if "held-out" in text]


def accuracy(path):
    pictures, labels = small_net.data(1000, seed=4)
    return float((small_net.given(path, pictures).argmax(1) == labels).mean())


@pytest.mark.parametrize("labels", [True, False])
def test_training_regains_what_the_grid_costs(tmp_path, source, training, labels):
    training, told = training
    samples = small_net.samples(tmp_path, labels=labels)
    untrained = Schedule(epochs=1, batch=32, rate=0.0)
    train(source, tmp_path / "untrained.onnx", samples, GRID, training, untrained)
    told.clear()
    applied = train(source, tmp_path / "out.onnx", samples, GRID, training, SCHEDULE)
    assert applied.changed == ["first", "second", "shortcut", "scores"]
    how = applied.trained
    assert (how.epochs, how.samples, how.held_out, how.labels) == (6, 352, 20, labels)  # whole batches
    assert how.changes == ("moved by up to 2 pixels" if labels else how.changes)
    assert epochs(told) == [f"epoch {number} of 6" for number in range(1, 7)]
    lost = accuracy(source) - accuracy(tmp_path / "untrained.onnx")
    assert lost > 0.1
    assert accuracy(tmp_path / "out.onnx") > accuracy(source) - 0.3 * lost


def test_a_killed_training_continues_as_if_nothing_had_happened(tmp_path, source, training):
    training, told = training
    samples, schedule = small_net.samples(tmp_path), Schedule(epochs=3, batch=32, rate=0.02)
    whole = but(training, checkpoint=tmp_path / "whole.pt")
    train(source, tmp_path / "whole.onnx", samples, GRID, whole, schedule)

    def kill(text):
        if text.startswith("epoch 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(source, tmp_path / "out.onnx", samples, GRID, but(training, report=kill), schedule)
    assert not (tmp_path / "out.onnx").exists()
    told.clear()
    train(source, tmp_path / "out.onnx", samples, GRID, training, schedule)
    assert epochs(told) == ["epoch 3 of 3"]
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes()


def test_another_trainings_checkpoint_is_not_used(tmp_path, source, training):
    training, told = training
    samples = small_net.samples(tmp_path)
    for levels in (1, 7):
        grid = WeightGrid(levels, per_channel=True)
        train(source, tmp_path / "out.onnx", samples, grid, training, Schedule(epochs=1, batch=32))
    assert epochs(told) == ["epoch 1 of 1"]
    assert len([text for text in told if ", 0%" in text]) == 2


def test_the_best_epoch_is_kept(tmp_path, source, training):
    training, told = training
    samples = small_net.samples(tmp_path)
    schedule = Schedule(epochs=4, batch=32, rate=0.5)  # too fast, so that epochs differ
    train(source, tmp_path / "out.onnx", samples, GRID, training, schedule)
    state = torch.load(io.BytesIO(training.checkpoint.read_bytes()[32:]), weights_only=True)
    losses = held_out(told)
    assert losses == sorted(losses, reverse=True)
    assert state["best"] <= losses[-1] + 1e-4


def test_few_minutes_make_fewer_epochs(tmp_path, source, training, monkeypatch):
    training, told = training
    samples, spent = small_net.samples(tmp_path), iter(range(10**6))
    monkeypatch.setattr(loop, "process_time", lambda: float(next(spent)))  # a second each time it is asked
    # Asked at the start, around the five timed batches, and at the end of them: 0.23 s a batch, eleven in an epoch.
    short = but(training, minutes=(3 + 2.5 * 11 * 0.23) / 60)
    applied = train(source, tmp_path / "out.onnx", samples, GRID, short, Schedule(epochs=1000, batch=32))
    assert applied.trained.epochs == 2
    assert epochs(told) == ["epoch 1 of 2", "epoch 2 of 2"]


def test_where_not_even_an_epoch_fits_it_has_fewer_batches(tmp_path, source, training, monkeypatch):
    training, told = training
    samples, spent = small_net.samples(tmp_path), iter(range(10**6))
    monkeypatch.setattr(loop, "process_time", lambda: float(next(spent)))
    short = but(training, minutes=(3 + 4.5 * 0.23) / 60)
    applied = train(source, tmp_path / "out.onnx", samples, GRID, short, Schedule(epochs=1000, batch=32))
    assert (applied.trained.epochs, applied.trained.samples) == (1, 4 * 32)
    assert told == [f"epoch 1 of 1, {share}%" for share in (0, 25, 50, 75)]


def test_a_training_that_diverges_says_so(tmp_path, source, training):
    schedule = Schedule(epochs=1, batch=32, rate=1e30)
    with pytest.raises(RunError, match="diverged"):
        train(source, tmp_path / "out.onnx", small_net.samples(tmp_path), GRID, training[0], schedule)


def test_a_graph_without_layers_is_left_alone(tmp_path, training):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"], "relu")],
        "net",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 1, 16, 16])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 1, 16, 16])],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), tmp_path / "a.onnx")
    applied = train(tmp_path / "a.onnx", tmp_path / "b.onnx", small_net.samples(tmp_path), GRID, training[0])
    assert applied.changed == []
    assert "could be trained" in applied.why_not
    assert not (tmp_path / "b.onnx").exists()


def test_samples_of_the_evaluation_set_are_left_out(tmp_path, source, training):
    training, _ = training
    samples = small_net.samples(tmp_path)
    pictures = np.load(samples.inputs[0])
    np.save(training.evaluation.inputs[0], pictures[100:150])
    applied = train(source, tmp_path / "out.onnx", samples, GRID, training, Schedule(epochs=1, batch=32))
    assert (applied.trained.samples, applied.trained.held_out) == (320, 17)  # whole batches of the other 350


def test_too_few_samples_are_refused(tmp_path, source, training):
    with pytest.raises(Unsupported, match="255 samples to train on"):
        train(source, tmp_path / "out.onnx", small_net.samples(tmp_path, count=255), GRID, training[0])


def test_a_scale_for_a_whole_tensor_is_refused(tmp_path, source, training):
    grid = WeightGrid(7, per_channel=False)
    with pytest.raises(Unsupported, match="a scale for each channel"):
        train(source, tmp_path / "out.onnx", small_net.samples(tmp_path), grid, training[0])


def test_a_fixed_batch_is_refused(tmp_path, source, training):
    model = onnx.load(source)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, source)
    with pytest.raises(Unsupported, match="this one takes 1"):
        train(Path(source), tmp_path / "out.onnx", small_net.samples(tmp_path), GRID, training[0])


def test_training_is_the_same_each_time(tmp_path, source, training):
    samples, schedule = small_net.samples(tmp_path), Schedule(epochs=1, batch=32)
    written = []
    for name in ("a", "b"):
        each = but(training[0], checkpoint=tmp_path / f"{name}.pt")
        train(source, tmp_path / f"{name}.onnx", samples, GRID, each, schedule)
        written.append(np.frombuffer((tmp_path / f"{name}.onnx").read_bytes(), np.uint8))
    np.testing.assert_array_equal(*written)
