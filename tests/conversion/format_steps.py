"""What the tests of model formats run in workers: one small net, written by each framework in each of its formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (12, 12, 3)


def samples() -> np.ndarray:
    """Some pictures, channels last."""
    return np.random.default_rng(0).normal(size=(4, *SHAPE)).astype(np.float32)


def weights() -> dict[str, np.ndarray]:
    """The weights of the net, as Keras orders their axes."""
    rng = np.random.default_rng(1)
    shapes = {
        "conv": (3, 3, 3, 8),
        "depthwise": (3, 3, 8, 1),
        "depthwise_bias": (8,),
        "gamma": (8,),
        "beta": (8,),
        "mean": (8,),
        "variance": (8,),
        "dense": (8, 4),
        "bias": (4,),
    }
    return {name: (rng.random(shape) * 0.5 + 0.1).astype(np.float32) for name, shape in shapes.items()}


def build_keras() -> Any:
    """The net in Keras, its weights as they come."""
    from keras import Model, layers

    x = image = layers.Input(SHAPE, name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(x)
    x = layers.ReLU(name="act")(layers.BatchNormalization(name="norm", epsilon=1e-3)(x))
    x = layers.ReLU(name="act2")(layers.DepthwiseConv2D(3, name="depthwise")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return Model(image, layers.Dense(4, activation="softmax", name="dense")(x))


def build_scaled() -> Any:
    """A net whose first layer is a function."""
    from keras import Sequential, layers

    return Sequential([layers.Input(SHAPE), layers.Lambda(lambda x: x * 2), layers.Flatten(), layers.Dense(4)])


def write_keras(folder: str) -> None:
    """The net in every format of Keras and TensorFlow, and what it computes."""
    from bitpick.conversion import keras_file

    keras_file.use_tensorflow()
    import keras

    out, w = Path(folder), weights()
    model = build_keras()
    model.get_layer("conv").set_weights([w["conv"]])
    model.get_layer("norm").set_weights([w["gamma"], w["beta"], w["mean"], w["variance"]])
    model.get_layer("depthwise").set_weights([w["depthwise"], w["depthwise_bias"]])
    model.get_layer("dense").set_weights([w["dense"], w["bias"]])
    np.save(out / "expected.npy", model.predict(samples(), verbose=0))
    model.save(out / "net.keras")
    model.save(out / "net.h5")
    model.save_weights(out / "net.weights.h5")
    model.export(str(out / "saved"), format="tf_saved_model", verbose=False)
    scaled = build_scaled()
    scaled.save(out / "lambda.keras")
    np.save(out / "scaled.npy", scaled.predict(samples(), verbose=0))
    two = keras.Model(
        [a := keras.Input((3,), name="b_first"), b := keras.Input((3,), name="a_second")],
        [keras.layers.Dense(2)(keras.layers.Subtract()([a, b])), keras.layers.Multiply()([a, b])],
    )
    two.save(out / "two.keras")
    two.export(str(out / "two_saved"), format="tf_saved_model", verbose=False)


def write_legacy(source: str, out: str) -> None:
    """A Keras file, described as Keras 2 would: layers have meaningless options, slashes in names, functions."""
    import shutil

    import h5py

    shutil.copyfile(source, out)
    with h5py.File(out, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        layers = {each["config"]["name"]: each for each in config["config"]["layers"]}
        layers["depthwise"]["config"]["groups"] = 1
        text = json.dumps(config).replace('"conv"', '"block/conv"')
        file.attrs["model_config"], file.attrs["keras_version"] = text, b"2.15.0"


def run_keras(source: str, inputs: str, out: str) -> None:
    """What `keras_file` opens computes."""
    from bitpick.conversion import keras_file

    model = keras_file.load(Path(source))
    np.save(out, np.asarray(keras_file.flat(model)(np.load(inputs))[0]))


def run_saved_model(source: str, inputs: list[str], out: str) -> None:
    """What `saved_model` opens computes."""
    from bitpick.conversion import saved_model

    found = saved_model.load(Path(source)).call(*map(np.load, inputs))
    np.savez(out, *map(np.asarray, found))


def run_legacy_functions(out: str) -> list[float]:
    """What a description by Keras 2 computes that has functions of TensorFlow in it, saved: `(2 - x) / 4 * x`."""
    from bitpick.conversion import keras_file

    keras_file.use_tensorflow()
    import keras

    from bitpick.conversion import keras_legacy

    def function(name: str, what: str, node: list[Any]) -> dict[str, Any]:
        fields = {"name": name, "trainable": True, "dtype": "float32", "function": what}
        return {"class_name": "TFOpLambda", "config": fields, "name": name, "inbound_nodes": [node]}

    source = {
        "class_name": "InputLayer",
        "config": {"batch_input_shape": [None, 1], "dtype": "float32", "sparse": False, "ragged": False, "name": "x"},
        "name": "x",
        "inbound_nodes": [],
    }
    config = {
        "name": "model",
        "layers": [
            source,
            function("tf.minus", "math.subtract", ["_CONSTANT_VALUE", -1, 2.0, {"y": ["x", 0, 0], "name": None}]),
            function("tf.over", "math.truediv", ["tf.minus", 0, 0, {"y": 4.0, "name": None}]),
            function("tf.times", "math.multiply", ["tf.over", 0, 0, {"y": ["x", 0, 0], "name": None}]),
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["tf.times", 0, 0]],
    }
    layer = keras_legacy.function_layer()
    model = keras.Model.from_config(keras_legacy.modernize(config), custom_objects={"TFOpLambda": layer})
    keras_legacy.inline_functions(model, layer).save(out)
    model = keras.saving.load_model(out, safe_mode=True)
    found: list[float] = np.asarray(model(np.array([[0.0], [1.0], [2.0]], np.float32)))[:, 0].tolist()
    return found


def build_torch() -> Any:
    """The net in PyTorch, which takes channels last as the one in Keras does."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(8, eps=1e-3)
            self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
            self.dense = nn.Linear(8, 4)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.norm(self.conv(image.permute(0, 3, 1, 2))))
            x = torch.relu(self.depthwise(x))
            x = nn.functional.adaptive_avg_pool2d(x, 1)
            return torch.softmax(self.dense(x.reshape(x.size(0), -1)), dim=1)

    return Net()


