"""Rows: what was asked for, built and measured, each row judged beside its baseline as soon as both are known."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import replace

from bitpick.datasets.dataset import Samples
from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine
from bitpick.errors import BitpickError, InstructionError, OperatorError, Unsupported
from bitpick.executors.executor import Executor, Outcome
from bitpick.measures.fidelity import fidelities
from bitpick.measures.outputs import targets_of
from bitpick.models.model import Format, Model
from bitpick.pipeline import plan, schedule
from bitpick.pipeline.forms import start_form
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.prepare import Preparation
from bitpick.pipeline.reach import out_of_reach, with_reach
from bitpick.pipeline.schedule import Result
from bitpick.pipeline.store import Store, outputs, predictions
from bitpick.recipe import Recipe, baseline
from bitpick.schema.run import Measured, Row, Status
from bitpick.selection import judge
from bitpick.selection.claims import with_claims
from bitpick.targets.target import Target
from bitpick.tasks.task import Answers

# What an engine, or a conversion on the way to it, cannot do; all else is a failure.
_UNSUPPORTED = (Unsupported, OperatorError, InstructionError)


class Rows:
    """The rows of a run as they come.

    Args:
        store: the run directory and the record of the run.
        executor: runs the jobs.
        parallel: how many jobs at once.
        listener: is told how it goes.
        preparation: notes the conversions that rows need.
        model: the model.
        inputs: the run's inputs.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        parallel: int,
        listener: Listener,
        preparation: Preparation,
        model: Model,
        inputs: Inputs,
    ) -> None:
        self.predicted: dict[str, Answers] = {}
        self.targets = targets_of(inputs.evaluation)
        self.task = inputs.task
        self._store = store
        self._run = store.run
        self._executor = executor
        self._parallel = parallel
        self._listener = listener
        self._preparation = preparation
        self._model = model
        self._inputs = inputs
        self._order: dict[str, int] = {}
        store.interfaces = inputs.interfaces
        # An earlier run's rows stay where their files are what they were; which of them count, `measure` says.
        previous = store.previous.rows if store.previous is not None else []
        self._run.rows = [row for row in previous if store.kept_row(row.id) is not None]

    @property
    def all(self) -> list[Row]:
        """The rows of every target that this run was asked for, or came to, and what was imported of their builds."""
        return [row for row in self._run.rows if row.id in self._order or _imported(row, self._order)]

    @property
    def averages(self) -> bool:
        """Whether a drop is a mean over samples."""
        first = next(iter(self.predicted.values()), None)
        return first is not None and self.task.losses(first, first, self.targets) is not None

    @property
    def known(self) -> set[str]:
        """The ids of all these rows."""
        return {row.id for row in self.all}

    @property
    def native(self) -> list[Row]:
        """The rows of this host."""
        return [row for row in self.all if row.target == "host"]

    def claim(self, alpha: float) -> None:
        """Test at once which of this host's rows lose less than the margin."""
        for row in with_claims(self.native, self.predicted, self.targets, self.task, alpha):
            self._store.put(row)
        self._store.save()

    def measure(self, asked: Sequence[Offer]) -> None:
        """Build, inspect and evaluate; a row fails alone, and one that an earlier run measured is not made again."""
        offers = with_reach(asked, self._model.format)
        nowhere = out_of_reach(offers, self._model.format, self._run.request)
        self._order |= {offer.recipe.id: len(self._order) + place for place, offer in enumerate(offers)}
        open_offers = []
        kept = [row for offer in offers if (row := self._store.kept_row(offer.recipe.id)) is not None]
        floats = {row.engine for row in kept if row.kind == "baseline"}
        kept = [row if row.engine in floats else _alone(row) for row in kept]
        for row in kept:  # all of them before any is judged
            self._store.put(row)
            self.predicted[row.id] = predictions(self._store.build(row.recipe))
        known = {row.id: row for row in kept}
        for offer in offers:
            if offer.unsupported:
                row = _row(offer, "unsupported", offer.unsupported)
                self._put(row.model_copy(update={"out_of_reach": row.engine in nowhere or None}))
            elif offer.recipe.id in known:
                self._put(known[offer.recipe.id])
            else:
                open_offers.append(offer)
        given = self._given
        jobs = [
            *self._conversions([offer.recipe for offer in open_offers], given),
            *plan.rows(open_offers, self._model, self._inputs, self._store, given),
        ]
        by_id = {offer.recipe.id: offer for offer in open_offers}
        self._go(jobs, lambda subject, status, reason: _row(by_id[subject], status, reason), _measured)

    def measure_on(self, target: Target, rows: Sequence[Row]) -> None:
        """Evaluate builds on another CPU, and compare with what the same files predict on this one."""
        self._order |= {f"{row.id}@{target.name}": self._order[row.id] for row in rows}
        there = {f"{row.id}@{target.name}": row for row in rows}
        missing = target.missing(self._preparation.host)
        how: Measured = "emulated" if target.emulated else "native"
        open_rows = []
        for row_id, row in there.items():
            if missing:
                self._put(on_target(row, target.name, how, "unsupported", missing))
            elif (kept := self._store.kept_row(row_id)) is not None:
                self._put(kept)
            else:
                open_rows.append(row)
        jobs = plan.on_target(target, [row.quantization for row in open_rows], self._inputs, self._store)

        def measured(row: Row, outcomes: dict[str, Outcome]) -> Row:
            row = Row.model_validate({**row.model_dump(exclude_none=True), **outcomes["evaluate"].value})
            predicted = predictions(self._store.build(row.recipe), target.name)
            places = self._inputs.check_places
            repairable = bool(engine(row.engine).repairs(row.quantization))
            native = self.predicted[row.recipe][places]
            return judge.on_target(
                row, predicted, native, self.targets[places], self.task, target.saturates and repairable
            )

        def row_of(subject: str, status: Status, reason: str | None) -> Row:
            return on_target(there[subject], target.name, how, status, reason)

        self._go(jobs, row_of, measured)

    def rebuild(
        self,
        recipes: Sequence[Recipe],
        seed: int,
        samples: Samples,
        done: Callable[[str, BitpickError | None], None],
    ) -> None:
        """Build recipes from another calibration draw, and evaluate these builds.

        Args:
            recipes: recipes of rows that are ok.
            seed: of the draw.
            samples: the draw.
            done: is told of each recipe, by its id, with the error where it failed.
        """
        given = self._given
        inputs = replace(self._inputs, calibration=samples)
        jobs = [
            *self._conversions(recipes, given),
            *plan.draw(recipes, seed, self._model, inputs, self._store, given),
        ]

        def finished(job: Job, result: Result) -> Result:
            result = self._preparation.converted(job, result, self._inputs)
            if job.function == "evaluate":
                done(job.payload["recipe"].id, result if isinstance(result, BitpickError) else None)
            return result

        schedule.run(jobs, self._executor, self._parallel, self._listener.started, finished)

    @property
    def _given(self) -> list[Format]:
        """The formats that are there, verified, the source among them."""
        return [self._model.format, *(form for form in Format if form in self._run.model.forms)]

    def _conversions(self, recipes: Sequence[Recipe], given: Sequence[Format]) -> list[Job]:
        """Jobs that bring the model to what recipes start from."""
        wanted = {start_form(recipe, self._model.format): None for recipe in recipes}
        forms = [form for form in wanted if form is not None and form not in given]
        return plan.conversions(forms, self._inputs, self._store, given)

    def _go(
        self,
        jobs: Sequence[Job],
        row_of: Callable[[str, Status, str | None], Row],
        measured: Callable[[Row, dict[str, Outcome]], Row],
    ) -> None:
        """Run jobs; the outcome of a subject's evaluation, its last job, makes its row."""
        done: dict[str, dict[str, Outcome]] = {}

        def finished(job: Job, result: Result) -> Result:
            result = self._preparation.converted(job, result, self._inputs)
            if isinstance(result, BitpickError):
                if job.function == "evaluate":  # whatever went wrong before has come down to it
                    status: Status = "unsupported" if isinstance(result, _UNSUPPORTED) else "failed"
                    self._put(row_of(job.subject, status, result.line))
            else:
                done.setdefault(job.subject, {})[job.function] = result
                if job.function == "evaluate":
                    self._put(measured(row_of(job.subject, "ok", None), done[job.subject]))
            return result

        schedule.run(jobs, self._executor, self._parallel, self._listener.started, finished)

    def _beside_float(self, row: Row) -> Row:
        """The row with how its outputs differ from its baseline's, which are read from their files and not kept."""
        if row.versus_baseline is None or row.fidelity is not None:
            return row
        names = [output.name for output in self._inputs.interface.outputs]
        own, other = (outputs(self._store.build(each)) for each in (row.versus_baseline.baseline, row.recipe))
        found = fidelities(names, own, other, self.task)
        flags = [flag for flag in row.flags if flag.code != "dead_channel"] + judge.dead(names, own, other)
        update = {"fidelity": found[names[self._inputs.interface.output]], "flags": flags}
        return row.model_copy(update=update | ({"fidelities": found} if len(found) > 1 else {}))

    def _put(self, row: Row) -> None:
        """Add a row in the order of the offers, and judge anew the rows that have it as their baseline."""
        self._store.put(row)
        self._run.rows.sort(key=lambda r: (self._order.get(r.recipe, len(self._order)), r.target != "host", r.target))
        if row.status == "ok" and row.target == "host":
            self.predicted[row.id] = predictions(self._store.build(row.recipe))
            rows = {r.id: r for r in self.native}
            for other in list(rows.values()):
                if other.status == "ok" and (other.id == row.id or row.id == baseline(other.engine).id):
                    judged = judge.judge(other, rows, self.predicted, self.targets, self.task, self._run.request)
                    judged = self._beside_float(judged)
                    self._store.put(judged)
                    self._listener.row(judged)
        else:
            self._listener.row(row)
        self._store.save()


