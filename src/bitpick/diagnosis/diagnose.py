"""Run a diagnosis: measure rows and layers, find the next recipe, and apply it if asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bitpick.artifacts import durable
from bitpick.comparison.compare import Comparison
from bitpick.comparison.rows import Rows
from bitpick.diagnosis import advise, worst
from bitpick.diagnosis import job as jobs
from bitpick.diagnosis.candidates import noisiest
from bitpick.diagnosis.changes import Answer, Changes, check, gain, scores
from bitpick.diagnosis.scoped import only, without
from bitpick.diagnosis.search import Attempt, Search
from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine
from bitpick.errors import RunError
from bitpick.measures.fidelity import fidelity
from bitpick.pipeline import examples
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.forms import start_form
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.offers import offers
from bitpick.pipeline.prepare import Preparation
from bitpick.recipe import Recipe, baseline
from bitpick.schema.diagnosis import Change, Diagnosis, Layer
from bitpick.schema.run import Row, Run
from bitpick.statistics import tango_interval
from bitpick.tasks.classification import Classification, discordant

NEXT_FILE = "next_recipe.yaml"
INSIDE_SAMPLES = 500  # signal over noise is a mean over all numbers, so more samples change little


class Diagnosing(Comparison):
    """A run with one recipe, its baseline, and its diagnosis."""

    def diagnose(
        self,
        recipe: Recipe,
        load_data: LoadData,
        *,
        most_layers: int,
        apply: bool,
        overwrite: bool = False,
    ) -> Run:
        """Run the whole diagnosis, and keep run.json current.

        Args:
            recipe: the recipe, which `check` has accepted.
            load_data: loads the data set.
            most_layers: the largest number of layers to build alone.
            apply: whether to run the next recipe, too.
            overwrite: replace another request's run in the same directory.

        Raises:
            RequestError: the request was wrong; the directory is unchanged.
            RunError: a conversion, the recipe or its baseline failed.
        """
        with self.recorded(overwrite):
            shop = self._shop
            inputs, model = Preparation(shop).prepare(load_data, lambda task, _: check(task))
            shop.listener.phase("building and evaluating")
            rows = Rows(shop, model, inputs)
            rows.measure(offers(self.run.request, model, shop.host))
            rows.claim(self.run.request.alpha)
            self.directory.update(rows=tuple(rows.all))
            row = self._row(recipe)
            row_ids = (baseline(row.engine).id, row.id)
            reference = self.directory.build(row_ids[0])
            changes = Changes(shop, rows.trials, inputs, rows.predicted[row_ids[0]], reference)
            pair_scores = [scores(self.directory.build(row_id), inputs.task)[inputs.check_places] for row_id in row_ids]
            predicted = rows.predicted[row.id][inputs.check_places]
            macs = row.coverage.macs if row.coverage else None
            whole = changes.change(recipe, predicted, fidelity(*pair_scores).sqnr_db, macs)
            self.directory.update(
                diagnosis=Diagnosis(recipe=row.id, samples=inputs.check.count, whole=whole, layers=())
            )
            self._look_inside(recipe, inputs, model.format)
            failures = self._measure_layers(recipe, changes, most_layers)
            advice = [*self._findings(row, recipe, changes), *failures]
            self._show_worst(row, inputs)
            search = Search(changes, recipe, whole, predicted, self._diagnosis.layers)
            chosen = self._search(search, row, advice)
            if chosen is not None and apply:
                self._apply(chosen.recipe, row, rows, inputs)
        return self.run

    def _row(self, recipe: Recipe) -> Row:
        """Return the recipe's row; refuse it unless it and its baseline are ok."""
        for needed in (baseline(recipe.engine), recipe):
            row = self.run.row(needed.id)
            if row is None or row.status != "ok":
                why = f"could not be built: {row.reason}" if row else "was not built"
                raise RunError(f"{needed.id} {why}", fix="diagnose a recipe that bitpick compare shows as ok")
        assert row is not None
        return row

    @property
    def _diagnosis(self) -> Diagnosis:
        assert self.run.diagnosis is not None
        return self.run.diagnosis

    def _update(self, **fields: object) -> None:
        """Change fields of the diagnosis."""
        self.directory.update(diagnosis=self._diagnosis.model_copy(update=fields))

    def _advise(self, text: str) -> None:
        self._update(advice=(*self._diagnosis.advice, text))

    def _look_inside(self, recipe: Recipe, inputs: Inputs, model_format: Any) -> None:
        """Record the layers, with signal over noise in weights and activations."""
        shop = self._shop
        shop.listener.phase("looking inside the build")
        form = start_form(recipe, model_format)
        assert form is not None
        environment = engine(recipe.engine).environment
        source = inputs.path(form, self.directory)

        def run_job(function: str, **payload: Any) -> Any:
            return shop.do(Job(f"{function}:{recipe.id}", environment, jobs.FUNCTIONS, function, payload)).value

        layers = [layer for layer in run_job("layers", source=source, recipe=recipe) if not recipe.excludes(layer[0])]
        measures = run_job(
            "insides",
            source=source,
            form=form.base,
            recipe=recipe,
            folder=self.directory.build(recipe.id),
            samples=inputs.check.head(INSIDE_SAMPLES),
            names=[name for name, _ in layers],
        )
        self._update(layers=tuple(Layer(name=name, kind=kind, **measures.get(name, {})) for name, kind in layers))
        self.directory.save()

    def _measure_layers(self, recipe: Recipe, changes: Changes, limit: int) -> list[str]:
        """Measure each layer alone, and write results to run.json as they come; return notes on what went wrong."""
        self._shop.listener.phase("one layer at a time")
        layers = self._diagnosis.layers
        chosen = noisiest(layers, limit)
        self._update(left_out=tuple(layer.name for layer in layers if layer not in chosen))
        names = [layer.name for layer in layers]
        purposes: dict[str, list[tuple[str, str]]] = {}
        recipes = []
        for layer in chosen:
            for field, scoped_recipe in (
                ("only_quantized", only(recipe, layer.name, names)),
                ("only_float", without(recipe, [layer.name])),
            ):
                purposes.setdefault(scoped_recipe.id, []).append((layer.name, field))
                recipes.append(scoped_recipe)
        failed: list[str] = []

        def on_answer(scoped_recipe: Recipe, answer: Answer) -> None:
            if isinstance(answer, Change):
                changed = {name: {field: answer} for name, field in purposes[scoped_recipe.id]}
                known = self._diagnosis.layers
                self._update(layers=tuple(layer.model_copy(update=changed.get(layer.name, {})) for layer in known))
                self.directory.save()
            else:
                failed.append(str(answer))

        changes.measure(recipes, on_answer)
        known = any(layer.activation_sqnr_db is not None or layer.weight_sqnr_db is not None for layer in layers)
        notes = [advise.left_out(self._diagnosis.left_out, known)] if self._diagnosis.left_out else []
        return notes + ([advise.failures(len(failed), failed[0])] if failed else [])

    def _findings(self, row: Row, recipe: Recipe, changes: Changes) -> list[str]:
        diagnosis = self._diagnosis
        names = [layer.name for layer in diagnosis.layers]
        alone = [layer for layer in diagnosis.layers if layer.only_quantized is not None]
        lose = changes.shown_to_lose([only(recipe, layer.name, names) for layer in alone])
        shown = [layer for layer, loses in zip(alone, lose, strict=True) if loses]
        assert diagnosis.whole is not None
        assert row.versus_baseline is not None
        assert row.samples is not None
        return advise.findings(
            row.versus_baseline, row.samples, diagnosis.whole, diagnosis.samples, diagnosis.layers, shown
        )

    def _show_worst(self, row: Row, inputs: Inputs) -> None:
        float_scores, build_scores = (
            scores(self.directory.build(row_id), inputs.task) for row_id in (baseline(row.engine).id, row.id)
        )
        indices = worst.harmed(float_scores, build_scores, inputs.evaluation.targets())
        assert isinstance(inputs.task, Classification)  # `check` made sure
        predicted = {baseline(row.engine).id: float_scores.argmax(axis=1), row.id: build_scores.argmax(axis=1)}
        records = examples.write(
            indices, inputs.evaluation, inputs.task, predicted, self.directory.root, "diagnosis/worst"
        )
        self._update(worst=tuple(records))

    def _search(self, search: Search, row: Row, advice: Sequence[str]) -> Attempt | None:
        """Find the next recipe, and write it and the reasons for it to run.json and to a recipe file."""
        self._shop.listener.phase("looking for the next recipe")
        diagnosis = self._diagnosis
        assert row.versus_baseline is not None
        assert row.samples is not None
        chosen = None
        if row.versus_baseline.drop_interval[0] > 0 or search.whole.drop_interval[0] > 0:
            chosen = search.next()
            self._update(tried=tuple(attempt.change for attempt in search.tried))
            lines = advise.tried(search.tried, search.recipe)
            lines.append(advise.next_recipe(chosen, search.recipe, search.whole, diagnosis.samples))
        else:
            lines = [advise.nothing_to_fix(diagnosis.samples, row.samples)]
        self._update(advice=(*advice, *lines))
        path = self.directory.root / NEXT_FILE
        path.unlink(missing_ok=True)
        if chosen is not None:
            self._update(next=chosen.recipe)
            durable.write(path, chosen.recipe.to_yaml())
        self.directory.save()
        return chosen

    def _apply(self, recipe: Recipe, before: Row, rows: Rows, inputs: Inputs) -> None:
        """Run the next recipe as a row, and compare it with the diagnosed one."""
        self._shop.listener.phase("applying the next recipe")
        rows.measure([Offer(recipe, frozenset())])
        # No claim: the recipe was chosen on the same samples.
        self.directory.update(rows=tuple(rows.all))
        self._update(applied=recipe.id)
        row = self.run.row(recipe.id)
        if row is None or row.status != "ok":
            self._advise(f"Applied, it failed: {row.reason if row else 'no row'}")
            return
        all_places = np.arange(len(rows.targets))
        unseen = np.setdiff1d(all_places, inputs.check_places)
        if not len(unseen):
            self._advise("All samples had a part in choosing it, which flatters it: --samples takes fewer.")
        for places in (all_places, unseen) if len(unseen) else (all_places,):
            targets = rows.targets[places]
            float_predictions, before_predictions, after_predictions = (
                rows.predicted[row_id][places] for row_id in (baseline(row.engine).id, before.id, recipe.id)
            )
            lost, won = discordant(float_predictions, after_predictions, targets)
            drop = (lost - won) / len(targets)
            won_back, interval = gain(before_predictions, after_predictions, targets)
            self._advise(
                advise.applied(
                    drop, tango_interval(lost, won, len(targets)), won_back, interval, len(targets), places is unseen
                )
            )
