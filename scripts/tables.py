"""Write into the docs what the code itself says: commands, functions, engines, the schema of run.json.

In a page, generated text stands between the lines `<!-- generated: NAME -->` and `<!-- end -->`. With --check, or
--smoke, nothing is written: it fails where a page is out of date.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

DOCS = Path(__file__).parents[1] / "docs"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(words: Iterable[str]) -> str:
    """Words as code, with commas between them."""
    return ", ".join(f"`{word}`" for word in words)


def docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """A Google-style docstring: what stands before its sections, and the text of each section."""
    first, *rest = re.split(
        r"^(Args|Attributes|Examples|Raises|Returns):\n", inspect.cleandoc(text or ""), flags=re.MULTILINE
    )
    return first.strip(), {name: inspect.cleandoc(body) for name, body in zip(rest[::2], rest[1::2], strict=True)}


def entries(section: str) -> dict[str, str]:
    """The named entries of a docstring's section, each in one line."""
    joined = re.sub(r"\n +", " ", section)
    return {name: text for name, _, text in (line.partition(": ") for line in joined.splitlines()) if text}


def commands() -> str:
    """Every command, with its options as `--help` tells them."""
    import typer

    from bitpick.cli import app

    found = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return "\n\n".join(_command(name, found[name]) for name in sorted(found))


def _command(name: str, command: Any) -> str:
    arguments = [each for each in command.params if not each.opts[0].startswith("-")]
    shown = [_usage(each) for each in command.params if each.required or each in arguments]
    usage = " ".join([f"bitpick {name}", *shown, "[OPTIONS]"])
    rows = [(code([each.name.upper()]), "", each.help) for each in arguments]
    rows += [(code(each.opts), _default(each.default), each.help) for each in command.params if each not in arguments]
    return f"## {name}\n\n{command.help}\n\n```text\n{usage}\n```\n\n" + table(("", "default", ""), rows)


def _usage(parameter: Any) -> str:
    word = parameter.name.upper()
    text = (
        f"{parameter.opts[0]} {word}"
        if parameter.opts[0].startswith("-")
        else word + (" …" if parameter.nargs < 0 else "")
    )
    return text if parameter.required else f"[{text}]"


def _default(value: Any) -> str:
    return (
        ""
        if value is None or value is False or value is ...
        else f"`{value:g}`"
        if isinstance(value, float)
        else f"`{value}`"
    )


def functions() -> str:
    """What `import bitpick` offers."""
    import bitpick

    found = {name: getattr(bitpick, name) for name in bitpick.__all__}
    return "\n\n".join(_function(name, each) for name, each in found.items() if inspect.isfunction(each))


def classes() -> str:
    """The classes that `import bitpick` offers, with what their users may call."""
    import bitpick

    found = {name: getattr(bitpick, name) for name in bitpick.__all__}
    return "\n\n".join(_class(name, each) for name, each in found.items() if inspect.isclass(each))


def _function(name: str, function: Callable[..., Any]) -> str:
    told, sections = docstring(function.__doc__)
    parts = [f"## {name}", f"```py\n{_signature(name, function)}\n```", told]
    for title in ("Args", "Returns", "Raises"):
        if title in sections:
            named = entries(sections[title]) if title != "Returns" else {}
            listed = "\n".join(f"- `{each}`: {text}" for each, text in named.items())
            parts.append(
                listed if title == "Args" else f"**{title}**" + (f"\n\n{listed}" if named else f": {sections[title]}")
            )
        if title == "Args" and (names := _options(function)):
            parts.append(_settings(names))
    if "Examples" in sections:
        parts.append(_examples(sections["Examples"]))
    return "\n\n".join(parts)


def _options(function: Callable[..., Any]) -> dict[str, Any]:
    """The options that a function takes by name without naming them itself, with their defaults."""
    own = function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]
    found = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in found if each.name not in own and each.kind is each.KEYWORD_ONLY}


def _settings(names: Mapping[str, Any]) -> str:
    """The named options: a table for each group that is whole, one for all that are parts of groups."""
    from bitpick.schema.groups import GROUPS
    from bitpick.schema.option import options
    from bitpick.schema.other_groups import Depth, GateRules

    head, tables, others = ("", "default", ""), [], []
    # The gate's rules have names that limits of a comparison have, too.
    for group in (GateRules,) if names.keys() == options(GateRules).keys() else (Depth, *GROUPS):
        told = options(group)
        rows = [(code([name]), _default(names[name]), told[name].help) for name in told if name in names]
        if len(rows) == len(told):
            tables.append(f"{docstring(group.__doc__)[0]}\n\n{table(head, rows)}")
        else:
            others += rows
    return "\n\n".join([*tables, *([table(head, others)] if others else [])])


