"""What workers do for the tests of single hops and makers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def write_keras_files(folder: str) -> None:
    """A Keras model that keeps states, and one whose inputs and outputs are dictionaries."""
    from bitpick.conversion import keras_file

    keras_file.use_tensorflow()
    import keras
    from keras import layers

    x = keras.Input((3, 2), batch_size=4)
    keras.Model(x, layers.LSTM(2, stateful=True, name="memory")(x)).save(Path(folder) / "stateful.keras")
    ends = {name: keras.Input((size,), name=name) for name, size in (("b", 3), ("a", 3))}
    sums = {"less": layers.Subtract()([ends["b"], ends["a"]]), "both": layers.Add()([ends["b"], ends["a"]])}
    keras.Model(ends, sums).save(Path(folder) / "named.keras")


def run_named(source: str, inputs: list[list[float]]) -> dict[str, Any]:
    """What `keras_file` says of a model, and what that computes for one sample."""
    from bitpick.conversion import keras_file

    model = keras_file.load(Path(source))
    names = [spec.name for spec in keras_file.specs(model)]
    found = keras_file.flat(model)(*(np.array([each], np.float32) for each in inputs))
    return {"names": names, "found": [np.asarray(each)[0].tolist() for each in found]}


def copy_saved_model(source: str, out: str, float32: bool = True) -> dict[str, list[bool]]:
    """What `saved_model_copy` says of a SavedModel, and of what it writes of it: whether it is needed, and mixed."""
    from bitpick.conversion import keras_file, saved_model_copy

    keras_file.use_tensorflow()
    saved_model_copy.write(Path(source), Path(out), float32)
    both = (Path(source), Path(out))
    return {
        "needed": [saved_model_copy.needed(each) for each in both],
        "mixed": [saved_model_copy.is_mixed(each) for each in both],
    }


def build_half() -> Any:
    """A module in half precision."""
    import torch

    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(432, 2).half())


def build_counting() -> Any:
    """A module that counts how often it was called."""
    import torch

    class Counting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls.add_(1)
            return x * self.calls

    return Counting()
