from __future__ import annotations

from bitpick.engines.engine import Build
from bitpick.measures import size
from bitpick.recipe import baseline


def test_every_file_that_ships_counts(tmp_path):
    folder = tmp_path / "builds" / "x"
    folder.mkdir(parents=True)
    (folder / "m.xml").write_bytes(b"abc")
    (folder / "m.bin").write_bytes(b"")
    (folder / "not_shipped").write_bytes(b"zzz")
    found = size.files(Build(baseline("e"), folder, ("m.xml", "m.bin")), tmp_path)
    assert [(f.path, f.bytes) for f in found] == [("builds/x/m.xml", 3), ("builds/x/m.bin", 0)]
    assert found[0].sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
