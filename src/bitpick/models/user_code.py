"""Load and call the user's functions, named as `module:function`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitpick.errors import ModelError, RequestError, did_you_mean
from bitpick.library_errors import typed_line


def add_current_folder() -> None:
    """Append the current folder to the import path: workers start without it."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def load(name: str, refusal: type[RequestError] = ModelError) -> Callable[..., Any]:
    """Return the function that `module:function` names; the module may be in the current folder.

    Args:
        name: `module:function`.
        refusal: class of the error to raise.

    Raises:
        RequestError: as a `refusal`: the module cannot be imported, or has no such function.
    """
    module_name, _, function = name.partition(":")
    add_current_folder()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise refusal(
            f"{name} cannot be imported: {error}",
            fix="start bitpick in the folder that holds the module, or set PYTHONPATH",
        ) from error
    except Exception as error:
        raise refusal(f"{name} cannot be imported: {typed_line(error)}") from error
    target = getattr(module, function, None)
    if not callable(target):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise refusal(
            f"{name} names no function: {module_name} has none of that name", fix=did_you_mean(function, functions)
        )
    return target  # type: ignore[no-any-return]  # any callable will do


def call(name: str) -> Any:
    """Call the function without arguments, and return its result.

    Raises:
        ModelError: the function does not exist, or it fails.
    """
    function = load(name)
    try:
        return function()
    except Exception as error:
        raise ModelError(f"{name} fails: {typed_line(error)}", expected="a function that needs no arguments") from error
