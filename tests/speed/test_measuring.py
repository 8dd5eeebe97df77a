"""Timing of a run's rows, with the fake engine, whose sessions can be told to take their time."""

from __future__ import annotations

import time
from typing import ClassVar

import numpy as np
import pytest

from bitpick.engines.fake import engine
from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.errors import WorkerError
from bitpick.executors.inline import InlineExecutor
from bitpick.measures import latency
from bitpick.pipeline.build_job import build, open_build
from bitpick.pipeline.listener import Silent
from bitpick.recipe import Recipe
from bitpick.schema.run import Flag
from bitpick.schema.speed import Latency
from bitpick.speed import lanes, measuring
from tests.records import row

FLOAT, REFERENCE = "fake:float32", "onnxruntime:float32"
PLAIN, HALF = "fake:s8s8-per_tensor-minmax", "fake:s8s8-per_tensor-minmax+half_float"


class Recording(InlineExecutor):
    """Notes what each made executor was asked, and fails where it is told to."""

    made: ClassVar[list[Recording]] = []
    broken: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self):
        self.calls, self.closed = [], False
        Recording.made.append(self)

    def run(self, environment, function, payload, *progress):
        name = function.rpartition(":")[2]
        self.calls.append((environment, name, payload))
        if (name, payload.get("key")) in Recording.broken:
            raise WorkerError("the worker died")
        return super().run(environment, function, payload, *progress)

    def close(self):
        self.closed = True


@pytest.fixture
def builds(use_engines, model_file, dataset, tmp_path, monkeypatch):
    use_engines(FakeEngine(), OnnxRuntimeEngine())
    monkeypatch.setattr(Recording, "made", [])
    monkeypatch.setattr(Recording, "broken", ())
    monkeypatch.setattr(latency, "_OPEN", {})
    monkeypatch.setattr(lanes, "_WARM_SECONDS", 0.01)
    monkeypatch.setattr(lanes, "_MOST_PAIRS", 8)
    found = {}
    for text in (REFERENCE, FLOAT, PLAIN, HALF):
        folder = tmp_path / "builds" / text.replace(":", "__")
        build(model_file, Recipe.parse(text), dataset.samples(dataset.calibration), None, folder)
        found[text] = open_build(folder)
    return found


@pytest.fixture
def measure(builds, dataset):
    def run(budget=2.0, matters=(PLAIN, HALF), reference=REFERENCE):
        return measuring.measure(
            builds, reference, matters, dataset.samples(dataset.evaluation), Recording, budget, Silent(), seed=1
        )

    return run


def slow_down(monkeypatch, text, seconds, asleep=False):
    """Make the fake sessions of one recipe take longer."""
    real = engine.FakeEngine.open

    def work():
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    def opened(self, build, settings):
        session = real(self, build, settings)
        if build.recipe.id == text:
            run = session.run
            session.run = lambda native: ((time.sleep(seconds) if asleep else work()), run(native))[1]
        return session

    monkeypatch.setattr(engine.FakeEngine, "open", opened)


def test_every_row_is_timed_beside_its_float_and_the_reference(measure, monkeypatch):
    slow_down(monkeypatch, FLOAT, 1e-3)
    slow_down(monkeypatch, HALF, 3e-3)
    found, untimed = measure()
    assert untimed == {}
    assert set(found) == {REFERENCE, FLOAT, PLAIN, HALF}
    plain, half = found[PLAIN].latency, found[HALF].latency
    assert plain.reference == half.reference == REFERENCE
    assert plain.ratio_own < 0.8 < 1.5 < half.ratio_own < 6
    assert half.ratio_reference > 1.5
    assert found[REFERENCE].latency.ratio_reference is None
    assert found[REFERENCE].latency.ratio_own is None
    assert found[FLOAT].latency.ratio_own is None
    assert found[FLOAT].latency.ratio_reference is not None
    assert plain.p50 <= plain.p90


