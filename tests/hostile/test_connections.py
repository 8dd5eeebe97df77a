"""No connection is opened, and nothing is written outside the output, the cache and the temporary folder.

The kernel says it, not Python: most libraries that do either do it in C.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bitpick.engines.registry import engines
from tests.hostile.traced import Trace, traced

RECIPES = (
    "executorch:s8s8-per_channel-histogram", "keras:float32", "litert:s8s8-per_channel-minmax+integer_io",
    "onnxruntime:s8u8-per_channel-minmax", "openvino:s8u8-per_channel-minmax", "pytorch_fx:s8u8-per_channel-histogram",
    "pytorch_pt2e:s8u8-per_channel-histogram",
)  # fmt: skip
MODEL = """
import os
os.environ |= {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
import keras
layers = [keras.layers.Conv2D(4, 3, strides=2, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(4)]
keras.Sequential([keras.Input((8, 8, 3)), *layers]).save("model.keras")
"""
# Devices, and what a process tells or asks of itself.
HARMLESS = ("/dev/", "/proc/self/", "/proc/thread-self/")


class Home:
    """A machine of which each place is known: a home folder, a cache, a temporary folder and a working folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.work, self.home, self.cache, self.temporary = (root / name for name in ("work", "home", "cache", "tmp"))
        for folder in (self.work, self.home, self.cache, self.temporary):
            folder.mkdir()
        unset = ("TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "BITPICK_STORE")
        # PyTorch sets its cache in the process of other tests that import it.
        kept = {name: value for name, value in os.environ.items() if name not in unset}
        places = {"HOME": str(self.home), "BITPICK_CACHE": str(self.cache), "TMPDIR": str(self.temporary)}
        self.environment = kept | places | {"PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *command: str | Path) -> Trace:
        trace = traced([sys.executable, *command], self.work, self.environment, self.root / "trace")
        assert trace.done.returncode == 0, trace.done.stderr
        return trace

    def outside(self, trace: Trace) -> list[str]:
        """Return what was written anywhere else than in the working folder, the cache and the temporary folder."""
        known = tuple(f"{folder}/" for folder in (self.work, self.cache, self.temporary)) + HARMLESS
        return sorted(path for path in trace.written if not f"{path}/".startswith(known))


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> tuple[Home, Trace]:
    """A comparison of every engine."""
    here = Home(tmp_path_factory.mktemp("machine"))
    rng = np.random.default_rng(0)
    subprocess.run([sys.executable, "-c", MODEL], cwd=here.work, check=True, capture_output=True)
    images, labels = rng.integers(0, 256, (80, 8, 8, 3), dtype=np.uint8), np.arange(80) % 4
    np.savez(here.work / "data.npz", image=images, labels=labels)
    recipes = [word for recipe in RECIPES for word in ("--recipe", recipe)]
    data = ["--data", "data.npz", "--labels", "labels", "--calibration-size", "8"]
    quick = ["--accept-baseline", "--no-bench", "--out", "run", "--target", "host"]
    return here, here.run("-m", "bitpick", "compare", "model.keras", *data, *quick, *recipes)


@pytest.mark.frameworks
def test_a_comparison_of_every_engine_reaches_nobody_and_writes_nowhere_else(compared):
    here, trace = compared
    made = {path.name.partition("__")[0] for path in (here.work / "run" / "builds").iterdir()}
    assert made == set(engines())
    assert any("report.html" in path for path in trace.written)  # the trace sees what is written
    assert trace.connects == []
    assert here.outside(trace) == []
    assert list(here.home.iterdir()) == []


@pytest.mark.frameworks
@pytest.mark.parametrize("engine", sorted({recipe.partition(":")[0] for recipe in RECIPES}))
def test_what_ships_reaches_nobody_and_writes_nowhere_else(compared, engine):
    here, _ = compared
    np.save(here.work / "sample.npy", np.zeros((8, 8, 3), np.uint8))
    trace = here.run(here.work / "run" / "builds" / f"{engine}__float32" / "run.py", here.work / "sample.npy")
    assert trace.connects == []
    assert here.outside(trace) == []
    assert list(here.home.iterdir()) == []


def test_a_trace_sees_what_a_program_does(tmp_path):
    """Without this, an empty trace would prove nothing."""
    here = Home(tmp_path)
    program = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.1', 9)); "
    trace = here.run("-c", program + "open('../outside', 'w'); open('inside', 'w')")
    assert len(trace.connects) == 1
    assert here.outside(trace) == [str(here.root / "outside")]
