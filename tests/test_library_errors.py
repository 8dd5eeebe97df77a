from __future__ import annotations

from pathlib import Path

import pytest

from bitpick.library_errors import LIMIT, is_out_of_memory, telling_line, typed_line, visible


def messages() -> dict[str, tuple[str, str]]:
    """What libraries really said, by names of it: the line that it comes down to, and the whole message."""
    _, *blocks = Path(__file__).with_name("library_messages.txt").read_text(encoding="utf-8").split("%% ")[1:]
    named = (block.partition("\n") for block in blocks)
    parts = {name: text.removeprefix("→ ").partition("\n") for name, _, text in named}
    return {name: (line, text.removesuffix("\n").replace("␛", "\x1b")) for name, (line, _, text) in parts.items()}


MESSAGES = messages()


def raised(function, *arguments):
    """What a call raises, with its traceback."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        function(*arguments)
    return caught.value


def fail(error):
    raise error


@pytest.mark.parametrize("name", MESSAGES)
def test_a_librarys_message_comes_down_to_the_line_that_says_something(name):
    line, text = MESSAGES[name]
    assert telling_line(RuntimeError(text)) == line
    assert "\n" not in line


def test_the_messages_are_of_every_library_that_engines_use():
    libraries = {name.partition(":")[0] for name in MESSAGES}
    assert libraries >= {
        "ONNX", "ONNX Runtime", "OpenVINO", "NNCF", "PyTorch", "ExecuTorch", "TensorFlow", "Keras", "LiteRT"
    }  # fmt: skip


def test_an_exception_without_a_message_is_told_by_its_type_and_where_it_was_raised():
    assert telling_line(raised(fail, StopIteration())) == f"StopIteration (in {__name__}, fail)"
    assert telling_line(raised(fail, AssertionError())) == f"AssertionError (in {__name__}, fail)"
    assert typed_line(raised(fail, NotImplementedError())) == f"NotImplementedError (in {__name__}, fail)"
    assert typed_line(ValueError()) == "ValueError"


def test_a_missing_key_is_told_as_one():
    assert typed_line(raised(fail, KeyError("state"))) == f"KeyError: 'state' (in {__name__}, fail)"
    assert typed_line(raised(fail, IndexError("out of range"))) == f"IndexError: out of range (in {__name__}, fail)"


def test_what_a_group_of_exceptions_holds_is_told():
    group = ExceptionGroup("several", [ValueError("\n the first\nand more"), KeyError("k")])
    assert telling_line(group) == "several (2 sub-exceptions): the first"


def test_the_line_of_the_users_code_is_told():
    text = 'Could not guard on u0\n\nThe following call raised this error:\n  File "/me/net.py", line 9, in forward\n'
    assert (
        telling_line(RuntimeError(text + "    if x.sum() > 0:\n"))
        == "Could not guard on u0 (net.py, line 9, in forward)"
    )


def test_plain_messages_stay_as_they_are():
    assert typed_line(ValueError("a bad shape: (2, 3)")) == "ValueError: a bad shape: (2, 3)"
    assert telling_line(ValueError("not an error: at all")) == "not an error: at all"
    assert telling_line(RuntimeError("the file model.cc is missing")) == "the file model.cc is missing"


def test_a_line_that_lists_without_end_is_cut():
    line = telling_line(ValueError("missing: " + "layer, " * 1000))
    assert len(line) <= LIMIT + 2
    assert line.endswith("…")
    assert len(telling_line(RuntimeError("x/" * 2_000_000))) <= LIMIT + 2


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError(MESSAGES["PyTorch: alloc"][1]),
        RuntimeError("Failed to allocate memory for requested buffer of size 4000000000"),
    ],
)
def test_running_out_of_memory_is_recognised_in_any_library(error):
    assert is_out_of_memory(error)
    assert not is_out_of_memory(ValueError("a shape"))


def test_what_is_unseen_is_seen():
    assert visible("a\u202egnp\x07") == "a\\u202egnp\\u0007"
    assert visible("ä → 漢字\t\n") == "ä → 漢字\t\n"
