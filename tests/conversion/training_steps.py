"""Modules and models for `test_training_mode`, and what workers do with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def build(training: bool = True) -> Any:
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3)).train(
        training
    )


def build_stubborn() -> Any:
    """Draws dropout whatever mode it is in."""
    import torch
    from torch import nn

    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(4, 3)

        def forward(self, x):
            return torch.nn.functional.dropout(self.dense(x), 0.5)

    return Stubborn()


def build_random() -> Any:
    """Draws noise that is no dropout."""
    import torch
    from torch import nn

    class Random(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    return Random()


def write_torch(folder: str) -> None:
    import torch

    place, x = Path(folder), torch.randn(2, 4)
    free = ({0: torch.export.Dim("batch")},)
    for name, training in (("train", True), ("eval", False)):
        net = build(training)
        torch.export.save(torch.export.export(net, (x,), dynamic_shapes=free), place / f"{name}.pt2")
        torch.jit.trace(net, x, check_trace=False).save(str(place / f"{name}.pt"))
        mode = torch.onnx.TrainingMode.TRAINING if training else torch.onnx.TrainingMode.EVAL
        torch.onnx.export(net, (x,), str(place / f"{name}.onnx"), dynamo=False, training=mode, opset_version=17,
                          do_constant_folding=False, dynamic_axes={"x": {0: "n"}}, input_names=["x"])  # fmt: skip


def write_keras(folder: str) -> None:
    import keras
    from keras import layers

    for name, training in (("train", True), ("eval", None)):
        inner = keras.Sequential([keras.Input((6,)), layers.Dense(6), layers.Dropout(0.5)], name="inner")
        source = keras.Input((4,))
        x = layers.BatchNormalization(name="norm")(layers.Dense(6)(source), training=training)
        keras.Model(source, layers.Dense(3)(inner(x, training=training))).save(Path(folder) / f"{name}.keras")
