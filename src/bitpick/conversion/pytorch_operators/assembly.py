"""The PyTorch graph under construction, with the shape and dtype of each tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion.pytorch_operators.sizes import FREE, PROBES, Batch, Size, size_of

if TYPE_CHECKING:
    import torch
    from torch import fx, nn


class Assembly:
    """A graph, its modules, and the shape and dtype of each tensor.

    Each new node is run at two batch sizes on fake tensors, which have a shape and a dtype but no values. This gives
    what ONNX's shape inference does not: each axis as a number or a multiple of the batch.
    """

    def __init__(self) -> None:
        from torch import fx, nn
        from torch._subclasses.fake_tensor import FakeTensorMode

        self.root = nn.Module()
        self.graph = fx.Graph()
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._probes: dict[fx.Node, tuple[Any, Any]] = {}
        self._batch_source: fx.Node | None = None
        self._batch: fx.Node | None = None

    def input(self, name: str, shape: Sequence[int | None], dtype: str) -> fx.Node:
        """Add a graph input; a free leading dimension is the batch."""
        import torch

        node = self.graph.placeholder(name)
        torch_dtype = getattr(torch, dtype)
        with self._mode:
            self._probes[node] = (self._example(shape, torch_dtype, 0), self._example(shape, torch_dtype, 1))
        if shape and shape[0] is None and self._batch_source is None:
            self._batch_source = node
        return node

    @staticmethod
    def _example(shape: Sequence[int | None], dtype: torch.dtype, probe: int) -> torch.Tensor:
        import torch

        free = (PROBES[probe], *[FREE[probe]] * len(shape))
        return torch.empty([size if size is not None else free[axis] for axis, size in enumerate(shape)], dtype=dtype)

    def function(self, name: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> fx.Node:
        """Add a call of a function; arguments are nodes and plain values."""
        return self._add("call_function", function, function, arguments, keywords, name)

    def method(self, name: str, method: str, *arguments: Any) -> fx.Node:
        """Add a call of a tensor's method; the first argument is the tensor."""

        def call(tensor: Any, *rest: Any) -> Any:
            return getattr(tensor, method)(*rest)

        return self._add("call_method", method, call, arguments, {}, name)

    def module(self, name: str, module: nn.Module, *arguments: Any) -> fx.Node:
        """Add a module and call it."""
        while hasattr(self.root, name):
            name += "_"
        self.root.add_module(name, module.eval())
        return self._add("call_module", name, module, arguments, {}, name)

    def buffer(self, name: str, array: NDArray[Any]) -> fx.Node:
        """Add a stored tensor."""
        import torch

        while hasattr(self.root, name):
            name += "_"
        tensor = torch.from_numpy(np.array(array, order="C"))
        self.root.register_buffer(name, tensor)
        node = self.graph.get_attr(name)
        self._probes[node] = (tensor, tensor)
        return node

    def batch(self, multiple: Batch) -> fx.Node:
        """Return a node that computes a multiple of the batch size when the graph runs."""
        import operator

        assert self._batch_source is not None
        if self._batch is None:
            self._batch = self.method("batch_size", "size", self._batch_source, 0)
        if multiple.factor == 1:
            return self._batch
        return self.function("batch_size", operator.mul, self._batch, multiple.factor)

    def shape(self, node: fx.Node) -> list[Size | None]:
        """Return the shape of a tensor; None for a free axis that is not a multiple of the batch."""
        small, large = self._probes[node]
        return [size_of(*pair) for pair in zip(small.shape, large.shape, strict=True)]

    def dtype(self, node: fx.Node) -> torch.dtype:
        """Return the dtype of a tensor."""
        dtype: torch.dtype = self._probes[node][0].dtype
        return dtype

    def _add(
        self,
        kind: str,
        target: Any,
        run: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        name: str,
    ) -> fx.Node:
        import torch
        from torch import fx

        node = self.graph.create_node(kind, target, arguments, dict(keywords), name=name)

        def run_probe(probe: int) -> Any:
            args, kwargs = fx.node.map_arg((arguments, dict(keywords)), lambda each: self._probes[each][probe])
            return run(*args, **kwargs)

        with self._mode, torch.no_grad():
            self._probes[node] = (run_probe(0), run_probe(1))
        return node
