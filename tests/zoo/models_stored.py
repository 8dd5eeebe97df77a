"""How a file is stored: outputs that nothing computes, odd numbers, other types, other files."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.zoo.entry import accepted, refused
from tests.zoo.onnx_files import clusters, finish, finished, fit, graph, noise, one_hot, weights


def classes(text, stored, width, ends="(float[batch,8] x) => (float[batch,4] y)", opset=17):
    """A fitted classifier of 8 numbers, from its nodes; the data beside it."""
    x, labels = clusters((8,), 4)
    kept = {"head": np.zeros((width, 4), np.float32), **stored}
    return fit(graph(f"{ends} {{ {text} }}", kept, opset), "f0", "head", [x], one_hot(labels)), {"x": x}, labels


DENSE = "a = MatMul(x, w) f0 = Relu(a) y = MatMul(f0, head)"


def plain(width=16):
    """The stored tensors of DENSE."""
    return {"w": weights(width, 8).T}


@accepted("classification", "accuracy", least=0.6)
def stored_tensor_as_output(folder):
    """A stored tensor is an output too, as anchors are."""
    model, x, labels = classes(DENSE, plain(), 16)
    model.graph.initializer.append(numpy_helper.from_array(np.float32([1, 2, 3]), "anchors"))
    model.graph.output.append(helper.make_tensor_value_info("anchors", TensorProto.FLOAT, [3]))
    return finish(folder, model, x, labels)


@accepted("classification", "accuracy", least=0.6)
def constant_as_output(folder):
    """An output that is computed of a stored tensor alone."""
    text = f"{DENSE} k = Identity(anchors)"
    ends = "(float[batch,8] x) => (float[batch,4] y, float[3] k)"
    return finish(folder, *classes(text, plain() | {"anchors": np.float32([1, 2, 3])}, 16, ends))


@accepted("classification", "accuracy", least=0.6)
def input_as_output(folder):
    """An input that is handed on as it is."""
    ends = "(float[batch,8] x) => (float[batch,4] y, float[batch,8] same)"
    return finish(folder, *classes(f"{DENSE} same = Identity(x)", plain(), 16, ends))


@accepted("classification", "accuracy", least=0.6)
def stored_tensors_as_inputs(folder):
    """Weights that are listed among the inputs, as before ONNX's version 4."""
    model, x, labels = classes(DENSE, plain(), 16)
    for each in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(each.name, each.data_type, each.dims))
    return finish(folder, model, x, labels)


