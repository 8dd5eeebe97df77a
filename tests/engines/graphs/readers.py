"""What the tests of this folder run in an engine's own worker: they build, inspect, and read what ran another way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import SessionSettings
from bitpick.engines.executed import Executed
from bitpick.engines.registry import engine
from bitpick.pipeline import build_job
from bitpick.recipe import Recipe


def make_network(out: str) -> None:
    """A plain, a depthwise and a strided convolution, the last without a bias; a dense layer without one; a softmax.

    Its weights and multiply-accumulates are counted by hand in conftest.py.
    """
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Rescaling(1 / 64)(image)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(12, 3, padding="same")(x)))
    y = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x))
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.ReLU()(layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(x))
    x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    model = keras.Model(image, layers.Dense(4, activation="softmax", use_bias=False)(x))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([w + rng.random(w.shape) / 2 for w in layer.get_weights()])
    model.save(out)


def make_unusual(out: str) -> None:
    """A dense layer at each position, a transposed convolution, and a product of activations with each other."""
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Dense(12, use_bias=False)(layers.Reshape((64, 3))(image))
    x = layers.Conv2DTranspose(8, 2, strides=2, use_bias=False)(layers.Reshape((8, 8, 12))(x))
    x = layers.Reshape((256, 8))(x)
    x = layers.Flatten()(layers.Dot(axes=(1, 1))([x, x]))
    keras.Model(image, layers.Dense(4, activation="softmax", use_bias=False)(x)).save(out)


def build(recipe: dict[str, Any], source: str, samples: dict[str, Any], folder: str) -> None:
    """Build a recipe into a folder, which is made."""
    parsed, calibration, out = Recipe.model_validate(recipe), Samples.model_validate(samples), Path(folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    each = engine(parsed.engine)
    ranges = None
    if (key := each.calibration_key(parsed)) is not None:
        ranges = out.parent / f"{each.name}-{key}.json"
        if not ranges.exists():
            each.calibrate(Path(source), parsed, calibration, ranges)
    build_job.build(Path(source), parsed, calibration, ranges, out)


def inspect(folder: str, samples: dict[str, Any]) -> Executed:
    """What the engine says that its runtime executes."""
    made = build_job.open_build(Path(folder))
    return engine(made.recipe.engine).inspect(made, one(samples))


def scores(folder: str, samples: dict[str, Any]) -> list[list[float]]:
    """What a build gives for a few samples."""
    made = build_job.open_build(Path(folder))
    batch = next(Samples.model_validate(samples).head(32).batches(32))
    with engine(made.recipe.engine).open(made, SessionSettings()) as session:
        found: list[list[float]] = session.outputs(session.run(session.prepare(batch)))[0].tolist()
    return found


def one(samples: dict[str, Any]) -> Any:
    """A batch of one sample."""
    return next(Samples.model_validate(samples).head(1).batches(1))


def onnxruntime_kernels(folder: str, samples: dict[str, Any], out: str) -> list[str]:
    """The operators whose kernels ONNX Runtime ran, in order; the graph it optimised is written to a file."""
    import onnxruntime as ort

    made = build_job.open_build(Path(folder))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = out
    options.enable_profiling = True
    options.profile_file_prefix = f"{out}.profile"
    for name, value in made.settings.items():
        options.add_session_config_entry(name, value)
    session = ort.InferenceSession(made.main, options, providers=["CPUExecutionProvider"])
    session.run(None, {session.get_inputs()[0].name: one(samples)[0]})
    events = json.loads(Path(session.end_profiling()).read_text())
    return [event["args"]["op_name"] for event in events if event["name"].endswith("_kernel_time")]


def openvino_kernels(folder: str, samples: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, type and kernel of each node that OpenVINO's own counters say was executed."""
    import openvino

    counted = {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": 1, **build_job.open_build(Path(folder)).settings}
    request = openvino.Core().compile_model(Path(folder) / "model.xml", "CPU", counted).create_infer_request()
    request.infer(list(one(samples)))
    nodes = request.get_profiling_info()
    return [(n.node_name, n.node_type, n.exec_type) for n in nodes if n.status.name == "EXECUTED"]


def litert_file(folder: str) -> dict[str, Any]:
    """The first subgraph of a LiteRT file, by the format's own schema."""
    from ai_edge_litert import schema_py_generated as schema

    def names(values: type) -> dict[int, str]:
        return {number: name for name, number in vars(values).items() if isinstance(number, int)}

    model = schema.ModelT.InitFromPackedBuf((Path(folder) / "model.tflite").read_bytes(), 0)
    graph, dtypes, kinds = model.subgraphs[0], names(schema.TensorType), names(schema.BuiltinOperator)

    def tensor(place: int) -> dict[str, Any]:
        found = graph.tensors[place]
        grid, data = found.quantization, model.buffers[found.buffer].data
        stored = None if data is None else np.asarray(data, np.uint8)
        return {
            "place": int(place),
            "name": found.name.decode(),
            "dtype": dtypes[found.type],
            "shape": [int(size) for size in found.shape],
            "scales": 0 if grid is None or grid.scale is None else len(grid.scale),
            "zero_points": [] if grid is None or grid.zeroPoint is None else [int(z) for z in grid.zeroPoint],
            "integers": None if stored is None else stored.view(np.int8).tolist(),
        }

    def kind(operator: Any) -> str:
        code = model.operatorCodes[operator.opcodeIndex]
        return kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]

    return {
        "input": tensor(graph.inputs[0])["dtype"],
        "output": tensor(graph.outputs[0])["dtype"],
        "operators": [
            {
                "kind": kind(operator),
                "inputs": [tensor(place) for place in operator.inputs if place >= 0],
                "output": tensor(operator.outputs[0]),
            }
            for operator in graph.operators
        ],
    }


