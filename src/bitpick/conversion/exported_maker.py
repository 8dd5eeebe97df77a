"""PyTorch models of every kind → a `torch.export` program, with a free batch if possible."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bitpick.conversion import exported_batch, exported_program, rounding, training_mode, verify
from bitpick.conversion.made import MakerResult
from bitpick.errors import ModelError, OperatorError
from bitpick.library_errors import telling_line
from bitpick.models import user_code

if TYPE_CHECKING:
    import torch


_FLOAT32_BYTES = 4
_EVALUATE = "call model.eval(), then export or trace the model again"
_ASK = "its code does so even after model.eval(): use self.training there, as in F.dropout(x, training=self.training)"


def make(
    out: str,
    source: str,
    kind: str,
    state_dict: str | None = None,
    inputs: str | None = None,
    names: list[str] | None = None,
) -> MakerResult:
    """Write the exported program of a model that the user trusts, and check it against the original on a batch.

    Args:
        out: the `.pt2` file to write.
        source: a file, or `module:function`.
        kind: `PROGRAM`, which describes its own inputs, or `TORCHSCRIPT`, `PICKLE` or `FACTORY`.
        state_dict: a file with the weights of the module that the function returns.
        inputs: an `.npz` file with two or more samples, an array for each input. Optional for a program, whose batch
            axis they show.
        names: the names of these inputs; for a program.

    Returns:
        The result, with the digest of the graph and its weights: the file's own digest differs each time.

    Raises:
        ModelError: the model cannot be opened, or does not accept the samples.
        OperatorError: `torch.export` cannot express the model.
        ConversionError: the exported program computes something else.
    """
    import torch

    notes: list[str] = []
    with torch.no_grad():
        if kind == "PROGRAM":
            program, notes = _user_program(source, inputs, names or [])
        else:
            assert inputs is not None
            with np.load(inputs) as arrays:
                batch = tuple(torch.from_numpy(arrays[name]) for name in arrays.files)
            original = _load_script(source) if kind == "TORCHSCRIPT" else _module(source, kind, state_dict).eval()
            module = _convert_script(original, batch, source) if kind == "TORCHSCRIPT" else original
            program = exported_program.export(module, batch, source)
            fix = _EVALUATE if kind == "TORCHSCRIPT" else _ASK
            training_mode.refuse(source, training_mode.of_program(program.graph), fix)
            _refuse(source, program)
            _check(source, original, program, batch)
    torch.export.save(program, out)
    return MakerResult(_digest(program), tuple(notes))


def _user_program(source: str, inputs: str | None, names: list[str]) -> tuple[torch.export.ExportedProgram, list[str]]:
    """Return the user's program with its batch first, and free if possible; and notes for the user."""
    program = exported_program.load(Path(source))
    training_mode.refuse(source, training_mode.of_program(program.graph), _EVALUATE)
    _refuse(source, program)
    if inputs is None:
        return exported_program.with_free_batch(program), []
    with np.load(inputs) as arrays:
        samples = dict(zip(names, (arrays[each] for each in arrays.files), strict=True))
    return exported_batch.with_batch_first(program, samples, Path(source).name)


def _refuse(source: str, program: torch.export.ExportedProgram) -> None:
    """Refuse a program whose outputs depend on earlier calls, or that is not in float32."""
    if buffers := _written_buffers(program):
        raise ModelError(
            f"the model {source} keeps the state of {', '.join(buffers)} from one call to the next",
            expected="a model whose answer depends on its inputs alone",
            fix="make the states inputs and outputs, and export it again",
        )
    stored = {each.dtype for each in program.state_dict.values() if each.dtype.is_floating_point}
    others = sorted(str(dtype).removeprefix("torch.") for dtype in stored if dtype.itemsize != _FLOAT32_BYTES)
    if others:
        raise ModelError(
            f"the model {source} stores numbers in {', '.join(others)}",
            expected="a PyTorch model in float32",
            fix="call model.float(), and export or save it again with samples in float32",
        )


