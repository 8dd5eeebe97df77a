"""Open TensorFlow SavedModels; read their inputs and outputs."""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitpick.conversion import saved_model_copy
from bitpick.conversion.keras_file import use_tensorflow
from bitpick.errors import ModelError
from bitpick.library_errors import telling_line

_DEFAULT_SIGNATURE = "serving_default"
_WRITING = ("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp", "ResourceScatterUpdate")


@dataclass(frozen=True)
class SavedModel:
    """An open SavedModel.

    Attributes:
        call: the function of its signature, from inputs to a list of outputs, both in the order of their names.
        specs: a `tf.TensorSpec` for each input.
        stored: the weights: a `tf.Variable` each, or a `tf.Tensor` for a constant that the function captured.
        loaded: the object that holds the weights; it must outlive `call`.
        copy: the temporary folder that it was opened from, if any; its files may be read later.
        signed: whether it has a signature.
    """

    call: Callable[..., list[Any]]
    specs: list[Any]
    stored: list[Any]
    loaded: Any
    copy: tempfile.TemporaryDirectory[str] | None = None
    signed: bool = True

    @property
    def fixed_batch(self) -> int | None:
        """The batch size that the model was saved for; None if it accepts any."""
        sizes = [spec.shape[0] for spec in self.specs if spec.shape.rank]
        return next((int(size) for size in sizes if size is not None), None)

    @property
    def weights(self) -> int:
        """The number of weights."""
        return sum(math.prod(each.shape) for each in self.stored)


def with_numbered_names(call: Callable[..., list[Any]], specs: Iterable[Any]) -> Any:
    """Return a concrete function with numbered names: converters sort by name, and this keeps the order."""
    import tensorflow as tf

    function = tf.function(lambda *inputs: {f"output_{i}": y for i, y in enumerate(call(*inputs))}, autograph=False)
    return function.get_concrete_function(*(tf.TensorSpec(s.shape, s.dtype, f"input_{i}") for i, s in enumerate(specs)))


def to_litert(call: Callable[..., list[Any]], specs: Sequence[Any], holder: Any) -> bytes:
    """Convert a function to LiteRT: for any batch, or for one sample if a loop in it needs a fixed size of its state.

    Args:
        call: the function, from inputs to a list of outputs.
        specs: a `tf.TensorSpec` for each input.
        holder: the object that holds the weights.
    """
    import tensorflow as tf

    def convert(call_specs: Sequence[Any]) -> bytes:
        content: bytes = tf.lite.TFLiteConverter.from_concrete_functions(
            [with_numbered_names(call, call_specs)], holder
        ).convert()
        return content

    try:
        return convert(specs)
    except Exception as error:
        if "requires element_shape to be static" not in str(error):
            raise
        return convert([tf.TensorSpec([1, *spec.shape[1:]], spec.dtype, spec.name) for spec in specs])


def with_fixed_shapes(specs: Sequence[Any], shapes: Sequence[Sequence[int]] | None) -> list[Any]:
    """Return the specs of inputs with all free axes but the batch fixed.

    Args:
        specs: a `tf.TensorSpec` for each input.
        shapes: the shape of one sample of each input, without the batch axis; None leaves the axes free.
    """
    import tensorflow as tf

    def fix(spec: Any, shape: Sequence[int]) -> Any:
        if spec.shape.rank is None:
            return tf.TensorSpec([None, *shape], spec.dtype, spec.name)
        sizes = [old if old is not None else size for old, size in zip(spec.shape[1:], shape, strict=True)]
        return tf.TensorSpec([*spec.shape[:1], *sizes], spec.dtype, spec.name)

    if shapes is None:
        return list(specs)
    return [fix(spec, shape) for spec, shape in zip(specs, shapes, strict=True)]


