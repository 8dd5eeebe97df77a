"""A small network in every form, and recipes of it: built, inspected and read in their engine's own worker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import TypeAdapter

from bitpick.conversion.route import route
from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Engine
from bitpick.engines.executed import Executed, Operator
from bitpick.engines.registry import engines
from bitpick.executors.pool import WorkerPool
from bitpick.models.model import Format
from bitpick.pipeline.form_job import FUNCTIONS
from bitpick.recipe import Recipe
from bitpick.schema.run import Flag
from tests.kept import SharedWorkers

# Weights, then multiply-accumulates, of each layer of the network that readers.py makes.
LAYERS = (
    (3 * 3 * 3 * 12, 3 * 3 * 3 * 12 * 8 * 8),  # 3 → 12 channels, 8 × 8 positions
    (3 * 3 * 12, 3 * 3 * 12 * 8 * 8),  # depthwise: each channel has its own 3 × 3
    (3 * 3 * 12 * 16, 3 * 3 * 12 * 16 * 4 * 4),  # 12 → 16 channels, stride 2: 4 × 4 positions
    (16 * 4, 16 * 4),  # dense, 16 → 4
)
WEIGHTS, MACS = (sum(column) for column in zip(*LAYERS, strict=True))


def weighted(executed: Executed) -> list[Operator]:
    """The operators that have weights."""
    return [operator for operator in executed.operators if operator.weight is not None]


def sizes(executed: Executed) -> list[tuple[int, int]]:
    """Weights and multiply-accumulates of each operator that has weights."""
    return [(operator.weights, operator.macs) for operator in weighted(executed)]


def bits(integers: Any, middle: int = 0) -> int:
    """The bits of a symmetric grid: its largest weight lies at the end, 127 or 63, and rounding may go one further."""
    largest = int(np.abs(np.asarray(integers).astype(int) - middle).max())
    assert largest in (63, 64, 127, 128), largest
    return 8 if largest > 64 else 7


def codes(flags: list[Flag]) -> list[str]:
    """The kinds of some flags."""
    return sorted(flag.code for flag in flags)


def save(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, Any]) -> Path:
    """Write an ONNX file that takes the samples and gives twelve scores; returns its path."""
    shapes = {"image": (8, 8, 3), "scores": (12,)}
    image, scores = (helper.make_tensor_value_info(k, TensorProto.FLOAT, ["n", *v]) for k, v in shapes.items())
    stored = [numpy_helper.from_array(np.asarray(values), name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "odd", [image], [scores], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def positions(path: Path, axes: int) -> Path:
    """Write an ONNX file with one product, of 3 by 12 weights at 64 positions; returns its path.

    The positions are an axis of their own, or in one with the samples.
    """
    nodes = [
        helper.make_node("Reshape", ["image", "flat"], ["x"], "rows"),
        helper.make_node("MatMul", ["x", "w"], ["y"], "dense"),
        helper.make_node("Reshape", ["y", "whole"], ["z"], "samples"),
        helper.make_node("ReduceMean", ["z"], ["scores"], "mean", axes=[1], keepdims=0),
    ]
    flat = np.array([-1, 3] if axes == 2 else [-1, 64, 3])
    return save(path, nodes, {"flat": flat, "whole": np.array([-1, 64, 12]), "w": np.ones((3, 12), np.float32)})


def volume(path: Path) -> Path:
    """Write an ONNX file with a convolution of three axes, 1 → 12 channels; returns its path."""
    nodes = [
        helper.make_node("Reshape", ["image", "cube"], ["x"], "cube"),
        helper.make_node("Conv", ["x", "w"], ["y"], "conv"),
        helper.make_node("GlobalAveragePool", ["y"], ["z"], "pool"),
        helper.make_node("Flatten", ["z"], ["scores"], "flat"),
    ]
    return save(path, nodes, {"cube": np.array([-1, 1, 8, 8, 3]), "w": np.ones((12, 1, 3, 3, 3), np.float32)})


class Builds:
    """Builds of the network, each made once."""

    def __init__(self, pool: WorkerPool, forms: dict[Format, Path], samples: Samples, folder: Path) -> None:
        self.folder_of_all = folder
        self._pool = pool
        self._forms = forms
        self._samples = samples
        self._executed: dict[str, Executed] = {}

    def folder(self, recipe: str | Recipe, source: Path | None = None) -> Path:
        """Where the build of a recipe is; of another model than the network where one is named."""
        parsed, each = _engine(recipe)
        start = source or next(self._forms[form] for form in each.form(parsed) if form in self._forms)
        folder = self.folder_of_all / start.parent.name / start.stem / re.sub(r"\W", "_", parsed.id)
        if not folder.exists():
            payload = {"recipe": parsed, "source": start, "samples": self._samples, "folder": folder}
            run(self._pool, each.environment, "readers:build", payload)
        return folder

    def executed(self, recipe: str | Recipe, source: Path | None = None) -> Executed:
        """What the engine says that its runtime executes."""
        folder = self.folder(recipe, source)
        if str(folder) not in self._executed:
            found = self._in_worker(recipe, "inspect", {"folder": folder, "samples": self._samples})
            self._executed[str(folder)] = TypeAdapter(Executed).validate_python(found)
        return self._executed[str(folder)]

    def read(self, recipe: str | Recipe, function: str, **more: Any) -> Any:
        """What a function of readers.py finds in a build."""
        return self._in_worker(recipe, function, {"folder": self.folder(recipe), **more})

    def ran(self, recipe: str | Recipe, function: str, **more: Any) -> Any:
        """The same of one that runs the build."""
        return self.read(recipe, function, samples=self._samples, **more)

    def form(self, form: Format) -> Path:
        """The network in a format."""
        return self._forms[form]

    def convert(self, source: Path, source_format: Format, target: Format) -> Path:
        """Another model in another format, by the project's own hop."""
        (hop,) = route(source_format, target) or ()
        out = source.with_suffix(target.suffix)
        payload = {"source": source, "source_format": source_format, "target_format": target, "out": out}
        run(self._pool, hop.environment, f"{FUNCTIONS}:convert", payload)
        return out

    def unusual(self, path: Path) -> Path:
        """The Keras network that readers.py calls unusual."""
        run(self._pool, "keras", "readers:make_unusual", {"out": str(path)})
        return path

    def control(self, folder: Path) -> Path:
        """The folder, with the LiteRT files that readers.py makes of a loop, a branch, and weights in front."""
        run(self._pool, "keras", "readers:make_control", {"folder": str(folder)})
        return folder

    def _in_worker(self, recipe: str | Recipe, function: str, payload: dict[str, Any]) -> Any:
        return run(self._pool, _engine(recipe)[1].environment, f"readers:{function}", payload)


