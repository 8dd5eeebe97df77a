from __future__ import annotations

from bitpick.executors.progress import LISTENER, report


def test_who_listens_is_told_and_nobody_need_listen():
    report("epoch 1 of 3")
    told = []
    token = LISTENER.set(told.append)
    report("epoch 2 of 3")
    LISTENER.reset(token)
    report("epoch 3 of 3")
    assert told == ["epoch 2 of 3"]
