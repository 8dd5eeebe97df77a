"""ExecuTorch with the XNNPACK delegate: PyTorch's runtime for phones, run here on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bitpick.datasets.dataset import Samples
from bitpick.engines import pt2e, spread
from bitpick.engines.batches import example, join, pieces
from bitpick.engines.capability import PREPARED, Capability, Offer
from bitpick.engines.engine import Build, Engine, Session, SessionSettings
from bitpick.engines.executed import Executed
from bitpick.engines.executorch import graph
from bitpick.errors import Unsupported
from bitpick.models.model import Format, Model
from bitpick.passes.registry import gridded_passes
from bitpick.passes.weight_grid import WeightGrid
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe, baseline
from bitpick.targets.host import Host

_FILE = "model.pte"
# XNNPACK's patterns of several operators: the module and function that make them, and what the name of one operator in
# each contains.
_PATTERNS = {
    ("bilinear_2d", "get_graphs_dict"): ("upsample", "index"),
    ("sdpa", "get_graphs"): ("attention", "softmax"),
}


class ExecuTorchEngine(Engine):
    """Quantizes with XNNPACK's own quantizer; a build is a program with the model's fixed batch size, or 1."""

    name = "executorch"
    environment = "executorch"
    packages = ("executorch", "torchao", "torch")
    extra = "executorch"
    accepts = (Format.EXPORTED, Format.PYTORCH)
    fixed_shapes = True
    weight_levels = MappingProxyType({"s8": 127, "s4": 7})
    runner = "bitpick.engines.executorch.runner"
    capabilities = (
        Capability(("s8dynamic", "s4dynamic")),
        Capability(("s8s8",), granularities=("per_tensor", "per_channel"), calibrations=("histogram",)),
    )

    def recipes(self, model: Model, host: Host) -> list[Offer]:  # noqa: ARG002 - the same on every model and host
        """See `Engine.recipes`."""
        usual, full = frozenset({"standard", "full"}), frozenset({"full"})
        return [
            Offer(baseline(self.name), usual),
            Offer(Recipe.parse(f"{self.name}:s8s8-per_channel-histogram"), usual),
            Offer(Recipe.parse(f"{self.name}:s8s8-per_channel-histogram{PREPARED}"), usual),
            Offer(Recipe.parse(f"{self.name}:s8s8-per_tensor-histogram"), full),
            Offer(Recipe.parse(f"{self.name}:s8dynamic"), full),
            Offer(Recipe.parse(f"{self.name}:s4dynamic{PREPARED}"), full),
        ]

    def weight_grid(self, recipe: Recipe) -> WeightGrid | None:
        """See `Engine.weight_grid`; XNNPACK has four-bit weights in matrix products alone."""
        grid = super().weight_grid(recipe)
        return replace(grid, convolutions=127) if grid is not None and recipe.weight_dtype == "s4" else grid

    def build(
        self,
        source: Path,
        recipe: Recipe,
        samples: Samples,
        ranges: Path | None,  # noqa: ARG002 - its observers are in the graph
        folder: Path,
    ) -> Build:
        """See `Engine.build`."""
        import torch
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        from bitpick.conversion import pytorch_file

        module: Any = pytorch_file.load(source)
        inputs = tuple(map(torch.from_numpy, example(samples, pytorch_file.fixed_batch(module), 1)))
        in_float: list[str] = []
        if recipe.kind != "baseline":
            module, in_float = pt2e.quantize(module, _quantizer(recipe), samples)
        program = torch.export.export(module, inputs)
        with _without_absent_patterns(program):
            lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        compiled = lowered.to_executorch()
        _check_kernels(compiled.executorch_program)
        (folder / _FILE).write_bytes(compiled.buffer)
        return Build(recipe, folder, (_FILE,), notes=spread.note(self.name, in_float))

    def open(self, build: Build, settings: SessionSettings) -> Session:
        """See `Engine.open`."""
        return _ExecuTorchSession(build.main, settings)

    def inspect(self, build: Build, sample: Arrays) -> Executed:  # noqa: ARG002 - it needs no run
        """See `Engine.inspect`."""
        return graph.executed(build.main.read_bytes())


@contextmanager
def _without_absent_patterns(program: Any) -> Iterator[None]:
    """Make XNNPACK look for no pattern that a program cannot contain: making the patterns takes four seconds."""
    from executorch.backends.xnnpack.partition import graphs

    modules = [module for module in program.graph_module.modules() if hasattr(module, "graph")]
    operators = {str(node.target) for module in modules for node in module.graph.nodes}
    replaced = []
    for (name, function), parts in _PATTERNS.items():
        if not any(part in operator for operator in operators for part in parts):
            module = import_module(f"{graphs.__name__}.{name}")
            replaced.append((module, function, getattr(module, function)))
            setattr(module, function, dict)  # it has no patterns
    try:
        yield
    finally:
        for module, function, original in replaced:
            setattr(module, function, original)


def _check_kernels(program: Any) -> None:
    """Refuse a program that the runtime cannot run; the runtime itself would report only an error number.

    Raises:
        Unsupported: the runtime has no kernel for an operator that XNNPACK leaves to it.
    """
    from executorch.runtime import Runtime

    available = Runtime.get().operator_registry.operator_names
    required = {
        f"{operator.name}.{operator.overload}" if operator.overload else operator.name
        for plan in program.execution_plan
        for operator in plan.operators
    }
    if missing := sorted(required - available):
        raise Unsupported(f"ExecuTorch's Python runtime has no kernel for {', '.join(missing)}")


def _quantizer(recipe: Recipe) -> Any:
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer
    from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver

    per_channel = recipe.granularity != "per_tensor"
    configuration = xnnpack_quantizer.get_symmetric_quantization_config(
        is_per_channel=per_channel, is_dynamic=recipe.activation_dtype == "dynamic"
    )
    if gridded_passes(recipe):  # scales stop at 2⁻¹² otherwise, too large for channels of small weights
        observer = (PerChannelMinMaxObserver if per_channel else MinMaxObserver).with_args(eps=1e-12)
        weight = replace(configuration.weight, observer_or_fake_quant_ctr=observer)
        configuration = replace(configuration, weight=weight)
    quantizer = xnnpack_quantizer.XNNPACKQuantizer().set_global(configuration)
    if recipe.weight_dtype == "s4":
        import torch

        quantizer.set_operator_type(torch.ops.aten.linear.default, _with_four_bits(configuration))
    # Those for training contain a batch norm in training mode, which no exported model has, and take seconds to make.
    quantizer.SUPPORTED_PATTERNS = [pattern for pattern in quantizer.SUPPORTED_PATTERNS if not pattern.is_qat]
    return quantizer


def _with_four_bits(configuration: Any) -> Any:
    """Return a quantization configuration with four-bit weights.

    XNNPACK stores four bits only for a grid from -8 to 7. The quantizer's own observer would put each channel's largest
    weight between two of its values, at 7.5, so that weights on a grid never got the same grid again. This one puts it
    at 7.
    """
    import torch
    from torchao.quantization.pt2e import PerChannelMinMaxObserver

    class AtSeven(PerChannelMinMaxObserver):  # type: ignore[misc]
        def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
            largest = torch.maximum(self.min_val.abs(), self.max_val.abs())
            scales = torch.where(largest > 0, largest, 1) / 7
            return scales, torch.zeros_like(scales, dtype=torch.int64)

    weight = replace(configuration.weight, quant_min=-8, quant_max=7, observer_or_fake_quant_ctr=AtSeven)
    return replace(configuration, weight=weight)


class _ExecuTorchSession(Session):
    def __init__(self, path: Path, settings: SessionSettings) -> None:
        import torch
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

        torch.set_num_threads(settings.threads)
        # The runtime's own pool has one thread for each core, and Runtime has no setting for it.
        if portable_lib._threadpool_get_thread_count() != settings.threads:  # noqa: SLF001 - there is no public way
            portable_lib._unsafe_reset_threadpool(settings.threads)  # noqa: SLF001
        self._torch = torch
        self._program = Runtime.get().load_program(path)
        self._method = self._program.load_method("forward")
        self._fixed_batch = int(self._method.metadata.input_tensor_meta(0).sizes()[0])

    def prepare(self, batch: Arrays) -> tuple[int, list[list[Any]]]:
        parts = pieces(batch, self._fixed_batch)
        return len(batch[0]), [[self._torch.from_numpy(each) for each in part] for part in parts]

    def run(self, native: tuple[int, list[list[Any]]]) -> tuple[int, list[Arrays]]:
        count, parts = native
        # An output is a view of the program's memory, which the next run overwrites.
        return count, [tuple(each.numpy().copy() for each in self._method.execute(part)) for part in parts]

    def outputs(self, native: tuple[int, list[Arrays]]) -> Arrays:
        count, parts = native
        return join(parts, count, self._fixed_batch)
