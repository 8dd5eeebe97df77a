"""Functions of the user's own, named as `module:function`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitpick.errors import ModelError


def add_current_folder() -> None:
    """Let modules in the current folder be imported, behind all others: workers start without it."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def load(name: str) -> Callable[..., Any]:
    """The function that `module:function` names; the module may lie in the current folder.

    Raises:
        ModelError: the module cannot be imported, or has no such function.
    """
    module, _, function = name.partition(":")
    add_current_folder()
    try:
        found = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{name} cannot be imported: {error}", mend="start bitpick in the folder that holds it, or set PYTHONPATH"
        ) from error
    except AttributeError as error:
        raise ModelError(f"{name} names no function: {error}") from error
    except Exception as error:
        raise ModelError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ModelError(f"{name} is a {type(found).__name__}", expected="a function that returns the model")
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
        raise ModelError(
            f"{name} fails: {type(error).__name__}: {error}", expected="a function that needs no arguments"
        ) from error
