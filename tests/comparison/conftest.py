"""What tests of comparisons share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from bitpick.comparison.compare import Comparison
from bitpick.executors.inline import InlineExecutor
from bitpick.pipeline import directory as stores
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.listener import Silent
from bitpick.pipeline.request import make_request, new_run
from bitpick.targets.host import this_host
from tests.recording import RecordingExecutor


@pytest.fixture(autouse=True, scope="module")
def quick_collection() -> Iterator[None]:
    """Keep the garbage collector, which runs before a build is opened to be timed, from the frameworks' objects."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def compare(model_file, dataset, fake_engine, tmp_path):
    """Run a comparison; returns its folder, and the executor that it ran on."""

    def run(
        *recipes,
        stop_at="",
        after=None,
        model=model_file,
        data=dataset,
        out="run",
        overwrite=False,
        engines=("fake",),
        **fields,
    ):
        fields = {"calibration_size": 100, "targets": ("host",), "margin": "10", "bench_seconds": 0} | fields
        request, form = make_request(model, "tiny", recipes=recipes, engines=engines, **fields)
        store = RunDirectory(tmp_path / out, new_run(request, form, this_host(), 1, "compare"))
        executor = RecordingExecutor(stop_at, after)
        comparison = Comparison(store, this_host(), executor, 1, Silent(), InlineExecutor)
        run.store, run.executor = store, executor

        def load(_):
            if stop_at == "load":
                raise KeyboardInterrupt
            return data

        comparison.compare(load, overwrite)
        return stores.read(store.root)

    return run
