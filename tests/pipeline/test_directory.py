from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from bitpick.errors import OutputError
from bitpick.models.model import Format
from bitpick.pipeline import directory as stores
from bitpick.pipeline.directory import RunDirectory
from bitpick.targets.host import this_host
from tests.conftest import skip_or_fail
from tests.records import request, row


def store(root, digest="a" * 64) -> RunDirectory:
    from bitpick.pipeline.request import new_run

    return RunDirectory(root, new_run(request(sha256=digest), Format.RAW_ONNX, this_host(), 1, "compare"))


def test_a_new_directory_is_made_and_taken_back(tmp_path):
    mine = store(tmp_path / "a" / "b" / "run")
    mine.claim(overwrite=False)
    assert stores.read(mine.root).state == "running"
    mine.discard()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_is_used_and_left_empty(tmp_path):
    mine = store(tmp_path)
    mine.claim(overwrite=False)
    mine.discard()
    assert list(tmp_path.iterdir()) == []


def test_foreign_files_are_never_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="holds no run"):
            store(tmp_path).claim(overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_damaged_run_json_is_not_overwritten_unasked(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(OutputError):
        store(tmp_path).claim(overwrite=False)
    assert (tmp_path / "run.json").read_text() == "{"
    store(tmp_path).claim(overwrite=True)
    assert stores.read(tmp_path).state == "running"


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        store(tmp_path / "run").claim(overwrite=True)


def test_a_directory_without_the_right_to_write(tmp_path):
    if os.geteuid() == 0:
        if not Path("/proc/self").is_dir():
            skip_or_fail("proc", "root may write everywhere, and there is no /proc to refuse even root")
        place = "/proc/self/run"
    else:
        tmp_path.chmod(0o500)
        place = tmp_path / "run"
    with pytest.raises(OutputError, match="cannot be written"):
        store(Path(place)).claim(overwrite=False)


def ended(folder: Path) -> stores.RunDirectory:
    """The directory of a run with one row, which has ended."""
    made = store(folder)
    made.claim(overwrite=False)
    made.put(row("e:float32"))
    made.save()
    made.release()
    return made


def test_run_json_never_loses_the_rows_of_an_earlier_run(tmp_path):
    earlier = ended(tmp_path)
    later = store(tmp_path)
    later.claim(overwrite=False)
    assert stores.read(tmp_path).rows == later.run.rows == earlier.run.rows


def test_a_second_run_is_refused_with_the_id_of_the_first_one(tmp_path):
    first, second = store(tmp_path / "run"), store(tmp_path / "run", "b" * 64)
    first.claim(overwrite=False)
    with pytest.raises(OutputError) as error:
        second.claim(overwrite=True)
    assert f"in use by another run (process {os.getpid()} on " in str(error.value)
    assert "request aaaaaaaa, since 2" in str(error.value)
    assert stores.read(first.root).request.sha256 == "a" * 64
    first.release()
    second.claim(overwrite=True)
    second.discard()
    assert stores.read(first.root).request.sha256 == "a" * 64


@pytest.mark.parametrize("content", [b"", b'{"rows": [', b"\xff\xfe"], ids=["empty", "half", "no UTF-8"])
def test_a_record_that_was_cut_off_beside_builds_is_of_a_run_to_continue(tmp_path, content):
    (tmp_path / "builds" / "a").mkdir(parents=True)
    (tmp_path / "run.json").write_bytes(content)
    mine = store(tmp_path)
    mine.claim(overwrite=False)
    assert "incomplete" in mine.doubts[0]
    assert (tmp_path / "builds" / "a").is_dir()
    assert stores.read(tmp_path).state == "running"
    mine.discard()
    assert (tmp_path / "run.json").read_bytes() == content
    assert (tmp_path / "builds" / "a").is_dir()


def test_what_was_changed_by_hand_is_not_continued(tmp_path):
    ended(tmp_path)
    text = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(text.replace("e:float32", "e:float16"))
    later = store(tmp_path)
    later.claim(overwrite=False)
    assert "was changed after it was written" in later.doubts[0]
    assert later.run.rows == stores.read(tmp_path).rows == ()


def test_what_killed_runs_left_is_swept_where_a_run_is(tmp_path):
    earlier = store(tmp_path / "run")
    earlier.claim(overwrite=False)
    earlier.release()
    (tmp_path / "run" / "builds" / ".partial-bitpick-x").mkdir(parents=True)
    (tmp_path / "run" / ".run.json-x").touch()
    later = store(tmp_path / "run")
    later.claim(overwrite=False)
    assert sorted(each.name for each in later.root.iterdir()) == [".lock", "builds", "run.json"]
    assert not any((tmp_path / "run" / "builds").iterdir())
    later.release()
    assert not (tmp_path / "run" / ".lock").exists()


def test_what_is_known_is_a_value(tmp_path):
    mine = store(tmp_path)
    before = mine.run
    mine.update(notes=("a",))
    assert (before.notes, mine.run.notes) == ((), ("a",))
    with pytest.raises(ValidationError, match="frozen"):
        mine.run.state = "complete"


def test_put_replaces_in_place(tmp_path):
    mine = store(tmp_path)
    for name, status in (("a", "failed"), ("b", "ok"), ("a", "ok")):
        mine.put(row("e:float32", id=name, status=status))
    assert [(row.id, row.status) for row in mine.run.rows] == [("a", "ok"), ("b", "ok")]


def test_read_says_what_is_wrong(tmp_path):
    with pytest.raises(OutputError, match="holds no run"):
        stores.read(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(OutputError, match="this version of bitpick cannot read"):
        stores.read(tmp_path)