@accepted("classification", "accuracy", least=0.6)
def weights_in_another_file(folder):
    """Weights beside the file."""
    made = finish(folder, *classes(DENSE, plain(200), 200))
    model = onnx.load(made.model)
    onnx.save(model, made.model, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return made


@accepted("classification", "accuracy", least=0.6)
def weights_as_constants(folder):
    """Weights in Constant nodes."""
    model, x, labels = classes(DENSE, plain(), 16)
    nodes = [helper.make_node("Constant", [], [each.name], value=each) for each in model.graph.initializer]
    rest = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    return finish(folder, model, x, labels)


@accepted("classification", "accuracy", least=0.6)
def nodes_out_of_order(folder):
    """Nodes that come before what they take: ONNX Runtime sorts them."""
    model, x, labels = classes(DENSE, plain(), 16)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    return finish(folder, model, x, labels)


@accepted("classification", "accuracy", least=0.6)
def nodes_without_names(folder):
    """Nodes that no exporter named."""
    model, x, labels = classes(DENSE, plain(), 16)
    for node in model.graph.node:
        node.name = ""
    return finish(folder, model, x, labels)


@accepted("classification", "accuracy", least=0.6)
def free_of_zero(folder):
    """A batch of 0 in the declared shapes, as some converters write a free one."""
    made = finish(folder, *classes(DENSE, plain(), 16))
    model = onnx.load(made.model)
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.shape.dim[0].dim_value = 0
    onnx.save(model, made.model)
    return made


@accepted("classification", "accuracy", least=0.6)
def saved_by_the_optimizer(folder):
    """What ONNX Runtime saves after it optimised a graph: FusedConv and its like."""
    import onnxruntime as ort

    x, labels = clusters((3, 8, 8), 4)
    text = """(float[batch,3,8,8] x) => (float[batch,4] y) {
        c = Conv(x, w, b) r = Relu(c) g = GlobalAveragePool(r) f0 = Flatten(g) y = MatMul(f0, head) }"""
    stored = {"w": weights(16, 3, 3, 3), "b": weights(16), "head": np.zeros((16, 4), np.float32)}
    model = fit(graph(text, stored), "f0", "head", [x], one_hot(labels))
    folder.mkdir(parents=True)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "model.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return finished(folder, folder / "model.onnx", {"x": x}, labels)


@accepted("classification", "accuracy", least=0.5)
def shared_weights(folder):
    """One weight in two layers, one of which takes it transposed."""
    text = "a = Gemm<transB=1>(x, w, b) r = Relu(a) c = Gemm(r, w, b) f0 = Relu(c) y = MatMul(f0, head)"
    return finish(folder, *classes(text, {"w": weights(8, 8), "b": weights(8)}, 8))


@accepted("classification", "accuracy", least=0.6)
def clashing_names(folder):
    """A tensor b and a tensor b0, which a quantizer that numbers copies would name alike."""
    text = "b0 = Gemm(x, w, b) b1 = Relu(b0) b2 = Gemm(b1, w2, b) f0 = Relu(b2) y = MatMul(f0, head)"
    stored = {"w": weights(16, 8).T, "w2": weights(16, 16), "b": weights(16)}
    return finish(folder, *classes(text, stored, 16))


@accepted("classification", "accuracy", least=0.6)
def einsum(folder):
    """Dense layers that are written as Einsum."""
    text = """a = Einsum<equation="bi,ih->bh">(x, w) r = Relu(a) c = Einsum<equation="bi,ih->bh">(r, w2) f0 = Relu(c)
        y = MatMul(f0, head)"""
    return finish(folder, *classes(text, {"w": weights(64, 8).T, "w2": weights(64, 64)}, 64))


@accepted("classification", "accuracy", least=0.6)
def weight_on_the_left(folder):
    """A product W · x, whose stored operand comes first."""
    text = """u = Unsqueeze(x, last) a = MatMul(w, u) s = Squeeze(a, last) f0 = Relu(s) y = MatMul(f0, head)"""
    return finish(folder, *classes(text, {"w": weights(32, 8), "last": np.array([2])}, 32))


@accepted("deviation", "deviation")
def tiny_weights(folder):
    """Weights of 1e-9 beside biases of 5, as of a layer that pruning left."""
    text = """(float[batch,4,8,8] x) => (float[batch,8,8,8] y) { c = Conv<pads=[1,1,1,1]>(x, w, b) y = Relu(c) }"""
    stored = {"w": 1e-9 * weights(8, 4, 3, 3), "b": np.float32([5, -4.5, 1, 2, 3, 0.5, 0.1, 7])}
    return finish(folder, graph(text, stored), {"x": 100 * noise(4, 8, 8)})


@accepted("deviation", "deviation")
def dead_channels(folder):
    """A depthwise layer with a channel of zeros and one of nearly zeros."""
    w, b = weights(16, 1, 3, 3), weights(16)
    w[3], w[7], b[3], b[7] = 0, 1e-8 * w[7], 2.0, -1.5
    text = """(float[batch,16,8,8] x) => (float[batch,8,8,8] y) {
        c = Conv<group=16,pads=[1,1,1,1]>(x, w, b) a = HardSwish(c) y = Conv(a, p) }"""
    return finish(folder, graph(text, {"w": w, "b": b, "p": weights(8, 16, 1, 1)}), {"x": noise(16, 8, 8)})


@accepted("deviation", "deviation")
def not_a_number_behind_a_mask(folder):
    """The logarithm of what is negative, which a Where replaces."""
    text = """(float[batch,4,8,8] x) => (float[batch,4,8,8] y) {
        l = Log(x) p = Greater(x, nought) w0 = Where(p, l, nought) y = Conv<pads=[1,1,1,1]>(w0, w, b) }"""
    stored = {"w": weights(4, 4, 3, 3), "b": weights(4), "nought": np.float32(0)}
    return finish(folder, graph(text, stored), {"x": noise(4, 8, 8)})


@accepted("classification", "accuracy", least=0.6)
def half_precision(folder):
    """A model in float16, its inputs and outputs too."""
    model, x, labels = classes(DENSE, plain(), 16)
    for each in model.graph.initializer:
        each.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(each).astype(np.float16), each.name))
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.elem_type = TensorProto.FLOAT16
    return finish(folder, model, {"x": x["x"].astype(np.float16)}, labels)


