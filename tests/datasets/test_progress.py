from __future__ import annotations

from bitpick.datasets.progress import silent


def test_a_silent_listener_gives_every_step_and_shows_nothing(capsys):
    done = []
    for step in silent(["first", "second"], "reading"):
        with silent.waiting("decoding"):
            done.append(step)
    assert done == ["first", "second"]
    assert not silent.downloads
    assert capsys.readouterr() == ("", "")
