from __future__ import annotations

import dataclasses
from typing import Any

import typer
from typer.testing import CliRunner

from bitpick.cli import app
from bitpick.commands.settings_options import takes
from bitpick.commands.signatures import Options
from bitpick.schema.groups import GROUPS
from bitpick.schema.option import options
from bitpick.schema.settings import Settings

NAMES = [name for group in GROUPS for name in options(group)]


def given(names: tuple[str, ...], *words: str) -> dict[str, Any]:
    """What a command that takes these options gets from these words."""
    seen = []

    def function(data: str = "d", options: Options = None) -> None:
        seen.append(options)

    small = typer.Typer()
    small.command()(takes(*names)(function))
    done = CliRunner().invoke(small, words)
    assert done.exit_code == 0, done.output
    return seen[0]


def test_the_command_line_follows():
    command = typer.main.get_command(app).commands["compare"]
    said = {parameter.name: parameter for parameter in command.params}
    assert set(NAMES) <= said.keys()
    for group in GROUPS:
        for field in dataclasses.fields(group):
            assert said[field.name].help == options(group)[field.name].help
            assert said[field.name].default in (field.default, None)


def test_without_any_words_they_are_those_that_everybody_gets():
    assert Settings().but(**given(())) == Settings()


def test_a_command_takes_those_that_it_names():
    assert given(("seed", "timeout"), "--seed", "4") == {"seed": 4, "timeout": None}


def test_what_is_said_again_is_several_and_what_is_not_said_is_none():
    found = given((), "--engine", "a", "--engine", "b", "--recipe", "c")
    assert (found["engines"], found["recipes"], found["targets"]) == (["a", "b"], ["c"], ())


def test_a_direction_is_said_either_way_or_not_at_all():
    names = ("lower_is_better",)
    assert given(names, "--lower-is-better") == {"lower_is_better": True}
    assert given(names, "--higher-is-better") == {"lower_is_better": False}
    assert given(names) == {"lower_is_better": None}
