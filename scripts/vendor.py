"""Fetch the JavaScript that report.html and the site hold: pinned versions from npm, checked against their digests.

With --check, or --smoke, nothing is fetched: the files that are there are compared with the digests.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import tarfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "src" / "bitpick" / "reports" / "assets"
SITE = ROOT / "docs" / "assets"
REGISTRY = "https://registry.npmjs.org"

# For each package and version: the files of its archive, each with the name it gets here and its SHA-256.
PACKAGES: dict[tuple[str, str], dict[str, tuple[str, str]]] = {
    ("d3", "7.9.2"): {
        "dist/d3.min.js": ("d3.min.js", "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1"),
        "LICENSE": ("d3.LICENSE.txt", "2a6d2d5f32ba0b755ddbc1c833f766e30cdbe6ebe9a6d4e3e24427721f0b63d3"),
    },
    ("@observablehq/plot", "0.6.17"): {
        "dist/plot.umd.min.js": ("plot.umd.min.js", "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb"),
        "LICENSE": ("plot.LICENSE.txt", "4b295e011e0e046170041b5b46f1349393aeceb95797793a55bd21dbb543363a"),
    },
    # What Plot's file holds of others.
    ("interval-tree-1d", "1.0.4"): {
        "LICENSE": (
            "interval-tree-1d.LICENSE.txt",
            "e67aed7df22dc8031e4fcf5338fe91cb33e3817e5c58a99a2a2802eea9069791",
        ),
    },
    ("binary-search-bounds", "2.0.5"): {
        "LICENSE": (
            "binary-search-bounds.LICENSE.txt",
            "f2b10f2958d2724d6df0f16b1ea25d32cd7e6333ce88ac3c5cdff37c2c4222b8",
        ),
    },
    ("isoformat", "0.2.1"): {
        "LICENSE": ("isoformat.LICENSE.txt", "9ea8903938dab5f12c4572d60725069bec2d1b0dc3bcc210b09bae946a5ebb1f"),
    },
    ("datatables.net", "3.1.5"): {
        "js/dataTables.min.js": (
            "dataTables.min.js",
            "38017a5586acd9c6eb6bbfe8b6938e1a25bdc717c5acfcb07e0c9d663282c59d",
        ),
        "License.txt": ("dataTables.LICENSE.txt", "62b5fdd54371b4f6bd07a60dbc78b38814f49a8028213f540dc2733cad605382"),
    },
    # With it the site's search works from a folder, where browsers refuse workers.
    ("iframe-worker", "1.0.4"): {
        "shim/index.js": ("iframe-worker.js", "e8e412dbcfea9b7e31b5ffa288d7b6035915e714c542f4176a0cdbe262fc9609"),
        "LICENSE": ("iframe-worker.LICENSE.txt", "dd69737a4768aab9f934a5aed9efab9561ac4062d4fdbe490d44369a2cf48b6b"),
    },
}


def archive(package: str, version: str) -> bytes:
    """The archive of a package from npm's registry."""
    address = f"{REGISTRY}/{package}/-/{package.rpartition('/')[2]}-{version}.tgz"
    with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 - the scheme is the constant above
        content: bytes = answer.read()
    return content


def checked(content: bytes, name: str, digest: str) -> bytes:
    """The content, where its digest is the pinned one."""
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        sys.exit(f"{name} has the SHA-256 {found}, not {digest}")
    return content


def main() -> None:
    """Write the files, or with --check compare those that are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", "--smoke", action="store_true", help="fetch nothing; compare the files with digests")
    check = parser.parse_args().check
    for (package, version), files in PACKAGES.items():
        assets = SITE if package == "iframe-worker" else ASSETS
        if check:
            for name, digest in files.values():
                checked((assets / name).read_bytes(), name, digest)
            continue
        with tarfile.open(fileobj=io.BytesIO(archive(package, version))) as unpacked:
            for inside, (name, digest) in files.items():
                member = unpacked.extractfile(f"package/{inside}")
                if member is None:
                    sys.exit(f"{package} {version} has no file {inside}")
                (assets / name).write_bytes(checked(member.read(), name, digest))
                print(f"{package} {version}: {name}")


if __name__ == "__main__":
    main()
