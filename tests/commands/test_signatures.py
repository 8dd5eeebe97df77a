from __future__ import annotations

import inspect
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from bitpick.commands.signatures import with_parameters

SIZE = inspect.Parameter("size", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=3, annotation=int)
NAME = inspect.Parameter(
    "name", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Annotated[str | None, typer.Option()]
)


def hello(model: str, data: str = "d", json: bool = False, said: Any = None) -> None:
    """Say hello."""
    typer.echo(f"{model} {data} {json} {said}")


@pytest.fixture
def command():
    return with_parameters(hello, "said", "data", [SIZE, NAME], lambda values: sorted(values.items()))


def test_it_gets_as_one_what_was_said_and_what_was_not(command):
    app = typer.Typer()
    app.command()(command)
    said = CliRunner().invoke(app, ["m", "--name", "x", "--json"])
    assert said.stdout == "m d True [('name', 'x'), ('size', 3)]\n"
    assert CliRunner().invoke(app, ["m", "--size", "4"]).stdout == "m d False [('name', None), ('size', 4)]\n"
    assert CliRunner().invoke(app, ["m", "--size", "four"]).exit_code == 2
    assert CliRunner().invoke(app, ["m", "--said", "x"]).exit_code == 2  # its own parameter is no option


def test_they_stand_where_they_belong_in_its_help(command):
    assert list(inspect.signature(command).parameters) == ["model", "data", "size", "name", "json"]
    assert (command.__name__, command.__doc__) == ("hello", "Say hello.")


def test_two_that_are_added_are_told_apart(command):
    other = inspect.Parameter("other", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=0, annotation=int)

    def both(data: str = "d", first: Any = None, second: Any = None) -> None:
        typer.echo(f"{data} {first} {second}")

    app = typer.Typer()
    inner = with_parameters(both, "second", "data", [other], lambda values: values)
    app.command()(with_parameters(inner, "first", "data", [SIZE], lambda values: values))
    assert CliRunner().invoke(app, ["--other", "5"]).stdout == "d {'size': 3} {'other': 5}\n"
