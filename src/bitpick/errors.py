"""Every error bitpick raises on purpose.

    BitpickError
    ├── RequestError            exit 2: the request is wrong, nothing was written
    │   ├── ModelError          not a model, or not one this job can use
    │   ├── DataError           no such data set, or it does not fit the model
    │   ├── RecipeError         an engine, recipe or preset that does not exist
    │   └── OutputError         the place to write to
    ├── RunError                exit 3: the run failed
    │   ├── ConversionError     a hop changed the model's outputs
    │   ├── OperatorError       a hop met an operator it does not support
    │   ├── EngineError         an engine's library refused or crashed
    │   ├── WorkerError         a worker process died
    │   │   └── InstructionError  its CPU lacks an instruction
    │   ├── MemoryLimitError    there is not enough memory
    │   └── UnexpectedError     an exception that bitpick did not expect
    └── Unsupported             not a failure: an engine cannot do this recipe here

A message answers three questions: what happened and where, what was expected, how to fix it.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar

from bitpick.library_errors import LONGEST, is_out_of_memory, typed_line

_FREE = "free some space, and run the same command again"
_RIGHTS = "get permission to read and write there, or choose another place"
_SYSTEM = {
    errno.ENOSPC: ("no space is left on the disk", _FREE),
    errno.EDQUOT: ("no space is left on the disk for this user", _FREE),
    errno.EFBIG: ("a file would be larger than the system allows", "raise the limit (ulimit -f)"),
    errno.EACCES: ("the system refuses access", _RIGHTS),
    errno.EPERM: ("the system refuses access", _RIGHTS),
    errno.EROFS: ("the disk is read-only", "name another place"),
    errno.EIO: ("the disk reported an I/O error", "check the disk, and run the same command again"),
    errno.ENOENT: ("a file is missing", "run the same command again"),
    errno.ENOTDIR: ("a file is where a folder should be", "move that file away, or name another place"),
    errno.EISDIR: ("a folder is where a file should be", "move that folder away, or name another place"),
    errno.ENAMETOOLONG: ("a name is too long for the system", "give a shorter name: at most 255 bytes"),
    errno.ELOOP: ("a link leads to itself", "name the file or folder itself"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n), or run fewer jobs at once (--jobs 1)"),
    errno.ENFILE: ("too many files are open on this machine", "close other programs, and run the same command again"),
    errno.ENOMEM: ("the system has no memory left", "free some memory, or run fewer jobs at once (--jobs 1)"),
    errno.EAGAIN: (
        "the system cannot start another process or thread",
        "raise the limit (ulimit -u), or close other programs",
    ),
    errno.EPIPE: (
        "the program that read the output ended too early",
        "run the command again, and read all of its output",
    ),
    errno.EBADF: ("a file was closed too early", "run the same command again"),
    errno.EBUSY: ("a file is in use", "run the same command again"),
    errno.ESTALE: ("a network file system lost a file", "run the same command again"),
    errno.ETIMEDOUT: ("a network file system does not answer", "run the same command again"),
}
"""What the system says, in words, and what to do, by the number of the error."""


class BitpickError(Exception):
    """The base class of bitpick's errors.

    Attributes:
        what: what happened, and where.
        expected: what was expected instead; empty if it is obvious.
        fix: how to fix it; empty if unknown.
        logs: the folder with the output of libraries; None if nothing was kept.
        report: the report of the run that failed; None if there is none.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, what: str, *, expected: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.fix = fix
        self.logs: Path | None = None
        self.report: Path | None = None

    def __str__(self) -> str:
        lines = self._answers
        if self.logs is not None:
            lines.append(f"the logs are in {self.logs}")
        if self.report is not None:
            lines.append(f"the report is {self.report}")
        return "\n".join(lines)

    @property
    def line(self) -> str:
        """The message on one line, as a row's reason shows it."""
        line = "; ".join(self._answers).replace("\n", "; ")
        return line if len(line) <= LONGEST else f"{line[:LONGEST].rstrip()} … (the log has the rest)"

    @property
    def _answers(self) -> list[str]:
        """What happened, what was expected and how to fix it, as far as they are known."""
        lines = [self.what]
        if self.expected:
            lines.append(f"expected: {self.expected}")
        if self.fix:
            lines.append(f"to fix it: {self.fix}")
        return lines

    def to_dict(self) -> dict[str, str]:
        """Return the error as JSON, to send from a worker to its parent."""
        return {"kind": type(self).__name__, "what": self.what, "expected": self.expected, "fix": self.fix}

    @staticmethod
    def from_dict(fields: dict[str, str]) -> BitpickError:
        """Rebuild an error from `to_dict`; a kind that this version does not know becomes an `EngineError`."""
        kind = _descendants(BitpickError).get(fields["kind"], EngineError)
        return kind(fields["what"], expected=fields["expected"], fix=fields["fix"])


