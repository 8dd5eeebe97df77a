from __future__ import annotations

import io

from rich.console import Console

from bitpick.pipeline.job import Job
from bitpick.reports import terminal
from tests.example_runs import full_run, over_draws, small_run
from tests.records import with_row
from tests.reports.rendering import printed


def test_the_summary_has_the_rows_the_reasons_and_the_place():
    text = printed(terminal.summary(small_run(), "runs/x"))
    assert "e:s8u8-per_channel-minmax" in text
    assert "80.00%" in text
    assert "no | such <kernel>" in text
    assert "No build is recommended" in text
    assert "Selection: simultaneous." in text
    assert "runs/x" in text


def test_what_recipes_lose_over_draws_has_a_place_of_its_own():
    found = small_run()
    assert "Over calibration draws" not in printed(terminal.summary(found, "x"))
    found = with_row(found, found.rows[1].id, over_draws=over_draws())
    text = printed(terminal.summary(found, "x"), width=400)
    assert "· e:s8u8-per_channel-minmax: this file loses 10.00 (4.00 to 17.00) points; the recipe, over 2 draws" in text


def test_brackets_in_text_are_text():
    odd = small_run()
    odd = with_row(odd, odd.rows[2].id, reason="[red]not markup[/red]")
    assert "[red]not markup[/red]" in printed(terminal.summary(odd, "x"))


def test_a_narrow_terminal_keeps_the_numbers():
    text = printed(terminal.summary(small_run(), "x"), width=50)
    assert "80.00%" in text
    assert "10.00" in text


def test_everything_that_was_measured_is_told_and_fits(tmp_path):
    text = printed(terminal.summary(full_run(tmp_path), "x"), width=102)
    cells = {words[0]: words[1:] for line in text.splitlines() if (words := line.split())}
    assert cells["alpha:s8u8-per_channel-minmax"] == ["89.50%", "0.50", "31", "100%", "100.0", "kB", "0.45"]
    assert cells["beta:s8dynamic"][-2:] == ["2.50?", "slower_than_float"]
    assert max(map(len, text.splitlines())) <= 102
    flat = " ".join(text.split())
    assert "Time is that for one sample over alpha:float32's: under 1 is faster" in flat
    assert "Ratios are of CPU time, which other processes hardly disturb. Those of beta:s8dynamic are of wall" in flat
    assert "Not timed: beta:s8weights: there is no build." in flat
    assert "Why slow: 2 transposes run in every inference. To fix it: export with channels first." in flat
    assert "the recipe, over 3 draws, loses 0.50 (-0.10 to 1.10), from 0.30 to 0.50, and is shown" in flat
    assert "second alone costs 0.10 points." in flat
    assert "3 samples whose prediction changed" in flat


def test_live_rows_show_what_goes_on_and_nothing_where_there_is_no_terminal():
    job = Job("b", "e", "m", "build", {}, subject="e:x")
    for is_terminal in (True, False):
        file = io.StringIO()
        console = Console(file=file, force_terminal=is_terminal, width=140, _environ={})
        with terminal.LiveRows(console) as live:
            live.phase("converting the model")
            live.started(job)
            live.row(small_run().rows[1])
            live._live.refresh() if is_terminal else None
            live.progressed(job, "epoch 2 of 12")
            live._live.refresh() if is_terminal else None
            live.ended(job)
        text = file.getvalue()
        assert ("building e:x" in text) == is_terminal
        assert ("building e:x: epoch 2 of 12" in text) == is_terminal
        assert ("80.00%" in text) == is_terminal
    assert text == ""
