"""What a worker does for `test_litert_signed`: LiteRT files as they are found in the wild."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write(folder: str) -> None:
    """A detector for one image with two outputs, boxes and scores: signed, unsigned, and unsigned in float16."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    filters = tf.constant(rng.normal(size=(3, 3, 3, 8)).astype(np.float32) / 5)
    head = tf.constant(rng.normal(size=(1, 1, 8, 5)).astype(np.float32) / 3)

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32)])
    def detect(x):
        x = tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(x, filters, 2, "SAME")), head, 1, "SAME")
        rows = tf.reshape(x, (1, -1, 5))
        return {"scores": tf.sigmoid(rows[..., :1]), "boxes": rows[..., 1:] * 100.0}

    for name, half in (("signed", False), ("half", True)):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([detect.get_concrete_function()], tf.Module())
        if half:
            converter.optimizations, converter.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
        content = converter.convert()
        (Path(folder) / f"{name}.tflite").write_bytes(content)
        (Path(folder) / f"{name}_unsigned.tflite").write_bytes(unsigned(content))


def unsigned(content: bytes) -> bytes:
    """The file without its signature, as older converters wrote it."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(content), 0))
    model.signatureDefs = []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
