"""Reduce a library's exception to the one line that matters: frameworks wrap a short message in pages of output.

The patterns come from messages of ONNX Runtime, OpenVINO, NNCF, PyTorch, ExecuTorch, TensorFlow, Keras and LiteRT;
`tests/test_library_errors.py` has these messages, each with its expected line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LIMIT = 400
"""The most characters of a line; longer messages only list things."""
LONGEST = 4000
"""The most characters of a message that people read; run.json and the logs have the rest."""
_READ = 20_000  # characters read from either end: some messages print a whole graph

# Control characters, and those that change the direction of text.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# The message inside a longer one: the first group matches it.
_EMBEDDED = (
    r"## Exception summary\s+(?:<class '[^']*'>: )?(.*)",  # torch.onnx
    r"(WeightsUnpickler error: .*)",  # torch.load
    r"\b(?:Error|Exception) encountered:\s+(.*)",  # Keras, for a layer inside another one
    r"(?:Traceback|in user code:).*\n\s*[\w.]*(?:Error|Exception|Interrupt): (.*)",  # TorchScript, AutoGraph
)
# What surrounds a message, and what replaces it. The order matters.
_REWRITTEN = (
    (r"\x1b\[[0-9;]*m", ""),  # colours
    (r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", ""),
    (r"^Exception encountered when calling (.*?)\.?\n\s*", r"\1: "),  # Keras
    (r"\bNon-zero status code returned while running (\w+) node\. Name:'([^']*)' Status Message: ", r"\1 node '\2': "),
    (r"\[enforce fail at [^\]]*\] \S+ == \S+ ", ""),  # PyTorch
    # C++ source locations: of compilers, of assertions, and of function signatures with the failed check.
    (r"\.?(?:/\S+|<unknown>|loc\(.*?\)):\d+(?::\d+)?: error: ", ": "),
    (r"^\S+\.(?:h|cc|cpp):\d+: \w+: Assertion `.*?` failed: ", ""),
    (r"/\S+\.(?:h|cc|cpp):\d+ [^\n()]*\([^()\n]*\)(?: const)? (?:[^\n.]* was false\. )?", ""),
    (r"\b\w+\.(?:h|cc|cpp):\d+ [A-Z]\w+ ", ""),
    (r"(?:^|(?<=\s))\S+\.(?:h|cc|cpp):\d+ ", ""),
    (r"^(.*?)\s*(Node number \d+ \([^)]*\) failed to \w+)\.?$", r"\2: \1"),  # LiteRT
    (r" ?\bCheck '.*?' failed at \S+:\d+:", ":"),  # OpenVINO
    (r"\s*Exception from \S+:\d+:", ""),
    (r"While validating (?:ONNX )?node .* with friendly_name ('[^']*'):", r"node \1:"),
    (r"While validating ONNX node '[^']*':[ :]*", ""),
    (r"^-- (\S+) with a message:", r"\1:"),
    (r"for the following indices\n", "for the following indices: "),
    (r"\n\n==> Context: Bad node spec for node\. Name: (\S*) OpType: (\S+)", r" (node '\1', \2)"),
    (r"of node: \nname: (\S*) OpType: (\S+)\n", r"of node '\1', \2,"),
    (r"^(\d+ validation errors? for \S+)\n(\S+)\n", r"\1: \2:\n"),  # pydantic
    (r"\{\{function_node [^}]*\}\} ?", ""),  # TensorFlow
    (r"\s*\[\[\{\{node ([^}]*)\}\}\]\]", r" (node \1)"),
    (r"\{\{node ([^}]*)\}\}( = \w+)\[[^\]]*\]", r"node \1\2"),
    (r" ?\[Op:[^\]]*\](?: name: )?", ""),
    (r"\s*\(Size-like symbols: \w+\)", ""),
    (r"\s*(?:Please fix either the inputs/outputs or the model\.|Full object config: \{.*)", ""),
    (r"\s*For (?:more|extended) (?:information|logs|debugging)[^\n]*", ""),
)
# Lines that mean nothing to the reader of a report.
_NOISE = re.compile(
    r"""\s*(?:
        Traceback\b | Graph\ execution\ error | Detected\ at\ node | <stack\ traces\ unavailable> | Original\ traceback
        | While\ executing\ % | Use\ tlparse | Caused\ by:\ \( | Exception\ raised\ from
        | FrontEnd\ API\ failed | Model\ wasn't\ fully\ converted | Summary:\s*$ | Failed\ to\ convert\ the\ exported
        | frame\ \# | \#\d+\s | @\s+0x | C\+\+ | None\s*$ | [\W_]*$
    )""",
    re.VERBOSE,
)
_FRAME = re.compile(r'(\s*)(?:stack trace: )?File "[^"]*", line \d+')
_CALL = re.compile(r'The following call raised this error:\n\s*File "([^"]*)", line (\d+), in (.*)')  # torch.export
_MEMORY = re.compile(
    r"out of memory|std::bad_alloc|bad allocation|can't allocate memory|Unable to allocate|"
    r"Failed to allocate memory|OOM when allocating"
)
# Their messages are about a value or a place in the library's code, and mean nothing without it.
_BARE = (LookupError, AttributeError, StopIteration)


def visible(text: str) -> str:
    r"""Make the invisible characters of a text visible, which a terminal would obey: U+202E becomes `\u202e`."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def telling_line(error: BaseException) -> str:
    """Return the message of a library's exception, without the traces, banners and hints around it.

    Args:
        error: the exception.

    Returns:
        One line; for an exception without a message, its type and where it was raised.
    """
    text = "" if isinstance(error, KeyError) else str(error)
    line = _telling_text(text)
    if not line:
        value = f": {error}" if isinstance(error, KeyError) and error.args else ""
        return f"{type(error).__name__}{value}{_raised_in(error)}"
    if isinstance(error, BaseExceptionGroup):
        line += f": {telling_line(error.exceptions[0])}"
    call = _CALL.search(text)
    place = f" ({call[1].rpartition('/')[2]}, line {call[2]}, in {call[3]})" if call else ""
    return line + place + (_raised_in(error) if isinstance(error, _BARE) else "")


def typed_line(error: BaseException) -> str:
    """Return the exception's type and its telling line, e.g. `ValueError: cannot reshape array of size 6`."""
    line, kind = telling_line(error), type(error).__name__
    return line if line.startswith(kind) else f"{kind}: {line}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out; from C++ code it is not a `MemoryError`."""
    return isinstance(error, MemoryError) or _MEMORY.search(str(error)) is not None


def _raised_in(error: BaseException) -> str:
    """Return the module and the function that raised an exception; empty if it was not raised."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f" (in {trace.tb_frame.f_globals.get('__name__', code.co_filename)}, {code.co_qualname})"


def _telling_text(text: str) -> str:
    """Return the line of a message that matters; empty if there is none."""
    if len(text) > 2 * _READ:
        text = f"{text[:_READ]}\n{text[-_READ:]}"
    for pattern in _EMBEDDED:
        if match := re.search(pattern, text, re.DOTALL):
            text = match[1]
    for pattern, instead in _REWRITTEN:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    lines = _message_lines(text)
    message = next(lines, "")
    for line in lines:
        # A line that ends with a colon only says where; the next one, or a bullet, says what.
        more = line.removeprefix("- ")
        if not message.endswith(":") and more == line:
            break
        message = f"{message} {more}"
    message = message.strip(" :")
    return message if len(message) <= LIMIT else f"{message[:LIMIT].rstrip()} …"


def _message_lines(text: str) -> Iterator[str]:
    """Yield the lines of a message, without stack frames, their source and other noise."""
    frame_indent: int | None = None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if match := _FRAME.match(line):
            frame_indent = len(match[1])
        elif frame_indent is not None and line.strip() and indent > frame_indent:
            continue
        elif not _NOISE.match(line):
            frame_indent = None
            yield " ".join(line.removeprefix("-- ").split())
