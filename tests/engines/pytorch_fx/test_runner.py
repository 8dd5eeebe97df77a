from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import SessionSettings
from bitpick.engines.pytorch_fx.engine import PyTorchFxEngine
from bitpick.engines.pytorch_fx.runner import Build
from bitpick.preprocessing import Preprocessing
from bitpick.recipe import Recipe
from tests.engines.pytorch_fx.modules import two_layers

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]
ENGINE = PyTorchFxEngine()


@pytest.fixture
def torch():
    found = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
    before, threads = found.backends.quantized.engine, found.get_num_threads()
    yield found
    found.backends.quantized.engine = before
    found.set_num_threads(threads)


@pytest.mark.parametrize(("size", "batch"), [(None, 1), (4, 4)])
@pytest.mark.parametrize("text", ["float32", "s8u8-per_channel-histogram"])
def test_a_build_says_alone_what_it_says_in_its_engine(torch, tmp_path, text, size, batch):
    torch.save(two_layers(size), tmp_path / "m.pt")
    values = np.random.default_rng(0).normal(size=(60, 3, 4, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    samples = Samples(inputs=(tmp_path / "x.npy",), count=60, sha256="0", preprocessing=(Preprocessing(),))
    (tmp_path / "build").mkdir()
    recipe = Recipe.parse(f"pytorch_fx:{text}")
    build = ENGINE.build(tmp_path / "m.pt", recipe, samples, None, tmp_path / "build")
    with ENGINE.open(build, SessionSettings()) as session:
        (expected,) = session.outputs(session.run(session.prepare((values[:batch],))))
    alone = Build(build.folder, list(build.files), dict(build.settings), 1)
    assert alone.batch == batch
    (found,) = alone.outputs(alone.run(alone.prepare([values[:batch]])))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_weights_are_packed_for_the_back_end_that_the_build_ships_with(torch, tmp_path):
    class Two(torch.nn.Module):
        def forward(self, x):
            return x + 1, x * 2

    torch.jit.save(torch.jit.trace(Two(), torch.ones(2, 3)), tmp_path / "model.pt", _extra_files={"batch": ""})
    known = [name for name in torch.backends.quantized.supported_engines if name != "none"]
    other = next(name for name in known if name != torch.backends.quantized.engine)
    alone = Build(tmp_path, ["model.pt"], {"torch.backends.quantized.engine": other}, 1)
    assert torch.backends.quantized.engine == other
    assert torch.get_num_threads() == 1
    one, two = alone.outputs(alone.run(alone.prepare([np.full((1, 3), 5, np.float32)])))
    assert (one.tolist(), two.tolist()) == ([[6] * 3], [[10] * 3])