def test_what_waits_for_something_else_is_timed_by_the_wall_clock(measure, monkeypatch):
    slow_down(monkeypatch, HALF, 2e-3, asleep=True)
    found, _ = measure(budget=0.0)
    half, plain = found[HALF].latency, found[PLAIN].latency
    assert (half.clock, half.clock_reason) == ("wall", "it waits for work that is done elsewhere")
    assert half.ratio_own == half.ratio_own_wall > 2
    assert half.time == half.p50 > 2e-3 > half.cpu_time
    assert plain.clock == "cpu"
    assert plain.time == plain.cpu_time


def test_after_three_rounds_the_rows_that_matter_go_on_alone(measure, monkeypatch):
    monkeypatch.setattr(measuring, "_MOST_ROUNDS", 5)
    found, untimed = measure(budget=1000.0, matters=(PLAIN,))
    assert untimed == {}
    assert found[PLAIN].latency.processes == 5
    assert found[HALF].latency.processes == 3
    # The reference of its own engine has no row that matters: it is opened as the reference alone.
    assert [made.calls[0][0] for made in Recording.made[9:]].count("onnxruntime") == 4
    # Each build of the lane is opened first in turn, to tell its memory, whether it is timed or not.
    assert [len(found[key].raw["memory_bytes"]) for key in (FLOAT, PLAIN, HALF)] == [2, 2, 1]


def test_rounds_have_fresh_processes_that_end(measure):
    found, _ = measure(budget=0.0)
    assert found[PLAIN].latency.processes == 3  # the least
    assert len(Recording.made) == 9  # the engines', the reference's and the control's, in each of three rounds
    assert all(made.closed for made in Recording.made)
    opened = [call[2]["key"] for made in Recording.made[:3] for call in made.calls if call[1] == "bench_open"]
    # ONNX Runtime's float32 is the reference, its own control beside it; fake's builds have both in other processes.
    assert sorted(opened) == sorted([REFERENCE, "control", FLOAT, PLAIN, HALF, "reference", "control"])


def test_nothing_but_the_timed_build_runs_while_it_is_timed(measure):
    measure(budget=0.0)
    for made in Recording.made:
        for environment, name, payload in made.calls:
            assert name in ("bench_start", "bench_open", "bench_blocks", "bench_many"), name
            assert payload.get("threads", 1) == 1
            assert environment in ("fake", "onnxruntime")


def test_every_sample_is_kept_and_gives_the_numbers_again(measure):
    found, _ = measure()
    each = found[PLAIN]
    told = each.latency
    assert told.clock == "cpu"  # numpy works on the thread that calls it
    wall, cpu = (each.raw[clock] for clock in ("wall", "cpu"))
    assert len(wall["row"]) == len(cpu["own_float32"]) == len(cpu["reference"]) == told.processes
    assert all(lanes._LEAST_PAIRS <= len(part) <= 8 for part in wall["row"])
    assert told.pairs == sum(map(len, wall["row"]))
    assert [told.p50, told.p90] == pytest.approx(list(np.quantile(np.concatenate(wall["row"]), [0.5, 0.9])))
    assert told.cpu_time == pytest.approx(np.mean([min(part) for part in cpu["row"]]))

    def over(times, other, of_process):
        return np.exp(np.mean([of_process(*each) for each in zip(times["row"], times[other], strict=True)]))

    def least(row, other):
        return np.log(min(row) / min(other))

    def pairs(row, other):
        return np.median(np.log(np.divide(row, other)))

    assert told.ratio_own == pytest.approx(over(cpu, "own_float32", least))
    assert told.ratio_own_wall == pytest.approx(over(wall, "own_float32", pairs))
    assert told.ratio_reference == pytest.approx(over(cpu, "reference", least))
    assert told.ratio_reference_wall == pytest.approx(over(wall, "reference", pairs))
    assert each.throughput.batch == 32
    many = each.raw["many"][each.throughput.clock]
    middle = np.mean(np.min(many, axis=1)) if each.throughput.clock == "cpu" else np.median(np.median(many, axis=1))
    assert each.throughput.samples_per_second == pytest.approx(32 / middle)
    assert each.memory_bytes == int(np.median(each.raw["memory_bytes"]))


