"""The training form of a network, made from the imported clean graph, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import fx, nn

from bitpick.passes.graphs import Graph
from bitpick.passes.layers import Layer
from bitpick.passes.layers import layers as layers_of
from bitpick.passes.training import layers, quantizers
from bitpick.passes.training.layers import TrainedLayer
from bitpick.passes.training.quantizers import Activation
from bitpick.passes.weight_grid import WeightGrid

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
        names: the modules that may be trained, each with the name of its layer.
        grid: the grid of the weights, with a scale for each channel; None to train without one.

    Attributes:
        module: the training form.
        layers: its trained layers, by the name of the module.
    """

    def __init__(self, module: fx.GraphModule, names: Mapping[str, str], grid: WeightGrid | None) -> None:
        self.module = module
        self.layers: dict[str, TrainedLayer] = {}
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        nodes = list(module.graph.nodes)
        last = _last_layers(module)
        for node in nodes:
            if node.op == "call_module" and node.target in names and layers.is_layer(module.get_submodule(node.target)):
                name = str(node.target)
                inner = module.get_submodule(name)
                kind = not isinstance(inner, nn.Linear), layers.is_depthwise(inner)
                own = None if grid is None else grid.of(names[name], *kind)
                levels, lopsided = (None, False) if own is None else (own.levels, own.lopsided)
                layer = TrainedLayer(inner, levels, name not in last, lopsided)
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
        for layer in trainable(graph):
            trained = self.layers.get(modules.get(layer.node.name, ""))
            if trained is None:
                continue
            weight, bias = trained.folded()
            layer.store(graph, weight.flatten(1).cpu().numpy())
            layer.add_to_bias(graph, (bias - trained.former_bias).cpu().numpy())
            changed.append(layer.name)
        return changed


def trainable(graph: Graph) -> list[Layer]:
    """Return the layers that can be trained: those whose weights and bias are their own."""
    return [layer for layer in layers_of(graph) if layer.bias is not None]


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
