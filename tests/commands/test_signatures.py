from __future__ import annotations

import inspect
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from bitpick.commands.signatures import Options, passed_on, with_parameters

SIZE = inspect.Parameter("size", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=3, annotation=int)
NAME = inspect.Parameter(
    "name", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Annotated[str | None, typer.Option()]
)


def hello(model: str, data: str = "d", json: bool = False, options: Options = None) -> None:
    """Say hello."""
    typer.echo(f"{model} {data} {json} {sorted(options.items())}")


@pytest.fixture
def command():
    return passed_on(hello, "data", [SIZE, NAME])


def test_it_gets_in_a_dict_what_was_said_and_what_was_not(command):
    app = typer.Typer()
    app.command()(command)
    said = CliRunner().invoke(app, ["m", "--name", "x", "--json"])
    assert said.stdout == "m d True [('name', 'x'), ('size', 3)]\n"
    assert CliRunner().invoke(app, ["m", "--size", "4"]).stdout == "m d False [('name', None), ('size', 4)]\n"
    assert CliRunner().invoke(app, ["m", "--size", "four"]).exit_code == 2
    assert CliRunner().invoke(app, ["m", "--options", "x"]).exit_code == 2  # its own parameter is no option


def test_they_stand_where_they_belong_in_its_help(command):
    assert list(inspect.signature(command).parameters) == ["model", "data", "size", "name", "json"]
    assert (command.__name__, command.__doc__) == ("hello", "Say hello.")


def test_options_that_are_given_twice_are_one_dict(command):
    other = inspect.Parameter("other", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=0, annotation=int)
    app = typer.Typer()
    app.command()(passed_on(command, "data", [other], lambda values: {"doubled": 2 * values["other"]}))
    assert CliRunner().invoke(app, ["m", "--other", "5"]).stdout == (
        "m d False [('doubled', 10), ('name', None), ('size', 3)]\n"
    )


def test_the_values_of_some_become_one_of_the_function():
    def both(data: str = "d", size: str = "") -> None:
        typer.echo(f"{data} {size}")

    def given(values):
        return {"data": values["data"], "size": f"{values['size']} of {values['name']}"}

    app = typer.Typer()
    app.command()(with_parameters(both, "data", [NAME], given))
    assert CliRunner().invoke(app, ["--name", "x", "--size", "4"]).stdout == "d 4 of x\n"