def test_a_build_that_does_not_open_costs_itself_alone(measure, monkeypatch):
    monkeypatch.setattr(Recording, "broken", (("bench_open", HALF),))
    found, untimed = measure(budget=0.0)
    assert untimed == {HALF: "the worker died"}
    assert set(found) == {REFERENCE, FLOAT, PLAIN}
    assert found[PLAIN].latency.processes == 3


def test_a_build_that_breaks_while_it_is_timed_costs_itself_alone(measure, monkeypatch):
    real = Recording.run

    def run(self, environment, function, payload, *progress):
        if function.endswith("bench_blocks") and HALF in payload["keys"]:
            raise WorkerError("it died in a block")
        return real(self, environment, function, payload)

    monkeypatch.setattr(Recording, "run", run)
    found, untimed = measure(budget=0.0)
    assert untimed == {HALF: "it died in a block"}
    assert set(found) == {REFERENCE, FLOAT, PLAIN}


def test_what_breaks_after_three_rounds_takes_none_of_them(measure, monkeypatch):
    real = Recording.run

    def run(self, environment, function, payload, *progress):
        if function.endswith("bench_blocks") and HALF in payload["keys"] and len(Recording.made) > 9:
            raise WorkerError("it died in round four")
        return real(self, environment, function, payload)

    monkeypatch.setattr(Recording, "run", run)
    found, untimed = measure(budget=12.0)  # for more rounds than that on a busy machine, too
    assert untimed == {}
    assert found[HALF].latency.processes == found[PLAIN].latency.processes == 3


def test_a_build_that_cannot_take_many_samples_has_no_throughput(measure, monkeypatch):
    monkeypatch.setattr(Recording, "broken", (("bench_many", HALF),))
    found, untimed = measure(budget=0.0)
    assert untimed == {}
    assert found[HALF].throughput is None


def test_without_its_float_an_engine_is_not_timed(measure, monkeypatch):
    monkeypatch.setattr(Recording, "broken", (("bench_open", FLOAT),))
    found, untimed = measure(budget=0.0)
    assert set(untimed) == {FLOAT, PLAIN, HALF}
    assert set(found) == {REFERENCE}


def test_where_the_budget_is_short_rows_that_do_not_matter_give_way(measure, monkeypatch):
    slow_down(monkeypatch, HALF, 5e-2)
    found, untimed = measure(budget=0.5, matters=[PLAIN])
    assert set(found) == {REFERENCE, FLOAT, PLAIN}
    assert untimed == {HALF: "its time went to the rows that may be recommended; --bench-seconds allows more than 0.5"}


def test_where_no_row_may_be_recommended_none_gives_way(measure, monkeypatch):
    slow_down(monkeypatch, HALF, 5e-2)
    found, untimed = measure(budget=0.5, matters=())
    assert set(found) == {REFERENCE, FLOAT, PLAIN, HALF}
    assert untimed == {}


def measured(interval):
    value = sum(interval) / 2
    latency = Latency(
        p50=1e-4, p90=1e-4, ratio_own=value, ratio_own_interval=interval, reference=REFERENCE, ratio_reference=value,
        ratio_reference_interval=interval, control=1, control_interval=(0.99, 1.01), threads=1, processes=5,
        pairs=100,
    )  # fmt: skip
    return measuring.Speed(latency, None, 1000, {})


@pytest.mark.parametrize(
    ("interval", "flagged"), [((1.9, 2.1), True), ((1.02, 3.0), False), ((1.02, 1.2), False), ((0.4, 0.5), False)]
)
def test_a_row_that_is_shown_to_be_slower_than_its_float_is_flagged(interval, flagged):
    found = measuring.with_speed(row(PLAIN), measured(interval))
    assert found.slower == flagged
    assert found.faults == []


def test_a_flag_of_another_time_goes():
    before = row(PLAIN, flags=[Flag(code="slower_than_float", text="x"), Flag(code="drop", text="y")])
    found = measuring.with_speed(before, measured((0.4, 0.5)))
    assert [flag.code for flag in found.flags] == ["drop"]
