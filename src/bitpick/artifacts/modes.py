"""Give files the permissions that the user's umask leaves; what `tempfile` makes is for its owner alone."""

from __future__ import annotations

import os
import threading
from pathlib import Path

_LOCK = threading.Lock()


def share(path: Path) -> None:
    """Give a file or a folder that `tempfile` made the permissions that it would have without it."""
    with _LOCK:  # a umask can only be read by setting it; this one gives others nothing meanwhile
        umask = os.umask(0o077)
        os.umask(umask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
