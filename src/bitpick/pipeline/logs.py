"""Keep the logs of a command: what workers print, and tracebacks of unexpected exceptions."""

from __future__ import annotations

import shutil
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitpick.errors import RunError
from bitpick.library_errors import visible


def new_folder() -> Path:
    """Return a new, empty folder for the logs of a command without a run directory."""
    return Path(tempfile.mkdtemp(prefix="bitpick-logs-"))


@contextmanager
def kept() -> Iterator[Path]:
    """Yield a folder for logs. It is kept only if the body fails with logs in it; the error then names it."""
    folder = new_folder()
    failed = False
    try:
        yield folder
    except RunError as error:
        failed = any(folder.iterdir())
        error.logs = folder if failed else None
        raise
    finally:
        if not failed:
            shutil.rmtree(folder, ignore_errors=True)


def keep_message(message: str, folder: Path) -> Path:
    """Write a message that is too long to be shown beside the workers' logs; return the file."""
    folder.mkdir(exist_ok=True)
    file = folder / "message.txt"
    file.write_text(visible(message), encoding="utf-8", errors="backslashreplace")
    return file


def keep_trace(error: BaseException, folder: Path) -> None:
    """Write the traceback of an exception beside the workers' logs.

    Args:
        error: the exception.
        folder: the folder of the logs.
    """
    folder.mkdir(exist_ok=True)
    (folder / "bitpick.log").write_text(visible("".join(traceback.format_exception(error))), encoding="utf-8")
