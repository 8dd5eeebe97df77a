"""The rows of a run: each trial becomes one, and is judged beside its baseline as soon as both are known."""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine
from bitpick.errors import BitpickError
from bitpick.measures.fidelity import fidelities
from bitpick.measures.outputs import targets_of
from bitpick.models.model import Model, sha256_of
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
    """The rows of a run as they come.

    Args:
        shop: what to work with.
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
        """The rows of every target that this run was asked for, or came to, and what was imported of their builds."""
        return [row for row in self._shop.run.rows if row.id in self._order or self._imported(row)]

    def _imported(self, row: Row) -> bool:
        """Whether a row was imported, of a build that is still what it was, and measured on these samples."""
        native = self._shop.run.row(row.recipe)
        if row.measured != "imported" or row.recipe not in self._order or native is None or native.files != row.files:
            return False
        file = self._directory.build(row.recipe) / predictions_file(row.target)
        return self._directory.same_samples and file.exists() and sha256_of(file) == row.predictions_sha256

    def _place(self, row: Row) -> tuple[int, bool, str]:
        """Where a row stands: rows come in the order of the offers, those of one build with this host first."""
        return self._order.get(row.recipe, len(self._order)), row.target != "host", row.target

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
            self._directory.put(row)
        self._directory.save()

    def measure(self, asked: Sequence[Offer]) -> None:
        """Build, inspect and evaluate; a row fails alone."""
        offers = with_reach(asked, self._model.format)
        nowhere = out_of_reach(offers, self._model.format, self._shop.run.request)
        self._order |= {offer.recipe.id: len(self._order) + place for place, offer in enumerate(offers)}
        for offer in offers:
            if offer.unsupported:
                row = _row(offer, "unsupported", offer.unsupported)
                self._put(row.model_copy(update={"out_of_reach": row.engine in nowhere or None}))
        by_id = {offer.recipe.id: offer for offer in offers if not offer.unsupported}

        def told(trial: Trial, answer: Answer) -> None:
            offer = by_id[trial.name]
            if isinstance(answer, BitpickError):
                self._put(_row(offer, _status(answer), answer.line))
            else:
                self._put(self._measured(_row(offer, "ok", None), answer))

        self.trials.run([self._trial(offer) for offer in by_id.values()], told)

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
        """Evaluate builds on another CPU, and compare with what the same files predict on this one."""
        self._order |= {f"{row.id}@{target.name}": self._order[row.id] for row in rows}
        there = {f"{row.id}@{target.name}": row for row in rows}
        missing = target.missing(self._shop.host)
        how: How = "emulated" if target.emulated else "native"
        if missing:
            for row in rows:
                self._put(on_target(row, target.name, how, "unsupported", missing))
            return

        def told(trial: Trial, answer: Answer) -> None:
            row = there[trial.name]
            if isinstance(answer, BitpickError):
                self._put(on_target(row, target.name, how, _status(answer), answer.line))
            else:
                self._put(self._there(on_target(row, target.name, how, "ok"), target, answer))

        self.trials.run([self._trial_on(target, row) for row in rows], told)

    def _trial_on(self, target: Target, row: Row) -> Trial:
        folder = self._directory.build(row.recipe)
        file = folder / predictions_file(target.name)
        samples = self._inputs.check
        return Trial(row.quantization, folder, evaluation=samples, predictions=file, target=target.name)

    def _there(self, row: Row, target: Target, measured: Measured) -> Row:
        """A row of another CPU, judged beside what its files predict on this one."""
        row = Row.model_validate({**row.model_dump(exclude_none=True), **measured["evaluate"].value})
        places = self._inputs.check_places
        predicted = predictions(self._directory.build(row.recipe), target.name)
        repairable = bool(engine(row.engine).repairs(row.quantization))
        native = self.predicted[row.recipe][places]
        saturates = target.saturates and repairable
        return judge.on_target(row, predicted, native, self.targets[places], self.task, saturates)

    def _measured(self, row: Row, measured: Measured) -> Row:
        """A row with what its trial gave."""
        built, rewriting = measured["build"].value, measured.get("check_rewriting")
        beside = self._directory.build(row.recipe).relative_to(self._directory.root)
        return Row.model_validate(
            {
                **row.model_dump(exclude_none=True),
                **measured["inspect"].value,
                "unoptimized": rewriting and rewriting.value,
                "files": [file | {"path": (beside / file["path"]).as_posix()} for file in built["files"]],
                "settings": built["settings"] or None,
                "size_bytes": sum(file["bytes"] for file in built["files"]),
                **measured["evaluate"].value,
                "seconds": {name: outcome.seconds for name, outcome in measured.items()},
                "cpu_seconds": {name: outcome.cpu_seconds for name, outcome in measured.items()},
            }
        )

    def _beside_float(self, row: Row) -> Row:
        """The row with how its outputs differ from its baseline's, which are read from their files and not kept."""
        if row.versus_baseline is None or row.fidelity is not None:
            return row
        names = [output.name for output in self._inputs.interface.outputs]
        own, other = (outputs(self._directory.build(each)) for each in (row.versus_baseline.baseline, row.recipe))
        fidelity = fidelities(names, own, other, self.task)
        flags = [flag for flag in row.flags if flag.code != "dead_channel"] + judge.dead(names, own, other)
        update = {"fidelity": fidelity[names[self._inputs.interface.output]], "flags": flags}
        return row.model_copy(update=update | ({"fidelities": fidelity} if len(fidelity) > 1 else {}))

    def _put(self, row: Row) -> None:
        """Add a row in the order of the offers, and judge anew the rows that have it as their baseline."""
        self._directory.put(row)
        self._directory.update(rows=tuple(sorted(self._shop.run.rows, key=self._place)))
        if row.status == "ok" and row.target == "host":
            self.predicted[row.id] = predictions(self._directory.build(row.recipe))
            by_id = {r.id: r for r in self.native if r.id in self.predicted or r.status != "ok"}
            for other in list(by_id.values()):
                if other.status == "ok" and (other.id == row.id or row.id == baseline(other.engine).id):
                    request = self._shop.run.request
                    judged = judge.judge(other, by_id, self.predicted, self.targets, self.task, request)
                    judged = self._beside_float(judged)
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