def _engine(recipe: str | Recipe) -> tuple[Recipe, Engine]:
    parsed = Recipe.parse(recipe) if isinstance(recipe, str) else recipe
    return parsed, engines()[parsed.engine]


def run(pool: WorkerPool, environment: str, function: str, payload: dict[str, Any]) -> Any:
    """Run a function in a worker that finds readers.py."""
    return pool.run(environment, function, payload).value


@pytest.fixture(scope="session")
def graph_samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Random images."""
    folder = tmp_path_factory.mktemp("graph-data")
    rng = np.random.default_rng(0)
    np.save(folder / "images.npy", rng.integers(0, 256, (100, 8, 8, 3), dtype=np.uint8))
    np.save(folder / "labels.npy", rng.integers(0, 4, 100, dtype=np.uint8))
    return Samples(inputs=(folder / "images.npy",), labels=folder / "labels.npy", count=100, sha256="0" * 64)


@pytest.fixture(scope="session")
def graph_forms(workers: SharedWorkers, tmp_path_factory: pytest.TempPathFactory) -> dict[Format, Path]:
    """The network in every format, by the same hops as any model."""
    folder = tmp_path_factory.mktemp("graph-forms")
    found = {Format.KERAS: folder / "network.keras"}
    run(workers, "keras", "readers:make_network", {"out": str(found[Format.KERAS])})
    for hop in (hop for form in Format for hop in route(Format.KERAS, form) or ()):
        if hop.target not in found:
            found[hop.target] = folder / f"{hop.target}{hop.target.suffix}"
            formats = {"source_format": hop.source, "target_format": hop.target}
            payload = {"source": found[hop.source], "out": found[hop.target]} | formats
            run(workers, hop.environment, f"{FUNCTIONS}:convert", payload)
    return found


@pytest.fixture(scope="session")
def builds(
    workers: SharedWorkers,
    graph_forms: dict[Format, Path],
    graph_samples: Samples,
    tmp_path_factory: pytest.TempPathFactory,
) -> Builds:
    """Builds of the network, each made once."""
    return Builds(workers, graph_forms, graph_samples, tmp_path_factory.mktemp("graph-builds"))
