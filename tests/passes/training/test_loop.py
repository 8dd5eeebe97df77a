from __future__ import annotations

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

from bitpick.errors import RunError  # noqa: E402
from bitpick.passes.training.loop import Schedule, train  # noqa: E402
from tests.passes.training import small_net  # noqa: E402

pytestmark = pytest.mark.frameworks

LEVELS = 1  # two bits, so that there is something to win
SCHEDULE = Schedule(epochs=6, batch=32, rate=0.02)


@pytest.fixture
def source(tmp_path):
    return small_net.network(tmp_path / "net.onnx")


def accuracy(path):
    pictures, labels = small_net.data(1000, seed=4)
    return float((small_net.given(path, pictures).argmax(1) == labels).mean())


@pytest.mark.parametrize("labels", [True, False])
def test_training_regains_what_the_grid_costs(tmp_path, source, labels):
    samples, epochs = small_net.samples(tmp_path, labels=labels), []
    untrained = Schedule(epochs=1, batch=32, rate=0.0)
    train(source, tmp_path / "untrained.onnx", samples, LEVELS, tmp_path / "untrained.pt", untrained)
    names = train(source, tmp_path / "out.onnx", samples, LEVELS, tmp_path / "out.pt", SCHEDULE, epochs.append)
    assert names == ["first", "second", "shortcut", "scores"]
    assert [each.number for each in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1].held_out < epochs[0].held_out
    lost = accuracy(source) - accuracy(tmp_path / "untrained.onnx")
    assert lost > 0.1
    assert accuracy(tmp_path / "out.onnx") > accuracy(source) - 0.3 * lost


def test_a_killed_training_continues_as_if_nothing_had_happened(tmp_path, source):
    samples, schedule = small_net.samples(tmp_path), Schedule(epochs=3, batch=32, rate=0.02)
    train(source, tmp_path / "whole.onnx", samples, LEVELS, tmp_path / "whole.pt", schedule)

    def kill(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(source, tmp_path / "out.onnx", samples, LEVELS, tmp_path / "out.pt", schedule, kill)
    assert not (tmp_path / "out.onnx").exists()
    epochs = []
    train(source, tmp_path / "out.onnx", samples, LEVELS, tmp_path / "out.pt", schedule, epochs.append)
    assert [each.number for each in epochs] == [3]
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes()


def test_another_trainings_checkpoint_is_not_used(tmp_path, source):
    samples, epochs = small_net.samples(tmp_path), []
    for levels in (LEVELS, 7):
        schedule = Schedule(epochs=1, batch=32)
        train(source, tmp_path / "out.onnx", samples, levels, tmp_path / "same.pt", schedule, epochs.append)
    assert [each.number for each in epochs] == [1, 1]


def test_the_best_epoch_is_kept(tmp_path, source):
    samples, epochs = small_net.samples(tmp_path), []
    schedule = Schedule(epochs=4, batch=32, rate=0.5)  # too fast, so that epochs differ
    train(source, tmp_path / "out.onnx", samples, LEVELS, tmp_path / "out.pt", schedule, epochs.append)
    state = torch.load(tmp_path / "out.pt", weights_only=True)
    assert state["best"] == min(each.held_out for each in epochs)


def test_few_minutes_make_fewer_epochs(tmp_path, source):
    samples, epochs = small_net.samples(tmp_path), []
    schedule = Schedule(epochs=1000, minutes=0.001, batch=32)
    train(source, tmp_path / "out.onnx", samples, LEVELS, tmp_path / "out.pt", schedule, epochs.append)
    assert 1 <= epochs[-1].epochs < 100
    assert len(epochs) == epochs[-1].epochs


def test_a_training_that_diverges_says_so(tmp_path, source):
    schedule = Schedule(epochs=1, batch=32, rate=1e30)
    with pytest.raises(RunError, match="diverged"):
        train(source, tmp_path / "out.onnx", small_net.samples(tmp_path), LEVELS, tmp_path / "out.pt", schedule)


def test_a_graph_without_layers_is_left_alone(tmp_path):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"], "relu")],
        "net",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 1, 16, 16])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 1, 16, 16])],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), tmp_path / "a.onnx")
    assert train(tmp_path / "a.onnx", tmp_path / "b.onnx", small_net.samples(tmp_path), 7, tmp_path / "c.pt") == []


def test_training_is_the_same_each_time(tmp_path, source):
    samples, schedule = small_net.samples(tmp_path), Schedule(epochs=1, batch=32)
    written = []
    for name in ("a", "b"):
        train(source, tmp_path / f"{name}.onnx", samples, LEVELS, tmp_path / f"{name}.pt", schedule)
        written.append(np.frombuffer((tmp_path / f"{name}.onnx").read_bytes(), np.uint8))
    np.testing.assert_array_equal(*written)
