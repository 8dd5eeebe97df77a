"""The operators of random graphs: each function adds one, with what it needs, to what there is."""

from __future__ import annotations

import numpy as np
from onnx import helper

from tests.zoo.random_graphs import BOOL, FLOAT, INT64, Builder, step

_UNARY = (
    "Relu", "Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Elu", "LeakyRelu", "Softplus", "Abs", "Neg", "Erf",
    "Identity", "Floor", "Sign", "Sin", "Selu", "Softsign", "Ceil",
)  # fmt: skip


@step(6)
def unary(b: Builder):
    if x := b.pick():
        b.add(b.choose(_UNARY), [x.name], x.shape)


@step(3)
def with_stored(b: Builder):
    """A stored operand that is broadcast, on either side."""
    if x := b.pick():
        shape = b.choose([(), x.shape, x.shape[-1:], (*x.shape[:1], *[1] * (x.rank - 1))])
        names = [x.name, b.weights(*shape)]
        b.add(b.choose(["Add", "Sub", "Mul", "Max", "Min"]), b.choose([names, names[::-1]]), x.shape)


@step(3)
def binary(b: Builder):
    """Two tensors of one shape."""
    if x := b.pick():
        like = [v for v in b.values if v.shape == x.shape and v.kind == FLOAT]
        b.add(b.choose(["Add", "Sub", "Mul", "Max"]), [x.name, b.choose(like).name], x.shape)


@step(4)
def product(b: Builder):
    """A product with a stored matrix on the right."""
    if x := b.pick(2 - b.lead):
        out = b.choose([1, 3, 5, 8])
        if x.rank:
            b.add("MatMul", [x.name, b.weights(x.shape[-1], out)], (*x.shape[:-1], out))


@step()
def product_from_left(b: Builder):
    """A stored matrix on the left."""
    if x := b.pick(2):
        out = b.choose([2, 5])
        b.add("MatMul", [b.weights(out, x.shape[-2]), x.name], (*x.shape[:-2], out, x.shape[-1]))


@step()
def attention(b: Builder):
    """A product of two tensors that samples make, and its softmax."""
    if x := b.pick(2, 2):
        order = [0, 2, 1] if b.lead else [1, 0]
        turned = b.add("Transpose", [x.name], x.shape[::-1], perm=order)
        scores = b.add("MatMul", [x.name, turned.name], (x.shape[0], x.shape[0]))
        b.add("Softmax", [scores.name], scores.shape, axis=-1)


@step(4)
def gemm(b: Builder):
    """A dense layer whose bias has any shape that can be broadcast, or is absent."""
    if b.lead and (x := b.pick(1, 1)):
        out, turned = b.choose([1, 4, 6]), b.choose([0, 1])
        weight = b.weights(out, x.shape[0]) if turned else b.weights(x.shape[0], out)
        bias = b.choose([None, (out,), (1, out), (1,), ()])
        inputs = [x.name, weight, *([] if bias is None else [b.weights(*bias)])]
        b.add("Gemm", inputs, (out,), transB=turned, alpha=b.choose([1.0, 1.0, 0.5]), beta=b.choose([1.0, 1.0, 2.0]))


def _batched(b: Builder, ranks):
    """A tensor with a batch and channels; a graph without a batch has none."""
    return b.pick(min(ranks), max(ranks)) if b.lead else None


