"""Whether hops tell rounding from defects: sound networks must pass, and those with one wrong layer must not.

    python benchmarks/hop_tolerance.py [--seeds N] [--smoke]

Makes random networks of seven kinds, whose weights are scaled as training leaves them: deep autoencoders with outputs
up to 100, convolutional and depthwise nets, dilated convolutions along time, a detector with boxes (0 to 640) beside
scores (0 to 1), attention, and a recurrent net. Each is run as it was made by ONNX Runtime without optimisations, and
as bitpick's clean graph: by ONNX Runtime with all optimisations, and by NumPy, whose matrix products here add up one
number after the other. These hops must pass. Then one layer is changed, and the hop must fail. Prints both rates; exits
1 where a sound network was refused, or a defect passed that changes the outputs by more than a ten thousandth of their
size and by more than a hundred times what rounding does to this network.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from bitpick.conversion import canonical_onnx, float64, onnx_file, rounding, verify

SAMPLES = 128
SIDES = canonical_onnx.HOP.source, canonical_onnx.HOP.target
MATTERS = 1e-4
"""Of the outputs' size: what a defect must change for it to count; and, of what rounding changes, so many times."""
TIMES = 100


@dataclass
class Network:
    """A graph that grows, with what it computes for the samples: weights are scaled to what they get."""

    rng: np.random.Generator
    samples: np.ndarray
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: dict[str, np.ndarray] = field(default_factory=dict)
    known: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known["x"] = self.samples

    def add(self, kind: str, *inputs: str | np.ndarray, count: int = 1, **attributes: object) -> str:
        """Add a node; arrays become stored tensors."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        names = []
        for place, each in enumerate(inputs):
            if not isinstance(each, str):
                self.stored[f"{name}.{place}"] = self.known[f"{name}.{place}"] = each
            names.append(each if isinstance(each, str) else f"{name}.{place}")
        outputs = [name, *(f"{name}:{i}" for i in range(1, count))]
        node = helper.make_node(kind, names, outputs, name, **attributes)
        self.known |= dict(zip(outputs, onnx_file.run_node(node, self.known, 17), strict=True))
        self.nodes.append(node)
        return name

    def random(self, *shape: int, fan: int | None = None) -> np.ndarray:
        return (self.rng.normal(size=shape) * np.sqrt(2 / (fan or shape[0]))).astype(np.float32)

    def dense(self, x: str, width: int) -> str:
        inner = self.known[x].shape[-1]
        return self.add("Gemm", x, self.random(inner, width), self.random(width, fan=20))

    def conv(self, x: str, width: int, size: int = 3, groups: int = 1, stride: int = 1, dilation: int = 1) -> str:
        inner, axes = self.known[x].shape[1] // groups, self.known[x].ndim - 2
        weight = self.random(width, inner, *[size] * axes, fan=inner * size**axes)
        pads = [dilation * (size // 2)] * (2 * axes)
        options = {"pads": pads, "strides": [stride] * axes, "dilations": [dilation] * axes, "group": groups}
        return self.add("Conv", x, weight, self.random(width, fan=20), **options)

    def norm(self, x: str, epsilon: float = 1e-3) -> str:
        """Batch norm with the statistics that training would have left."""
        values = self.known[x]
        axes = (0, *range(2, values.ndim))
        width = values.shape[1]
        scale = self.rng.uniform(0.3, 2, width).astype(np.float32)
        statistics = [values.mean(axes, dtype=np.float64), values.var(axes, dtype=np.float64)]
        parts = (scale, self.random(width, fan=8), *(each.astype(np.float32) for each in statistics))
        return self.add("BatchNormalization", x, *parts, epsilon=epsilon)

    def model(self, output: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *self.samples.shape[1:]])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", *self.known[output].shape[1:]])],
            [numpy_helper.from_array(np.asarray(array), name) for name, array in self.stored.items()],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(made)
        return made


def autoencoder(rng: np.random.Generator) -> Network:
    """MLPerf Tiny's anomaly detector: spectra, mostly alike, through a bottleneck of eight."""
    factors = rng.normal(size=(SAMPLES, 6)) @ rng.normal(size=(6, 640)) * rng.uniform(1, 4)
    spectra = rng.uniform(-70, -10, 640) + factors + rng.normal(size=(SAMPLES, 640))
    net = Network(rng, spectra.astype(np.float32))
    x = "x"
    for width in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = net.add("Relu", net.norm(net.dense(x, width)))
    inner = net.known[x].astype(np.float64)
    weight, *_ = np.linalg.lstsq(np.c_[inner, np.ones(SAMPLES)], spectra, rcond=10 ** -rng.uniform(0.5, 3))
    net.add("Gemm", x, weight[:-1].astype(np.float32), weight[-1].astype(np.float32))
    return net


