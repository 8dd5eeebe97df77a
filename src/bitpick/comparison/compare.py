"""The main job: from a model and a data set to rows, each measured, and the one to ship."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from bitpick import __version__
from bitpick.comparison import judge, plan, schedule
from bitpick.comparison.job import Job
from bitpick.comparison.listener import Listener
from bitpick.comparison.prepare import Preparation
from bitpick.comparison.recommend import recommend
from bitpick.comparison.request import offers
from bitpick.comparison.schedule import Result
from bitpick.comparison.store import Store, predictions
from bitpick.data.dataset import Dataset
from bitpick.engines.engine import Offer
from bitpick.engines.registry import engine, engines, outside_distributions
from bitpick.errors import BitpickError, RequestError, RunError, Unsupported
from bitpick.executors.executor import Executor, Outcome
from bitpick.host import Host, installed_version
from bitpick.model import Format, Model
from bitpick.preprocessing import Preprocessing
from bitpick.recipe import baseline
from bitpick.result import HostRecord, ModelRecord, RequestRecord, Row, Run

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
    """

    def __init__(self, store: Store, host: Host, executor: Executor, parallel: int, listener: Listener) -> None:
        self.store = store
        self.run = store.run
        self._host = host
        self._executor = executor
        self._parallel = parallel
        self._listener = listener
        self._preparation = Preparation(store, executor, parallel, listener)
        self._predicted: dict[str, NDArray[np.int32]] = {}
        self._order: dict[str, int] = {}

    def compare(self, load_data: Callable[[], Dataset], preprocessing: Preprocessing, overwrite: bool = False) -> Run:
        """Do the whole job, keeping run.json current.

        Args:
            load_data: gives the data set.
            preprocessing: from its samples to the model's input.
            overwrite: replace another request's run in the same directory.

        Raises:
            RequestError: the request was wrong; the directory is as it was found.
            RunError: a conversion on the way to the reference graph failed, or no quantized row is ok.
        """
        with self.recorded(overwrite):
            inputs = self._preparation.load(load_data, preprocessing)
            model = self._preparation.to_reference(inputs)
            self.rows(model, inputs)
            self.run.recommendation = recommend(self.run.rows, self._predicted, inputs.evaluation.targets())
            if not any(row.kind == "quantized" and row.status == "ok" for row in self.run.rows):
                raise RunError(
                    "no quantized row is ok", mend=f"the reason of each is in {self.store.root / 'report.md'}"
                )
        return self.run

    @contextmanager
    def recorded(self, overwrite: bool) -> Iterator[None]:
        """Claim the directory, and write how the run ended, whatever way. Nothing that was started outlives this."""
        began = time.perf_counter()
        self.store.claim(overwrite)
        try:
            yield
            self.run.state = "complete"
        except RequestError:
            self._executor.close()
            self.store.discard()
            raise
        except BaseException as error:
            self.run.state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            raise
        finally:
            self._executor.close()
            if self.run.state != "running":
                self.run.seconds["total"] = time.perf_counter() - began
                self.store.settle()
                self.store.save()

    # ---- rows ----

    def rows(self, model: Model, inputs: plan.Inputs) -> None:
        """Build and evaluate everything that was asked for; a row fails alone."""
        self._listener.phase("building and evaluating")
        asked = [self._with_reach(offer, model) for offer in offers(self.run.request, model, self._host)]
        self._order = {offer.recipe.id: place for place, offer in enumerate(asked)}
        # An earlier run's rows count only where their files are what they were.
        kept = {row.id: row for offer in asked if (row := self.store.kept_row(offer.recipe.id)) is not None}
        self.run.rows = list(kept.values())
        self._predicted = {row.id: self._predictions(row) for row in kept.values()}
        targets = inputs.evaluation.targets()
        open_offers = []
        for offer in asked:
            if offer.unsupported:
                self._put(_row(offer, "unsupported", offer.unsupported), targets)
            elif offer.recipe.id in kept:
                self._put(kept[offer.recipe.id], targets)
            else:
                open_offers.append(offer)
        given = [model.format, *(form for form in Format if form in self.run.model.forms)]
        wanted = {plan.start_form(o.recipe, model.format): None for o in open_offers}
        forms = [form for form in wanted if form is not None and form not in given]
        jobs = [
            *plan.conversions(forms, inputs, self.store, given),
            *plan.rows(open_offers, model, inputs, self.store, given),
        ]
        by_id = {offer.recipe.id: offer for offer in open_offers}
        costs: dict[str, dict[str, Outcome]] = {}

        def finished(job: Job, result: Result) -> Result:
            result = self._preparation.converted(job, result, inputs)
            offer = by_id.get(job.subject)
            if offer is None:
                return result
            if isinstance(result, BitpickError):
                if job.function == "evaluate":  # the last job of the row: whatever went wrong has come down to it
                    status = "unsupported" if isinstance(result, Unsupported) else "failed"
                    self._put(_row(offer, status, " ".join(str(result).split("\n"))), targets)
            else:
                costs.setdefault(job.subject, {})[job.function] = result
                if job.function == "evaluate":
                    self._put(_measured(offer, costs[job.subject]), targets)
            return result

        schedule.run(jobs, self._executor, self._parallel, self._listener.started, finished)

    def _predictions(self, row: Row) -> NDArray[np.int32]:
        return predictions(self.store.build(row.recipe))

    def _with_reach(self, offer: Offer, model: Model) -> Offer:
        """The offer, unsupported where no conversion leads from the model to a form that it starts from."""
        reason = offer.unsupported or plan.unreachable(offer.recipe, model.format)
        return Offer(offer.recipe, offer.presets, reason)

    def _put(self, row: Row, targets: NDArray[np.int64]) -> None:
        """Add a row in the order of the offers, and judge anew the rows that have it as their baseline."""
        self.store.put(row)
        self.run.rows.sort(key=lambda r: self._order[r.id])
        if row.status == "ok":
            self._predicted[row.id] = self._predictions(row)
        rows = {r.id: r for r in self.run.rows}
        for other in list(rows.values()):
            if other.status == "ok" and (other.id == row.id or row.id == baseline(other.engine).id):
                judged = judge.judge(other, rows, self._predicted, targets, self.run.request)
                self.store.put(judged)
                self._listener.row(judged)
        if row.status != "ok":
            self._listener.row(row)
        self.store.save()


def _row(offer: Offer, status: str, reason: str | None) -> Row:
    recipe = offer.recipe
    return Row(
        id=recipe.id,
        recipe=recipe.id,
        engine=recipe.engine,
        kind=recipe.kind,
        recipe_fields=recipe if recipe.scoped else None,
        deprecated=engine(recipe.engine).deprecated,
        status=status,  # type: ignore[arg-type]  # one of the three, and checked by the model
        reason=reason,
    )


def _measured(offer: Offer, outcomes: dict[str, Outcome]) -> Row:
    built, inspected = outcomes["build"].value, outcomes["inspect"].value
    files = built["files"]
    return Row.model_validate(
        {
            **_row(offer, "ok", None).model_dump(exclude_none=True),
            "files": files,
            "settings": built["settings"],
            **inspected,
            "size_bytes": sum(f["bytes"] for f in files),
            "accuracy": outcomes["evaluate"].value,
            "seconds": {name: outcome.seconds for name, outcome in outcomes.items()},
            "cpu_seconds": {name: outcome.cpu_seconds for name, outcome in outcomes.items()},
        }
    )
