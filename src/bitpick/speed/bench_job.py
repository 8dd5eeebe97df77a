"""Open and time builds in worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import validate_call

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Session, SessionSettings
from bitpick.engines.registry import engine
from bitpick.measures import latency, memory
from bitpick.measures.clocks import Block
from bitpick.pipeline.build_job import open_build

FUNCTIONS = __name__


@validate_call
def bench_start(folder: Path, samples: Samples) -> None:
    """Open a build and run it, so that what a runtime loads once is not counted as the next build's memory.

    The build stays open, so that the next one cannot reuse its memory.
    """
    build = open_build(folder)
    session = engine(build.recipe.engine).open(build, SessionSettings())
    latency.hold("", session, next(samples.head(1).batches(1)), warm_seconds=0)


@validate_call
def bench_open(key: str, folder: Path, samples: Samples, threads: int, warm_seconds: float) -> int:
    """Open a build and keep it open, warm and ready to be timed, in this process.

    Args:
        key: the name of the open build.
        folder: the build's folder.
        samples: its input; all samples are one run.
        threads: threads inside one inference.
        warm_seconds: the longest time to warm it up.

    Returns:
        Peak growth of the process's memory, in bytes, while the build was opened and run once.
    """
    build = open_build(folder)
    batch = next(samples.batches(samples.count))

    def open_and_run() -> Session:
        session = engine(build.recipe.engine).open(build, SessionSettings(threads))
        session.run(session.prepare(batch))
        return session

    session, growth = memory.peak_growth(open_and_run)
    latency.hold(key, session, batch, warm_seconds)
    return growth


@validate_call
def bench_many(key: str, samples: Samples, times: int) -> list[Block]:
    """Time an open build with many samples in one run, `times` times; see `latency.time_batch`."""
    return latency.time_batch(key, next(samples.batches(samples.count)), times)


@validate_call
def bench_blocks(keys: Sequence[str]) -> list[Block]:
    """Time a block of each open build, in order; see `latency.blocks`."""
    return latency.blocks(keys)
