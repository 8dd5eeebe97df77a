"""Write models that are objects of a running program to files that a run can start from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bitpick.errors import ModelError
from bitpick.models.source import Source


def save(model: object, folder: Path, example: Any = None) -> Source:
    """Write a model to a file.

    The calling program made the object, so the file is trusted.

    Args:
        model: a `keras.Model`, or a `torch.nn.Module`, which is exported in evaluation mode.
        folder: where to write the file.
        example: inputs for a `torch.nn.Module`: an array or a tensor of shape (n, …), or a tuple with one for each
            input.

    Returns:
        The file as a source that a run accepts.

    Raises:
        ModelError: the model is of neither class, the example is missing, or the model does not accept it.
        OperatorError: `torch.export` cannot express the model.
    """
    # If a framework was never imported, the object cannot be one of its models.
    keras, torch = sys.modules.get("keras"), sys.modules.get("torch")
    if keras is not None and isinstance(model, keras.Model):
        return _save_keras(model, folder)
    if torch is not None and isinstance(model, torch.nn.Module):
        return _save_torch(model, folder, example)
    raise ModelError(
        f"the model is a {type(model).__module__}.{type(model).__qualname__}",
        expected="a path, a keras.Model or a torch.nn.Module",
    )


def needs_example(model: object) -> bool:
    """Return whether a model does not describe its own inputs, so that the user must give example inputs."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def _save_keras(model: Any, folder: Path) -> Source:
    """Write a `.keras` file; a SavedModel if the model has custom layers, because that needs no classes."""
    import keras

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{model.name}.keras"
    model.save(path)
    custom = [layer for layer in model._flatten_layers() if not type(layer).__module__.startswith("keras.")]  # noqa: SLF001
    if not custom and not any(isinstance(layer, keras.layers.Lambda) for layer in model._flatten_layers()):  # noqa: SLF001
        return Source(str(path), trusted=True)
    path.unlink()
    if keras.backend.backend() != "tensorflow":
        raise ModelError(
            f"the model {model.name} has layers of its own, and Keras exports these with TensorFlow alone",
            fix="set KERAS_BACKEND=tensorflow before Keras is imported",
        )
    model.export(str(folder / model.name), format="tf_saved_model", verbose=False)
    return Source(str(folder / model.name), trusted=True)


def _save_torch(model: Any, folder: Path, example: Any) -> Source:
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
            batch = exported_program.take_samples(inputs, exported_program.fixed_batch(program))
            sides = [exported_program.arrays(each, batch) for each in (model, exported_program.module(program))]
    finally:
        model.train(training)
    verify.check(sides[0], sides[1], f"exporting the module {name}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pt2"
    torch.export.save(program, path)
    return Source(str(path), trusted=True)
