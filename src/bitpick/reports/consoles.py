"""Consoles for text with names from elsewhere: of models, files, layers and classes, and with messages of libraries.

Such a name may hold control characters, which a terminal would obey: it could hide a warning, or forge a line.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from bitpick.library_errors import visible
from bitpick.reports import words


class SafeConsole(Console):
    """A console that shows control characters instead of obeying them, a `Text` on one line, and no endless ones.

    What is a `Text` is data. Headings, which may have several lines, are strings.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `Console.render`, through which everything goes that is shown."""
        shown = _safe(renderable) if isinstance(renderable, Text) else renderable
        for segment in super().render(shown, options):
            safe = segment.text if segment.control else visible(segment.text)
            yield segment if safe == segment.text else Segment(safe, segment.style)


def _safe(text: Text) -> Text:
    """Return a text that is safe to show; the same one, with its styles, if it is."""
    plain = visible(words.shortened(text.plain)).replace("\n", "\\n")
    if plain == text.plain:
        return text
    return Text(plain, style=text.style, justify=text.justify, overflow=text.overflow, no_wrap=text.no_wrap)
