from __future__ import annotations

import pytest
from typer.testing import CliRunner

from bitpick import cli
from bitpick.version import __version__, installed_version


def test_installed_version():
    assert installed_version("pytest") == pytest.__version__
    assert installed_version("no-such-distribution") is None


def test_the_command_says_its_own():
    assert CliRunner().invoke(cli.app, ["--version"]).output == f"bitpick {__version__}\n"
