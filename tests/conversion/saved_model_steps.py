"""What workers do for the tests of SavedModels: writing those that TensorFlow no longer writes, or opens, by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

WEIGHT = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def write(folder: str) -> None:
    """Write one of each.

    `trained` has an optimizer's slots as Keras 2 left them, `unsigned` has no signature, `two` has two; `mixed`
    computes in half precision; `captured` and `captured_unsigned` have their weights in a constant.
    """
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self):
            super().__init__()
            self.weight = tf.Variable(WEIGHT)
            self.optimizer = tf.Module()
            self.optimizer.momentum = tf.Variable(tf.zeros_like(self.weight))

        @tf.function
        def __call__(self, x, training=False):
            scores = tf.matmul(x, self.weight)
            return {"scores": scores + 1.0 if training else scores}

    spec, net = tf.TensorSpec((None, 5), tf.float32, "x"), Net()
    functions = [net.__call__.get_concrete_function(spec, training=training) for training in (True, False)]
    place = Path(folder)
    tf.saved_model.save(net, str(place / "unsigned"))
    tf.saved_model.save(net, str(place / "trained"), signatures=functions[1])
    tf.saved_model.save(net, str(place / "two"), signatures={"fit": functions[0], "predict": functions[1]})
    give_slots(place / "trained" / "saved_model.pb")

    @tf.function
    def mixed(x):
        half = tf.matmul(tf.cast(x, tf.float16), tf.cast(net.weight, tf.float16))
        return {"scores": tf.cast(half + tf.constant(1e-4, tf.float16), tf.float32) - 1e-4}

    tf.saved_model.save(net, str(place / "mixed"), signatures=mixed.get_concrete_function(spec))

    weight = tf.constant(WEIGHT)

    class Capturing(tf.Module):
        @tf.function(input_signature=[spec])
        def __call__(self, x):
            return {"scores": tf.matmul(x, weight)}

    net = Capturing()
    tf.saved_model.save(net, str(place / "captured_unsigned"))
    tf.saved_model.save(net, str(place / "captured"), signatures=net.__call__.get_concrete_function())


def give_slots(path: Path) -> None:
    """Say in the graph of objects that the momentum is the slot of the weight."""
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    nodes = model.meta_graphs[0].object_graph_def.nodes
    children = {child.local_name: child.node_id for child in nodes[0].children}
    optimizer = nodes[children["optimizer"]]
    slot = optimizer.slot_variables.add(slot_name="momentum", original_variable_node_id=children["weight"])
    slot.slot_variable_node_id = next(child.node_id for child in optimizer.children if child.local_name == "momentum")
    kept = [child for child in optimizer.children if child.local_name != "momentum"]
    del optimizer.children[:]
    optimizer.children.extend(kept)
    optimizer.user_object.identifier = "optimizer"
    path.write_bytes(model.SerializeToString())


def run(source: str, inputs: str) -> dict[str, Any]:
    """What bitpick opens, and what TensorFlow alone opens once bitpick has written it again."""
    import tensorflow as tf

    from bitpick.conversion import saved_model

    model = saved_model.load(Path(source))
    x = np.load(inputs)
    (found,) = model.call(x)
    out = Path(source).with_name(f"{Path(source).name}-written")
    saved_model.write(Path(source), out)
    loaded = tf.saved_model.load(str(out))
    (written,) = loaded.signatures["serving_default"](tf.constant(x)).values()
    return {
        "found": np.asarray(found).tolist(),
        "written": np.asarray(written).tolist(),
        "weights": model.weights,
        "names": [spec.name for spec in model.specs],
    }


def run_litert(source: str, inputs: str) -> list[list[float]]:
    """What a LiteRT file with one input and one output computes."""
    import tensorflow as tf

    x = np.load(inputs)
    interpreter = tf.lite.Interpreter(source)
    ((place,), (out,)) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(place["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place["index"], x)
    interpreter.invoke()
    found: list[list[float]] = interpreter.get_tensor(out["index"]).tolist()
    return found