def images(rng: np.random.Generator, side: int = 12) -> np.ndarray:
    return rng.uniform(0, 1, (SAMPLES, 3, side, side)).astype(np.float32)


def convolutional(rng: np.random.Generator) -> Network:
    net = Network(rng, images(rng))
    x = net.add("MaxPool", net.conv("x", 16), kernel_shape=[2, 2], strides=[2, 2])
    for _ in range(3):
        inner = net.add("Relu", net.norm(net.conv(x, 16), 1e-5))
        x = net.add("Relu", net.add("Add", x, net.norm(net.conv(inner, 16), 1e-5)))
    flat = net.add("Flatten", net.add("GlobalAveragePool", x))
    net.add("Softmax", net.dense(flat, 10))
    return net


def depthwise(rng: np.random.Generator) -> Network:
    net = Network(rng, images(rng))
    x, six = net.conv("x", 16, stride=2), np.float32(6)
    for _ in range(4):
        for size, groups in ((3, 16), (1, 1)):
            x = net.add("Clip", net.norm(net.conv(x, 16, size, groups)), np.float32(0), six)
    net.dense(net.add("Flatten", net.add("GlobalAveragePool", x)), 5)
    return net


def sequence(rng: np.random.Generator) -> Network:
    net = Network(rng, rng.normal(size=(SAMPLES, 8, 24)).astype(np.float32))
    x = "x"
    for dilation in (1, 2, 4):
        x = net.add("LeakyRelu", net.conv(x, 16, dilation=dilation), alpha=0.3)
    ends = (np.array(each, np.int64) for each in ([-1], [2**31 - 1], [2]))
    last = net.add("Slice", x, *ends)
    square = net.add("Elu", net.dense(net.add("Flatten", last), 16), alpha=0.5)
    net.dense(net.add("LeakyRelu", net.dense(square, 16), alpha=0.1), 3)
    return net


def detector(rng: np.random.Generator) -> Network:
    net = Network(rng, images(rng))
    x = net.conv("x", 16, stride=2)
    for _ in range(3):
        x = net.add("Relu", net.norm(net.conv(x, 16), 1e-5))
    boxes = net.add("Mul", net.add("Sigmoid", net.conv(x, 4, 1)), np.float32(640))
    scores = net.add("Sigmoid", net.conv(x, 3, 1))
    joined = net.add("Concat", boxes, scores, axis=1)
    net.add("Transpose", net.add("Reshape", joined, np.array([0, 7, -1])), perm=[0, 2, 1])
    return net


def attention(rng: np.random.Generator) -> Network:
    net = Network(rng, rng.normal(size=(SAMPLES, 12, 16)).astype(np.float32))
    x = "x"
    for _ in range(2):
        queries, keys, values = (net.add("MatMul", x, net.random(16, 16)) for _ in range(3))
        scores = net.add("MatMul", queries, net.add("Transpose", keys, perm=[0, 2, 1]))
        weights = net.add("Softmax", net.add("Mul", scores, np.float32(0.25)), axis=-1)
        mixed = net.add("Add", x, net.add("MatMul", weights, values))
        x = net.add("LayerNormalization", mixed, net.random(16), net.random(16), epsilon=1e-5)
    net.add("Add", net.add("MatMul", x, net.random(16, 16)), net.random(16))
    return net


def recurrent(rng: np.random.Generator) -> Network:
    """Gated steps along time, written out: small differences come back at every step."""
    net = Network(rng, rng.normal(size=(SAMPLES, 20, 6)).astype(np.float32))
    state = net.add("Mul", net.dense(step(net, 0), 12), np.float32(0.1))
    weight, gate, bias = net.random(18, 12), net.random(18, 12), net.random(12)
    for time in range(20):
        both = net.add("Concat", step(net, time), state, axis=1)
        opened = net.add("Sigmoid", net.add("Gemm", both, gate, bias))
        new = net.add("Mul", opened, net.add("Tanh", net.add("Gemm", both, weight, bias)))
        kept = net.add("Mul", net.add("Sub", np.float32(1), opened), state)
        state = net.add("Add", new, kept)
    net.dense(state, 4)
    return net


def step(net: Network, time: int) -> str:
    return net.add("Gather", "x", np.array(time), axis=1)


NETWORKS = (autoencoder, convolutional, depthwise, sequence, detector, attention, recurrent)


def defects(model: onnx.ModelProto, rng: np.random.Generator) -> Iterator[tuple[str, onnx.ModelProto]]:
    """One changed copy for each defect that the network can have, each at a random place."""
    for name, change in CHANGES.items():
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        if change(changed, rng):
            yield name, changed


