from __future__ import annotations

import subprocess
import sys

import pytest

from bitpick.engines.openvino.engine import OpenVinoEngine

pytestmark = pytest.mark.frameworks
ENGINE = OpenVinoEngine()


def run(code: str) -> str:
    """What a fresh interpreter prints: OpenVINO shares a process with no other framework."""
    if missing := ENGINE.missing():
        pytest.skip(missing)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


BUILD = """
import sys
sys.modules["openvino_telemetry"] = None  # as in a worker
from pathlib import Path
import numpy as np
from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Build, SessionSettings
from bitpick.engines.openvino.engine import OpenVinoEngine
from bitpick.recipe import Recipe

folder = Path({folder!r})
rng = np.random.default_rng(0)
np.save(folder / "images.npy", rng.integers(0, 256, (100, 32, 32, 3), dtype=np.uint8))
np.save(folder / "labels.npy", np.zeros(100, np.uint8))
samples = Samples(inputs=(folder / "images.npy",), labels=folder / "labels.npy", count=100, sha256="0")

def build(text):
    recipe = Recipe.parse("openvino:" + text)
    out = folder / recipe.file_name
    out.mkdir()
    return OpenVinoEngine().build(Path({model!r}), recipe, samples, None, out)
"""


@pytest.fixture
def prelude(tmp_path):
    from bitpick.api import bundled_model

    return BUILD.format(folder=str(tmp_path), model=str(bundled_model().with_suffix(".onnx")))


def test_the_options_change_the_build(prelude):
    code = prelude + (
        "import hashlib\n"
        "options = ('', '+mixed', '+full_bias_correction', '+full_bias_correction+mixed')\n"
        "texts = [f's8u8-per_channel-{c}{o}' for c in ('minmax', 'histogram') for o in options]\n"
        "print(len({hashlib.sha256((build(t).folder / 'model.bin').read_bytes()).hexdigest() for t in texts}))"
    )
    assert run(code).splitlines()[-1] == "8"


def test_float32_is_float32_and_is_stored_as_such(prelude):
    code = prelude + (
        "from bitpick.targets.host import this_host\n"
        "made = build('float32')\n"
        "session = OpenVinoEngine().open(made, SessionSettings())\n"
        "print(session._request.get_compiled_model().get_property('INFERENCE_PRECISION_HINT').to_string())\n"
        "print(made.folder.joinpath('model.bin').stat().st_size)"
    )
    hint, size = run(code).splitlines()[-2:]
    assert hint == "f32"
    assert int(size) > 77_706 * 4


TRANSFORMER = """
import sys
sys.modules["openvino_telemetry"] = None  # as in a worker
from pathlib import Path
import numpy as np, onnx, openvino
from bitpick.datasets.dataset import Samples
from bitpick.engines.openvino.engine import OpenVinoEngine
from bitpick.recipe import Recipe

folder, attends, rng = Path({folder!r}), {attends}, np.random.default_rng(0)
products = "q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv) "
attention = "t = Transpose<perm=[0, 2, 1]>(k) s = MatMul(q, t) p = Softmax(s) m = MatMul(p, v) "
mixed = attention if attends else "qk = Relu(q) p = Softmax(qk) m = Add(p, v) "
model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> g (float[n,6,8] x) => (float[n,6,8] y) {{'
    + products + mixed + "o = MatMul(m, wo) r = Add(x, o) a = Relu(r) y = MatMul(a, wy) }}")
stored = [onnx.numpy_helper.from_array(rng.normal(size=(8, 8)).astype(np.float32), "w" + name) for name in "qkvoy"]
model.graph.initializer.extend(stored)
onnx.save(model, folder / "model.onnx")
np.save(folder / "x.npy", rng.normal(size=(40, 6, 8)).astype(np.float32))
samples = Samples(inputs=(folder / "x.npy",), count=40, sha256="0")
recipe = Recipe.parse("openvino:s8u8-per_channel-minmax")
build = OpenVinoEngine().build(folder / "model.onnx", recipe, samples, None, folder)
made = openvino.Core().read_model(build.main)
kinds = {{op.get_type_name() for op in made.get_ops()
    if any(port.get_node().get_type_name() == "FakeQuantize" for port in op.input_values())}}
print(len(build.notes), "Add" in kinds, "MatMul" in kinds)
"""


@pytest.mark.parametrize(("attends", "found"), [(True, "1 False True"), (False, "0 True True")])
def test_additions_of_a_transformer_stay_in_float(tmp_path, attends, found):
    assert run(TRANSFORMER.format(folder=str(tmp_path), attends=attends)).splitlines()[-1] == found
