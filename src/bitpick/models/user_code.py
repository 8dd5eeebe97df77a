"""Functions of the user's own, named as `module:function`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitpick.errors import ModelError, RequestError
from bitpick.library_errors import typed_line
from bitpick.recipe import did_you_mean


def add_current_folder() -> None:
    """Let modules in the current folder be imported, behind all others: workers start without it."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def load(name: str, refusal: type[RequestError] = ModelError) -> Callable[..., Any]:
    """The function that `module:function` names; the module may lie in the current folder.

    Args:
        name: as users write it.
        refusal: what is raised; by default it is about the model.

    Raises:
        RequestError: of the kind `refusal`: the module cannot be imported, or has no such function.
    """
    place, _, function = name.partition(":")
    add_current_folder()
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise refusal(
            f"{name} cannot be imported: {error}",
            fix="start bitpick in the folder that holds the module, or set PYTHONPATH",
        ) from error
    except Exception as error:
        raise refusal(f"{name} cannot be imported: {typed_line(error)}") from error
    found = getattr(module, function, None)
    if not callable(found):
        known = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        raise refusal(f"{name} names no function: {place} has none of that name", fix=did_you_mean(function, known))
    return found  # type: ignore[no-any-return]  # any callable will do


def call(name: str) -> Any:
    """What the function returns, called without arguments.

    Raises:
        ModelError: there is no such function, or it fails.
    """
    function = load(name)
    try:
        return function()
    except Exception as error:
        raise ModelError(f"{name} fails: {typed_line(error)}", expected="a function that needs no arguments") from error