def _alone(row: Row) -> Row:
    """A row without what was measured beside a float32 that is about to be made anew."""
    beside = ("fidelity", "fidelities", "latency", "throughput", "memory_bytes")
    return row.model_copy(update=dict.fromkeys(beside) | {"flags": row.faults})


def _row(offer: Offer, status: Status, reason: str | None) -> Row:
    recipe = offer.recipe
    return Row(
        id=recipe.id,
        recipe=recipe.id,
        engine=recipe.engine,
        kind=recipe.kind,
        recipe_fields=recipe if recipe.scoped else None,
        deprecated=engine(recipe.engine).deprecated,
        status=status,
        reason=reason,
    )


def _measured(row: Row, outcomes: dict[str, Outcome]) -> Row:
    built, inspected = outcomes["build"].value, outcomes["inspect"].value
    rewriting = outcomes.get("check_rewriting")
    return Row.model_validate(
        {
            **row.model_dump(exclude_none=True),
            **inspected,
            "unoptimized": rewriting and rewriting.value,
            "files": built["files"],
            "settings": built["settings"] or None,
            "size_bytes": sum(f["bytes"] for f in built["files"]),
            **outcomes["evaluate"].value,
            "seconds": {name: outcome.seconds for name, outcome in outcomes.items()},
            "cpu_seconds": {name: outcome.cpu_seconds for name, outcome in outcomes.items()},
        }
    )


def on_target(row: Row, name: str, measured: Measured, status: Status, reason: str | None = None) -> Row:
    """A row of the same files on a target, before anything that was measured there is in it."""
    return Row(
        id=f"{row.id}@{name}",
        recipe=row.recipe,
        engine=row.engine,
        target=name,
        kind=row.kind,
        measured=measured,
        status=status,
        reason=reason,
        recipe_fields=row.recipe_fields,
        deprecated=row.deprecated,
        files=row.files,
        settings=row.settings,
        size_bytes=row.size_bytes,
    )


def _imported(row: Row, known: Container[str]) -> bool:
    """Whether a row was imported, of a build that there is."""
    return row.measured == "imported" and row.recipe in known
