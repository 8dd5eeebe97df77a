from __future__ import annotations

import sys

import pytest

from bitpick.errors import DataError, ModelError
from bitpick.models import user_code


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, in which a test writes modules that no other test sees."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_function_in_the_current_folder_is_called(here):
    (here / "my_nets.py").write_text("def build(): return 'a net'\nnumber = 3\n")
    assert user_code.call("my_nets:build") == "a net"


def test_the_current_folder_hides_no_module_that_there_is(here, monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    (here / "colorsys.py").write_text("def rgb_to_hls(*_): return 'another'\n")
    assert user_code.load("colorsys:rgb_to_hls")(0, 0, 0) == (0.0, 0.0, 0.0)
    before = list(sys.path)
    user_code.add_current_folder()
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "says", "fix"),
    [
        ("import no_such_part", "cannot be imported: No module named 'no_such_part'", "or set PYTHONPATH"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero", ""),
        ("def bulid(): ...", "names no function: my_nets has none of that name", "did you mean bulid?"),
        ("build = 3\ndef make(): ...", "names no function: my_nets has none of that name", "choose one of make"),
    ],
)
def test_what_gives_no_function_says_why(here, text, says, fix):
    (here / "my_nets.py").write_text(text + "\n")
    with pytest.raises(ModelError) as error:
        user_code.load("my_nets:build")
    assert error.value.what.startswith("my_nets:build ")
    assert says in error.value.what
    assert error.value.fix.endswith(fix)
    assert bool(error.value.fix) == bool(fix)


def test_the_error_is_about_what_the_function_is_for(here):
    with pytest.raises(DataError, match="my_sets:load cannot be imported"):
        user_code.load("my_sets:load", DataError)


def test_a_function_that_fails_or_needs_arguments_is_one_error(here):
    (here / "my_nets.py").write_text("def fails(): raise KeyError('layer')\ndef needs(size): ...\n")
    with pytest.raises(ModelError, match="my_nets:fails fails: KeyError: 'layer'"):
        user_code.call("my_nets:fails")
    with pytest.raises(ModelError, match="my_nets:needs fails: TypeError") as error:
        user_code.call("my_nets:needs")
    assert error.value.expected == "a function that needs no arguments"
