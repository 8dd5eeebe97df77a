"""The main job: from a model and a data set to rows, each measured, and the one to ship."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bitpick.artifacts.store import Store
from bitpick.comparison import draws, fallback, targets, times
from bitpick.comparison.dead_ends import no_quantized_row
from bitpick.comparison.rows import Rows
from bitpick.errors import BitpickError, RequestError, RunError, unexpected
from bitpick.executors.executor import Executor
from bitpick.pipeline import evaluation_set
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.examples import examples
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.logs import keep_trace
from bitpick.pipeline.offers import check_offered, offers
from bitpick.pipeline.prepare import Preparation
from bitpick.pipeline.running import Runner
from bitpick.pipeline.workshop import Workshop
from bitpick.schema.failure import Failure
from bitpick.schema.run import Run
from bitpick.targets.host import Host


class Comparison:
    """One run, from its request to its recommendation.

    Args:
        directory: the run directory and the record of the run.
        host: this machine.
        executor: runs the jobs; is closed at the end.
        parallel: how many jobs at once.
        listener: is told how it goes.
        fresh: makes the workers of a round of timing, which are not those that have been busy; None measures no speed.
        store: keeps what jobs give; by default the user's.
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
        runner = Runner(executor, store or Store.default(), directory.root)
        self._shop = Workshop(directory, runner, parallel, listener, host)

    @property
    def run(self) -> Run:
        """What is known of the run."""
        return self.directory.run

    def compare(self, load_data: LoadData, overwrite: bool = False) -> Run:
        """Do the whole job, keeping run.json current.

        Args:
            load_data: gives the data set.
            overwrite: replace another request's run in the same directory.

        Raises:
            RequestError: the request was wrong; the directory is as it was found.
            RunError: a conversion on the way to the reference graph failed, or no quantized row is ok.
        """
        with self.recorded(overwrite):
            shop, host = self._shop, self._shop.host
            inputs, model = Preparation(shop).prepare(
                load_data, lambda _, model: check_offered(self.run.request, model, host)
            )
            request = self.run.request
            evaluation_set.keep(self.directory.evaluation, inputs)
            shop.listener.phase("building and evaluating")
            rows = Rows(shop, model, inputs)
            rows.measure(offers(request, model, host))
            rows.claim(request.alpha)
            if added := fallback.offers(rows.native, request, model, host):
                self.directory.update(notes=tuple(fallback.notes(added)))
                for note in self.run.notes:
                    shop.listener.note(note)
                rows.measure(added)
                rows.claim(request.alpha)
            timed = partial(times.measure, rows, shop, inputs, self._fresh)
            timed()
            shop.listener.phase("checking on other CPUs")
            recommendation = targets.check(rows, request, host, timed)
            self.directory.update(recommendation=recommendation)
            if request.calibration_seeds > 1:
                shop.listener.phase("building from other calibration draws")
                draws.measure(rows, recommendation, shop, inputs)
            self.directory.update(rows=tuple(rows.all))
            shown = examples(self.directory, rows.predicted, inputs.evaluation, inputs.task)
            self.directory.update(examples=shown)
            if not any(row.kind == "quantized" and row.status == "ok" for row in self.run.rows):
                raise no_quantized_row(self.run.rows, request)
        return self.run

    @contextmanager
    def recorded(self, overwrite: bool) -> Iterator[None]:
        """Claim the directory, and write how the run ended, whatever way. Nothing that was started outlives this.

        Raises:
            RequestError: the request is wrong; the directory is as it was.
            RunError: the run failed, or a request turned out to be wrong after results were written, which stay.
        """
        began = time.perf_counter()
        self.directory.claim(overwrite)
        try:
            yield
            self.directory.update(state="complete")
        except RequestError as error:
            self._executor.close()
            if not self.directory.settled:
                self.directory.discard()
                raise
            # Too late to undo: what was measured stays.
            raise self._failed(RunError(error.what, expected=error.expected, fix=error.fix)) from error
        except BitpickError as error:
            self._failed(error)
            raise
        except Exception as error:
            keep_trace(error, self.directory.logs)
            raise self._failed(unexpected(error)) from error
        except BaseException:
            self.directory.update(state="interrupted")
            raise
        finally:
            self._executor.close()
            if self.run.state != "running":
                seconds = self.run.seconds | {"total": time.perf_counter() - began}
                self.directory.update(seconds=seconds)
                self.directory.settle()
                self.directory.save()

    def _failed(self, error: BitpickError) -> BitpickError:
        """Note in the record of the run why it failed, and in the error where the logs are."""
        logs = self.directory.logs
        error.logs = _from_here(logs) if logs.is_dir() else None
        error.report = _from_here(self.directory.root / "report.html")
        failure = Failure.of(error, logs=logs.name if logs.is_dir() else None)
        self.directory.update(state="failed", error=failure)
        return error


def _from_here(path: Path) -> Path:
    """A path as a person would type it: relative where it is below the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
