"""Track which running commands use a store entry: each leaves a file in it, named after its process."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from bitpick.artifacts.locks import Owners

_MARK, _CLAIM = "used-by-", "removed-by-"
OWNERS = ".owners"
"""The folder, in a store, with the locks of the processes that use it."""


class Marks:
    """The marks in the entries of a store.

    Args:
        store: the store's folder.
    """

    def __init__(self, store: Path) -> None:
        self.owners = Owners(store / OWNERS)

    def mark(self, folder: Path) -> bool:
        """Mark an entry as used by this process; return whether the mark is new.

        Raises:
            OSError: the entry does not exist, or cannot be written.
        """
        own = folder / f"{_MARK}{self.owners.me}"
        if own.exists():
            return False
        for each in folder.glob(f"{_MARK}*"):
            if not self.owners.lives(each.name.removeprefix(_MARK)):
                each.unlink(missing_ok=True)
        own.touch()
        return True

    def unmark(self, folder: Path) -> None:
        """Remove this process's mark from an entry."""
        with suppress(OSError):
            (folder / f"{_MARK}{self.owners.me}").unlink(missing_ok=True)

    def marked(self, folder: Path) -> bool:
        """Whether a running command uses an entry."""
        return self._any(folder, _MARK, gone=False)

    def claim(self, folder: Path) -> bool:
        """Claim an entry for removal by this process; return whether it may remove it.

        A command that uses an entry marks it, then looks for claims; a command that removes an entry claims it, then
        looks for marks. Whatever the order, at least one of them sees the other.

        Raises:
            OSError: the entry does not exist, or cannot be written.
        """
        own = folder / f"{_CLAIM}{self.owners.me}"
        own.touch()
        if not self.marked(folder):
            return True
        own.unlink(missing_ok=True)
        return False

    def claimed(self, folder: Path) -> bool:
        """Whether a process is about to remove an entry."""
        return self._any(folder, _CLAIM, gone=True)

    def _any(self, folder: Path, kind: str, gone: bool) -> bool:
        """Whether a living process left a file of this kind in an entry; `gone` if the entry does not exist."""
        try:
            return any(self.owners.lives(each.name.removeprefix(kind)) for each in folder.glob(f"{kind}*"))
        except OSError:
            return gone


def is_ours(name: str) -> bool:
    """Whether a file in an entry is a mark or a claim."""
    return name.startswith((_MARK, _CLAIM))