@step(5)
def convolution(b: Builder):
    if (x := _batched(b, (2, 3))) and min(x.shape) > 0:
        channels, *sizes = x.shape
        groups = b.choose([1, 1, channels])
        out = groups * b.choose([1, 2]) if groups > 1 else b.choose([1, 4, 6])
        kernel = [b.choose([1, 3]) if size >= 3 else 1 for size in sizes]
        stride, pad = b.choose([1, 1, 2]), b.choose([0, 1])
        pads = [pad if k == 3 else 0 for k in kernel]
        after = [(size + 2 * p - k) // stride + 1 for size, p, k in zip(sizes, pads, kernel, strict=True)]
        inputs = [x.name, b.weights(out, channels // groups, *kernel)]
        inputs += [b.weights(out)] if b.choose([True, False]) else []
        more = {"pads": pads * 2, "strides": [stride] * len(sizes), "group": groups}
        b.add("Conv", inputs, (out, *after), **(more if b.choose([True, False]) else more | {"kernel_shape": kernel}))


@step()
def transposed_convolution(b: Builder):
    if x := _batched(b, (2, 3)):
        channels, *sizes = x.shape
        out, stride = b.choose([1, 4]), b.choose([1, 2])
        after = [(size - 1) * stride + 2 for size in sizes]
        weight = b.weights(channels, out, *([2] * len(sizes)))
        b.add("ConvTranspose", [x.name, weight], (out, *after), strides=[stride] * len(sizes))


@step(2)
def pooling(b: Builder):
    if (x := _batched(b, (2, 3))) and min(x.shape[1:]) >= 2:
        after = [size // 2 for size in x.shape[1:]]
        more = {"kernel_shape": [2] * len(after), "strides": [2] * len(after)}
        b.add(b.choose(["MaxPool", "AveragePool"]), [x.name], (x.shape[0], *after), **more)


@step(2)
def global_pooling(b: Builder):
    if x := _batched(b, (2, 3)):
        kind = b.choose(["GlobalAveragePool", "GlobalMaxPool"])
        b.add(kind, [x.name], (x.shape[0], *[1] * (x.rank - 1)))


@step(2)
def batch_norm(b: Builder):
    if x := _batched(b, (2, 3)):
        channels = x.shape[0]
        spread = b.store(b.random.uniform(0.5, 2, channels).astype(np.float32))
        stored = [b.weights(channels), b.weights(channels), b.weights(channels), spread]
        b.add("BatchNormalization", [x.name, *stored], x.shape)


@step(2)
def other_norms(b: Builder):
    if (x := b.pick(1)) and x.shape[-1] > 1:
        b.add("LayerNormalization", [x.name, b.weights(x.shape[-1]), b.weights(x.shape[-1])], x.shape, axis=-1)
    if (x := _batched(b, (2, 3))) and b.choose([True, False]):
        b.add("InstanceNormalization", [x.name, b.weights(x.shape[0]), b.weights(x.shape[0])], x.shape)


@step(2)
def softmax(b: Builder):
    if x := b.pick(1):
        b.add(b.choose(["Softmax", "LogSoftmax"]), [x.name], x.shape, axis=b.axis(x))


@step(2)
def clip(b: Builder):
    if x := b.pick():
        low, high = b.store(np.float32(-1)), b.store(np.float32(6))
        b.add("Clip", b.choose([[x.name, low, high], [x.name, low], [x.name, "", high]]), x.shape)


@step()
def slopes(b: Builder):
    if x := b.pick(1):
        b.add("PRelu", [x.name, b.weights(x.shape[0], *[1] * (x.rank - 1))], x.shape)


@step(2)
def flatten(b: Builder):
    """Into one row, in the ways of several exporters."""
    if b.lead and (x := b.pick()):
        size = int(np.prod(x.shape))
        way = b.choose(["Flatten", "Reshape", "Reshape", "computed"])
        if way == "Flatten":
            b.add("Flatten", [x.name], (size,), axis=1)
        elif way == "Reshape":
            b.add("Reshape", [x.name, b.store(np.array([0 if x.rank else -1, -1 if x.rank else 1]))], (size,))
        else:
            b.nodes.append(helper.make_node("Shape", [x.name], [whole := b.name("s")]))
            b.nodes.append(helper.make_node("Gather", [whole, b.store(np.array([0]))], [first := b.name("s")]))
            b.nodes.append(helper.make_node("Concat", [first, b.store(np.array([size]))], [to := b.name("s")], axis=0))
            b.add("Reshape", [x.name, to], (size,))


@step(2)
def reshape(b: Builder):
    """Its axes put together, or split."""
    if (x := b.pick(1)) and (size := int(np.prod(x.shape))) % 2 == 0:
        shape = b.choose([(2, size // 2), (size // 2, 2), (1, 2, size // 2)])
        target = ([-1] if b.batch == "batch" else [b.batch] if b.lead else []) + list(shape)
        b.add("Reshape", [x.name, b.store(np.array(target))], shape)


@step(2)
def transpose(b: Builder):
    """Axes of a sample in another order."""
    if x := b.pick(2):
        order = b.choose([list(range(x.rank))[::-1], [*range(1, x.rank), 0]])
        perm = [*range(b.lead), *(each + b.lead for each in order)]
        b.add("Transpose", [x.name], [x.shape[each] for each in order], perm=perm)


@step(2)
def squeeze(b: Builder):
    if x := b.pick(0, 3):
        place = b.choose(range(x.rank + 1))
        y = b.add("Unsqueeze", [x.name, b.store(np.array([place + b.lead]))], (*x.shape[:place], 1, *x.shape[place:]))
        if b.choose([True, False]) and 1 in y.shape:
            place = y.shape.index(1)
            shape = (*y.shape[:place], *y.shape[place + 1 :])
            b.add("Squeeze", [y.name, b.store(np.array([place + b.lead]))], shape)


@step(2)
def concat(b: Builder):
    if x := b.pick(1):
        axis = b.axis(x)
        place = b.place(x, axis)
        others = [
            v
            for v in b.values
            if v.kind == FLOAT
            and v.rank == x.rank
            and all(p == place or v.shape[p] == x.shape[p] for p in range(x.rank))
        ]
        y = b.choose(others)
        shape = [size + y.shape[p] if p == place else size for p, size in enumerate(x.shape)]
        b.add("Concat", [x.name, y.name], shape, axis=axis)


@step(2)
def pieces(b: Builder):
    """A slice, a split in two, or some places along an axis."""
    if not (x := b.pick(1)):
        return
    axis = b.axis(x)
    place = b.place(x, axis)
    size = x.shape[place]
    ways = ["Gather", "one"] + ["Slice"] * (size >= 2) + ["Split"] * (size >= 2 and size % 2 == 0)
    way = b.choose(ways)

    def resized(after):
        return [after if p == place else each for p, each in enumerate(x.shape)]

    if way == "Slice":
        stored = [b.store(np.array([each])) for each in (0, size - 1, axis)]
        b.add("Slice", [x.name, *stored], resized(size - 1))
    elif way == "Split":
        halves = b.store(np.array([size // 2, size // 2]))
        b.add("Split", [x.name, halves], resized(size // 2), axis=axis, outputs=2, place=b.choose([0, 1]))
    elif way == "Gather":
        b.add("Gather", [x.name, b.store(np.array([0, size - 1]))], resized(2), axis=axis)
    else:
        shape = (*x.shape[:place], *x.shape[place + 1 :])
        b.add("Gather", [x.name, b.store(np.array(b.choose([0, -1])))], shape, axis=axis)


@step()
def pad(b: Builder):
    if x := b.pick(1, 3):
        amounts = [0] * b.lead + [1] + [0] * (x.rank - 1)
        shape = (x.shape[0] + 1, *x.shape[1:])
        value = [b.store(np.float32(b.choose([0, 0, -1])))] if b.choose([True, False]) else []
        b.add("Pad", [x.name, b.store(np.array(amounts + [0] * (b.lead + x.rank))), *value], shape)


@step(2)
def resize(b: Builder):
    if (x := _batched(b, (3, 3))) and max(x.shape[1:]) <= 12:
        scales = b.store(np.float32([1, 1, 2, 2]))
        mode = b.choose(["nearest", "linear"])
        shape = (x.shape[0], 2 * x.shape[1], 2 * x.shape[2])
        b.add("Resize", [x.name, "", scales], shape, mode=mode, coordinate_transformation_mode="asymmetric")


@step(3)
def reduction(b: Builder):
    """Over one axis of a sample, or over all of them."""
    if not (x := b.pick(1)):
        return
    kind, keep = b.choose(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSum"]), b.choose([0, 1])
    axes = b.choose([[b.axis(x)], [p + b.lead for p in range(x.rank)]])
    places = {b.place(x, axis) for axis in axes}
    shape = [1 if p in places else size for p, size in enumerate(x.shape) if keep or p not in places]
    if kind == "ReduceSum":  # since opset 13 its axes are an input
        b.add(kind, [x.name, b.store(np.array(axes))], shape, keepdims=keep)
    else:
        b.add(kind, [x.name], shape, axes=axes, keepdims=keep)


@step()
def where(b: Builder):
    if x := b.pick():
        above = b.add("Greater", [x.name, b.store(np.float32(0))], x.shape, BOOL)
        other = b.store(np.float32(b.choose([0, -1, -1e9, -3.4028235e38, -np.inf])))
        found = b.add("Where", [above.name, x.name, other], x.shape)
        if x.rank and b.choose([True, True, False]):
            b.add("Softmax", [found.name], x.shape, axis=-1)


@step()
def cast(b: Builder):
    """To whole numbers and back, or to half precision and back."""
    if x := b.pick():
        to = b.choose([INT64, INT64, 6, 10])
        b.add("Cast", [b.add("Cast", [x.name], x.shape, to, to=to).name], x.shape, to=FLOAT)


@step(2)
def embedding(b: Builder):
    there = [v for v in b.values if v.kind == INT64 and v.rank <= 2 and v.name.startswith("in")]  # of 0 to 4
    if there:
        x, width = b.choose(there), b.choose([1, 4])
        b.add("Gather", [b.weights(8, width), x.name], (*x.shape, width))


@step()
def whole_numbers(b: Builder):
    """Whole numbers become floats, or the place of the largest is looked for."""
    if b.choose([True, False]) and (x := b.pick(kind=INT64)):
        b.add("Cast", [x.name], x.shape, to=FLOAT)
    elif x := b.pick(1):
        axis, keep = b.axis(x), b.choose([0, 1])
        place = b.place(x, axis)
        shape = [1 if p == place else size for p, size in enumerate(x.shape) if keep or p != place]
        b.add("ArgMax", [x.name], shape, INT64, axis=axis, keepdims=keep)


@step()
def einsum(b: Builder):
    if b.lead and (x := b.pick(1, 2)):
        out = b.choose([2, 5])
        equation = "bi,io->bo" if x.rank == 1 else "bti,io->bto"
        b.add("Einsum", [x.name, b.weights(x.shape[-1], out)], (*x.shape[:-1], out), equation=equation)


@step()
def recurrent(b: Builder):
    if b.batch == "batch" and (x := b.pick(2, 2)):
        operator, gates = b.choose([("LSTM", 4), ("GRU", 3), ("RNN", 1)])
        hidden = 3
        turned = b.name("t")
        b.nodes.append(helper.make_node("Transpose", [x.name], [turned], b.name("turn"), perm=[1, 0, 2]))
        stored = [b.weights(1, gates * hidden, x.shape[1]), b.weights(1, gates * hidden, hidden)]
        outputs = [b.name("t"), b.name("t")]
        b.nodes.append(helper.make_node(operator, [turned, *stored], outputs, b.name(operator), hidden_size=hidden))
        b.add("Squeeze", [outputs[1], b.store(np.array([0]))], (hidden,))


@step()
def scan_along(b: Builder):
    """Running sums along an axis, or the best of it."""
    if x := b.pick(1):
        axis = b.axis(x)
        if b.choose([True, False]):
            b.add("CumSum", [x.name, b.store(np.array(axis))], x.shape)
        else:
            place = b.place(x, axis)
            shape = [1 if p == place else size for p, size in enumerate(x.shape)]
            b.add("TopK", [x.name, b.store(np.array([1]))], shape, axis=axis, outputs=2)


@step()
def branches(b: Builder):
    """An If whose condition is stored, or a Loop of two rounds, each with a product inside."""
    if not (x := b.pick(1)):
        return
    width = x.shape[-1]
    if width > 16:
        return
    weight, end = b.weights(width, width), [None] * (x.rank + b.lead)

    def inside(name, given, operator):
        made = [f"{name}_p", f"{name}_r"]
        nodes = [
            helper.make_node("MatMul", [given, weight], made[:1], f"{name}_m"),
            helper.make_node(operator, made[:1], made[1:], f"{name}_o"),
        ]
        return nodes, made[1]

    name = b.name("sub")
    if b.choose([True, False]):
        graphs = []
        for branch, operator in (("yes", "Tanh"), ("no", "Relu")):
            nodes, out = inside(f"{name}_{branch}", x.name, operator)
            graphs.append(helper.make_graph(nodes, branch, [], [helper.make_tensor_value_info(out, FLOAT, end)]))
        condition = b.store(np.array(b.choose([True, False])))
        b.add("If", [condition], x.shape, then_branch=graphs[0], else_branch=graphs[1])
        return
    nodes, out = inside(name, f"{name}_in", "Tanh")
    nodes.append(helper.make_node("Identity", [f"{name}_on"], [f"{name}_go"], f"{name}_i"))
    body = helper.make_graph(
        nodes,
        "body",
        [
            helper.make_tensor_value_info(f"{name}_n", INT64, []),
            helper.make_tensor_value_info(f"{name}_on", BOOL, []),
            helper.make_tensor_value_info(f"{name}_in", FLOAT, end),
        ],
        [
            helper.make_tensor_value_info(f"{name}_go", BOOL, []),
            helper.make_tensor_value_info(out, FLOAT, end),
        ],
    )
    b.add("Loop", [b.store(np.array(2)), b.store(np.array(True)), x.name], x.shape, body=body)
