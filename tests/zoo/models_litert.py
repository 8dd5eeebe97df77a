"""LiteRT files: with a signature or without, of one sample, with weights in half precision."""

from __future__ import annotations

import numpy as np

from tests.zoo.entry import SAMPLES, Made, accepted, refused
from tests.zoo.models_keras import CLASSES, finish, keras, samples, signature, with_a_state
from tests.zoo.oracle import runtimes


def converted(folder, adjust=lambda converter: None, change=lambda content: content):
    """A trained classifier as a LiteRT file; an `adjust` sets the converter, a `change` edits what it wrote."""
    k = keras()
    import tensorflow as tf

    folder.mkdir(parents=True)
    x, labels = samples(8, 8, 3)
    layers = [k.layers.Conv2D(8, 3, strides=2, activation="relu"), k.layers.Flatten(), k.layers.Dense(CLASSES)]
    model = k.Sequential([k.Input((8, 8, 3)), *layers])
    model.compile(k.optimizers.Adam(1e-2), k.losses.SparseCategoricalCrossentropy(from_logits=True))
    first = SAMPLES["train"]
    model.fit(x[:first], labels[:first], epochs=10, verbose=0)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    adjust(converter)
    return written(folder, change(converter.convert()), x, labels)


def written(folder, content, x, labels):
    """The entry of a LiteRT file's content, whose own runtime says what is right."""
    (folder / "model.tflite").write_bytes(content)
    opened = runtimes.litert_model(folder / "model.tflite", {})

    def run(arrays):
        return [each.reshape(-1) for each in runtimes.alone(opened, list(arrays))]

    return finish(folder, folder / "model.tflite", run, {"x": x}, labels)


@accepted("classification", "accuracy", least=0.6)
def litert_file(folder):
    """A file as TensorFlow's converter writes it."""
    return converted(folder)


@accepted("classification", "accuracy", least=0.6)
def litert_without_signatures(folder):
    """A file without signatures, as MediaPipe's are."""

    def change(content):
        import flatbuffers
        from tensorflow.lite.python import schema_py_generated as schema

        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(content), 0))
        model.signatureDefs = []
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    return converted(folder, change=change)


@accepted("classification", "accuracy", least=0.6)
def litert_of_half_precision(folder):
    """A file whose weights are float16."""

    def adjust(converter):
        import tensorflow as tf

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    return converted(folder, adjust)


@accepted("deviation", "deviation")
def litert_of_one_sample(folder):
    """A file with a batch of one inside, in the shape of a Reshape."""
    keras()
    import tensorflow as tf

    folder.mkdir(parents=True)
    x, _ = samples(8, 8, 3)
    w = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 3, 8)).astype(np.float32) / 5)
    function = tf.function(
        lambda x: tf.reshape(tf.nn.relu(tf.nn.conv2d(x, w, 2, "SAME")), (1, -1, 4)),
        input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32)],
    )
    content = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()]).convert()
    return written(folder, content, x, None)


@accepted("deviation", "deviation")
def litert_of_a_silent_layer(folder):
    """A layer whose activations are always 0, as one that died in training: any scale fits them."""
    k = keras()
    import tensorflow as tf

    folder.mkdir(parents=True)
    x, _ = samples(8, 8, 3)
    given = k.Input((8, 8, 3))
    silent = k.layers.Conv2D(4, 3, activation="relu", bias_initializer=k.initializers.Constant(-1000))(given)
    loud = k.layers.Conv2D(4, 3)(given)
    last = k.layers.Conv2D(4, 1, bias_initializer=k.initializers.Constant(1))(silent)
    model = k.Model(given, k.layers.Add()([last, loud]))
    return written(folder, tf.lite.TFLiteConverter.from_keras_model(model).convert(), x, None)


@accepted("deviation", "deviation")
def litert_with_a_loop(folder):
    """A product that is repeated in a WHILE, whose ranges the quantizer does not see, before one that it does."""
    keras()
    import tensorflow as tf

    folder.mkdir(parents=True)
    x, _ = samples(8)
    w, v = (tf.constant(np.random.default_rng(seed).normal(size=(8, 8)).astype(np.float32) / 3) for seed in (0, 1))

    def call(x):
        for _ in tf.range(4):
            x = tf.tanh(x @ w)
        return x @ v

    function = tf.function(call, input_signature=[tf.TensorSpec((1, 8), tf.float32)]).get_concrete_function()
    return written(folder, tf.lite.TFLiteConverter.from_concrete_functions([function]).convert(), x, None)


def of_function(folder, call, *specs, options=lambda converter: None):
    """A file of a function of tensors."""
    import tensorflow as tf

    folder.mkdir(parents=True)
    function = tf.function(call, input_signature=specs).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    options(converter)
    (folder / "model.tflite").write_bytes(converter.convert())
    return folder / "model.tflite"


@refused("without custom operators")
def litert_with_a_custom_operator(folder):
    """An operator that LiteRT's own runtime has not, as some of MediaPipe's files."""
    keras()
    import tensorflow as tf

    def allow(converter):
        converter.allow_custom_ops = True

    file = of_function(folder, tf.linalg.inv, tf.TensorSpec((1, 4, 4), tf.float32, name="x"), options=allow)
    x = samples(4, 4)[0] + 9 * np.eye(4, dtype=np.float32)
    return finish(folder, file, lambda arrays: [np.linalg.inv(arrays[0]).reshape(-1)], {"x": x})


@refused("keeps a state from one run to the next")
def litert_with_a_state(folder):
    """A file that goes on where the run before it ended."""
    call = with_a_state(folder)
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    converter.experimental_enable_resource_variables = True
    (folder / "model.tflite").write_bytes(converter.convert())
    return finish(folder, folder / "model.tflite", call, {"x": samples(8)[0]})


@accepted("deviation", "deviation")
def litert_of_two_inputs(folder):
    """Two inputs that the data set has under the names of the model, and the file in another order."""
    keras()
    import tensorflow as tf

    w, v = (tf.constant(np.random.default_rng(seed).normal(size=(6, 4)).astype(np.float32)) for seed in (0, 1))
    specs = [tf.TensorSpec((1, 6), tf.float32, name=name) for name in ("b", "a")]
    saved = signature(folder, lambda b, a: tf.nn.relu(b @ w) + a @ v, *specs)
    file = folder / "model.tflite"
    file.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(saved)).convert())
    x = samples(6)[0]
    inputs = {"b": x, "a": x[::-1]}
    run = lambda arrays: [np.asarray(tf.nn.relu(arrays[0] @ w) + arrays[1] @ v).reshape(-1)]  # noqa: E731
    made = finish(folder, file, run, inputs)
    names = [each["name"] for each in tf.lite.Interpreter(str(file)).get_input_details()]  # serving_default_b:0
    order = [list(inputs).index(name.partition(":")[0][-1]) for name in names]
    return Made(made.model, made.data, [made.inputs[place] for place in order], made.floats)
