"""The training form of a network, made from the imported clean graph, and the way back."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import fx, nn

from bitpick.passes.graphs import Graph, attributes
from bitpick.passes.training import layers, quantizers
from bitpick.passes.training.layers import TrainedLayer
from bitpick.passes.training.quantizers import Activation

if TYPE_CHECKING:
    import onnx

_FUSED = (nn.ReLU, nn.ReLU6)  # engines fuse them into the operator before
# They hand on values, or hand on few of them, with the range of their input.
_PASSING = (
    nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
    nn.Flatten, nn.Identity, nn.Softmax,
)  # fmt: skip
_PASSING_FUNCTIONS = (torch.permute, torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.transpose)


class Network:
    """A network in its training form.

    Args:
        module: the imported graph, which is changed.
        names: the modules that may be trained.
        levels: the largest multiple of the weights' grid; None to train without one.

    Attributes:
        module: the training form.
        layers: its trained layers, by the name of the module.
    """

    def __init__(self, module: fx.GraphModule, names: Collection[str], levels: int | None) -> None:
        self.module = module
        self.layers: dict[str, TrainedLayer] = {}
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        nodes = list(module.graph.nodes)
        last = _last_layers(module)
        for node in nodes:
            if node.op == "call_module" and node.target in names and layers.is_layer(module.get_submodule(node.target)):
                name = str(node.target)
                layer = TrainedLayer(module.get_submodule(name), levels, normed=name not in last)
                self.layers[name] = layer
                module.add_submodule(name, layer)
        self._activations = [each for node in nodes if (each := self._quantize(node)) is not None]
        module.delete_all_unused_submodules()
        module.graph.lint()
        module.recompile()

    def _quantize(self, node: fx.Node) -> Activation | None:
        """Put a quantized activation behind a node; return it, or None where an engine has none."""
        readers = list(node.users)
        fused = len(readers) == 1 and isinstance(_module(self.module, readers[0]), _FUSED)
        if node.op in ("output", "get_attr") or node.target in _PASSING_FUNCTIONS or fused:
            return None
        inner = _module(self.module, node)
        if isinstance(inner, _PASSING):
            return None
        activation = Activation(positive=type(inner) is nn.ReLU)
        name = f"{node.name}_quantized"
        self.module.add_submodule(name, activation)
        with self.module.graph.inserting_after(node):
            quantized = self.module.graph.call_module(name, (node,))
        node.replace_all_uses_with(quantized, delete_user_cb=lambda user: user is not quantized)
        if activation.positive:
            quantized.args = node.args
            self.module.graph.erase_node(node)
        return activation

    def set_mode(self, layers: layers.Mode, activations: quantizers.Mode) -> None:
        """Set the mode of all layers and activations."""
        for layer in self.layers.values():
            layer.mode = layers
        for activation in self._activations:
            activation.mode = activations

    def set_momentum(self, momentum: float = layers.MOMENTUM) -> None:
        """Set the weight of a batch in the moving statistics of all batch norms."""
        for layer in self.layers.values():
            layer.momentum = momentum

    def start(self) -> None:
        """Start training after batches were watched: layers and activations are in their training form."""
        for layer in self.layers.values():
            layer.start()
        self.set_mode("train", "on")

    def parameter_groups(self) -> list[dict[str, object]]:
        """Return the parameters, each with the scale of its values, for an optimizer."""
        return [
            {"params": [parameter], "scale": layer.scale(parameter)}
            for layer in self.layers.values()
            for parameter in layer.parameters(recurse=False)
        ]

    def store(self, model: onnx.ModelProto, modules: dict[str, str]) -> list[str]:
        """Store the trained weights in the clean graph.

        Args:
            model: the graph that was imported.
            modules: the module of each node, by the node's name.

        Returns:
            The names of the nodes that changed.
        """
        graph, changed = Graph(model), []
        for node in model.graph.node:
            layer = self.layers.get(modules.get(node.name, ""))
            if layer is None:
                continue
            weight, bias = (values.numpy().astype(np.float32) for values in layer.folded())
            rows = node.op_type == "Conv" or attributes(node).get("transB", 0)
            graph.store(node.input[1], weight if rows else weight.T)
            if len(node.input) > 2 and node.input[2]:
                stored = graph.constant(node.input[2])
                assert stored is not None
                graph.store(node.input[2], bias.reshape(stored.shape))
            else:
                del node.input[2:]
                node.input.append(f"{node.output[0]}.bias")
                graph.store(node.input[2], bias)
            changed.append(node.name)
        return changed


def trainable(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that can be trained: their weights are their own, and so is a bias, or may be."""
    graph = Graph(model)
    return [node.name for node in model.graph.node if _is_trainable(graph, node)]


def _is_trainable(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type not in ("Conv", "Gemm") or not graph.owned(node, 1):
        return False
    weight, attrs = graph.constant(node.input[1]), attributes(node)
    assert weight is not None
    if attrs.get("transA", 0) or {attrs.get("alpha", 1.0), attrs.get("beta", 1.0)} != {1.0}:
        return False
    if len(node.input) < 3 or not node.input[2]:
        return weight.dtype == np.float32
    bias = graph.constant(node.input[2])
    channels = weight.shape[0] if node.op_type == "Conv" or attrs.get("transB", 0) else weight.shape[1]
    fits = bias is not None and bias.size == channels and bias.shape[-1:] == (channels,)
    return fits and weight.dtype == np.float32 and graph.owned(node, 2)


def _module(root: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return root.get_submodule(str(node.target)) if node.op == "call_module" else None


def _last_layers(module: fx.GraphModule) -> set[str]:
    """Return the layers that no other layer follows."""
    last: set[str] = set()
    seen: set[fx.Node] = set()
    waiting = [node for node in module.graph.nodes if node.op == "output"]
    while waiting:
        node = waiting.pop()
        for source in set(node.all_input_nodes) - seen:
            seen.add(source)
            inner = _module(module, source)
            if inner is not None and layers.is_layer(inner):
                last.add(str(source.target))
            else:
                waiting.append(source)
    return last


def without_softmax(module: fx.GraphModule) -> list[int | None]:
    """Let the graph return what goes into a final softmax instead of what comes out.

    Returns:
        For each output, the axis of the softmax that was left out; None if there was none.
    """
    end = next(node for node in module.graph.nodes if node.op == "output")
    outputs = end.args[0] if isinstance(end.args[0], tuple) else (end.args[0],)
    inner = [_module(module, each) for each in outputs]
    axes = [each.dim if isinstance(each, nn.Softmax) else None for each in inner]
    kept = tuple(each if axis is None else each.args[0] for each, axis in zip(outputs, axes, strict=True))
    end.args = (kept if len(kept) > 1 else kept[0],)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return axes
