"""The way through a diagnosis: rows, layers, what they show, the next recipe, and what that does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bitpick.comparison.compare import Comparison
from bitpick.comparison.rows import Rows
from bitpick.diagnosis import advise, worst
from bitpick.diagnosis import job as jobs
from bitpick.diagnosis.candidates import noisiest
from bitpick.diagnosis.changes import Answer, Changes, check, gain, scores
from bitpick.diagnosis.scoped import only, without
from bitpick.diagnosis.search import Search, Tried
from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine
from bitpick.errors import RunError
from bitpick.measures.fidelity import fidelity
from bitpick.pipeline import examples
from bitpick.pipeline.directory import write_whole
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
INSIDE_SAMPLES = 500  # signal over noise is a mean over all their numbers: more samples change little


class Diagnosing(Comparison):
    """A run that has one recipe, its baseline, and what is the matter with it."""

    def diagnose(
        self,
        recipe: Recipe,
        load_data: LoadData,
        *,
        most_layers: int,
        apply: bool,
        overwrite: bool = False,
    ) -> Run:
        """Do the whole job, keeping run.json current.

        Args:
            recipe: the recipe, one that `check` does not refuse.
            load_data: gives the data set.
            most_layers: how many layers get builds of their own.
            apply: whether to run the next recipe, too.
            overwrite: replace another request's run in the same directory.

        Raises:
            RequestError: the request was wrong; the directory is as it was found.
            RunError: a conversion failed, or the recipe, or its baseline.
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
            pair = (baseline(row.engine).id, row.id)
            reference = self.directory.build(pair[0])
            changes = Changes(shop, rows.trials, inputs, rows.predicted[pair[0]], reference)
            given = [scores(self.directory.build(each), inputs.task)[inputs.check_places] for each in pair]
            predicted = rows.predicted[row.id][inputs.check_places]
            macs = row.coverage.macs if row.coverage else None
            whole = changes.change(recipe, predicted, fidelity(*given).sqnr_db, macs)
            self.directory.update(
                diagnosis=Diagnosis(recipe=row.id, samples=inputs.check.count, whole=whole, layers=())
            )
            self._look_inside(recipe, inputs, model.format)
            failed = self._measure_layers(recipe, changes, most_layers)
            advice = [*self._told(row, recipe, changes), *failed]
            self._show_worst(row, inputs)
            search = Search(changes, recipe, whole, predicted, self._diagnosis.layers)
            chosen = self._search(search, row, advice)
            if chosen is not None and apply:
                self._apply(chosen.recipe, row, rows, inputs)
        return self.run

    def _row(self, recipe: Recipe) -> Row:
        """The recipe's row, where it and its baseline are ok."""
        for each in (baseline(recipe.engine), recipe):
            row = self.run.row(each.id)
            if row is None or row.status != "ok":
                why = f"could not be built: {row.reason}" if row else "was not built"
                raise RunError(f"{each.id} {why}", fix="diagnose a recipe that bitpick compare shows as ok")
        assert row is not None
        return row

    @property
    def _diagnosis(self) -> Diagnosis:
        assert self.run.diagnosis is not None
        return self.run.diagnosis

    def _know(self, **fields: object) -> None:
        """Change what is known of the diagnosis."""
        self.directory.update(diagnosis=self._diagnosis.model_copy(update=fields))

    def _advise(self, text: str) -> None:
        self._know(advice=(*self._diagnosis.advice, text))

    def _look_inside(self, recipe: Recipe, inputs: Inputs, model_format: Any) -> None:
        """The layers, with signal over noise in weights and activations."""
        shop = self._shop
        shop.listener.phase("looking inside the build")
        form = start_form(recipe, model_format)
        assert form is not None
        environment = engine(recipe.engine).environment
        source = inputs.path(form, self.directory)

        def told(function: str, **payload: Any) -> Any:
            return shop.do(Job(f"{function}:{recipe.id}", environment, jobs.FUNCTIONS, function, payload)).value

        layers = [pair for pair in told("layers", source=source, recipe=recipe) if not recipe.excludes(pair[0])]
        inside = told(
            "insides",
            source=source,
            form=form.base,
            recipe=recipe,
            folder=self.directory.build(recipe.id),
            samples=inputs.check.head(INSIDE_SAMPLES),
            names=[name for name, _ in layers],
        )
        self._know(layers=tuple(Layer(name=name, kind=kind, **inside.get(name, {})) for name, kind in layers))
        self.directory.save()

    def _measure_layers(self, recipe: Recipe, changes: Changes, most: int) -> list[str]:
        """What each layer does alone, in run.json as it comes; returns what went wrong, in words."""
        self._shop.listener.phase("one layer at a time")
        layers = self._diagnosis.layers
        chosen = noisiest(layers, most)
        self._know(left_out=tuple(layer.name for layer in layers if layer not in chosen))
        names = [layer.name for layer in layers]
        asked: dict[str, list[tuple[str, str]]] = {}
        recipes = []
        for layer in chosen:
            for field, each in (
                ("only_quantized", only(recipe, layer.name, names)),
                ("only_float", without(recipe, [layer.name])),
            ):
                asked.setdefault(each.id, []).append((layer.name, field))
                recipes.append(each)
        failed: list[str] = []

        def told(each: Recipe, answer: Answer) -> None:
            if isinstance(answer, Change):
                changed = {name: {field: answer} for name, field in asked[each.id]}
                known = self._diagnosis.layers
                self._know(layers=tuple(each.model_copy(update=changed.get(each.name, {})) for each in known))
                self.directory.save()
            else:
                failed.append(str(answer))

        changes.measure(recipes, told)
        known = any(layer.activation_sqnr_db is not None or layer.weight_sqnr_db is not None for layer in layers)
        skipped = [advise.left_out(self._diagnosis.left_out, known)] if self._diagnosis.left_out else []
        return skipped + ([advise.failures(len(failed), failed[0])] if failed else [])

    def _told(self, row: Row, recipe: Recipe, changes: Changes) -> list[str]:
        found = self._diagnosis
        names = [layer.name for layer in found.layers]
        alone = [layer for layer in found.layers if layer.only_quantized is not None]
        lose = changes.shown_to_lose([only(recipe, layer.name, names) for layer in alone])
        shown = [layer for layer, loses in zip(alone, lose, strict=True) if loses]
        assert found.whole is not None
        assert row.versus_baseline is not None
        assert row.samples is not None
        return advise.found(row.versus_baseline, row.samples, found.whole, found.samples, found.layers, shown)

    def _show_worst(self, row: Row, inputs: Inputs) -> None:
        floats, own = (scores(self.directory.build(each), inputs.task) for each in (baseline(row.engine).id, row.id))
        places = worst.harmed(floats, own, inputs.evaluation.targets())
        assert isinstance(inputs.task, Classification)  # it was checked
        predicted = {baseline(row.engine).id: floats.argmax(axis=1), row.id: own.argmax(axis=1)}
        shown = examples.write(
            places, inputs.evaluation, inputs.task, predicted, self.directory.root, "diagnosis/worst"
        )
        self._know(worst=tuple(shown))

    def _search(self, search: Search, row: Row, advice: Sequence[str]) -> Tried | None:
        """The next recipe, with what speaks for it, in run.json and in a file of its own."""
        self._shop.listener.phase("looking for the next recipe")
        found = self._diagnosis
        assert row.versus_baseline is not None
        assert row.samples is not None
        chosen = None
        if row.versus_baseline.drop_interval[0] > 0 or search.whole.drop_interval[0] > 0:
            chosen = search.next()
            self._know(tried=tuple(each.change for each in search.tried))
            told = advise.tried(search.tried, search.recipe)
            told.append(advise.next_recipe(chosen, search.recipe, search.whole, found.samples))
        else:
            told = [advise.nothing_to_fix(found.samples, row.samples)]
        self._know(advice=(*advice, *told))
        path = self.directory.root / NEXT_FILE
        path.unlink(missing_ok=True)
        if chosen is not None:
            self._know(next=chosen.recipe)
            write_whole(path, chosen.recipe.to_yaml())
        self.directory.save()
        return chosen

    def _apply(self, recipe: Recipe, before: Row, rows: Rows, inputs: Inputs) -> None:
        """Run the next recipe as a row, and say what it does beside the first one."""
        self._shop.listener.phase("applying the next recipe")
        rows.measure([Offer(recipe, frozenset())])
        # No claim: it was chosen on samples that a claim would rest on.
        self.directory.update(rows=tuple(rows.all))
        self._know(applied=recipe.id)
        row = self.run.row(recipe.id)
        if row is None or row.status != "ok":
            self._advise(f"Applied, it failed: {row.reason if row else 'no row'}")
            return
        everything = np.arange(len(rows.targets))
        unseen = np.setdiff1d(everything, inputs.check_places)
        if not len(unseen):
            self._advise("All samples had a part in choosing it, which flatters it: --samples takes fewer.")
        for places in (everything, unseen) if len(unseen) else (everything,):
            targets = rows.targets[places]
            floats, first, last = (
                rows.predicted[each][places] for each in (baseline(row.engine).id, before.id, recipe.id)
            )
            lost, won = discordant(floats, last, targets)
            drop = (lost - won) / len(targets)
            back, interval = gain(first, last, targets)
            self._advise(
                advise.applied(
                    drop, tango_interval(lost, won, len(targets)), back, interval, len(targets), places is unseen
                )
            )
