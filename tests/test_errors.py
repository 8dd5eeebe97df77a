from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

import pytest

from bitpick import errors
from bitpick.errors import BitpickError, EngineError, RequestError, RunError

KINDS = sorted(errors._descendants(BitpickError).items())


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_every_error_crosses_a_pipe_and_comes_back_as_itself(name, kind):
    sent = kind("it broke", expected="that it works", fix="fix it")
    back = BitpickError.from_dict(sent.to_dict())
    assert type(back) is kind
    assert str(back) == str(sent) == "it broke\nexpected: that it works\nto fix it: fix it"


def test_exit_codes_tell_a_wrong_request_from_a_failed_run():
    codes = {name: kind.exit_code for name, kind in KINDS}
    assert {n for n, c in codes.items() if c == 2} == {
        "RequestError", "ModelError", "DataError", "RecipeError", "OutputError",
    }  # fmt: skip
    assert RunError.exit_code == 3
    assert issubclass(errors.ModelError, RequestError)


def test_an_error_of_a_newer_worker_is_an_engine_error():
    back = BitpickError.from_dict({"kind": "FutureError", "what": "x", "expected": "", "fix": ""})
    assert type(back) is EngineError


def test_the_tree_in_the_docstring_is_the_tree():
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in re.findall(r"^    ((?:[│├└─ ]{4})*)(\w+)", errors.__doc__, flags=re.MULTILINE):
        depth = len(line[0]) // 4
        above[depth:] = [line[1]]
        if depth:
            drawn[line[1]] = above[depth - 1]
    assert drawn == {name: kind.__base__.__name__ for name, kind in KINDS if kind is not BitpickError}


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (MemoryError(), errors.MemoryLimitError, "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/run.json"), RunError, "no space is left on the disk"),
        (shutil.Error([("/a", "/b", "[Errno 28] No space left")]), RunError, "/a cannot be copied to /b: [Errno 28]"),
        (KeyError("state"), errors.UnexpectedError, "an unexpected error: KeyError: 'state'"),
        (OSError(errno.EIO, "Input/output error", "/x"), RunError, "the disk reported an I/O error: /x"),
        (OSError(errno.EXDEV, "Invalid cross-device link"), errors.UnexpectedError, "Invalid cross-device link"),
    ],
)
def test_what_nobody_foresaw_becomes_an_error_that_says_how_to_fix_it(error, kind, says):
    told = errors.unexpected(error)
    assert type(told) is kind
    assert says in told.what
    assert told.fix
    assert told.exit_code == 3


def test_where_logs_and_report_are_is_no_part_of_a_rows_reason():
    error = RunError("it broke", fix="fix it")
    error.logs, error.report = Path("run/logs"), Path("run/report.html")
    assert str(error).splitlines()[2:] == ["the logs are in run/logs", "the report is run/report.html"]
    assert error.line == "it broke; to fix it: fix it"


def test_the_reason_of_a_row_has_an_end():
    line = RunError("no kernel for " + "node, " * 100_000).line
    assert len(line) < 4100
    assert line.endswith("… (the log has the rest)")


def raised_from(error: Exception, cause: Exception) -> Exception:
    try:
        try:
            raise cause
        except Exception as first:
            raise error from first
    except Exception as second:  # noqa: BLE001 - any
        return second


@pytest.mark.parametrize(
    ("cause", "is_the_systems"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (MemoryError(), True),
        (OSError("Unable to open file: no HDF5"), False),  # as libraries raise it
        (ValueError("an odd graph"), False),
    ],
)
def test_what_the_system_refused_is_known_through_all_that_was_made_of_it(cause, is_the_systems):
    error = raised_from(EngineError("it failed"), raised_from(RuntimeError("inside"), cause))
    assert (errors.system_cause(error) is cause) == is_the_systems
    assert errors.system_cause(None) is None


def test_the_files_of_a_refusal_are_named():
    told = errors.of_system(OSError(errno.EIO, "Input/output error", "/a", None, "/b"))
    assert told.what == "the disk reported an I/O error: /a → /b"
    assert told.fix


def test_did_you_mean():
    assert errors.did_you_mean("onnxruntme", ["onnxruntime", "keras"]) == "did you mean onnxruntime?"
    assert errors.did_you_mean("xyz", ["b", "a"]) == "choose one of a, b"