def load(path: Path, float32: bool = True) -> SavedModel:
    """Open a SavedModel by the signature `serving_default` or its only signature; without one, by the model's call.

    A TensorFlow graph can read and write files: open only models that the user trusts.

    Args:
        path: the folder.
        float32: whether to read half precision as float32, if the weights are float32.

    Raises:
        ModelError: TensorFlow cannot read it, it has no such signature or call, or it keeps a state.
    """
    use_tensorflow()
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    copy = None
    try:
        if saved_model_copy.needed(path):
            copy = tempfile.TemporaryDirectory(prefix="bitpick-")
            saved_model_copy.write(path, Path(copy.name), float32)
        loaded = tf.saved_model.load(copy.name if copy else str(path))
    except Exception as error:
        incomplete = isinstance(error, (tf.errors.NotFoundError, tf.errors.DataLossError, OSError, DecodeError))
        raise ModelError(
            f"TensorFlow cannot read the SavedModel {path}: {telling_line(error)}",
            expected="a folder that the installed version of TensorFlow can load",
            fix="check that the folder was copied whole"
            if incomplete
            else "save it again where it was made, with model.export('folder') or tf.saved_model.save",
        ) from error
    signatures = dict(loaded.signatures)
    if not signatures and (parts := _model_call(loaded)) is not None:
        return SavedModel(*parts, loaded, copy, signed=False)
    if _DEFAULT_SIGNATURE not in signatures and len(signatures) != 1:
        raise ModelError(
            f"the SavedModel {path} has the signatures {', '.join(sorted(signatures)) or 'none'}",
            expected=f"{_DEFAULT_SIGNATURE}, or one alone",
            fix="save it with model.export('folder'), or with signatures= given to tf.saved_model.save",
        )
    function = signatures.get(_DEFAULT_SIGNATURE) or next(iter(signatures.values()))
    _refuse_states(path, function)
    specs = function.structured_input_signature[1]
    names, outputs = _sorted(specs), _sorted(function.structured_outputs)

    def call(*inputs: Any) -> list[Any]:
        results = function(**dict(zip(names, inputs, strict=True)))
        return [results[name] for name in outputs]

    return SavedModel(call, [specs[name] for name in names], _stored(function), loaded, copy)


def _refuse_states(path: Path, function: Any) -> None:
    """Refuse a function that writes to a variable: its outputs depend on earlier calls."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    if writing := sorted({node.op for node in nodes if node.op in _WRITING}):
        raise ModelError(
            f"the SavedModel {path} keeps a state from one call to the next ({', '.join(writing)})",
            expected="a model whose answer depends on its inputs alone",
            fix="make the states inputs and outputs of its signature; of a Keras model leave out stateful=True",
        )


def write(path: Path, out: Path) -> None:
    """Write a copy of a SavedModel that TensorFlow opens without bitpick: no slot variables, and with a signature.

    Args:
        path: the folder.
        out: the folder to create.
    """
    model = load(path)
    if not model.signed:
        import tensorflow as tf

        tf.saved_model.save(model.loaded, str(out), signatures=with_numbered_names(model.call, model.specs))
    elif model.copy is not None:
        shutil.copytree(model.copy.name, out)
    else:
        shutil.copytree(path, out)


def _model_call(loaded: Any) -> tuple[Callable[..., list[Any]], list[Any], list[Any]] | None:
    """Return function, specs and weights, as in `SavedModel`, for the call of a model without signatures.

    None if it has no such function, or more than one. Functions traced for training do not count, and those with a free
    batch take precedence.
    """
    import tensorflow as tf

    functions = []
    for function in getattr(loaded.__call__, "concrete_functions", ()) if callable(loaded) else ():
        structure = function.structured_input_signature
        leaves = tf.nest.flatten(structure)
        specs = [leaf for leaf in leaves if isinstance(leaf, tf.TensorSpec)]
        if specs and not any(leaf is True for leaf in leaves):
            functions.append((function, structure, leaves, specs))
    free = [each for each in functions if all(s.shape.rank and s.shape[0] is None for s in each[3])]
    if len(chosen := free or functions) != 1:
        return None
    function, structure, leaves, specs = chosen[0]
    named_specs = [tf.TensorSpec(s.shape, s.dtype, s.name or f"input_{i}") for i, s in enumerate(specs)]

    def call(*inputs: Any) -> list[Any]:
        tensors = iter(inputs)
        arguments = [next(tensors) if isinstance(leaf, tf.TensorSpec) else leaf for leaf in leaves]
        args, kwargs = tf.nest.pack_sequence_as(structure, arguments)
        return list(tf.nest.flatten(function(*args, **kwargs)))

    return call, named_specs, _stored(function)


def _stored(function: Any) -> list[Any]:
    """Return the weights of a function: its variables, and the float constants that it captured."""
    constants = [each for each in function.captured_inputs if each.dtype.is_floating]
    return [*function.variables, *constants]


def _sorted(names: Iterable[str]) -> list[str]:
    """Sort names by letters and by the numbers in them: a signature has names but no order."""
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])
