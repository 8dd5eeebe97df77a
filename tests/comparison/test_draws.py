"""Further calibration draws, with the fake engine, whose option `drawn` makes a build depend on its samples."""

from __future__ import annotations

import numpy as np
import pytest

from bitpick.comparison.draws import matter, over_draws
from bitpick.engines.capability import Capability
from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.errors import EngineError, RequestError
from bitpick.executors.inline import InlineExecutor
from bitpick.pipeline import directory as stores
from bitpick.pipeline.request import make_request
from bitpick.schema.run import Recommendation
from bitpick.selection.claims import with_claims
from bitpick.statistics import mean_over_draws
from tests.selection.judging import TARGETS, TASK, N, judged_rows, recommended

DRAWN = "fake:s8u8-per_channel-minmax+drawn"
STILL = "fake:s8s8-per_tensor-minmax"


class ExecutorOfDraws(InlineExecutor):
    """Records the jobs with their draws; can be told to interrupt the run, or to fail, at one of them."""

    def __init__(self, stop_at: str = "", break_at: str = "") -> None:
        self.ran: list[str] = []
        self._stop_at = stop_at
        self._break_at = break_at

    @property
    def of_draws(self) -> list[str]:
        """The jobs of the further draws."""
        return [job for job in self.ran if " seed-" in job]

    def run(self, environment, function, payload, *progress):
        place = f"{payload.get('folder', '')} {getattr(payload.get('samples'), 'indices', '')}"
        draw = place.partition("draws/")[2].partition("/")[0]
        self.ran.append(f"{function.rpartition(':')[2]} {draw} {getattr(payload.get('recipe'), 'id', '')}")
        if self._stop_at and self.ran[-1].startswith(self._stop_at):
            raise KeyboardInterrupt
        if self._break_at and self.ran[-1].startswith(self._break_at):
            raise EngineError("it broke, as it was asked to")
        return super().run(environment, function, payload, *progress)


@pytest.fixture
def compare(compare):
    """Compare with four draws."""
    compare.options |= {"calibration_seeds": 4, "margin": "20"}
    compare.new_executor = ExecutorOfDraws
    return compare


def test_every_draw_is_shown_and_the_file_and_the_recipe_are_kept_apart(compare, dataset):
    run = compare(DRAWN, seed=5)
    row = run.row(DRAWN)
    over = row.over_draws
    assert [draw.seed for draw in over.draws] == [5, 6, 7, 8]
    assert over.draws[0].correct == row.accuracy.correct
    assert over.draws[0].drop == row.versus_baseline.drop
    assert over.draws[0].flips == row.versus_baseline.flips
    assert len({draw.correct for draw in over.draws}) > 1
    assert over.drop == pytest.approx(np.mean([draw.drop for draw in over.draws]))
    assert over.drop_interval != row.versus_baseline.drop_interval
    targets = np.asarray(dataset.evaluation.labels)
    for draw in over.draws[1:]:
        folder = compare.directory.draw(draw.seed, DRAWN)
        assert {p.name for p in folder.iterdir()} == {"predictions.npz"}
        assert (stores.predictions(folder) == targets).sum() == draw.correct
    assert {p.name for p in (compare.directory.root / "builds").iterdir()} == {
        "fake__float32",
        "fake__s8u8-per_channel-minmax+drawn",
    }


def test_a_draw_is_what_its_seed_says(compare):
    """The second draw of one run is the first of a run with that seed."""
    over = compare(DRAWN, calibration_seeds=2).row(DRAWN).over_draws
    second = stores.predictions(compare.directory.draw(1, DRAWN))
    compare.directory.root.rename(compare.directory.root.with_name("first"))
    other = compare(DRAWN, calibration_seeds=1, seed=1)
    np.testing.assert_array_equal(second, stores.predictions(compare.directory.build(DRAWN)))
    assert other.row(DRAWN).accuracy.correct == over.draws[1].correct
    assert other.row(DRAWN).over_draws is None


def test_without_being_asked_for_nothing_is_built_again(compare):
    run = compare(calibration_seeds=1)
    assert compare.executor.of_draws == []
    assert not (compare.directory.root / "draws").exists()
    assert not [row for row in run.rows if row.over_draws or row.no_over_draws]


def test_draws_go_with_the_run_that_is_replaced(compare):
    compare(DRAWN)
    compare(DRAWN, calibration_seeds=1, overwrite=True)
    assert not (compare.directory.root / "draws").exists()


def test_the_rows_that_are_recommended_for_any_use(compare):
    run = compare()
    matters = {run.recommendation.id, *run.recommendation.by_use.values()}
    assert {row.id for row in run.rows if row.over_draws} == matters
    assert run.row("fake:float32").over_draws is None


def test_a_recipe_that_ignores_its_samples_has_equal_draws(compare):
    over = compare(STILL).row(STILL).over_draws
    assert len({draw.correct for draw in over.draws}) == 1
    assert over.drop_interval[0] < over.drop < over.drop_interval[1]


def test_a_draw_that_fails_is_missing_and_said_to_be(compare):
    over = compare(DRAWN, executor=ExecutorOfDraws(break_at="build seed-2")).row(DRAWN).over_draws
    assert [draw.seed for draw in over.draws] == [0, 1, 3]
    assert over.failed == {2: "it broke, as it was asked to"}