def _written_buffers(program: torch.export.ExportedProgram) -> list[str]:
    """Return the names of the buffers that a program writes to, by operators or, in newer programs, at its end."""
    buffers = program.graph_signature.inputs_to_buffers
    names = set(program.graph_signature.buffers_to_mutate.values())
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is not None and schema.is_mutable:
            names |= {buffers[each.name] for each in node.all_input_nodes[:1] if each.name in buffers}
    return sorted(names)


def _digest(program: torch.export.ExportedProgram) -> str:
    import torch

    digest = hashlib.sha256(program.graph_module.code.encode())
    for name, tensor in sorted({**program.state_dict, **program.constants}.items()):
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _resized(program: torch.export.ExportedProgram, batch: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return exported_program.take_samples(batch, exported_program.fixed_batch(program))


def _module(source: str, kind: str, state_dict: str | None) -> torch.nn.Module:
    return _from_factory(source, state_dict) if kind == "FACTORY" else _unpickled(source)


def _from_factory(name: str, state_dict: str | None) -> torch.nn.Module:
    import torch

    module = user_code.call(name)
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{name} returns a {type(module).__name__}", expected="a torch.nn.Module")
    if state_dict is None:
        return module
    try:
        weights = torch.load(state_dict, map_location="cpu", weights_only=True)
        module.load_state_dict(weights)
    except Exception as error:
        raise ModelError(
            f"the weights in {state_dict} do not fit the module of {name}: {telling_line(error)}",
            expected="a file that torch.save(module.state_dict(), …) wrote",
        ) from error
    return module


def _unpickled(source: str) -> torch.nn.Module:
    import torch

    try:
        user_code.add_current_folder()
        module = torch.load(source, map_location="cpu", weights_only=False)
    except Exception as error:
        raise ModelError(
            f"PyTorch cannot read {source}: {telling_line(error)}",
            fix="start bitpick where the module's class can be imported, or save it with torch.export.save",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise ModelError(
            f"{source} holds a {type(module).__name__}, not a module",
            expected="a whole module; for weights alone give module:function, with --state-dict",
        )
    return module


def _load_script(source: str) -> torch.jit.ScriptModule:
    import torch

    try:
        script: torch.jit.ScriptModule = torch.jit.load(source, map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except Exception as error:
        raise ModelError(
            f"PyTorch cannot read {source}: {telling_line(error)}", fix="check that the file was copied whole"
        ) from error
    return script


def _convert_script(script: Any, batch: tuple[torch.Tensor, ...], source: str) -> torch.fx.GraphModule:
    """Convert a TorchScript model to a graph of `torch.export`'s operators, with PyTorch's own converter."""
    import torch
    from torch._export.converter import TS2EPConverter

    exported_program.run(script, batch)
    try:
        module = exported_program.module(TS2EPConverter(script, batch).convert())
    except Exception as error:
        raise OperatorError(
            f"torch.export cannot express the TorchScript model {source}: {telling_line(error)}",
            fix="export the module that it was made from with torch.export.export, or to ONNX",
        ) from error
    # A traced model uses the general operator, which quantizers do not recognise.
    convolutions = {3: torch.ops.aten.conv1d, 4: torch.ops.aten.conv2d, 5: torch.ops.aten.conv3d}
    for node in module.graph.nodes:
        if str(node.target) == "aten.convolution.default":
            data, weight, bias, stride, padding, dilation, transposed, _, groups = node.args
            if not transposed:
                node.target = convolutions[node.meta["val"].dim()].default
                node.args = (data, weight, bias, stride, padding, dilation, groups)
    module.recompile()
    return module


def _check(source: str, original: Any, program: torch.export.ExportedProgram, batch: tuple[torch.Tensor, ...]) -> None:
    """Compare the original with its exported program on the samples."""
    resized = _resized(program, batch)
    sides = [exported_program.arrays(original, resized) for _ in range(2)]
    if not rounding.alike(*sides):
        raise ModelError(
            f"the model {source} gives different outputs when it is run twice on the same samples",
            expected="the same outputs for the same samples",
            fix="export it in evaluation mode (model.eval()) and without random numbers",
        )
    outputs = exported_program.arrays(exported_program.module(program), resized)
    verify.check(sides[0], outputs, f"exporting {source}")
