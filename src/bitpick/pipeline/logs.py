"""Keep the logs of a command: what workers print, and tracebacks of unexpected exceptions."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitpick.artifacts import temporary
from bitpick.errors import RunError
from bitpick.library_errors import visible


@contextmanager
def kept() -> Iterator[Path]:
    """Yield a folder for logs. It is kept only if the body fails with logs in it; the error then names it."""
    with temporary.folder("logs") as folder:
        try:
            yield folder
        except RunError as error:
            if any(folder.iterdir()):
                error.logs = temporary.new_logs()
                shutil.copytree(folder, error.logs, dirs_exist_ok=True)
                error.what = error.what.replace(str(folder), str(error.logs))
            raise


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