def test_where_every_draw_fails_the_reason_is_told_and_the_row_stays(compare):
    row = compare(DRAWN, executor=ExecutorOfDraws(break_at="evaluate seed-")).row(DRAWN)
    assert row.status == "ok"
    assert row.over_draws is None
    assert row.no_over_draws == "no further draw could be built: it broke, as it was asked to"


def test_a_recipe_without_calibration_samples_is_left_out_with_the_reason(compare, use_engines):
    class Dynamic(FakeEngine):
        capabilities = (*FakeEngine.capabilities, Capability(("s8weights",)))

        def inspect(self, build, sample):
            from bitpick.engines.executed import FLOAT32, Executed, Operator
            from bitpick.schema.fingerprint import Grid

            if build.recipe.dtypes != "s8weights":
                return super().inspect(build, sample)
            return Executed((Operator("dense", "Gemm", "float32", Grid(dtype="s8"), FLOAT32, 192, 192),))

    use_engines(Dynamic(), OnnxRuntimeEngine())
    run = compare("fake:s8weights", STILL, calibration_size=50, calibration_seeds=3)
    row = run.row("fake:s8weights")
    assert row.status == "ok", row.reason
    assert row.over_draws is None
    assert row.no_over_draws == "it uses no calibration samples: every draw gives this file"
    assert run.row(STILL).over_draws


def test_a_kill_costs_no_draw_that_was_done(compare):
    with pytest.raises(KeyboardInterrupt):
        compare(DRAWN, executor=ExecutorOfDraws(stop_at="build seed-3"))
    assert stores.read(compare.directory.root).row(DRAWN).over_draws is None
    run = compare(DRAWN)
    assert compare.executor.of_draws == [f"build seed-3 {DRAWN}", f"evaluate seed-3 {DRAWN}"]
    assert len(run.row(DRAWN).over_draws.draws) == 4
    assert compare(DRAWN) == run.model_copy(update={"seconds": stores.read(compare.directory.root).seconds})
    assert compare.executor.of_draws == []


def test_a_draw_whose_predictions_are_not_those_that_were_made_gets_them_back(compare):
    before = compare(DRAWN).row(DRAWN).over_draws
    (compare.directory.draw(2, DRAWN) / "predictions.npz").write_bytes(b"{}")
    assert compare(DRAWN).row(DRAWN).over_draws == before
    assert compare.executor.of_draws == []


def test_the_number_of_seeds_is_part_of_the_request(model_file):
    def digest(**fields):
        return make_request(model_file, "tiny", **fields)[0].sha256

    assert digest(calibration_seeds=1) == digest() != digest(calibration_seeds=2)
    with pytest.raises(RequestError, match="the number of calibration seeds 0 is out of range"):
        digest(calibration_seeds=0)


def test_where_nothing_is_recommended_the_most_accurate_and_the_smallest_matter():
    rows = [
        ("a:s8u8-per_channel-minmax", range(300), {"size_bytes": 300}),
        ("a:s8s8-per_tensor-minmax", range(500), {"size_bytes": 100}),
        ("a:s8u8-per_tensor-minmax", range(400), {"size_bytes": 200}),
    ]
    found = recommended(rows)
    assert found.id is None
    native, _ = judged_rows(rows)
    assert [row.id for row in matter(native, found, [])] == [rows[0][0], rows[1][0]]
    assert [row.id for row in matter(native, Recommendation(id=rows[2][0], because=[], by_use={"x": "y"}), [])] == [
        rows[2][0]
    ]
    assert len(matter(native, found, [row[0] for row in rows])) == 3


def test_a_recipe_may_be_shown_where_its_file_is_not_and_the_other_way_round():
    """One unlucky draw among good ones; and one lucky draw among bad ones."""
    rng = np.random.default_rng(0)

    def predictions(wrong):
        found = np.zeros(N, np.int32)
        found[rng.choice(N, wrong, replace=False)] = 1
        return found

    (judged, predicted), targets = judged_rows([("a:x", range(98), {})]), TARGETS
    row = with_claims(judged, predicted, targets, TASK, 0.05)[1]
    assert not row.versus_baseline.noninferior
    good = {0: predicted["a:x"]} | {seed: predictions(20) for seed in range(1, 8)}
    assert over_draws(row, good, predicted, targets, TASK, 0.05, {}).noninferior
    lucky, predicted = judged_rows([("a:x", range(40), {})])
    row = with_claims(lucky, predicted, targets, TASK, 0.05)[1]
    assert row.versus_baseline.noninferior
    bad = {0: predicted["a:x"]} | {seed: predictions(110) for seed in range(1, 8)}
    over = over_draws(row, bad, predicted, targets, TASK, 0.05, {3: "why"})
    assert not over.noninferior
    assert over.failed == {3: "why"}
    losses = np.stack([(found != 0).astype(int) for found in bad.values()])
    assert over.drop_interval == mean_over_draws(losses).interval()
    assert over_draws(row, {0: predicted["a:x"]}, predicted, targets, TASK, 0.05, {}) is None