def write_torch(folder: str) -> None:
    """The net in every format of PyTorch."""
    import torch

    out = Path(folder)
    w = {name: torch.from_numpy(array) for name, array in weights().items()}
    net = build_torch()
    net.load_state_dict(
        {
            "conv.weight": w["conv"].permute(3, 2, 0, 1),
            "norm.weight": w["gamma"],
            "norm.bias": w["beta"],
            "norm.running_mean": w["mean"],
            "norm.running_var": w["variance"],
            "norm.num_batches_tracked": torch.tensor(1),
            "depthwise.weight": w["depthwise"].permute(2, 3, 0, 1),
            "depthwise.bias": w["depthwise_bias"],
            "dense.weight": w["dense"].T,
            "dense.bias": w["bias"],
        }
    )
    net.eval()
    image = torch.from_numpy(samples())
    torch.save(net.state_dict(), out / "state.pt")
    one = torch.export.export(net, (image[:1],))
    torch.export.save(one, out / "fixed.pt2")
    free = torch.export.export(net, (image[:2],), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(free, out / "free.pt2")
    torch.jit.trace(net, image[:2]).save(out / "traced.pt")
    torch.jit.script(net).save(out / "scripted.pt")


def write_free_keras(folder: str) -> None:
    """A net for pictures of any size, in the formats of Keras and TensorFlow."""
    from bitpick.conversion import keras_file

    keras_file.use_tensorflow()
    from keras import Sequential, layers

    net = Sequential([layers.Input((None, None, 3)), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D(), layers.Dense(2)])
    net.save(Path(folder) / "any.keras")
    net.export(str(Path(folder) / "any_saved"), format="tf_saved_model", verbose=False)
    np.save(Path(folder) / "any_keras.npy", net.predict(samples(), verbose=0))


def write_free_torch(folder: str) -> None:
    """Programs for sequences of any length: one for any number of them, one for one at a time."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, count: int) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.count = count
            self.layer = nn.TransformerEncoderLayer(3, 1, 8, dropout=0.0, batch_first=True)
            self.dense = nn.Linear(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.layer(x) if self.count == 2 else x  # of one sequence alone its graph has the size in it
            return self.dense(x).reshape(x.size(0), x.size(1) * 4).square()

    free, sequences = torch.export.Dim.DYNAMIC, torch.from_numpy(samples()[:, 0])
    np.save(Path(folder) / "sequences.npy", sequences)
    for name, count, shapes in (("any", 2, {0: free, 1: free}), ("any_one", 1, {1: free})):
        net = Net(count).eval()
        program = torch.export.export(net, (torch.ones(count, 7, 3),), dynamic_shapes=(shapes,))
        torch.export.save(program, Path(folder) / f"{name}.pt2")
        with torch.no_grad():
            np.save(Path(folder) / f"{name}.pt2.npy", net(sequences))


def write_stubborn(out: str) -> None:
    """A program whose graph mixes the samples of its batch of two."""
    import torch

    class Mixing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(4, 3).cumsum(0).reshape(2, 6)

    torch.export.save(torch.export.export(Mixing(), (torch.zeros(2, 6),)), out)


def run_exported(source: str, inputs: list[str], out: str) -> dict[str, Any]:
    """What a `.pt2` file computes, and what `pytorch_file` says of it."""
    import torch

    from bitpick.conversion import pytorch_file

    module = pytorch_file.load(Path(source))
    with torch.no_grad():
        found = module(*(torch.from_numpy(np.load(each)) for each in inputs))
    np.savez(out, *(each.numpy() for each in found))
    return {
        "layers": pytorch_file.layers(module),
        "computing": pytorch_file.computing_layers(module),
        "batch": pytorch_file.fixed_batch(module),
    }


def save_objects(folder: str) -> dict[str, Any]:
    """What `objects.save` says and writes of a module."""
    import torch

    from bitpick.conversion import objects
    from bitpick.errors import ModelError

    refused = []
    for model in (torch.nn.Linear(3, 2), "m"):
        try:
            objects.save(model, Path(folder))
        except ModelError as error:
            refused.append(str(error))
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    source = objects.save(module, Path(folder), example=np.ones((4, 3), np.float32))
    return {"refused": refused, "name": source.name, "kind": source.kind().name, "training": module.training}


def save_keras_object(folder: str) -> list[str]:
    """The kinds of what `objects.save` writes of Keras models: a plain one, and one with a function in it."""
    from bitpick.conversion import keras_file, objects

    keras_file.use_tensorflow()
    return [objects.save(model, Path(folder)).kind().name for model in (build_keras(), build_scaled())]