Outputs = tuple[np.ndarray, ...]
Change = Callable[[onnx.ModelProto, np.random.Generator], bool]


def picked(model: onnx.ModelProto, rng: np.random.Generator, *kinds: str) -> onnx.NodeProto | None:
    nodes = [node for node in model.graph.node if node.op_type in kinds]
    return nodes[rng.integers(len(nodes))] if nodes else None


def rewrite(model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> bool:
    for stored in model.graph.initializer:
        if stored.name == name:
            changed = change(numpy_helper.to_array(stored).copy())
            stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(changed), name))
            return True
    return False


def swapped_channels(model: onnx.ModelProto, rng: np.random.Generator) -> bool:
    node = picked(model, rng, "Conv", "Gemm", "MatMul")
    axis = 0 if node is not None and node.op_type == "Conv" else -1

    def change(weight: np.ndarray) -> np.ndarray:
        order = np.arange(weight.shape[axis])
        first, second = rng.choice(len(order), 2, replace=False)
        order[[first, second]] = order[[second, first]]
        return weight.take(order, axis)

    return node is not None and rewrite(model, node.input[1], change)


def padding(model: onnx.ModelProto, rng: np.random.Generator) -> bool:
    nodes = [
        n for n in model.graph.node if n.op_type == "Conv" and any(any(a.ints) for a in n.attribute if a.name == "pads")
    ]
    if not nodes:
        return False
    pads = next(a for a in nodes[rng.integers(len(nodes))].attribute if a.name == "pads")
    half = len(pads.ints) // 2
    pads.ints[:] = [*(p - 1 for p in pads.ints[:half]), *(p + 1 for p in pads.ints[half:])]
    return True


def epsilon(value: float) -> Change:
    def change(model: onnx.ModelProto, rng: np.random.Generator) -> bool:
        node = picked(model, rng, "BatchNormalization", "LayerNormalization")
        for attribute in node.attribute if node is not None else ():
            if attribute.name == "epsilon" and not np.isclose(attribute.f, value):
                attribute.f = value
                return True
        return False

    return change


def missing_bias(model: onnx.ModelProto, rng: np.random.Generator) -> bool:
    node = picked(model, rng, "Conv", "Gemm")
    return node is not None and rewrite(model, node.input[2], lambda bias: 0 * bias)


def one_bias(model: onnx.ModelProto, rng: np.random.Generator) -> bool:
    """A single number of the last bias: a channel that may be small beside others."""
    node = [n for n in model.graph.node if n.op_type in ("Conv", "Gemm")][-1:]

    def change(bias: np.ndarray) -> np.ndarray:
        bias[rng.integers(len(bias))] *= 1.01
        return bias

    return bool(node) and rewrite(model, node[0].input[2], change)


def slope(model: onnx.ModelProto, rng: np.random.Generator) -> bool:
    node = picked(model, rng, "LeakyRelu", "Elu")
    for attribute in node.attribute if node is not None else ():
        attribute.f *= 1.1
    return node is not None


def leak(model: onnx.ModelProto, rng: np.random.Generator) -> bool:
    node = picked(model, rng, "Relu")
    if node is not None:
        node.op_type = "LeakyRelu"
        node.attribute.append(helper.make_attribute("alpha", 0.01))
    return node is not None


def no_ceiling(model: onnx.ModelProto, rng: np.random.Generator) -> bool:
    node = picked(model, rng, "Clip")
    return node is not None and rewrite(model, node.input[2], lambda six: six + np.float32(1))


def transposed(model: onnx.ModelProto, rng: np.random.Generator) -> bool:
    shapes = {each.name: tuple(each.dims) for each in model.graph.initializer}
    nodes = [
        n for n in model.graph.node if n.op_type in ("Gemm", "MatMul") and len(set(shapes.get(n.input[1], (1, 2)))) == 1
    ]
    return bool(nodes) and rewrite(model, nodes[rng.integers(len(nodes))].input[1], lambda weight: weight.T)


def slice_start(model: onnx.ModelProto, rng: np.random.Generator) -> bool:
    node = picked(model, rng, "Slice")
    return (
        node is not None
        and rewrite(model, node.input[1], lambda start: start - 1)
        and rewrite(model, node.input[2], lambda end: 0 * end - 1)
    )