def executorch_kernels(folder: str, samples: dict[str, Any], out: str) -> list[str]:
    """The delegated kernels of one run, as ExecuTorch's own profile names them: with the number format of each."""
    import torch
    from executorch.devtools import Inspector
    from executorch.extension.pybindings.portable_lib import _load_for_executorch

    program = _load_for_executorch(f"{folder}/model.pte", enable_etdump=True)
    program([torch.from_numpy(one(samples)[0])])
    program.write_etdump_result_to_file(out)
    events = (event for block in Inspector(out).event_blocks for event in block.events)
    return [event.name for event in events if event.is_delegated_op]


def torch_kernels(folder: str, samples: dict[str, Any]) -> list[str]:
    """The operators that PyTorch's profiler sees in one run of a TorchScript build."""
    import torch

    module = torch.jit.load(f"{folder}/model.pt").eval()
    sample = torch.from_numpy(one(samples)[0])
    with torch.inference_mode(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        module(sample)
    return [event.name for event in profile.events()]


def torch_weights(folder: str) -> dict[str, dict[str, Any]]:
    """The packed weights of a TorchScript build, by the module that has them."""
    import torch

    found = {}
    for path, module in torch.jit.load(f"{folder}/model.pt").named_modules():
        if not hasattr(module, "_packed_params") or path.endswith("_packed_params"):
            continue
        packed, unpack = module._packed_params, torch.ops.quantized.conv2d_unpack
        if isinstance(packed, torch.nn.Module):  # a linear layer has a module for them
            packed, unpack = packed._packed_params, torch.ops.quantized.linear_unpack
        weight = unpack(packed)[0]
        found[path] = {
            "scheme": str(weight.qscheme()),
            "zero_points": weight.q_per_channel_zero_points().tolist(),
            "integers": weight.int_repr().flatten().tolist(),
        }
    return found


def make_control(folder: str) -> None:
    """LiteRT files whose work is in a loop and in a branch, and one with its weights in front.

    Each takes an image, and flattens it to 3 rows of 64.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    rng = np.random.default_rng(0)

    def constant(*shape: int) -> Any:
        return tf.constant(rng.normal(size=shape).astype(np.float32))

    turned, first, last = constant(64, 64), constant(5, 3), constant(64, 4)

    def rows(image: Any) -> Any:
        return tf.reshape(tf.transpose(image, [0, 3, 1, 2]), [-1, 3, 64])

    def loop(image: Any) -> Any:
        def step(i: Any, x: Any) -> Any:
            return i + 1, tf.nn.relu(tf.matmul(x, turned))

        return tf.matmul(tf.while_loop(lambda i, _: i < 6, step, [tf.constant(0), rows(image)])[1][:, 0], last)

    def branch(image: Any) -> Any:
        x = rows(image)[:, 0]
        found = tf.cond(tf.reduce_sum(x) < 0, lambda: tf.matmul(x, turned), lambda: tf.nn.relu(x))
        return tf.matmul(found, last)

    def front(image: Any) -> Any:
        return tf.matmul(tf.matmul(first, rows(image))[:, 0], last)

    for function in (loop, branch, front):
        traced = tf.function(function, input_signature=[tf.TensorSpec([1, 8, 8, 3])]).get_concrete_function()
        made = tf.lite.TFLiteConverter.from_concrete_functions([traced], tf.Module()).convert()
        (Path(folder) / f"{function.__name__}.tflite").write_bytes(made)
