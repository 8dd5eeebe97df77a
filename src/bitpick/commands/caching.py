"""The command that shows and empties the cache."""

from __future__ import annotations

from typing import Annotated

import typer

from bitpick.commands import printing
from bitpick.commands.app import Json, command


@command
def cache(
    action: Annotated[str, typer.Argument(help="info, or clear.")] = "info",
    json: Json = False,
) -> None:
    """Show how much bitpick keeps so as not to make it again, or remove it."""
    from bitpick import api
    from bitpick.errors import RequestError, did_you_mean

    if action not in (known := ("info", "clear")):
        raise RequestError(f"there is no action {action!r}", expected="info or clear", fix=did_you_mean(action, known))
    freed = api.clear_cache() if action == "clear" else None
    usage = api.cache_usage()
    if json:
        document = {
            "folder": str(usage.folder),
            "artifacts": usage.artifacts,
            "bytes": usage.bytes,
            "limit": usage.limit,
        }
        printing.print_json(document | ({} if freed is None else {"freed": freed}))
        return
    if freed is not None:
        printing.echo(f"removed {freed / 1e6:,.1f} MB")
    count = f"{usage.artifacts:,} artifact{'' if usage.artifacts == 1 else 's'}"
    limit = f"{usage.limit / 1e9:g} GB (BITPICK_CACHE_LIMIT)"
    printing.echo(f"{usage.folder}: {count}, {usage.bytes / 1e6:,.1f} MB of {limit}")
