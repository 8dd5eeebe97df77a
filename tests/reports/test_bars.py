from __future__ import annotations

import io

from rich.console import Console

from bitpick.reports.bars import Bars


def test_steps_come_through_with_and_without_a_terminal():
    for is_terminal in (True, False):
        file = io.StringIO()
        bars = Bars(Console(file=file, force_terminal=is_terminal, width=80, _environ={}))
        assert list(bars(["a", "b"], "decoding")) == ["a", "b"]
        with bars.waiting("fetching"):
            pass
        assert bool(bars.downloads) == is_terminal
        assert ("decoding" in file.getvalue()) == is_terminal
    assert file.getvalue() == ""


def test_a_download_is_driven_as_pooch_does_it():
    file = io.StringIO()
    download = Bars(Console(file=file, force_terminal=True, width=80, _environ={})).downloads
    download.total = 1000
    download.update(500)
    download.reset()
    download.update(1000)
    download.close()
    assert download.total == 1000
    assert "downloading" in file.getvalue()
