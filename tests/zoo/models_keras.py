"""Models that Keras and TensorFlow saved. They are made in a process of their own."""

from __future__ import annotations

import os

import numpy as np

from tests.zoo.entry import SAMPLES, Made, accepted, refused, rng, write_samples

CLASSES = 4


def keras():
    """Keras, on TensorFlow."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    import keras

    keras.utils.set_random_seed(0)
    return keras


def samples(*shape):
    """Samples around a centre for each class, for both splits, and their classes."""
    random, count = rng(), sum(SAMPLES.values())
    labels = random.integers(0, CLASSES, count)
    return (2 * random.normal(size=(CLASSES, *shape))[labels] + random.normal(size=(count, *shape))).astype(
        np.float32
    ), labels


def finish(folder, file, run, inputs, labels=None, **options) -> Made:
    """Write the data of a model, and run it on the evaluation samples, one at a time.

    Args:
        folder: where to.
        file: the model.
        run: gives its outputs, a list, for an array for each input.
        inputs: samples of both splits, by the names of its inputs.
        labels: theirs.
        options: of `bitpick.compare`.
    """
    first = SAMPLES["train"]
    windows = {"train": slice(first), "test": slice(first, None)}
    more = {} if labels is None else {"labels": labels}
    parts = {name: {key: each[w] for key, each in {**inputs, **more}.items()} for name, w in windows.items()}
    held_out = [each[first:] for each in inputs.values()]
    found = [run([each[i : i + 1] for each in held_out]) for i in range(len(held_out[0]))]
    floats = [np.stack(each).astype(np.float32) for each in zip(*found, strict=True)]
    data = write_samples(folder / "data", parts)
    return Made(file, data, held_out, floats, None if labels is None else labels[first:], options=options)


def outputs(model):
    """A Keras model as a function of arrays."""

    def run(arrays):
        found = model(arrays if len(arrays) > 1 else arrays[0], training=False)
        return [np.asarray(each, np.float32).reshape(-1) for each in (found if isinstance(found, list) else [found])]

    return run


def classifier(folder, body, shape, name="model.keras") -> Made:
    """A classifier whose layers a function adds to its input; trained a little, and saved."""
    k = keras()
    folder.mkdir(parents=True)
    x, labels = samples(*shape)
    given = k.Input(shape, name="x")
    model = k.Model(given, k.layers.Dense(CLASSES, dtype="float32")(body(k.layers, given)))
    model.compile(k.optimizers.Adam(1e-2), k.losses.SparseCategoricalCrossentropy(from_logits=True))
    first = SAMPLES["train"]
    model.fit(x[:first], labels[:first], epochs=10, verbose=0)
    model.save(folder / name)
    return finish(folder, folder / name, outputs(model), {"x": x}, labels)


def convolutions(layers, x):
    """A convolution with a batch norm, a depthwise one, and pooling."""
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(x)))
    x = layers.ReLU(6.0)(layers.DepthwiseConv2D(3, strides=2, padding="same")(x))
    return layers.GlobalAveragePooling2D()(layers.Conv2D(24, 1, activation="relu")(x))


@accepted("classification", "accuracy", least=0.6)
def keras_file(folder):
    """A .keras file."""
    return classifier(folder, convolutions, (8, 8, 3))


@accepted("classification", "accuracy", least=0.6)
def legacy_h5(folder):
    """An .h5 file."""
    return classifier(folder, convolutions, (8, 8, 3), "model.h5")


@accepted("classification", "accuracy", least=0.6)
def causal_convolutions_in_mixed_precision(folder):
    """Causal and dilated 1-D convolutions, trained under mixed_float16."""
    k = keras()
    k.mixed_precision.set_global_policy("mixed_float16")

    def body(layers, x):
        x = layers.Conv1D(16, 3, padding="causal", activation="relu")(x)
        return layers.Flatten()(layers.Conv1D(16, 3, dilation_rate=2, padding="causal", activation="relu")(x))

    try:
        return classifier(folder, body, (10, 6))
    finally:
        k.mixed_precision.set_global_policy("float32")


@accepted("classification", "accuracy", least=0.6)
def keras_lstm(folder):
    """A recurrent layer."""
    return classifier(folder, lambda layers, x: layers.LSTM(12)(x), (8, 6))


@refused("keeps the state of LSTM")
def keras_stateful(folder):
    """A recurrent layer that goes on where the sample before it ended."""
    k = keras()
    folder.mkdir(parents=True)
    x, labels = samples(8, 6)
    layers = [k.layers.LSTM(12, stateful=True), k.layers.Dense(CLASSES)]
    model = k.Sequential([k.Input((8, 6), batch_size=1), *layers])
    model.save(folder / "model.keras")
    return finish(folder, folder / "model.keras", outputs(model), {"x": x}, labels)


@accepted("classification", "accuracy", least=0.6)
def keras_attention(folder):
    """Attention among the steps of a sequence, and a layer norm."""

    def body(layers, x):
        e = layers.Dense(16)(x)
        e = layers.LayerNormalization()(e + layers.MultiHeadAttention(2, 8)(e, e))
        return layers.GlobalAveragePooling1D()(e)

    return classifier(folder, body, (6, 5))


def signature(folder, function, *specs):
    """Save a function of tensors as a SavedModel."""
    import tensorflow as tf

    module = tf.Module()
    module.call = tf.function(function, input_signature=specs)
    tf.saved_model.save(module, str(folder / "saved"), signatures=module.call.get_concrete_function())
    return folder / "saved"


@accepted("classification", "accuracy", least=0.5)
def saved_model(folder):
    """A SavedModel of a function."""
    keras()
    import tensorflow as tf

    folder.mkdir(parents=True)
    x, labels = samples(8)
    head = np.linalg.lstsq(x[:96], np.eye(CLASSES)[labels[:96]], rcond=None)[0].astype(np.float32)
    w, v = (
        tf.constant(np.concatenate([head, -head], axis=1)),
        tf.constant(np.concatenate([np.eye(4), -np.eye(4)]), "float32"),
    )
    file = signature(folder, lambda x: tf.nn.relu(x @ w) @ v, tf.TensorSpec((None, 8), tf.float32, name="x"))
    loaded = tf.saved_model.load(str(file))
    run = lambda arrays: [loaded.call(tf.constant(arrays[0])).numpy().reshape(-1)]  # noqa: E731
    return finish(folder, file, run, {"x": x}, labels, trust=True)


def with_a_state(folder):
    """Write a SavedModel that goes on where the call before it ended, to `saved`; returns what calls it."""
    keras()
    import tensorflow as tf

    class Counting(tf.Module):
        def __init__(self):
            self.state = tf.Variable(np.zeros((1, 8), np.float32))

        @tf.function(input_signature=[tf.TensorSpec((1, 8), tf.float32, name="x")])
        def call(self, x):
            self.state.assign(tf.tanh(x + self.state))
            return {"y": self.state * 2.0}

    folder.mkdir(parents=True)
    module = Counting()
    tf.saved_model.save(module, str(folder / "saved"), signatures=module.call)
    return lambda arrays: [module.call(tf.constant(arrays[0]))["y"].numpy().reshape(-1)]


@refused("keeps a state from one call to the next")
def saved_model_with_a_state(folder):
    """A SavedModel that goes on where the call before it ended."""
    call = with_a_state(folder)
    return finish(folder, folder / "saved", call, {"x": samples(8)[0]}, trust=True)


@refused("ONNX has no operator ComplexAbs")
def complex_numbers(folder):
    """A SavedModel with the amplitudes of complex numbers."""
    keras()
    import tensorflow as tf

    folder.mkdir(parents=True)
    call = lambda x: tf.abs(tf.signal.stft(x, 16, 8))  # noqa: E731
    file = signature(folder, call, tf.TensorSpec((None, 64), tf.float32, name="x"))
    run = lambda arrays: [call(tf.constant(arrays[0])).numpy().reshape(-1)]  # noqa: E731
    return finish(folder, file, run, {"x": samples(64)[0]}, trust=True)
