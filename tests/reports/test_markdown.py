from __future__ import annotations

import pytest

from bitpick.reports import markdown
from bitpick.schema.robustness import OverDraws
from bitpick.schema.run import Run
from tests.reports.factory import PICK, changed, full_run, with_row

ACCURACY = {"correct": 90, "total": 100, "value": 0.9, "interval": (0.8, 0.95), "per_class": {"ant": 0.8, "bee": 1.0}}


def run(**fields) -> Run:
    rows = [
        {
            "id": "e:float32",
            "recipe": "e:float32",
            "engine": "e",
            "kind": "baseline",
            "status": "ok",
            "accuracy": ACCURACY,
            "metric": {"name": "accuracy", "value": 0.9, "interval": (0.82, 0.95)},
            "samples": 100,
            "size_bytes": 1000,
            "files": [{"path": "builds/e__float32/m", "bytes": 1000, "sha256": "0" * 64}],
        },
        {
            "id": "e:s8u8-per_channel-minmax",
            "recipe": "e:s8u8-per_channel-minmax",
            "engine": "e",
            "kind": "quantized",
            "status": "ok",
            "accuracy": ACCURACY | {"correct": 80, "value": 0.8, "per_class": {"ant": 0.6, "bee": 1.0}},
            "metric": {"name": "accuracy", "value": 0.8, "interval": (0.7, 0.87)},
            "samples": 100,
            "size_bytes": 400,
            "size_ratio": 0.4,
            "flags": [{"code": "drop", "text": "loses 10.00 points"}],
            "versus_baseline": {
                "baseline": "e:float32",
                "drop": 0.1,
                "drop_interval": (0.04, 0.17),
                "flips": 10,
                "p_value": 0.001,
                "only_baseline": 10,
                "only_row": 0,
                "margin": 0.009,
                "noninferior": False,
                "score": -3.0,
                "noninferiority_p": 0.999,
            },
        },
        {
            "id": "e:u8u8-per_tensor-minmax",
            "recipe": "e:u8u8-per_tensor-minmax",
            "engine": "e",
            "kind": "quantized",
            "status": "unsupported",
            "reason": "no | such <kernel>",
        },
    ]
    document = {
        "state": "complete",
        "command": "compare",
        "version": "1",
        "request": {
            "model": "dir/my|model.onnx",
            "model_sha256": "1" * 64,
            "data": "tiny",
            "preset": "basic",
            "recipes": [],
            "engines": [],
            "calibration_size": 10,
            "seed": 0,
            "margin": "1%",
            "alpha": 0.05,
            "flag_drop": 0.05,
            "sha256": "2" * 64,
        },
        "model": {
            "source": "dir/my|model.onnx",
            "format": "raw_onnx",
            "sha256": "1" * 64,
            "parameters": 1234,
            "macs": 5678,
            "hops": [
                {
                    "name": "raw_onnx → onnx",
                    "source": "raw_onnx",
                    "target": "onnx",
                    "samples": 128,
                    "max_abs_diff": 1e-6,
                    "tolerance": 6e-5,
                    "top1_agreement": 1.0,
                    "passed": True,
                }
            ],
        },
        "data": {
            "name": "tiny",
            "preprocessing": "raw values as float32",
            "evaluation": {"count": 100, "sha256": "3" * 64},
            "calibration": {
                "count": 10,
                "seed": 0,
                "sha256": "4" * 64,
                "per_class": {"ant": 5, "bee": 5},
                "overlap": 1,
            },
        },
        "host": {
            "cpu": "A CPU",
            "isa": ["avx2"],
            "cores": 2,
            "threads": 1,
            "platform": "Linux",
            "python": "3.11",
            "versions": {"numpy": "2.0"},
        },
        "rows": rows,
        "recommendation": {"id": None, "because": ["No build can be recommended: all 1 quantized rows are flagged."]},
    }
    return Run.model_validate(document | fields)


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
    text = markdown.render(run())
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


@pytest.mark.parametrize("made", [lambda folder: run(), full_run], ids=["little", "everything"])
def test_every_table_is_whole(made, tmp_path):
    for table in tables(markdown.render(made(tmp_path))):
        columns = {line.replace("\\|", "").count("|") for line in table}
        assert len(columns) == 1, table
        assert set(table[1]) <= set("|- "), table


@pytest.mark.parametrize("state", ["interrupted", "failed", "running"])
def test_a_run_that_did_not_end_well_says_so_and_reports_what_it_has(state):
    text = markdown.render(run(state=state, recommendation=None, data=None, rows=[]))
    assert f"**This run is {state}" in text
    assert "## Versions" in text


def test_no_flag_is_said_to_be_none():
    quiet = run()
    quiet = with_row(quiet, quiet.rows[1].id, flags=[])
    assert "None: no row drops more than 5.00 points." in markdown.render(quiet)


def test_how_the_choice_was_kept_honest_is_said():
    assert "Selection: simultaneous. All builds are tested at once" in markdown.render(run())
    folds = [
        {"chosen": "e:s8u8-per_channel-minmax", "choosing": 50, "judging": 50, "drop": 0.1, "drop_interval": (0.0, 0.2)}
        | {"noninferiority_p": 0.012, "confirmed": True},
        {"choosing": 50, "judging": 50},
    ]
    text = markdown.render(
        run(recommendation={"id": None, "because": ["so"], "selection": "cross-fit", "folds": folds})
    )
    assert "Selection: cross-fit. A build is chosen on one half of the samples and judged on the other" in text
    assert (
        "| 50 samples | `e:s8u8-per_channel-minmax` | the other 50 | 10.00 (0.00 to 20.00) | confirmed, p = 0.012 |"
        in text
    )
    assert "| 50 samples | none | the other 50 |  |  |" in text
    for table in tables(text):
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1, table


def over_draws(**fields):
    draws = [
        {"seed": seed, "correct": 80 + seed, "total": 100, "drop": 0.1 - seed / 100, "flips": 10} for seed in (0, 2)
    ]
    return {"draws": draws, "drop": 0.09, "drop_interval": (0.0, 0.2), "noninferior": False} | fields


def test_what_a_recipe_loses_over_draws_has_every_draw_and_what_is_missing():
    found = run()
    assert "Over calibration draws" not in markdown.render(found)
    over = OverDraws.model_validate(over_draws(failed={1: "it | broke"}))
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