CHANGES: dict[str, Change] = {
    "swapped channels": swapped_channels,
    "padding off by one": padding,
    "epsilon 1e-3": epsilon(1e-3),
    "epsilon 1e-5": epsilon(1e-5),
    "epsilon 1e-4": epsilon(1e-4),
    "missing bias": missing_bias,
    "one bias 1% off": one_bias,
    "slope 10% off": slope,
    "leaky for plain ReLU": leak,
    "ceiling of 7 for 6": no_ceiling,
    "transposed weight": transposed,
    "slice off by one": slice_start,
}


def clean(model: onnx.ModelProto, samples: np.ndarray, folder: Path) -> list[np.ndarray]:
    """What the clean graph of a model gives, with all of the runtime's optimisations."""
    onnx.save(model, folder / "raw.onnx")
    canonical_onnx.convert(str(folder / "raw.onnx"), str(folder / "clean.onnx"))
    session = ort.InferenceSession(folder / "clean.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {"x": samples})


def in_sequence(folder: Path, samples: np.ndarray) -> list[np.ndarray]:
    """What the clean graph gives in NumPy, products of matrices added up one number after the other."""

    class Gemm(OpRun):
        op_domain = ""

        def _run(self, x: np.ndarray, w: np.ndarray, b: np.ndarray, **_: object) -> tuple[np.ndarray]:
            total = np.zeros((len(x), w.shape[1]), np.float32)
            for inner in range(len(w)):
                total += x[:, inner, None] * w[inner]
            return (total + b,)

    model = onnx.load(folder / "clean.onnx")
    return ReferenceEvaluator(model, new_ops=[Gemm, *float64.operators()]).run(None, {"x": samples})


def exact_of(model: onnx.ModelProto, samples: np.ndarray) -> tuple[np.ndarray, ...]:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return tuple(float64.run(copy, [samples]))


@dataclass
class Study:
    """What came out.

    Attributes:
        sound: of each kind of network, how each of its hops went.
        found: of each defect, how many there were and how many were refused.
        missed: defects that passed and change the outputs by more than `MATTERS` of their size.
    """

    sound: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    found: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    missed: list[str] = field(default_factory=list)

    def of(self, kind: Callable[[np.random.Generator], Network], seed: int, broken: bool, folder: Path) -> None:
        rng = np.random.default_rng(seed)
        net = kind(rng)
        model, samples = net.model(net.nodes[-1].name), net.samples
        reference = tuple(onnx_file.run(model, [samples]))
        for outputs in (clean(model, samples, folder), in_sequence(folder, samples)):
            self.sound[kind.__name__][judged(reference, tuple(outputs), model, samples)] += 1
        exact = exact_of(model, samples)
        rounded = max(each.worst for each in rounding.differences(exact, reference))
        for name, changed in defects(model, rng) if broken else ():
            outputs = tuple(clean(changed, samples, folder))
            outcome = judged(reference, outputs, changed, samples)
            effect = max(each.worst for each in rounding.differences(exact, exact_of(changed, samples)))
            small = "" if effect > max(MATTERS, TIMES * rounded) else ", too small to count"
            self.found[name][outcome.split()[0] + small] += 1
            if outcome.startswith("passed") and not small:
                self.missed.append(f"{name} in {kind.__name__}, seed {seed}: changes the outputs by {effect:.1e}")


def judged(reference: Outputs, outputs: Outputs, model: onnx.ModelProto, samples: np.ndarray) -> str:
    """How a hop went. The target's graph is run in float64: where it is wrong, the source is far from that."""
    record = verify.compare(SIDES, reference, outputs, lambda which: exact_of(model, samples[which]))
    return ("passed" if record.passed else "refused") + (" by float64" if record.exact else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200, help="autoencoders; other kinds get a tenth")
    parser.add_argument("--smoke", action="store_true", help="one of each kind")
    arguments = parser.parse_args()
    study = Study()
    with tempfile.TemporaryDirectory() as folder:
        for kind in NETWORKS:
            most = arguments.seeds if kind is autoencoder else max(3, arguments.seeds // 10)
            for seed in range(1 if arguments.smoke else most):
                study.of(kind, seed, seed < max(3, arguments.seeds // 10), Path(folder))
    print("sound networks:")
    for name, outcomes in study.sound.items():
        print(f"  {name:14} {', '.join(f'{count} {outcome}' for outcome, count in sorted(outcomes.items()))}")
    print("with a defect:")
    for name, outcomes in study.found.items():
        print(f"  {name:22} {', '.join(f'{count} {outcome}' for outcome, count in sorted(outcomes.items()))}")
    for line in study.missed:
        print("missed:", line)
    refused = sum(count for each in study.sound.values() for outcome, count in each.items() if "refused" in outcome)
    if refused or study.missed:
        sys.exit(f"{refused} sound networks were refused, and {len(study.missed)} defects passed")


if __name__ == "__main__":
    main()
