"""The entry point; what commands do is tested in tests/commands."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import typer

from bitpick.cli import app

WORKING = """
import time
from bitpick import cli

def work():
    try:
        print("working", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("ending", flush=True)
        time.sleep(0.5)
        print("in order", flush=True)

cli.app = work
cli.main()
"""


def test_every_command_is_there_and_says_in_a_line_what_it_does():
    commands = typer.main.get_command(app).commands
    assert set(commands) == {
        "bench", "cache", "compare", "convert", "data", "diagnose", "engines", "evaluate", "gate", "merge", "quantize",
        "report", "samples", "search",
    }  # fmt: skip
    assert all(command.help and command.help.endswith(".") for command in commands.values())


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_a_command_in_order_and_a_second_one_disturbs_nothing(first, second):
    command = [sys.executable, "-c", WORKING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "working\n"
        process.send_signal(first)
        assert process.stdout.readline() == "ending\n"
        process.send_signal(second)
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("in order\n", "", 0)
