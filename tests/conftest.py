"""What tests share: a tiny model, a tiny data set, the fake engine, and what the machine may lack."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import settings
from onnx import TensorProto, helper

from bitpick.artifacts.store import Store
from bitpick.datasets.dataset import Dataset, Split
from bitpick.engines import registry
from bitpick.engines.engine import Engine
from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.models.model import Model
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.prepare import Preparation
from bitpick.pipeline.running import Runner
from bitpick.pipeline.workshop import Workshop
from bitpick.targets.host import this_host
from tests.comparing import Comparer, new_directory
from tests.kept import SharedWorkers
from tests.recording import RecordingExecutor, RecordingListener

settings.register_profile("shared", deadline=None)  # how long one example takes says more of the machine
settings.load_profile("shared")

CLASSES = ("ant", "bee", "cow", "dog")
SLOW = {"frameworks", "data"}
"""The marks of tests that take longest."""
SIDE = 4


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first: at the end, all processes that run tests should have something left to do."""
    slow = {item.path for item in items if SLOW & {mark.name for mark in item.iter_markers()}}
    items.sort(key=lambda item: item.path not in slow)


def skip_or_fail(what: str, reason: str) -> None:
    """Skip a test that needs what the machine lacks; fail it where BITPICK_REQUIRE names it."""
    if what in os.environ.get("BITPICK_REQUIRE", "").split(","):
        pytest.fail(f"BITPICK_REQUIRE names {what}: {reason}", pytrace=False)
    pytest.skip(reason)


