from __future__ import annotations

import pytest

from bitpick.errors import EngineError, RecipeError
from bitpick.pipeline import logs


def work(says="", error=None):
    """Work that prints, and fails; gives its folder for logs, which the error has too."""
    with logs.kept() as folder:
        if says:
            (folder / "worker.log").write_text(says)
        if error is not None:
            error.folder = folder
            raise error
    return folder


def test_logs_go_where_all_went_well():
    assert not work("chatter").exists()


def test_logs_of_a_failure_stay_and_the_error_says_where():
    with pytest.raises(EngineError) as raised:
        work("Traceback", EngineError("it broke"))
    assert not raised.value.folder.exists()
    assert (raised.value.logs / "worker.log").read_text() == "Traceback"


def test_an_error_that_names_a_log_names_the_one_that_stays():
    error = EngineError("it broke")

    def breaks():
        with logs.kept() as folder:
            (folder / "worker.log").write_text("Traceback")
            error.what = f"it broke; its log is {folder / 'worker.log'}"
            raise error

    with pytest.raises(EngineError):
        breaks()
    assert error.what == f"it broke; its log is {error.logs / 'worker.log'}"
    assert (error.logs / "worker.log").exists()


def test_a_failure_that_printed_nothing_names_no_folder():
    with pytest.raises(EngineError) as raised:
        work(error=EngineError("it broke"))
    assert raised.value.logs is None
    assert not raised.value.folder.exists()


def test_a_wrong_request_leaves_no_logs():
    with pytest.raises(RecipeError) as raised:
        work("chatter", RecipeError("no such recipe"))
    assert not raised.value.folder.exists()


def test_a_traceback_is_kept_with_the_errors_that_led_to_it(tmp_path):
    try:
        try:
            raise KeyError("state")
        except KeyError as error:
            raise ValueError("no such state") from error
    except ValueError as error:
        logs.keep_trace(error, tmp_path / "logs")
    kept = (tmp_path / "logs" / "bitpick.log").read_text()
    assert kept.index("KeyError: 'state'") < kept.index("ValueError: no such state")
    assert __file__ in kept


def test_what_is_kept_moves_no_cursor_of_whoever_reads_it(tmp_path):
    logs.keep_trace(ValueError("no such \x1b[2J state"), tmp_path / "logs")
    file = logs.keep_message("long \x1b[2J" + "x" * 10_000, tmp_path / "logs")
    assert "no such \\u001b[2J state" in (tmp_path / "logs" / "bitpick.log").read_text()
    assert file.read_text() == "long \\u001b[2J" + "x" * 10_000