@accepted("classification", "accuracy", least=0.6)
def partly_half(folder):
    """Float inputs and outputs around layers in float16, and one in float32 between them."""
    text = """h = Cast<to=10>(x) a = MatMul(h, w) r = Relu(a) c = Cast<to=1>(r) f0 = MatMul(c, w2)
        k = Cast<to=10>(f0) y0 = MatMul(k, heads) y = Cast<to=1>(y0)"""
    x, labels = clusters((8,), 4)
    stored = {"w": weights(16, 8).T.astype(np.float16), "w2": weights(16, 16)}
    rough = graph(
        "(float[batch,8] x) => (float[batch,4] y)"
        "{ a = MatMul(x, w) r = Relu(a) f0 = MatMul(r, w2) y = MatMul(f0, head) }",
        {"w": stored["w"].astype(np.float32), "w2": stored["w2"], "head": np.zeros((16, 4), np.float32)},
    )
    head = numpy_helper.to_array(fit(rough, "f0", "head", [x], one_hot(labels)).graph.initializer[-1])
    model = graph(f"(float[batch,8] x) => (float[batch,4] y) {{ {text} }}", stored | {"heads": head.astype(np.float16)})
    return finish(folder, model, {"x": x}, labels)


@accepted()
def scalar_beside_a_batch(folder):
    """A sampling rate: one number that all samples share, beside an input with a batch."""
    text = """(float[batch,8] x, int64 rate) => (float[batch,4] y) {
        s = Cast<to=1>(rate) k = Div(s, base) a = MatMul(x, w) r = Mul(a, k) y = MatMul(r, w2) }"""
    stored = {"w": weights(12, 8).T, "w2": weights(4, 12).T, "base": np.float32(8000)}
    x = noise(8)
    return finish(folder, graph(text, stored), {"x": x, "rate": np.full(len(x), 16000)}, axes=(0, None))


@accepted()
def no_batch_axis(folder):
    """A graph that takes one sample, and has no axis for more."""
    text = """(float[6,20] x) => (float[5] y) {
        u = Unsqueeze(x, first) c = Conv(u, w) r = Relu(c) f = Flatten(r) g = MatMul(f, head) y = Squeeze(g, first) }"""
    stored = {"w": weights(8, 6, 3), "head": weights(5, 144).T, "first": np.array([0])}
    return finish(folder, graph(text, stored), {"x": noise(6, 20)}, axes=(None,))


@accepted()
def answers_without_a_batch(folder):
    """An input with a batch of 1, and an output whose only axis is that of its numbers."""
    text = """(float[1,8] x) => (float[m] y) { a = MatMul(x, w) r = Relu(a) g = MatMul(r, w2) y = Reshape(g, flat) }"""
    stored = {"w": weights(16, 8).T, "w2": weights(20, 16).T, "flat": np.array([-1])}
    return finish(folder, graph(text, stored), {"x": noise(8)})


@refused("(?i)batch|each time")  # in ONNX Runtime its running mean is kept from one run to the next
def norm_in_training_mode(folder):
    """A batch normalisation that was exported in training mode: what a sample gives depends on the others."""
    text = """(float[batch,3,8,8] x) => (float[batch,4] y) {
        c = Conv(x, w) n, m1, v1 = BatchNormalization<training_mode=1>(c, s, o, m, v) r = Relu(n)
        g = GlobalAveragePool(r) f = Flatten(g) y = MatMul(f, head) }"""
    stored = {
        "w": weights(8, 3, 3, 3), "s": np.ones(8, np.float32), "o": np.zeros(8, np.float32),
        "m": np.zeros(8, np.float32), "v": np.ones(8, np.float32), "head": weights(4, 8).T,
    }  # fmt: skip
    return finish(folder, graph(text, stored), {"x": noise(3, 8, 8)})


@refused("(?i)batch")
def standardised_over_the_batch(folder):
    """A layer that subtracts the mean of the batch and divides by its spread."""
    text = """(float[batch,8] x) => (float[batch,4] y) {
        a = MatMul(x, w) m = ReduceMean<axes=[0],keepdims=1>(a) d = Sub(a, m) q = Mul(d, d)
        v = ReduceMean<axes=[0],keepdims=1>(q) e = Add(v, small) s = Sqrt(e) n = Div(d, s) y = MatMul(n, head) }"""
    stored = {"w": weights(16, 8).T, "head": weights(4, 16).T, "small": np.float32(1e-5)}
    return finish(folder, graph(text, stored), {"x": noise(8)})


@refused("(?i)random|not the same|differ|dropout")
def random_numbers(folder):
    """A graph that draws noise: no two runs agree."""
    text = """(float[batch,8] x) => (float[batch,4] y) {
        a = MatMul(x, w) z = RandomNormalLike(a) n = Add(a, z) y = MatMul(n, head) }"""
    return finish(folder, graph(text, {"w": weights(16, 8).T, "head": weights(4, 16).T}), {"x": noise(8)})


@refused("(?i)quantized already")
def quantized_already(folder):
    """A file that was quantized."""
    from onnxruntime.quantization import quantize_dynamic

    made = finish(folder, *classes(DENSE, plain(), 16))
    quantize_dynamic(made.model, folder / "quantized.onnx")
    (folder / "quantized.onnx").replace(made.model)
    return made
