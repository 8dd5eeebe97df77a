from __future__ import annotations

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

from bitpick.conversion.pytorch_from_onnx import import_with_modules  # noqa: E402
from bitpick.passes.graphs import Graph  # noqa: E402
from bitpick.passes.training.network import Network, trainable, without_softmax  # noqa: E402
from bitpick.passes.weight_grid import WeightGrid  # noqa: E402
from tests.passes.training import small_net  # noqa: E402

pytestmark = pytest.mark.frameworks

GRID = WeightGrid(7, per_channel=True)


@pytest.fixture
def model(tmp_path):
    return onnx.load(small_net.network(tmp_path / "net.onnx"))


def training_form(model):
    module, modules = import_with_modules(model)
    axes = without_softmax(module)
    names = {modules[layer.node.name]: layer.name for layer in trainable(Graph(model))}
    network = Network(module, names, GRID)
    return network, modules, axes


def names_of(modules):
    return {module: node for node, module in modules.items()}


def started(model):
    network, modules, _ = training_form(model)
    network.set_mode("watch", "watch")
    with torch.no_grad():
        network.module(torch.from_numpy(small_net.data(200, 3)[0]))
    network.start()
    return network, modules


def test_the_form_has_layers_and_eight_bits_where_engines_have_them(model):
    network, _, axes = training_form(model)
    assert axes == [-1]
    assert {name: layer.normed for name, layer in network.layers.items()} == {
        "first": True, "second": True, "shortcut": True, "scores": False
    }  # fmt: skip
    quantized = [node.name for node in network.module.graph.nodes if node.name.endswith("_quantized")]
    # A ReLU is fused into what it follows, and so is the tensor between them.
    assert quantized == [
        f"{name}_quantized" for name in ("x", "relu", "second", "shortcut", "last_relu", "mean", "scores")
    ]


def test_nothing_changes_before_training(model):
    network, _, _ = training_form(model)
    pictures = small_net.data(50, 3)[0]
    scores = network.module(torch.from_numpy(pictures)).detach().numpy()
    np.testing.assert_allclose(scores, small_net.given(model, pictures, "scores"), atol=1e-4)


def test_the_written_graph_does_what_the_trained_network_does_with_weights_on_their_grid(model):
    network, modules = started(model)
    pictures = small_net.data(50, 3)[0]
    network.module.eval()
    network.set_mode("train", "off")
    scores = network.module(torch.from_numpy(pictures)).detach().numpy()
    before = small_net.given(model, pictures, "scores")
    assert network.store(model, modules) == ["first", "second", "shortcut", "scores"]
    onnx.checker.check_model(model)
    after = small_net.given(model, pictures, "scores")
    np.testing.assert_allclose(after, scores, atol=1e-3)
    assert np.abs(after - before).max() > 0.01
    for name in ("a", "b", "c"):
        rows = Graph(model).constant(name).reshape(8, -1)
        multiples = rows / (np.abs(rows).max(axis=1, keepdims=True) / 7)
        np.testing.assert_allclose(multiples, multiples.round(), atol=1e-4)


def test_every_parameter_of_the_form_is_trained(model):
    network, _ = started(model)
    network.module.train()
    network.module(torch.from_numpy(small_net.data(50, 3)[0])).square().mean().backward()
    groups = network.parameter_groups()
    parameters = [parameter for group in groups for parameter in group["params"]]
    assert {id(each) for each in parameters} == {id(each) for each in network.module.parameters()}
    assert all(each.grad.abs().sum() > 0 for each in parameters)
    assert all(group["scale"] > 0 for group in groups)


@pytest.mark.parametrize("change", ["shared weights", "alpha", "float64"])
def test_some_layers_are_left_alone(model, change):
    scores = next(node for node in model.graph.node if node.name == "scores")
    if change == "shared weights":
        model.graph.node.append(onnx.helper.make_node("Identity", ["d"], ["copy"], "copy"))
        model.graph.output.append(onnx.helper.make_tensor_value_info("copy", onnx.TensorProto.FLOAT, [8, 4]))
    elif change == "alpha":
        scores.attribute.append(onnx.helper.make_attribute("alpha", 2.0))
    else:
        stored = next(each for each in model.graph.initializer if each.name == "d")
        stored.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(stored).astype(np.float64), "d"))
    assert [layer.name for layer in trainable(Graph(model))] == ["first", "second", "shortcut"]


def test_a_matrix_product_and_the_bias_added_to_it_are_a_layer(model):
    place = next(place for place, node in enumerate(model.graph.node) if node.name == "scores")
    model.graph.node[place].CopyFrom(onnx.helper.make_node("MatMul", ["mean", "d"], ["product"], "product"))
    model.graph.node.insert(place + 1, onnx.helper.make_node("Add", ["product", "d_bias"], ["scores"], "scores"))
    network, modules = started(model)
    network.module.eval()
    network.set_mode("train", "off")
    with torch.no_grad():
        network.layers[modules["product"]].bias.add_(1.0)
    pictures = small_net.data(50, 3)[0]
    scores = network.module(torch.from_numpy(pictures)).detach().numpy()
    assert network.store(model, modules) == ["first", "second", "shortcut", "product"]
    np.testing.assert_allclose(small_net.given(model, pictures, "scores"), scores, atol=1e-3)


def test_convolutions_have_the_grid_that_engines_give_them(model):
    module, modules = import_with_modules(model)
    network = Network(module, names_of(modules), WeightGrid(7, True, clipped=True, convolutions=127))
    levels = {name: network.layers[modules[name]].levels for name in ("first", "shortcut", "scores")}
    assert levels == {"first": 127, "shortcut": 127, "scores": 7}


def test_depthwise_convolutions_have_the_grid_that_engines_give_them(model):
    for node in model.graph.node:
        if node.name == "second":
            node.attribute.append(onnx.helper.make_attribute("group", 8))
    stored = next(each for each in model.graph.initializer if each.name == "b")
    stored.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(stored)[:, :1], "b"))
    module, modules = import_with_modules(model)
    network = Network(module, names_of(modules), WeightGrid(7, per_channel=True, clipped=True, depthwise=127))
    levels = {name: network.layers[modules[name]].levels for name in ("first", "second", "scores")}
    assert levels == {"first": 7, "second": 127, "scores": 7}


def test_single_layers_may_have_another_grid_or_none(model):
    module, modules = import_with_modules(model)
    grid = WeightGrid(7, per_channel=True, layers={"first": WeightGrid(127, per_channel=True), "shortcut": None})
    network = Network(module, names_of(modules), grid)
    levels = {name: network.layers[modules[name]].levels for name in ("first", "second", "shortcut")}
    assert levels == {"first": 127, "second": 7, "shortcut": None}
    assert network.layers[modules["shortcut"]].step is None