def _examples(section: str) -> str:
    """Examples as doctest has them, text between them as text."""
    blocks = re.split(r"\n\n+", section)
    return "\n\n".join(f"```pycon\n{each}\n```" if each.startswith(">>>") else each for each in blocks)


def _signature(name: str, function: Callable[..., Any]) -> str:
    """A signature with one parameter a line; annotations as they stand in the source."""
    signature = inspect.signature(function)
    lines, keyword_only = [], False
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and not keyword_only:
            lines, keyword_only = [*lines, *([] if any(line.startswith("*") for line in lines) else ["*"])], True
        star = "*" if each.kind is each.VAR_POSITIONAL else ""
        default = "" if each.default is each.empty else f" = {_literal(each.default)}"
        lines.append(f"{star}{each.name}: {each.annotation}{default}")
    return f"{name}(\n" + "".join(f"    {line},\n" for line in lines) + f") -> {signature.return_annotation}"


def _literal(value: Any) -> str:
    """A default as source; an object that no literal stands for is left out."""
    return repr(value) if isinstance(value, (str, int, float, tuple, type(None))) else "..."


def _class(name: str, each: type) -> str:
    told, sections = docstring(each.__doc__)
    parts = [f"## {name}", told]
    if listed := entries(sections.get("Attributes", "") or sections.get("Args", "")):
        parts.append("\n".join(f"- `{field}`: {text}" for field, text in listed.items()))
    members = {key: value for key, value in vars(each).items() if not key.startswith("_") and value.__doc__}
    lines = [
        f"- `{key}{'()' if inspect.isfunction(value) else ''}`: {docstring(value.__doc__)[0].splitlines()[0]}"
        for key, value in members.items()
        if inspect.isfunction(value) or isinstance(value, property)
    ]
    return "\n\n".join([*parts, *(["\n".join(lines)] if lines else [])])


def _engines() -> Iterator[Any]:
    """Bitpick's own engines: those of other distributions are for their own docs."""
    from bitpick.engines.registry import engines

    return (each for each in engines().values() if type(each).__module__.startswith("bitpick."))


def capabilities() -> str:
    """What each engine can do, a line for each block of recipes that it covers."""
    rows = []
    for engine in _engines():
        page = f"[{engine.name}](../engines/{engine.name}.md)"
        for each in engine.capabilities:
            scales, ranges = (code(filter(None, words)) for words in (each.granularities, each.calibrations))
            rows.append((page, code(each.dtypes), scales, ranges, code(f"+{name}" for name in sorted(each.options))))
    return table(("engine", "dtypes", "granularity", "calibration", "options"), rows)


def options() -> str:
    """What each option of each engine does."""
    found = {
        (e.name, name): text for e in _engines() for c in e.capabilities for name, text in sorted(c.options.items())
    }
    return table(("engine", "option", "does"), ((engine, f"`+{name}`", text) for (engine, name), text in found.items()))


def presets() -> str:
    """Which recipes each preset has."""
    from bitpick.recipe import PRESETS
    from bitpick.targets.host import Host

    host = Host("any", "x86_64", ("avx512_bf16", "amx_bf16"), 1, "any", "any")  # one that has all that some CPUs have
    model: Any = None  # none of bitpick's own engines looks at it
    offers = [offer for engine in _engines() for offer in engine.recipes(model, host)]
    marks = ((offer.recipe.id, *("●" if preset in offer.presets else "" for preset in PRESETS)) for offer in offers)
    return table(("recipe", *PRESETS), ((f"`{row[0]}`", *row[1:]) for row in marks))


def operators() -> str:
    """What the PyTorch importer knows: a row for the ONNX operators of a family that share a form and limits."""
    from bitpick.conversion.pytorch_operators.registry import coverage

    together: dict[tuple[str, str, str], list[str]] = {}
    for each in coverage():
        together.setdefault((each.family, each.form, each.limits), []).append(each.operator)
    rows = ((family, code(names), form, limits) for (family, form, limits), names in together.items())
    return table(("family", "ONNX operators", "in PyTorch", "not supported"), rows)


