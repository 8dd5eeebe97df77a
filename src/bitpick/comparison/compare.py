"""Run a comparison: from a model and a data set to measured rows and the one to ship."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from bitpick.artifacts import temporary
from bitpick.artifacts.store import Store
from bitpick.comparison import draws, fallback, targets, times
from bitpick.comparison.dead_ends import no_quantized_row
from bitpick.comparison.rows import Rows
from bitpick.engines.capability import Offer
from bitpick.errors import BitpickError, RequestError, RunError, unexpected
from bitpick.executors.executor import Executor
from bitpick.models.model import Model
from bitpick.pipeline import evaluation_set
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.examples import examples
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.logs import keep_trace
from bitpick.pipeline.offers import check_offered, offers
from bitpick.pipeline.prepare import Preparation
from bitpick.pipeline.running import Runner
from bitpick.pipeline.workshop import Workshop
from bitpick.schema.failure import Failure
from bitpick.schema.run import Run
from bitpick.targets.host import Host

Choose = Callable[[Workshop, Inputs, Model], tuple[Inputs, list[Offer]]]


class Comparison:
    """One run, from its request to its recommendation.

    Args:
        directory: the run directory and the record of the run.
        host: this machine.
        executor: runs the jobs; it is closed at the end.
        parallel: how many jobs run at once.
        listener: receives progress.
        fresh: makes new workers for a round of timing; None measures no speed.
        store: keeps the results of jobs; by default the user's store.
    """

    def __init__(
        self,
        directory: RunDirectory,
        host: Host,
        executor: Executor,
        parallel: int,
        listener: Listener,
        fresh: Callable[[], Executor] | None = None,
        store: Store | None = None,
    ) -> None:
        self.directory = directory
        self._executor = executor
        self._fresh = fresh
        self._store = store or Store.default()
        runner = Runner(executor, self._store, directory.root)
        self._shop = Workshop(directory, runner, parallel, listener, host)

    @property
    def run(self) -> Run:
        """The run's record so far."""
        return self.directory.run

    def compare(self, load_data: LoadData, overwrite: bool = False, choose: Choose | None = None) -> Run:
        """Run the whole comparison, and keep run.json current.

        Args:
            load_data: loads the data set.
            overwrite: replace another request's run in the same directory.
            choose: chooses the recipes and the samples to judge them on; by default the request says them.

        Raises:
            RequestError: the request was wrong; the directory is unchanged.
            RunError: a conversion on the way to the reference graph failed, or no quantized row is ok.
        """
        with self.recorded(overwrite):
            shop, host = self._shop, self._shop.host
            inputs, model = Preparation(shop).prepare(
                load_data, lambda _, model: None if choose else check_offered(self.run.request, model, host)
            )
            request = self.run.request
            if choose is not None:
                inputs, chosen = choose(shop, inputs, model)
            else:
                chosen = offers(request, model, host)
            evaluation_set.keep(self.directory.evaluation, inputs)
            shop.listener.phase("building and evaluating")
            rows = Rows(shop, model, inputs)
            rows.measure(chosen)
            rows.claim(request.alpha)
            if choose is None and (added := fallback.offers(rows.native, request, model, host)):
                self.directory.update(notes=tuple(fallback.notes(added)))
                for note in self.run.notes:
                    shop.listener.note(note)
                rows.measure(added)
                rows.claim(request.alpha)
            measure_times = partial(times.measure, rows, shop, inputs, self._fresh)
            measure_times()
            shop.listener.phase("checking on other CPUs")
            recommendation = targets.check(rows, request, host, measure_times)
            self.directory.update(recommendation=recommendation)
            if request.calibration_seeds > 1:
                shop.listener.phase("building from other calibration draws")
                draws.measure(rows, recommendation, shop, inputs)
            self.directory.update(rows=tuple(rows.all))
            example_records = examples(self.directory, rows.predicted, inputs.evaluation, inputs.task)
            self.directory.update(examples=example_records)
            if not any(row.kind == "quantized" and row.status == "ok" for row in self.run.rows):
                raise no_quantized_row(self.run.rows, request)
        return self.run

    @contextmanager
    def recorded(self, overwrite: bool) -> Iterator[None]:
        """Claim the directory, and record how the run ends, in every case. All workers are closed at the end.

        Raises:
            RequestError: the request is wrong; the directory is unchanged.
            RunError: the run failed, or the request turned out to be wrong after results were written; they stay.
        """
        began = time.perf_counter()
        self.directory.claim(overwrite)
        with suppress(OSError):
            temporary.root()  # removes what killed processes left
            self._store.sweep()
        for doubt in self.directory.doubts:
            self._shop.listener.note(doubt)
        try:
            yield
            self.directory.update(state="complete")
        except RequestError as error:
            self._executor.close()
            if not self.directory.settled:
                self.directory.discard()
                raise
            # Too late to undo: the measurements stay.
            raise self._failed(RunError(error.what, expected=error.expected, fix=error.fix)) from error
        except BitpickError as error:
            self._failed(error)
            raise
        except Exception as error:
            with suppress(OSError):
                keep_trace(error, self.directory.logs)
            raise self._failed(unexpected(error)) from error
        except BaseException:
            self.directory.update(state="interrupted")
            raise
        finally:
            self._executor.close()
            try:
                if self.run.state != "running":
                    seconds = self.run.seconds | {"total": time.perf_counter() - began}
                    self.directory.update(seconds=seconds)
                    self.directory.settle()
                    self.directory.save()
            finally:
                self.directory.release()

    def _failed(self, error: BitpickError) -> BitpickError:
        """Note why the run failed in its record, and where the logs are in the error."""
        logs = self.directory.logs
        error.logs = _relative(logs) if logs.is_dir() else None
        error.report = _relative(self.directory.root / "report.html")
        failure = Failure.of(error, logs=logs.name if logs.is_dir() else None)
        self.directory.update(state="failed", error=failure)
        return error


def _relative(path: Path) -> Path:
    """Return a path as a user would type it: relative if it is below the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
