"""Builds on other CPUs, with the fake engine, whose `s8u8` builds predict otherwise where a variable says so."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from bitpick.datasets.dataset import Dataset, Split
from bitpick.errors import RequestError, WorkerError
from bitpick.executors.inline import InlineExecutor
from bitpick.pipeline import directory as stores
from bitpick.pipeline.request import make_request
from bitpick.targets.host import Host, this_host
from bitpick.targets.target import AVX2

U8 = "fake:s8u8-per_channel-minmax"
REPAIRED = f"{U8}+reduced_range"
S8 = "fake:s8s8-per_tensor-minmax"


class Elsewhere(InlineExecutor):
    """Sets the variable for environments on a target, as a target's prefix would."""

    def __init__(self, broken: str = "") -> None:
        self.ran: list[str] = []
        self.broken = broken

    def run(self, environment, function, payload, *progress):
        self.ran.append(f"{function.rpartition(':')[2]} {getattr(payload.get('recipe'), 'id', '')} {environment}")
        there = "@" in environment
        if self.broken and there and self.broken in self.ran[-1]:
            raise WorkerError("the worker process was ended by SIGILL")
        os.environ["BITPICK_FAKE_SATURATES"] = "1" if there else ""
        try:
            return super().run(environment, function, payload, *progress)
        finally:
            del os.environ["BITPICK_FAKE_SATURATES"]


@pytest.fixture
def other_cpu(tmp_path):
    """A target by configuration."""
    path = tmp_path / "other.yaml"
    path.write_text("name: other-cpu\nprefix: [env, BITPICK_FAKE_SATURATES=1]\nemulated: true\nsaturates: true\n")
    return str(path)


@pytest.fixture
def compare(compare):
    """Compare on the targets that are usual, on 200 samples each."""
    compare.options |= {"targets": (), "target_samples": 200}
    compare.new_executor = Elsewhere
    return compare


def with_isa(*features):
    host = this_host()
    return Host(host.cpu, "x86_64", features, host.cores, host.platform, host.python)


def test_a_build_that_does_not_hold_is_found_and_repaired(compare, other_cpu, dataset, tmp_path):
    run = compare(U8, targets=[other_cpu])
    broken = run.row(f"{U8}@other-cpu")
    assert (broken.target, broken.measured, broken.status) == ("other-cpu", "emulated", "ok")
    native = run.row(U8)
    assert broken.files == native.files
    assert broken.accuracy.total == broken.versus_native.samples == 200
    targets = np.asarray(dataset.evaluation.labels)[:200]
    folder = tmp_path / "run" / "builds" / U8.replace(":", "__")
    predicted, here = stores.predictions(folder, "other-cpu"), stores.predictions(folder)[:200]
    assert broken.versus_native.flips == (predicted != here).sum() > 0
    assert broken.versus_native.correct == (here == targets).sum()
    assert broken.accuracy.correct == (predicted == targets).sum()
    assert broken.versus_native.drop == (broken.versus_native.correct - broken.accuracy.correct) / 200
    assert [flag.code for flag in broken.flags] == ["saturates"]
    assert "without VNNI" in broken.flags[0].text
    assert run.row(REPAIRED).status == "ok"
    assert run.row(f"{REPAIRED}@other-cpu").versus_native.flips == 0
    assert run.row(f"{REPAIRED}@other-cpu").flags == []
    assert run.recommendation.by_target["other-cpu"] == REPAIRED
    assert "fake:float32@other-cpu" not in {row.id for row in run.rows}


def test_a_build_that_holds_needs_no_repair(compare, other_cpu):
    run = compare(S8, targets=[other_cpu])
    assert [row.id for row in run.rows] == ["fake:float32", S8, f"{S8}@other-cpu"]
    assert run.recommendation.by_target == {"host": S8, "other-cpu": S8}
    assert run.recommendation.because[-1].endswith("predicts the same as here: it holds there too.")


def test_rows_of_a_target_follow_the_rows_of_their_files(compare, other_cpu):
    run = compare(U8, S8, targets=[other_cpu])
    ids = [row.id for row in run.rows]
    assert ids == ["fake:float32", U8, f"{U8}@other-cpu", S8, f"{S8}@other-cpu", REPAIRED, f"{REPAIRED}@other-cpu"]


def test_a_row_of_a_target_fails_alone(compare, other_cpu):
    run = compare(U8, S8, targets=[other_cpu], executor=Elsewhere(S8))
    assert run.row(f"{S8}@other-cpu").status == "failed"
    assert "SIGILL" in run.row(f"{S8}@other-cpu").reason
    assert run.row(S8).status == "ok"
    assert run.recommendation.by_target["other-cpu"] == REPAIRED


def test_a_target_without_its_command_is_rows_that_say_so(compare, tmp_path):
    (tmp_path / "phone.yaml").write_text("name: phone\nprefix: [no-such-command]\n")
    run = compare(U8, targets=[str(tmp_path / "phone.yaml")])
    assert run.state == "complete"
    assert run.row(f"{U8}@phone").status == "unsupported"
    assert "no no-such-command on the PATH" in run.row(f"{U8}@phone").reason
    assert run.recommendation.by_target == {"host": U8}
    said = "Nothing could be measured on phone: there is no no-such-command on the PATH."
    assert run.recommendation.because[-1] == said


