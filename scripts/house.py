"""Count what makes the house easy or hard to live in: rooms, files, functions, tests, documented errors.

    python scripts/house.py [--smoke]

Prints a figure a line, with its limit where it has one; exits 1 where one is passed.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "bitpick"
_LINES, _PARAMETERS = 50, 8  # of a function


@dataclass(frozen=True)
class Function:
    """A function of the package.

    Attributes:
        name: its module and its name.
        lines: how many it has.
        parameters: how many it takes, `self` aside.
        public: whether its name, and those of what it is in, have no underscore in front.
        raises: whether it raises something itself.
        documented: whether its docstring says what it raises.
    """

    name: str
    lines: int
    parameters: int
    public: bool
    raises: bool
    documented: bool


def functions() -> Iterator[Function]:
    """Every function and method."""
    for path in sorted(SOURCE.rglob("*.py")):
        module = path.relative_to(SOURCE).with_suffix("").as_posix()
        yield from _inside(ast.parse(path.read_text(encoding="utf-8")), module, True)


def _inside(tree: ast.AST, place: str, public: bool) -> Iterator[Function]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _inside(node, f"{place}.{node.name}", public and not node.name.startswith("_"))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = [each.arg for each in taken if each.arg not in ("self", "cls")]
            yield Function(
                f"{place}:{node.name}",
                (node.end_lineno or node.lineno) - node.lineno + 1,
                len(names),
                public and not node.name.startswith("_"),
                any(isinstance(each, ast.Raise) and each.exc is not None for each in _own(node)),
                "Raises:" in (ast.get_docstring(node) or "") or "See `" in (ast.get_docstring(node) or ""),
            )


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions inside it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield node
            yield from _own(node)


def rooms() -> list[list[str]]:
    """The rooms from the top of the house to its ground, those of one floor together."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return [[room.strip() for room in layer.split("|")] for layer in layers]


def arrows() -> tuple[list[str], list[str]]:
    """Imports that point up, and circles of modules that import each other."""
    graph = grimp.build_graph("bitpick")
    floor = {room: number for number, layer in enumerate(rooms()) for room in layer}

    def of(module: str) -> int | None:
        return next((floor[room] for room in floor if module == room or module.startswith(f"{room}.")), None)

    up = [
        f"{importer} → {imported}"
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if (mine := of(importer)) is not None and (theirs := of(imported)) is not None and theirs < mine
    ]
    circles = [
        f"{first} ↔ {second}"
        for first in graph.modules
        for second in graph.find_modules_directly_imported_by(first)
        if first < second and first in graph.find_modules_directly_imported_by(second)
    ]
    return sorted(up), sorted(circles)


def tested() -> float:
    """The share of modules that have a test at the same path."""
    modules = [path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if not path.name.startswith("__")]
    found = [(ROOT / "tests" / path.parent / f"test_{path.name}").exists() for path in modules]
    return sum(found) / len(found)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--smoke", action="store_true", help="the same; it takes seconds")
    parser.add_argument("--names", action="store_true", help="name what each figure counts")
    asked = parser.parse_args()
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    every = list(functions())
    long = [each.name for each in every if each.lines > _LINES]
    wide = [each.name for each in every if each.parameters > _PARAMETERS]
    raising = [each for each in every if each.public and each.raises]
    silent = [each.name for each in raising if not each.documented]
    up, circles = arrows()
    files = [size for path, size in sizes.items() if path.name != "__init__.py"]
    figures: list[tuple[str, float, str, bool, list[str]]] = [
        ("rooms", sum(map(len, rooms())), "", True, []),
        ("imports that point up", len(up), "0", not up, up),
        ("circles", len(circles), "0", not circles, circles),
        ("lines of the median file", statistics.median(files), "at most 150", statistics.median(files) <= 150, []),
        ("lines of the largest file", max(files), "at most 320", max(files) <= 320, []),
        (f"functions over {_LINES} lines", len(long), "at most 10", len(long) <= 10, long),
        (f"functions over {_PARAMETERS} parameters", len(wide), "at most 5, compare aside", len(wide) <= 6, wide),
        ("modules with a test at their path", tested(), "at least 90%", tested() >= 0.9, []),
        (
            "raising functions with Raises",
            1 - len(silent) / len(raising),
            "at least 95%",
            len(silent) <= 0.05 * len(raising),
            silent,
        ),
    ]
    for name, value, limit, holds, names in figures:
        shown = f"{value:.0%}" if value < 1 and name.startswith(("modules", "raising")) else f"{value:g}"
        print(f"{name:36} {shown:>8}  {limit}{'' if holds else '  ← passed'}")
        for each in names if asked.names else ():
            print(f"    {each}")
    if not all(holds for *_, holds, _ in figures):
        sys.exit(1)


if __name__ == "__main__":
    main()
