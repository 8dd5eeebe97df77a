"""The PyTorch graph under construction, and what is known of each of its tensors."""

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
    """A graph, its modules, and the shape and type of each tensor.

    Every node that is added is run at two batch sizes on fake tensors, which have a shape and a type and no numbers.
    That tells what ONNX's shape inference does not: each axis as a number or as a multiple of the batch.
    """

    def __init__(self) -> None:
        from torch import fx, nn
        from torch._subclasses.fake_tensor import FakeTensorMode

        self.root = nn.Module()
        self.graph = fx.Graph()
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._seen: dict[fx.Node, tuple[Any, Any]] = {}
        self._batched: fx.Node | None = None
        self._batch: fx.Node | None = None

    def input(self, name: str, shape: Sequence[int | None], dtype: str) -> fx.Node:
        """Add an input of the graph; a free leading dimension is the batch."""
        import torch

        node = self.graph.placeholder(name)
        kind = getattr(torch, dtype)
        with self._mode:
            self._seen[node] = (self._example(shape, kind, 0), self._example(shape, kind, 1))
        if shape and shape[0] is None and self._batched is None:
            self._batched = node
        return node

    @staticmethod
    def _example(shape: Sequence[int | None], dtype: torch.dtype, probe: int) -> torch.Tensor:
        import torch

        free = (PROBES[probe], *[FREE[probe]] * len(shape))
        return torch.empty([size if size is not None else free[axis] for axis, size in enumerate(shape)], dtype=dtype)

    def function(self, name: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> fx.Node:
        """Add a call of a function on nodes and plain values."""
        return self._add("call_function", function, function, arguments, keywords, name)

    def method(self, name: str, method: str, *arguments: Any) -> fx.Node:
        """Add a call of a tensor's method, on the first argument."""

        def call(tensor: Any, *rest: Any) -> Any:
            return getattr(tensor, method)(*rest)

        return self._add("call_method", method, call, arguments, {}, name)

    def module(self, name: str, module: nn.Module, *arguments: Any) -> fx.Node:
        """Add a module and a call of it."""
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
        self._seen[node] = (tensor, tensor)
        return node

    def batch(self, multiple: Batch) -> fx.Node:
        """A multiple of the batch size, as it is when the graph runs."""
        import operator

        assert self._batched is not None
        if self._batch is None:
            self._batch = self.method("batch_size", "size", self._batched, 0)
        if multiple.factor == 1:
            return self._batch
        return self.function("batch_size", operator.mul, self._batch, multiple.factor)

    def shape(self, node: fx.Node) -> list[Size | None]:
        """Shape of a tensor; None for an axis that is free and no multiple of the batch."""
        small, large = self._seen[node]
        return [size_of(*pair) for pair in zip(small.shape, large.shape, strict=True)]

    def dtype(self, node: fx.Node) -> torch.dtype:
        """Type of a tensor's elements."""
        dtype: torch.dtype = self._seen[node][0].dtype
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

        def seen(probe: int) -> Any:
            args, kwargs = fx.node.map_arg((arguments, dict(keywords)), lambda each: self._seen[each][probe])
            return run(*args, **kwargs)

        with self._mode, torch.no_grad():
            self._seen[node] = (seen(0), seen(1))
        return node
