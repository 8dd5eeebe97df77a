"""Models that are objects of a running program: written to a file that a run can start from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bitpick.errors import ModelError
from bitpick.models.source import Source


def save(model: object, folder: Path, example: Any = None) -> Source:
    """Write a model to a file.

    The object was made by the program that calls, so that the file is trusted.

    Args:
        model: a `keras.Model`, or a `torch.nn.Module`, which is exported as it computes in evaluation mode.
        folder: where the file goes.
        example: inputs of a `torch.nn.Module`: an array or a tensor of shape (n, …), or a tuple of them, one for each
            input.

    Returns:
        The file, as a model that a run takes.

    Raises:
        ModelError: it is neither, the example is missing, or the model does not take it.
        OperatorError: `torch.export` cannot express it.
    """
    # An object of a framework that was never imported is none of its.
    keras, torch = sys.modules.get("keras"), sys.modules.get("torch")
    if keras is not None and isinstance(model, keras.Model):
        return _saved_keras(model, folder)
    if torch is not None and isinstance(model, torch.nn.Module):
        return _saved_torch(model, folder, example)
    raise ModelError(
        f"the model is a {type(model).__module__}.{type(model).__qualname__}",
        expected="a path, a keras.Model or a torch.nn.Module",
    )


def needs_example(model: object) -> bool:
    """Whether a model does not say itself what it takes."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def _saved_keras(model: Any, folder: Path) -> Source:
    """As a `.keras` file; one that needs the caller's own classes as a SavedModel, which does not."""
    import keras

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{model.name}.keras"
    model.save(path)
    own = [layer for layer in model._flatten_layers() if not type(layer).__module__.startswith("keras.")]  # noqa: SLF001
    if not own and not any(isinstance(layer, keras.layers.Lambda) for layer in model._flatten_layers()):  # noqa: SLF001
        return Source(str(path), trusted=True)
    path.unlink()
    if keras.backend.backend() != "tensorflow":
        raise ModelError(
            f"the model {model.name} has layers of its own, and Keras exports these with TensorFlow alone",
            fix="set KERAS_BACKEND=tensorflow before Keras is imported",
        )
    model.export(str(folder / model.name), format="tf_saved_model", verbose=False)
    return Source(str(folder / model.name), trusted=True)


def _saved_torch(model: Any, folder: Path, example: Any) -> Source:
    import torch

    from bitpick.conversion import exported_program, verify

    name = type(model).__name__
    if example is None:
        raise ModelError(
            f"the module {name} does not say what it takes", fix="give it some inputs: example=(x,), of shape (n, …)"
        )
    inputs = tuple(torch.as_tensor(each) for each in (example if isinstance(example, (tuple, list)) else (example,)))
    training = model.training
    try:
        model.eval()
        with torch.no_grad():
            program = exported_program.export(model, inputs, name)
            fitting = exported_program.sized(inputs, exported_program.fixed_batch(program))
            sides = [exported_program.arrays(each, fitting) for each in (model, exported_program.module(program))]
    finally:
        model.train(training)
    verify.check(sides[0], sides[1], f"exporting the module {name}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pt2"
    torch.export.save(program, path)
    return Source(str(path), trusted=True)
