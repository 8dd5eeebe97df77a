from __future__ import annotations

import pytest

from bitpick.reports import markdown
from tests.example_runs import PICK, full_run, over_draws, small_run
from tests.records import changed, with_row


def tables(text: str) -> list[list[str]]:
    """The Markdown tables of a text, each as its lines."""
    found, current = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            current.append(line)
        elif current:
            found.append(current)
            current = []
    return found


def test_the_parts_and_their_numbers():
    text = markdown.render(small_run())
    assert "# Quantization analysis: my\\|model.onnx" in text
    assert "**No build is recommended.**" in text
    assert (
        "| e | int8 / uint8, per channel | 80.00% | 80 | 10.00 (4.00 to 17.00) | not shown, p = 0.999 | 0.4 kB | 60% | "
        "`e:s8u8-per_channel-minmax` |" in text
    )
    assert "- unsupported: no \\| such \\<kernel\\> (`e:u8u8-per_tensor-minmax`)" in text
    assert "- `e:s8u8-per_channel-minmax`: loses 10.00 points (`drop`)" in text
    assert "| ant | 20.00 |" in text
    assert "| bee | 0.00 |" in text
    assert "1 of them is, byte for byte, in the evaluation set too" in text
    assert "| raw\\_onnx → onnx | 128 |  | 1e-06 | 6e-05 | 100.00% |" in text
    assert "1,234 weights and 5,678 multiply-accumulates" in text


@pytest.mark.parametrize("made", [lambda folder: small_run(), full_run], ids=["little", "everything"])
def test_every_table_is_whole(made, tmp_path):
    for table in tables(markdown.render(made(tmp_path))):
        columns = {line.replace("\\|", "").count("|") for line in table}
        assert len(columns) == 1, table
        assert set(table[1]) <= set("|- "), table


@pytest.mark.parametrize("state", ["interrupted", "failed", "running"])
def test_a_run_that_did_not_end_well_says_so_and_reports_what_it_has(state):
    text = markdown.render(small_run(state=state, recommendation=None, data=None, rows=[]))
    assert f"**This run is {state}" in text
    assert "## Versions" in text


def test_no_flag_is_said_to_be_none():
    quiet = small_run()
    quiet = with_row(quiet, quiet.rows[1].id, flags=[])
    assert "None: no row drops more than 5.00 points." in markdown.render(quiet)


def test_how_the_choice_was_kept_honest_is_said():
    assert "Selection: simultaneous. All builds are tested at once" in markdown.render(small_run())
    folds = [
        {"chosen": "e:s8u8-per_channel-minmax", "choosing": 50, "judging": 50, "drop": 0.1, "drop_interval": (0.0, 0.2)}
        | {"noninferiority_p": 0.012, "confirmed": True},
        {"choosing": 50, "judging": 50},
    ]
    text = markdown.render(
        small_run(recommendation={"id": None, "because": ["so"], "selection": "cross-fit", "folds": folds})
    )
    assert "Selection: cross-fit. A build is chosen on one half of the samples and judged on the other" in text
    assert (
        "| 50 samples | `e:s8u8-per_channel-minmax` | the other 50 | 10.00 (0.00 to 20.00) | confirmed, p = 0.012 |"
        in text
    )
    assert "| 50 samples | none | the other 50 |  |  |" in text
    for table in tables(text):
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1, table


def test_what_a_recipe_loses_over_draws_has_every_draw_and_what_is_missing():
    found = small_run()
    assert "Over calibration draws" not in markdown.render(found)
    over = over_draws(failed={1: "it | broke"})
    found = with_row(found, found.rows[1].id, over_draws=over)
    none = changed(found.rows[1], over_draws=None, no_over_draws="it uses no samples")
    found = changed(found, rows=(*found.rows, none), request=changed(found.request, calibration_seeds=3))
    text = markdown.render(found)
    assert (
        "| `e:s8u8-per_channel-minmax` | 80, 82 | 10.00 (4.00 to 17.00) | 9.00 (0.00 to 20.00) | 8.00 – 10.00 | "
        "not shown |" in text
    )
    assert "- `e:s8u8-per_channel-minmax`, draw 1 is missing: it \\| broke" in text
    assert "- `e:s8u8-per_channel-minmax`: not built from other draws: it uses no samples" in text
    assert "the seeds 0 to 2." in text
    for table in tables(text):
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1, table


def test_everything_that_was_measured_is_told(tmp_path):
    text = markdown.render(full_run(tmp_path))
    assert f"**Ship `{PICK}`.** It gets 89.50% right, a drop of 0.40 points" in text
    ratios = "0.45 (0.43 to 0.48) | 0.45 (0.43 to 0.48) | 0.50"
    times = f"180 µs | 225 µs, 90%: 270 µs | {ratios} | 11,111 a second | 12.3 MB"
    assert f"| `{PICK}` | {times} |" in text
    assert "| `beta:s8dynamic` | 1250 µs | 1250 µs, 90%: 1500 µs | 2.50 (0.50 to 4.51), not resolvable here |" in text
    assert "Ratios are of CPU time, which other processes hardly disturb. Those of beta:s8dynamic are of wall" in text
    assert "- time: 2 transposes run in every inference. To fix it: export with channels first. In `beta:s8d" in text
    assert f"| `{PICK}` | 895, 896, 897 |" in text
    assert "| second | Conv | 32.0 dB | 19.0 dB | 0.10 (-0.30 to 0.50) | 0.20 (-0.20 to 0.60) |" in text
    assert f"- To try next: `{PICK}`, which was run: `{PICK}`." in text
    assert "- `beta:s8weights` was not timed: there is no build" in text
    assert "- Limits: a drop of at most 2.00 points" in text
    assert "3 samples whose prediction changed are in `examples/`" in text