def target_file(path, name, prefix="env", **fields):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"name: {name}\nprefix: [{prefix}]\n" + "".join(f"{k}: {v}\n" for k, v in fields.items()))
    return str(path)


def test_a_repair_that_one_target_asks_for_is_measured_on_all(compare, tmp_path, other_cpu, monkeypatch):
    calm = target_file(tmp_path / "calm.yaml", "calm")
    real = Elsewhere.run

    def run(self, environment, function, payload, *progress):
        return real(self, environment.replace("@calm", ""), function, payload)

    monkeypatch.setattr(Elsewhere, "run", run)
    found = compare(U8, targets=[calm, other_cpu])
    assert found.row(f"{U8}@calm").versus_native.flips == 0
    assert found.row(f"{REPAIRED}@calm").versus_native.flips == 0
    assert found.recommendation.by_target["other-cpu"] == REPAIRED
    assert found.recommendation.by_target["calm"] == found.recommendation.id


def test_only_sums_that_saturate_are_repaired(compare, tmp_path):
    run = compare(U8, targets=[target_file(tmp_path / "arm.yaml", "arm")])
    assert run.row(f"{U8}@arm").versus_native.flips > 0
    assert [flag.code for flag in run.row(f"{U8}@arm").flags] == ["differs"]
    assert run.row(REPAIRED) is None
    assert "No build that was checked predicts what it predicts here" in run.recommendation.because[-1]


def test_a_target_is_no_place_for_what_is_not_recommended(compare, other_cpu):
    run = compare(S8, targets=[other_cpu], margin="0.0001")
    assert run.recommendation.id is None
    assert run.recommendation.by_target == {}
    assert "1 of 1 builds predict the same as here; none is recommended" in run.recommendation.because[-1]


def test_two_targets_of_one_name_are_refused_and_the_same_one_twice_is_one(model_file, tmp_path, fake_engine):
    one, same = target_file(tmp_path / "a.yaml", "t"), target_file(tmp_path / "b" / "a.yaml", "t")
    once, twice = (make_request(model_file, "tiny", targets=words)[0] for words in ([one], [one, same]))
    assert once.sha256 == twice.sha256
    assert once.target_fields["t"]["prefix"] == ["env"] or once.target_fields["t"]["prefix"] == ("env",)
    other = target_file(tmp_path / "c.yaml", "t", prefix="ssh")
    with pytest.raises(RequestError, match="two targets have the name t"):
        make_request(model_file, "tiny", targets=[one, other])


@pytest.mark.parametrize("emulator", ["/usr/bin/qemu-x86_64", None])
def test_what_would_be_recommended_is_checked_unasked_where_the_emulator_is(compare, monkeypatch, emulator):
    monkeypatch.setattr(shutil, "which", lambda name: emulator)
    run = compare(host=with_isa("avx2", "avx512_vnni"))
    checked = {row.recipe for row in run.rows if row.target == AVX2.name}
    best = {run.recommendation.id, run.recommendation.by_use["accuracy"], run.recommendation.by_use["size"]}
    if emulator:
        assert best <= checked
        assert set(run.recommendation.by_target) == {"host", AVX2.name}
        assert not run.row(f"{run.recommendation.by_target[AVX2.name]}@{AVX2.name}").flags
    else:
        assert not checked
        assert "apt install qemu-user" in run.recommendation.because[-1]
        assert set(run.recommendation.by_target) == {"host"}


def test_a_cpu_without_vnni_needs_no_emulator(compare, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    run = compare(host=with_isa("avx2"))
    assert {row.target for row in run.rows} == {"host"}
    assert "Not checked" not in run.recommendation.because[-1]


def test_host_asks_for_no_other_cpu(compare):
    assert {row.target for row in compare(targets=["host"], host=with_isa("avx2", "avx512_vnni")).rows} == {"host"}


def test_a_continued_run_keeps_what_was_measured_elsewhere(compare, other_cpu):
    first = compare(U8, targets=[other_cpu])
    again = compare(U8, targets=[other_cpu])
    assert again.rows == first.rows
    assert not [job for job in compare.executor.ran if job.startswith(("build", "evaluate"))]


def test_sorted_samples_are_taken_from_all_over(compare, other_cpu, dataset, tmp_path):
    labels = np.asarray(dataset.evaluation.labels)
    order = np.argsort(labels, kind="stable")
    np.save(tmp_path / "sorted_images.npy", np.asarray(dataset.evaluation.inputs["image"])[order])
    np.save(tmp_path / "sorted_labels.npy", labels[order])
    split = Split({"image": tmp_path / "sorted_images.npy"}, tmp_path / "sorted_labels.npy", "sorted")
    data = Dataset("tiny", dataset.classes, calibration=dataset.calibration, evaluation=split)
    run = compare(S8, targets=[other_cpu], load=lambda _: data, target_samples=40)
    assert set(run.row(f"{S8}@other-cpu").accuracy.per_class) == set(dataset.classes)
    assert run.row(f"{S8}@other-cpu").versus_native.flips == 0


def test_another_definition_of_a_target_is_another_request(model_file, tmp_path, fake_engine):
    digests = set()
    for emulated in ("true", "false"):
        (tmp_path / "t.yaml").write_text(f"name: t\nprefix: [env]\nemulated: {emulated}\n")
        digests.add(make_request(model_file, "tiny", targets=[str(tmp_path / "t.yaml")])[0].sha256)
    assert len(digests) == 2
