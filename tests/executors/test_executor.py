from __future__ import annotations

import errno
import sys

import pytest

from bitpick.errors import OperatorError, RunError
from bitpick.executors.executor import call, resolve


def test_resolve_finds_functions_by_name():
    assert resolve("os.path:join")("a", "b") == "a/b"
    with pytest.raises(ModuleNotFoundError):
        resolve("no_such_module:f")


def test_a_module_is_imported_when_its_function_is_asked_for_and_has_to_have_it(tmp_path, monkeypatch):
    (tmp_path / "jobs_of_a_test.py").write_text("def job(): return 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert resolve("jobs_of_a_test:job")() == 3
        with pytest.raises(AttributeError, match="no_such_job"):
            resolve("jobs_of_a_test:no_such_job")
    finally:
        sys.modules.pop("jobs_of_a_test", None)


def full_disk():
    try:
        raise OSError(errno.ENOSPC, "No space left on device", "/x")
    except OSError as error:
        raise OperatorError("an operator that is not there") from error


def no_operator():
    raise OperatorError("an operator that is not there")


def test_a_full_disk_is_nothing_that_an_engine_cannot_do():
    """Otherwise it would be kept in the store for good."""
    with pytest.raises(RunError, match="no space is left on the disk: /x") as error:
        call(f"{__name__}:full_disk", {})
    assert not isinstance(error.value, OperatorError)
    with pytest.raises(OperatorError):
        call(f"{__name__}:no_operator", {})
