"""The pages of the docs, and what stands in their blocks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))}


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks in a language, as they stand."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    """The commands of bitpick that a page shows: at a prompt, in a shell's block, in a step of CI."""
    found = []
    for language, block in re.findall(r"^ *```(\w+)\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE):
        prompt = r"\$ " if language == "text" else r"(?:\$ |- run: )?"  # a text may begin with the name of the command
        joined = re.sub(r"\\\n *", "", block)
        found += re.findall(rf"^ *{prompt}(bitpick(?: .*)?)$", joined, flags=re.MULTILINE)
    return found


def mentions(text: str) -> list[str]:
    """The commands of bitpick that the running text mentions."""
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(each.split()) for each in re.findall(r"`(bitpick [a-z]+\b[^`]*)`", prose)]