def tasks() -> str:
    """What a model can be for."""
    from bitpick.tasks import described

    rows = ((f"`{e.kind}`", e.labels, e.output, code(e.metrics), e.margin) for e in described.tasks())
    return table(("task", "labels", "output", "judged by", "margin"), rows)


def metrics() -> str:
    """What builds can be judged by."""
    from bitpick.tasks import described

    rows = (
        (f"`{e.measure.name}`", e.definition, "higher" if e.measure.higher_is_better else "lower", e.drop, e.source)
        for e in described.metrics()
    )
    return table(("metric", "is", "better", "drops", "source"), rows)


def _classes(annotation: Any) -> list[Any]:
    """The classes in a union, however it is annotated."""
    return [annotation] if inspect.isclass(annotation) else [c for each in get_args(annotation) for c in _classes(each)]


def schema() -> str:
    """run.json: every part of it, a table each, in the order in which a reader meets them."""
    from bitpick.schema.run import Run

    whole = Run.model_json_schema()
    parts = {"Run": whole} | {name: whole["$defs"][name] for name in _named(whole, whole["$defs"])}
    told = {name: docstring(each.get("description"))[0].splitlines()[0] for name, each in parts.items()}
    return "\n\n".join(_part(name, each, told) for name, each in parts.items())


def _named(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> list[str]:
    """The parts that a schema refers to, then those that these refer to, each once."""
    names = re.findall(r"#/\$defs/(\w+)", str(schema.get("properties")))
    return list(dict.fromkeys([*names, *(below for name in names for below in _named(parts[name], parts))]))


def _part(name: str, each: Mapping[str, Any], told: Mapping[str, str]) -> str:
    """One part; a field that its docstring leaves out is what the part that it holds is."""
    about, sections = docstring(each.get("description"))
    meanings = entries(sections.get("Attributes", ""))
    rows = []
    for field, value in each["properties"].items():
        held = re.search(r"#/\$defs/(\w+)", str(value))
        rows.append((f"`{field}`", _type(value), meanings.get(field, told[held[1]] if held else "")))
    return f"## {name}\n\n{about}\n\n" + table(("field", "type", ""), rows)


def _type(schema: Mapping[str, Any]) -> str:
    """A type in JSON schema in words; parts of run.json are links."""
    match schema:
        case {"$ref": path}:
            name = path.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"anyOf": choices}:
            words = [_type(each) for each in choices if each.get("type") != "null"]
            return " or ".join(words) + (", or absent" if len(words) < len(choices) else "")
        case {"enum": values}:
            return " or ".join(f"`{value}`" for value in values)
        case {"const": value}:
            return f"`{value}`"
        case {"type": "array", "prefixItems": items}:
            return f"[{', '.join(_type(each) for each in items)}]".replace("[", "\\[", 1)
        case {"type": "array", "items": item}:
            return f"list of {_type(item)}"
        case {"type": "object", "additionalProperties": dict(item)}:
            return f"object of {_type(item)}"
        case {"type": str(name)}:
            return name
        case _:
            return "any"


GENERATED: dict[str, dict[str, Callable[[], str]]] = {
    "reference/importer.md": {"operators": operators},
    "reference/commands.md": {"commands": commands},
    "reference/tasks.md": {"tasks": tasks, "metrics": metrics},
    "reference/python.md": {"functions": functions, "classes": classes},
    "reference/recipes-by-engine.md": {"capabilities": capabilities, "options": options, "presets": presets},
    "reference/run-json.md": {"schema": schema},
}
"""The generators of each page, by the name that its markers give."""


def written(page: str) -> str:
    """A page with its generated parts made anew.

    Raises:
        LookupError: a part has no markers in the page, or the markers no generator.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    marked = re.findall(r"^<!-- generated: (.+) -->$", text, flags=re.MULTILINE)
    if sorted(marked) != sorted(GENERATED.get(page, {})):
        raise LookupError(f"{page} marks {marked}, and the generators for it are {sorted(GENERATED.get(page, {}))}")
    for name, generate in GENERATED[page].items():
        start = f"<!-- generated: {name} -->\n"
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n{generate()}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


def main() -> None:
    """Rewrite the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", "--smoke", action="store_true", help="write nothing; fail where a page is old")
    check = parser.parse_args().check
    old = [page for page in GENERATED if written(page) != (DOCS / page).read_text(encoding="utf-8")]
    for page in old:
        if not check:
            (DOCS / page).write_text(written(page), encoding="utf-8")
        print(page)
    if old and check:
        raise SystemExit("out of date: make tables")


if __name__ == "__main__":
    main()