def linear_model(
    path: Path, shape: tuple[int, ...] = (SIDE, SIDE, 3), classes: int = len(CLASSES), seed: int = 0
) -> Path:
    """An ONNX classifier: flatten, one Gemm. Weights are (features, classes)."""
    rng = np.random.default_rng(seed)
    features = int(np.prod(shape))
    weight = rng.normal(size=(features, classes)).astype(np.float32) / 100
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"], "net/flatten/Flatten"),
            helper.make_node("Gemm", ["flat", "w", "b"], ["scores"], "net/dense/Gemm"),
        ],
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", classes])],
        [
            onnx.numpy_helper.from_array(weight, "w"),
            onnx.numpy_helper.from_array(rng.normal(size=classes).astype(np.float32), "b"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def split(folder: Path, name: str, images: np.ndarray, labels: np.ndarray) -> Split:
    """A split on disk."""
    np.save(folder / f"{name}_images.npy", images)
    np.save(folder / f"{name}_labels.npy", labels)
    paths = folder / f"{name}_images.npy", folder / f"{name}_labels.npy"
    return Split({"image": paths[0]}, paths[1], name)


@pytest.fixture(scope="session", autouse=True)
def store_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store for what fixtures of modules make, one for all processes that run tests; the user's own is left alone."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "store"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BITPICK_STORE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Nobody pulls the plug of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def own_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> None:
    """Each test has a store of its own: nothing is taken from one whose engines it replaced."""
    if request.node.get_closest_marker("shared_store") is None:
        monkeypatch.setenv("BITPICK_STORE", str(tmp_path_factory.mktemp("own-store")))


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A linear ONNX model for `dataset`."""
    return linear_model(tmp_path / "linear.onnx")


@pytest.fixture
def convolutions(tmp_path: Path) -> Path:
    """Two convolutions in a row whose channels are of unlike size, and one score for each class; for `dataset`."""
    rng, channels = np.random.default_rng(0), 6
    sizes = (10.0 ** np.linspace(-1, 1, channels)).astype(np.float32)
    first = rng.normal(size=(channels, 3, 3, 3)).astype(np.float32) * sizes.reshape(-1, 1, 1, 1) / 100
    second = rng.normal(size=(len(CLASSES), channels, 1, 1)).astype(np.float32) / sizes.reshape(1, -1, 1, 1)
    nodes = [
        helper.make_node("Transpose", ["image"], ["turned"], "turn", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["turned", "w1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "act"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "second"),
        helper.make_node("ReduceMean", ["c2"], ["scores"], "mean", axes=[2, 3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", len(CLASSES)])],
        [onnx.numpy_helper.from_array(each, name) for each, name in ((first, "w1"), (second, "w2"))],
    )
    path = tmp_path / "convolutions.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def linear_dataset(folder: Path, model: Path) -> Dataset:
    """Random images whose labels a linear model mostly gets right."""
    rng = np.random.default_rng(1)
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(model).graph.initializer}

    def make(name: str, count: int) -> Split:
        images = rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
        labels = (images.reshape(count, -1).astype(np.float32) @ stored["w"] + stored["b"]).argmax(1)
        wrong = rng.random(count) < 0.1
        labels[wrong] = rng.integers(0, len(CLASSES), wrong.sum())
        return split(folder, name, images, labels.astype(np.uint8))

    return Dataset("tiny", CLASSES, calibration=make("train", 400), evaluation=make("test", 600))


@pytest.fixture
def dataset(tmp_path: Path, model_file: Path) -> Dataset:
    """A data set for `model_file`."""
    return linear_dataset(tmp_path, model_file)


def replace_engines(patch: pytest.MonkeyPatch, *engines: Engine) -> None:
    """Replace the registry's table."""
    table = {engine.name: engine for engine in engines}
    patch.setattr(registry, "engines", lambda: table)
    for module in ("pipeline.request", "pipeline.offers", "pipeline.forms", "reports.prepared"):
        patch.setattr(f"bitpick.{module}.engines", lambda: table)


@pytest.fixture
def use_engines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the registry's table for one test."""
    return functools.partial(replace_engines, monkeypatch)


@pytest.fixture
def fake_engine(use_engines: Callable[..., None]) -> FakeEngine:
    """The fake engine beside ONNX Runtime, which verifies its graph."""
    engine = FakeEngine()
    use_engines(engine, OnnxRuntimeEngine())
    return engine


@pytest.fixture
def compare(fake_engine: FakeEngine, model_file: Path, dataset: Dataset, tmp_path: Path) -> Comparer:
    """Compare builds of the linear model by the fake engine."""
    return Comparer(model_file, dataset, tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Comparer:
    """A comparison by the fake engine that is complete. Its directory is read or copied, never changed."""
    folder = tmp_path_factory.mktemp("finished")
    model = linear_model(folder / "linear.onnx")
    compare = Comparer(model, linear_dataset(folder, model), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BITPICK_STORE", str(folder / "store"))
        replace_engines(patch, FakeEngine(), OnnxRuntimeEngine())
        compare()
    return compare


@dataclass(frozen=True)
class Prepared:
    """A run in this process, whose model and data are there, and nothing built."""

    shop: Workshop
    inputs: Inputs
    model: Model
    executor: RecordingExecutor

    @property
    def listener(self) -> RecordingListener:
        """The run's listener."""
        assert isinstance(self.shop.listener, RecordingListener)
        return self.shop.listener


@pytest.fixture
def new_shop(fake_engine: FakeEngine, model_file: Path, tmp_path: Path) -> Callable[..., Workshop]:
    """Make what a stage of a run works with, before anything was done."""

    def make(
        model: Path = model_file, executor: RecordingExecutor | None = None, out: str = "run", **asked: Any
    ) -> Workshop:
        directory = new_directory(tmp_path / out, model, **{"calibration_size": 50, "bench_seconds": 0} | asked)
        directory.claim(overwrite=False)
        directory.release()  # tests prepare one run several times
        runner = Runner(executor or RecordingExecutor(), Store.default(), directory.root)
        return Workshop(directory, runner, 1, RecordingListener(), this_host())

    return make


@pytest.fixture
def prepared(new_shop: Callable[..., Workshop], dataset: Dataset) -> Callable[..., Prepared]:
    """Prepare a run of a model."""

    def make(data: Dataset = dataset, executor: RecordingExecutor | None = None, **asked: Any) -> Prepared:
        executor = executor or RecordingExecutor()
        shop = new_shop(executor=executor, **asked)
        inputs, model = Preparation(shop).prepare(lambda _: data)
        return Prepared(shop, inputs, model, executor)

    return make


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedWorkers]:
    """Workers of every environment, for all tests."""
    pool = SharedWorkers(tmp_path_factory.mktemp("workers"))
    yield pool
    pool.end()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with linear.onnx, and with pictures.yaml: pictures whose classes that mostly gets right."""
    folder, shape = tmp_path_factory.mktemp("pictures"), (32, 32, 3)
    model = onnx.load(linear_model(folder / "linear.onnx", shape, classes=10))
    rng, weight = np.random.default_rng(2), onnx.numpy_helper.to_array(model.graph.initializer[0])
    bias = -127.5 * weight.sum(axis=0)  # as many of each class, about
    model.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(bias, "b"))
    onnx.save(model, folder / "linear.onnx")
    (folder / "pictures").mkdir()
    for name, count in (("train", 1200), ("test", 4000)):
        # Most of them are far from where two classes meet, so that a good build loses next to nothing.
        towards = np.sign(weight[:, rng.integers(0, 10, count)].T).reshape(count, *shape) * rng.uniform(
            0, 10, (count, 1, 1, 1)
        )
        pixels = (rng.integers(10, 246, (count, *shape)) + towards).astype(np.uint8)
        labels = (pixels.reshape(count, -1).astype(np.float32) @ weight + bias).argmax(axis=1)
        wrong = rng.random(count) < 0.1
        labels[wrong] = rng.integers(0, 10, wrong.sum())
        np.savez(folder / "pictures" / f"{name}.npz", image=pixels, labels=labels)
    classes = "[ant, bee, cow, dog, eel, fox, gnu, hen, ibis, jay]"
    (folder / "pictures.yaml").write_text(f"data: {folder / 'pictures'}\nlabels: labels\nclasses: {classes}\n")
    return folder


@pytest.fixture(scope="session")
def cifar10() -> Dataset:
    """The real CIFAR-10, from wherever there is a way to it."""
    from bitpick.datasets import cifar10
    from bitpick.errors import DataError

    try:
        return cifar10.load()
    except DataError as error:
        skip_or_fail("cifar10", f"CIFAR-10 is not here: {error}")
        raise


@pytest.fixture(scope="session")
def cifar_model(cifar10: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear ONNX model that knows CIFAR-10 better than chance: the class whose mean is nearest."""
    images = cifar10.calibration.inputs["image"][:10_000].reshape(10_000, -1).astype(np.float32)
    labels = np.asarray(cifar10.calibration.labels[:10_000])
    means = np.stack([images[labels == c].mean(axis=0) for c in range(10)])
    path = linear_model(tmp_path_factory.mktemp("cifar") / "linear.onnx", shape=(32, 32, 3), classes=10)
    model = onnx.load(path)
    middle = means.mean(axis=0)
    apart = (means - middle) / 1e5  # for scores of a few units
    values = {"w": apart.T, "b": -apart @ middle - (apart * (means - middle)).sum(axis=1) / 2}
    for each in model.graph.initializer:
        each.CopyFrom(onnx.numpy_helper.from_array(values[each.name].astype(np.float32), each.name))
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def mlperf_model() -> Path:
    """MLPerf Tiny's ResNet8, whose float accuracy is known: 8,719 of 10,000."""
    folder = os.environ.get("BITPICK_REFERENCE_MODELS")
    path = Path(folder or "/nowhere") / "mlperf-tiny" / "pretrainedResnet.h5"
    if not path.is_file():
        skip_or_fail(
            "reference_models", "BITPICK_REFERENCE_MODELS does not name a folder with mlperf-tiny/pretrainedResnet.h5"
        )
    return path


@pytest.fixture
def no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons in this process that name no target check nothing on other CPUs."""
    found = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, *more, **named: found(name, *more, **named) if "qemu" not in str(name) else None
    )


@pytest.fixture(scope="session")
def npm() -> str:
    """The npm client."""
    found = shutil.which("npm")
    if found is None:
        skip_or_fail("npm", "there is no npm client on the PATH")
    assert found is not None
    return found


@dataclass
class PageEvents:
    """What a page did that a report must not do: errors it told the console, requests beyond itself, dialogs."""

    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, or another one that is on the PATH, driven by Playwright."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        skip_or_fail("browser", "there is no Chromium on the PATH")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip_or_fail("browser", "Playwright is not installed")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., tuple[Any, PageEvents]]]:
    """Open a file in a new page; says what the page did."""
    contexts = []

    def open_page(path: Path, width: int = 1280, **options: Any) -> tuple[Any, PageEvents]:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page, events, own = context.new_page(), PageEvents(), path.absolute().as_uri()
        page.on("console", lambda message: events.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: events.errors.append(str(error)))
        page.on("dialog", lambda dialog: (events.dialogs.append(dialog.message), dialog.dismiss()))
        known = (own, "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(known) else events.outside.append(r.url))
        page.goto(own)
        if options.get("java_script_enabled", True):
            page.locator(".plot:not(:has(svg))").first.wait_for(state="detached")  # every chart is drawn
        return page, events

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def fake_distribution(tmp_path: Path) -> Path:
    """A folder that, on the PYTHONPATH, is an outside distribution which adds the fake engine."""
    info = tmp_path / "site" / "bitpick_fake-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bitpick-fake\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[bitpick.engines]\nfake = bitpick.engines.fake:FakeEngine\n")
    return info.parent
