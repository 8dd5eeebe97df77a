"""What workers print, for commands that have no run directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitpick.errors import RunError


@contextmanager
def kept() -> Iterator[Path]:
    """A folder for the logs of what is done inside. It stays if that fails, and the error says where it is."""
    folder = Path(tempfile.mkdtemp(prefix="bitpick-logs-"))
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
