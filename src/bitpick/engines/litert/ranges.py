"""Collect the ranges of the tensors in a LiteRT file over the calibration set."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import litert_file
from bitpick.datasets.dataset import Samples
from bitpick.engines import spread
from bitpick.engines.batches import calibration_batches, pieces
from bitpick.engines.litert import graph
from bitpick.errors import Unsupported

_ENDS = ("min", "max")
_NOTHING = 1e-9  # any scale fits a tensor that is always 0, but XNNPACK rejects scales this small


@lru_cache(maxsize=4)
def blown_up(source: Path, _: str, samples: Samples) -> dict[str, str]:
    """Return the operators that must stay in float, see `spread`.

    Returns:
        The type of each operator, by the name of its first output.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(source),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,  # delegates hide inner tensors
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    inputs = litert_file.inputs_and_outputs(interpreter)[0]
    names = {int(tensor["index"]): tensor["name"] for tensor in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()  # noqa: SLF001 - no public API lists the operators
    written = {int(i) for op in operators for i in op["outputs"]} & names.keys()  # not all tensors of a loop are listed
    computed = written | {int(each["index"]) for each in inputs}
    spreads = spread.Spreads()
    for batch in spread.batches(samples, int(inputs[0]["shape"][0])):
        for end, array in zip(inputs, batch, strict=True):
            interpreter.set_tensor(end["index"], graph.native(end, array))
        interpreter.invoke()
        spreads.add((names[i], values) for i in computed if (values := _read(interpreter, i)) is not None)
    steps = [
        spread.Step(
            names.get(int(op["outputs"][0]), ""),
            op["op_name"],
            *(tuple(names[int(i)] for i in op[side] if int(i) in names) for side in ("inputs", "outputs")),
        )
        for op in operators
    ]
    return {step.name: step.kind for step in spread.left_in_float(steps, spreads)}


def _read(interpreter: Any, tensor: int) -> NDArray[Any] | None:
    """Return the values of a tensor; None if it has none to read, like the state of a loop."""
    try:
        values: NDArray[Any] = interpreter.get_tensor(tensor)
    except ValueError:
        return None
    return values


def collect(source: Path, calibration: str, manager: Any, samples: Samples) -> dict[str, Any]:
    """Return the ranges of all tensors over the calibration set, collected sample by sample.

    The quantizer's own `calibrate` holds the whole set in memory and supports only moving averages: with 0.95 of the
    old range and 0.05 of the new one at each sample, the last twenty samples decide.

    Raises:
        Unsupported: the model has a loop with an unused result, which litert-quantizer cannot read.
        ValueError: litert-quantizer refuses the model for another reason.
    """
    from ai_edge_litert.interpreter import Interpreter
    from litert_quantizer import calibrator
    from litert_quantizer.utils import qsv_utils

    interpreter = Interpreter(model_path=str(source))
    signature = next(iter(interpreter.get_signature_list()))
    details = interpreter.get_signature_runner(signature).get_input_details()
    by_index = {each["index"]: name for name, each in details.items()}
    inputs = litert_file.inputs_and_outputs(interpreter)[0]
    names = [by_index[each["index"]] for each in inputs]
    updates = {"minmax": qsv_utils.min_max_update, "moving_average": qsv_utils.moving_average_update}
    collector = calibrator.Calibrator(str(source), num_threads=1, qsv_update_func=updates[calibration])
    for batch in calibration_batches(samples, None):
        native = tuple(graph.native(*each) for each in zip(inputs, batch, strict=True))
        named_inputs = [dict(zip(names, piece, strict=True)) for piece in pieces(native, int(inputs[0]["shape"][0]))]
        try:
            collector.calibrate({signature: named_inputs}, manager)
        except ValueError as error:
            if "Tensor data is null" not in str(error):
                raise
            raise Unsupported(
                "litert-quantizer cannot collect the ranges of a model with a loop of which a result is not used",
                fix="take litert:s8dynamic or litert:s8weights, which need no ranges",
            ) from error
    ranges: dict[str, Any] = collector.get_model_qsvs()
    for each in ranges.values():
        if max(np.abs(each["min"]).max(), np.abs(each["max"]).max()) < _NOTHING:
            each["min"], each["max"] = np.zeros_like(each["min"]), np.ones_like(each["max"])
    return ranges


def save(ranges: dict[str, Any], out: Path) -> None:
    """Write the ranges that `collect` returned."""
    ends = {name: {end: (str(each[end].dtype), each[end].tolist()) for end in _ENDS} for name, each in ranges.items()}
    out.write_text(json.dumps(ends))


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote; every number is the same."""
    stored = json.loads(path.read_text())
    return {
        name: {end: np.array(numbers, dtype) for end, (dtype, numbers) in ends.items()} for name, ends in stored.items()
    }
