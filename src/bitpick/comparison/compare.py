"""The main job: from a model and a data set to rows, each measured, and the one to ship."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bitpick.comparison import draws, fallback, targets, times
from bitpick.comparison.dead_ends import no_quantized_row
from bitpick.engines.registry import engines, outside_distributions
from bitpick.errors import BitpickError, RequestError, RunError, unexpected
from bitpick.executors.executor import Executor
from bitpick.models.model import Format
from bitpick.pipeline import evaluation_set
from bitpick.pipeline.examples import examples
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.logs import keep_trace
from bitpick.pipeline.prepare import Preparation
from bitpick.pipeline.request import check_offered, offers
from bitpick.pipeline.rows import Rows
from bitpick.pipeline.store import Store
from bitpick.schema.failure import Failure
from bitpick.schema.run import HostRecord, ModelRecord, RequestRecord, Run
from bitpick.targets.host import Host
from bitpick.version import __version__, installed_version

_LIBRARIES = ("numpy", "onnx", "onnxruntime")


def new_run(request: RequestRecord, model_format: Format, host: Host, threads: int, command: str) -> Run:
    """The record of a run that has only been asked for."""
    packages = sorted({*_LIBRARIES, *(p for e in engines().values() for p in e.packages)})
    versions = {p: v for p in packages if (v := installed_version(p)) is not None} | outside_distributions()
    return Run(
        state="running",
        command=command,
        version=__version__,
        request=request,
        model=ModelRecord(source=request.model, format=model_format, sha256=request.model_sha256),
        host=HostRecord(
            cpu=host.cpu,
            isa=list(host.isa),
            cores=host.cores,
            threads=threads,
            platform=host.platform,
            python=host.python,
            versions=versions,
        ),
    )


class Comparison:
    """One run, from its request to its recommendation.

    Args:
        store: the run directory and the record of the run.
        host: this machine.
        executor: runs the jobs; is closed at the end.
        parallel: how many jobs at once.
        listener: is told how it goes.
        fresh: makes the workers of a round of timing, which are not those that have been busy; None measures no speed.
    """

    def __init__(
        self,
        store: Store,
        host: Host,
        executor: Executor,
        parallel: int,
        listener: Listener,
        fresh: Callable[[], Executor] | None = None,
    ) -> None:
        self.store = store
        self.run = store.run
        self._host = host
        self._executor = executor
        self._parallel = parallel
        self._listener = listener
        self._fresh = fresh
        self._preparation = Preparation(store, host, executor, parallel, listener)

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
            inputs, model = self._preparation.prepare(
                load_data, lambda _, model: check_offered(self.run.request, model, self._host)
            )
            evaluation_set.keep(self.store.evaluation, inputs)
            self._listener.phase("building and evaluating")
            rows = Rows(self.store, self._executor, self._parallel, self._listener, self._preparation, model, inputs)
            rows.measure(offers(self.run.request, model, self._host))
            rows.claim(self.run.request.alpha)
            if added := fallback.offers(rows.native, self.run.request, model, self._host):
                self.run.notes = fallback.notes(added)
                for note in self.run.notes:
                    self._listener.note(note)
                rows.measure(added)
                rows.claim(self.run.request.alpha)
            timed = partial(times.measure, rows, self.store, inputs, self._fresh, self._listener)
            timed()
            self._listener.phase("checking on other CPUs")
            self.run.recommendation = targets.check(rows, self.run.request, self._host, timed)
            if self.run.request.calibration_seeds > 1:
                self._listener.phase("building from other calibration draws")
                draws.measure(rows, self.run.recommendation, self.store, inputs)
            self.run.rows = rows.all
            self.run.examples = examples(self.store, rows.predicted, inputs.evaluation, inputs.task)
            if not any(row.kind == "quantized" and row.status == "ok" for row in self.run.rows):
                raise no_quantized_row(self.run.rows, self.run.request)
        return self.run

    @contextmanager
    def recorded(self, overwrite: bool) -> Iterator[None]:
        """Claim the directory, and write how the run ended, whatever way. Nothing that was started outlives this."""
        began = time.perf_counter()
        self.store.claim(overwrite)
        try:
            yield
            self.run.state = "complete"
        except RequestError as error:
            self._executor.close()
            if not self.store.settled:
                self.store.discard()
                raise
            # Too late to undo: what was measured stays.
            raise self._failed(RunError(error.what, expected=error.expected, mend=error.mend)) from error
        except BitpickError as error:
            self._failed(error)
            raise
        except Exception as error:
            keep_trace(error, self.store.logs)
            raise self._failed(unexpected(error)) from error
        except BaseException:
            self.run.state = "interrupted"
            raise
        finally:
            self._executor.close()
            if self.run.state != "running":
                self.run.seconds["total"] = time.perf_counter() - began
                self.store.settle()
                self.store.save()

    def _failed(self, error: BitpickError) -> BitpickError:
        """Note in the record of the run why it failed, and in the error where the logs are."""
        self.run.state = "failed"
        logs = self.store.logs
        error.logs = _from_here(logs) if logs.is_dir() else None
        error.report = _from_here(self.store.root / "report.html")
        self.run.error = Failure.of(error, logs=logs.name if logs.is_dir() else None)
        return error


def _from_here(path: Path) -> Path:
    """A path as a person would type it: relative where it is below the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
