"""Small networks of the classes that people ship, built and trained in a worker, each with its data beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np


def _keras() -> Any:
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
    import keras

    keras.utils.set_random_seed(0)
    return keras


def _digits(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits (E. Alpaydin and C. Kaynak, UCI, 1998) of 8 pixels a side, made larger; values 0 to 255."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    times = side // 8
    return images.repeat(times, axis=1).repeat(times, axis=2), labels.astype(np.int64)


def _save(folder: Path, inputs: dict[str, np.ndarray], labels: np.ndarray | None, held_out: int) -> None:
    """Two files, of samples to calibrate with and of those to evaluate on."""
    for name, window in (("train", slice(held_out, None)), ("test", slice(held_out))):
        arrays = {key: values[window] for key, values in inputs.items()}
        np.savez(folder / f"{name}.npz", **arrays, **({} if labels is None else {"labels": labels[window]}))


def _fitted(
    model: Any, inputs: list[Any], targets: Any, loss: str, path: str, epochs: int, rate: float = 3e-3, batch: int = 32
) -> str:
    """A Keras model trained, and saved at this path."""
    import keras

    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(inputs, targets, batch_size=batch, epochs=epochs, verbose=0)
    model.save(path)
    return path


def depthwise(folder: str) -> str:
    """A MobileNet-style net: depthwise and pointwise convolutions with batch norm, ReLU6 and inverted residuals."""
    keras = _keras()
    from keras import layers

    images, labels = _digits(24)

    def norm(x: Any, activation: bool = True) -> Any:
        y = layers.BatchNormalization(momentum=0.9)(x)
        return layers.ReLU(6.0)(y) if activation else y

    def block(x: Any, wide: int, out: int, stride: int) -> Any:
        y = norm(layers.Conv2D(wide, 1, use_bias=False)(x))
        y = norm(layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(y))
        y = norm(layers.Conv2D(out, 1, use_bias=False)(y), activation=False)
        return layers.Add()([x, y]) if stride == 1 and x.shape[-1] == out else y

    image = keras.Input((24, 24, 1), name="image")
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = norm(layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x))
    for wide, out, stride in ((24, 8, 1), (24, 16, 2), (48, 16, 1), (48, 24, 2)):
        x = block(x, wide, out, stride)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(10, activation="softmax")(x))
    _save(Path(folder), {"image": images}, labels, 400)
    return _fitted(
        model, [images[400:]], labels[400:], "sparse_categorical_crossentropy", f"{folder}/depthwise.keras", epochs=6
    )


def autoencoder(folder: str) -> str:
    """A dense autoencoder, as for anomalies: what is written by hand in, the same out."""
    keras = _keras()
    from keras import layers

    images, _ = _digits(8)
    flat = images.reshape(len(images), 64).astype(np.float32) / 255
    values = keras.Input((64,), name="values")
    x = values
    for width in (48, 16, 48):
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(layers.Dense(width)(x)))
    model = keras.Model(values, layers.Dense(64)(x))
    _save(Path(folder), {"values": flat}, None, 400)
    return _fitted(model, [flat[400:]], flat[400:], "mse", f"{folder}/autoencoder.keras", epochs=15)


def tabular(folder: str) -> str:
    """Two inputs, numbers and categories, to one number."""
    keras = _keras()
    from keras import layers

    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(3000, 6)).astype(np.float32)
    kinds = rng.integers(0, 5, (3000, 2))
    target = (
        numbers[:, 0] * np.array([1.0, -1.0, 0.5, 2.0, 0.0])[kinds[:, 0]] + np.tanh(numbers[:, 1]) + kinds[:, 1] / 2
    )
    target = (target + rng.normal(scale=0.1, size=3000)).astype(np.float32)
    first, second = keras.Input((6,), name="numbers"), keras.Input((2,), name="kinds", dtype="int32")
    embedded = layers.Flatten()(layers.Embedding(5, 4)(second))
    x = layers.Concatenate()(
        [layers.Dense(24, activation="relu")(first), layers.Dense(16, activation="relu")(embedded)]
    )
    x = layers.Dense(32, activation="relu")(x)
    model = keras.Model([first, second], layers.Dense(1)(x))
    _save(Path(folder), {"numbers": numbers, "kinds": kinds.astype(np.int32)}, target[:, None], 500)
    return _fitted(
        model,
        [numbers[500:], kinds[500:]],
        target[500:],
        "mse",
        f"{folder}/tabular.keras",
        epochs=10,
        rate=1e-2,
        batch=64,
    )


def audio(folder: str) -> str:
    """Convolutions over time: which of four tones is under the noise."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 2000)
    time = np.arange(1024) / 1024
    pitch = np.array([8.0, 21.0, 44.0, 90.0])[labels, None] * rng.uniform(0.9, 1.1, (2000, 1))
    waves = np.sin(2 * np.pi * (pitch * time + rng.random((2000, 1)))) + rng.normal(scale=0.7, size=(2000, 1024))
    waves = waves[:, None].astype(np.float32)

    def layer(given: int, wide: int) -> list[nn.Module]:
        return [nn.Conv1d(given, wide, 9, stride=4, padding=4, bias=False), nn.BatchNorm1d(wide), nn.ReLU()]

    net = nn.Sequential(
        *layer(1, 12), *layer(12, 16), *layer(16, 24), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(24, 4)
    )
    _train(net, (torch.from_numpy(waves[500:]),), torch.from_numpy(labels[500:]), nn.CrossEntropyLoss(), epochs=6)
    free = {0: torch.export.Dim("batch")}
    program = torch.onnx.export(
        net, (torch.from_numpy(waves[:2]),), dynamo=True, dynamic_shapes=(free,), input_names=["wave"], verbose=False
    )
    assert program is not None
    program.save(f"{folder}/audio.onnx")
    _save(Path(folder), {"wave": waves}, labels, 500)
    return f"{folder}/audio.onnx"


def transformer(folder: str) -> str:
    """A transformer encoder over words: does the rare word come before the frequent one."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    words = rng.integers(2, 30, (2000, 16))
    places = np.stack([rng.permutation(16)[:2] for _ in range(2000)])
    rows = np.arange(2000)
    words[rows, places[:, 0]], words[rows, places[:, 1]] = 0, 1
    labels = (places[:, 0] < places[:, 1]).astype(np.int64)
    net = _encoder()
    _train(net, (torch.from_numpy(words[500:]),), torch.from_numpy(labels[500:]), nn.CrossEntropyLoss(), epochs=12)
    free = {0: torch.export.Dim("batch")}
    program = torch.export.export(net, (torch.from_numpy(words[:2]),), dynamic_shapes=(free,))
    torch.export.save(program, f"{folder}/transformer.pt2")
    _save(Path(folder), {"words": words}, labels, 500)
    return f"{folder}/transformer.pt2"


def _encoder() -> Any:
    import torch
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(30, 32)
            self.places = nn.Parameter(torch.randn(16, 32) / 10)
            layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, activation="gelu", batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(32, 2)

        def forward(self, words: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.head(self.layers(self.words(words) + self.places).mean(dim=1))
            return scores

    return Encoder()


def _train(net: Any, inputs: tuple[Any, ...], targets: Any, loss: Any, epochs: int) -> None:
    import torch

    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(epochs):
        for chosen in torch.randperm(len(targets)).split(64):
            optimizer.zero_grad()
            loss(net(*(each[chosen] for each in inputs)), targets[chosen]).backward()
            optimizer.step()
    net.eval()