class RequestError(BitpickError):
    """The request is wrong; nothing was written."""

    exit_code = 2


class ModelError(RequestError):
    """The model file is missing, unreadable, or not usable for this job."""


class DataError(RequestError):
    """The data set is missing, damaged, or does not fit the model."""


class RecipeError(RequestError):
    """An engine, recipe or preset that does not exist."""


class OutputError(RequestError):
    """The output directory cannot be written, or holds another request's run."""


class RunError(BitpickError):
    """The run failed, though the request made sense."""


class ConversionError(RunError):
    """A conversion changed the model's outputs by more than its tolerance."""


class OperatorError(RunError):
    """A conversion met an operator, or a variant of one, that it does not support."""


class EngineError(RunError):
    """An engine's library refused or crashed."""


class WorkerError(RunError):
    """A worker process died or could not be started."""


class InstructionError(WorkerError):
    """A worker process died because its CPU lacks an instruction."""


class MemoryLimitError(RunError):
    """There is not enough memory for the request."""


class UnexpectedError(RunError):
    """An exception that bitpick did not expect."""


class Unsupported(BitpickError):  # noqa: N818 - an answer, not an error: it becomes a row
    """The engine cannot do this recipe on this machine."""


def raised_by_library(error: Exception) -> RunError:
    """Turn an exception that a library raised in a worker into a `RunError`; it fails one row, not the run."""
    if is_out_of_memory(error) or (isinstance(error, OSError) and error.errno in _SYSTEM):
        return unexpected(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        return EngineError(
            typed_line(error),
            fix=f"install the package that has {module}: pip install 'bitpick[all]' installs all that bitpick uses",
        )
    return EngineError(typed_line(error))


def of_system(error: OSError) -> RunError:
    """Turn an error of the operating system into a `RunError` that names the file."""
    what, fix = _SYSTEM.get(error.errno or 0, (error.strerror or str(error), "run the same command again"))
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return RunError(f"{what}{': ' if names else ''}{' → '.join(names)}", fix=fix)


def system_cause(error: BaseException | None) -> Exception | None:
    """Return the refusal of the system, a full disk for example, that led to an exception; None if none did.

    It says nothing about a model or an engine, so that no result may be derived from it and kept.
    """
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _SYSTEM):
            return error
        error = error.__cause__ or error.__context__
    return None


def unexpected(error: Exception) -> RunError:
    """Turn any other exception into a `RunError`: out of memory, a refusal of the system, or a defect of bitpick."""
    if is_out_of_memory(error):
        return MemoryLimitError(
            f"out of memory: {typed_line(error)}", fix="free some memory, or use fewer samples (--calibration-size)"
        )
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        return of_system(error)
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        source, target, reason = error.args[0][0]
        return RunError(f"{source} cannot be copied to {target}: {reason}", fix=_FREE)
    return UnexpectedError(
        f"an unexpected error: {typed_line(error)}",
        fix="unless code of your own raised it, this is a defect of bitpick: please report it with the log",
    )


def _descendants(root: type[BitpickError]) -> dict[str, type[BitpickError]]:
    classes = {root.__name__: root}
    for child in root.__subclasses__():
        classes |= _descendants(child)
    return classes


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest known word, or at all of them if none is near."""
    known = sorted(known)
    if not known:
        return ""
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"choose one of {', '.join(known)}"
