from __future__ import annotations

import sys

import pytest

from bitpick.executors.executor import resolve


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
