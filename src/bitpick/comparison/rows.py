"""Make rows from trials, and judge each beside its baseline as soon as both are measured."""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine
from bitpick.errors import BitpickError
from bitpick.measures.fidelity import fidelities
from bitpick.measures.outputs import targets_of
from bitpick.models.model import Model, sha256_of
from bitpick.passes.registry import unprepared
from bitpick.pipeline.build_job import predictions_file
from bitpick.pipeline.directory import outputs, predictions
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.reach import out_of_reach, with_reach
from bitpick.pipeline.running import CANNOT
from bitpick.pipeline.trial import Trial
from bitpick.pipeline.trials import Answer, Measured, ModelTrials
from bitpick.pipeline.workshop import Workshop
from bitpick.recipe import baseline
from bitpick.schema.run import Measured as How
from bitpick.schema.run import Row, Status
from bitpick.selection import judge
from bitpick.selection.claims import with_claims
from bitpick.targets.target import Target
from bitpick.tasks.task import Answers


class Rows:
    """The rows of a run, as they are measured.

    Args:
        shop: the run's workshop.
        model: the model.
        inputs: the run's inputs.
    """

    def __init__(self, shop: Workshop, model: Model, inputs: Inputs) -> None:
        self.predicted: dict[str, Answers] = {}
        self.targets = targets_of(inputs.evaluation)
        self.task = inputs.task
        self.trials = ModelTrials(shop, model, inputs)
        self._shop = shop
        self._directory = shop.directory
        self._model = model
        self._inputs = inputs
        self._order: dict[str, int] = {}

    @property
    def all(self) -> list[Row]:
        """The rows of all targets that belong to this run, and the rows imported for their builds."""
        return [row for row in self._shop.run.rows if row.id in self._order or self._imported(row)]

    def _imported(self, row: Row) -> bool:
        """Whether a row was imported, and its build and samples are still the same."""
        native = self._shop.run.row(row.recipe)
        if row.measured != "imported" or row.recipe not in self._order or native is None or native.files != row.files:
            return False
        file = self._directory.build(row.recipe) / predictions_file(row.target)
        return self._directory.same_samples and file.exists() and sha256_of(file) == row.predictions_sha256

    def _sort_key(self, row: Row) -> tuple[int, bool, str]:
        """Return a row's sort key: rows are in the order of the offers, and within a build this host comes first."""
        return self._order.get(row.recipe, len(self._order)), row.target != "host", row.target

    @property
    def averages(self) -> bool:
        """Whether a drop is a mean over samples."""
        first = next(iter(self.predicted.values()), None)
        return first is not None and self.task.losses(first, first, self.targets) is not None

    @property
    def known(self) -> set[str]:
        """The ids of all rows."""
        return {row.id for row in self.all}

    @property
    def native(self) -> list[Row]:
        """The rows of this host."""
        return [row for row in self.all if row.target == "host"]

    def claim(self, alpha: float) -> None:
        """Test all rows of this host together: which lose less than the margin?"""
        for row in with_claims(self.native, self.predicted, self.targets, self.task, alpha):
            self._directory.put(row)
        self._directory.save()

    def measure(self, requested: Sequence[Offer]) -> None:
        """Build, inspect and evaluate recipes; a failure costs only its own row."""
        offers = with_reach(requested, self._model.format)
        unreachable_engines = out_of_reach(offers, self._model.format, self._shop.run.request)
        self._order |= {offer.recipe.id: len(self._order) + place for place, offer in enumerate(offers)}
        for offer in offers:
            if offer.unsupported:
                row = _row(offer, "unsupported", offer.unsupported)
                self._put(row.model_copy(update={"out_of_reach": row.engine in unreachable_engines or None}))
        by_id = {offer.recipe.id: offer for offer in offers if not offer.unsupported}

        def on_answer(trial: Trial, answer: Answer) -> None:
            offer = by_id[trial.name]
            if isinstance(answer, BitpickError):
                self._put(_row(offer, _status(answer), answer.line))
            else:
                self._put(self._with_measurements(_row(offer, "ok", None), answer))

        self.trials.run([self._trial(offer) for offer in by_id.values()], on_answer)

    def _trial(self, offer: Offer) -> Trial:
        folder = self._directory.build(offer.recipe.id)
        return Trial(
            offer.recipe,
            folder,
            calibration=self._inputs.calibration,
            evaluation=self._inputs.evaluation,
            predictions=folder / predictions_file("host"),
            look="whole",
        )

    def measure_on(self, target: Target, rows: Sequence[Row]) -> None:
        """Evaluate builds on another CPU, and compare with the same files' predictions on this host."""
        self._order |= {f"{row.id}@{target.name}": self._order[row.id] for row in rows}
        by_name = {f"{row.id}@{target.name}": row for row in rows}
        missing = target.missing(self._shop.host)
        how: How = "emulated" if target.emulated else "native"
        if missing:
            for row in rows:
                self._put(on_target(row, target.name, how, "unsupported", missing))
            return

        def on_answer(trial: Trial, answer: Answer) -> None:
            row = by_name[trial.name]
            if isinstance(answer, BitpickError):
                self._put(on_target(row, target.name, how, _status(answer), answer.line))
            else:
                self._put(self._judged_on(on_target(row, target.name, how, "ok"), target, answer))

        self.trials.run([self._trial_on(target, row) for row in rows], on_answer)

    def _trial_on(self, target: Target, row: Row) -> Trial:
        folder = self._directory.build(row.recipe)
        file = folder / predictions_file(target.name)
        samples = self._inputs.check
        return Trial(row.quantization, folder, evaluation=samples, predictions=file, target=target.name)

    def _judged_on(self, row: Row, target: Target, measurements: Measured) -> Row:
        """Return the row of another CPU, judged beside its files' predictions on this host."""
        row = Row.model_validate({**row.model_dump(exclude_none=True), **measurements["evaluate"].value})
        places = self._inputs.check_places
        predicted = predictions(self._directory.build(row.recipe), target.name)
        repairable = bool(engine(row.engine).repairs(row.quantization))
        native = self.predicted[row.recipe][places]
        saturates = target.saturates and repairable
        return judge.on_target(row, predicted, native, self.targets[places], self.task, saturates)

    def _with_measurements(self, row: Row, measurements: Measured) -> Row:
        """Return the row with its trial's measurements."""
        build_result, rewriting = measurements["build"].value, measurements.get("check_rewriting")
        relative = self._directory.build(row.recipe).relative_to(self._directory.root)
        return Row.model_validate(
            {
                **row.model_dump(exclude_none=True),
                **measurements["inspect"].value,
                "unoptimized": rewriting and rewriting.value,
                "files": [file | {"path": (relative / file["path"]).as_posix()} for file in build_result["files"]],
                "settings": build_result["settings"] or None,
                "size_bytes": sum(file["bytes"] for file in build_result["files"]),
                **measurements["evaluate"].value,
                "seconds": {name: outcome.seconds for name, outcome in measurements.items()},
                "cpu_seconds": {name: outcome.cpu_seconds for name, outcome in measurements.items()},
            }
        )

    def _with_fidelity(self, row: Row) -> Row:
        """Return the row with how its outputs differ from its baseline's, both read from files."""
        if row.versus_baseline is None or row.fidelity is not None:
            return row
        names = [output.name for output in self._inputs.interface.outputs]
        float_outputs, build_outputs = (
            outputs(self._directory.build(recipe_id)) for recipe_id in (row.versus_baseline.baseline, row.recipe)
        )
        fidelity = fidelities(names, float_outputs, build_outputs, self.task)
        flags = [flag for flag in row.flags if flag.code != "dead_channel"] + judge.dead(
            names, float_outputs, build_outputs
        )
        update = {"fidelity": fidelity[names[self._inputs.interface.output]], "flags": flags}
        return row.model_copy(update=update | ({"fidelities": fidelity} if len(fidelity) > 1 else {}))

    def _put(self, row: Row) -> None:
        """Add a row in the order of the offers, and judge it and the rows that have it as their baseline."""
        self._directory.put(row)
        self._directory.update(rows=tuple(sorted(self._shop.run.rows, key=self._sort_key)))
        if row.status == "ok" and row.target == "host":
            self.predicted[row.id] = predictions(self._directory.build(row.recipe))
            by_id = {
                native_row.id: native_row
                for native_row in self.native
                if native_row.id in self.predicted or native_row.status != "ok"
            }
            for other in list(by_id.values()):
                plain = unprepared(other.quantization)
                compared = {other.id, baseline(other.engine).id, plain.id if plain is not None else other.id}
                if other.status == "ok" and row.id in compared:
                    request = self._shop.run.request
                    judged = judge.judge(other, by_id, self.predicted, self.targets, self.task, request)
                    judged = self._with_fidelity(judged)
                    if plain is not None and plain.id in self.predicted:
                        judged = judge.with_gain(judged, plain.id, self.predicted, self.targets, self.task)
                    self._directory.put(judged)
                    self._shop.listener.row(judged)
        else:
            self._shop.listener.row(row)
        self._directory.save()


def _status(error: BitpickError) -> Status:
    return "unsupported" if isinstance(error, CANNOT) else "failed"


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


def on_target(row: Row, name: str, measured: How, status: Status, reason: str | None = None) -> Row:
    """Return a row of the same files on a target, without measurements yet."""
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
