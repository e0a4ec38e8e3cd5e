"""What both acts are told with: text that is wrapped, tables without lines, a live screen on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


class Teller:
    """Prints the story. live: whether there is a terminal with a person before it, not a pipe or a file."""

    def __init__(self, console: Console) -> None:
        self.console = console
        # Where colours are forced, rich calls a pipe interactive.
        self.live: bool = console.is_interactive and console.file.isatty()
        self.ascii_only: bool = console.options.ascii_only

    def say(self, text: str, style: str = "") -> None:
        """Text, wrapped line by line."""
        lines = [textwrap.fill(line, min(self.console.width, 88)) for line in text.split("\n")]
        self.console.print("\n".join(lines), style=style, highlight=False, markup=False)

    def chapter(self, title: str, text: str, table: Table) -> None:
        """A heading, a paragraph and a table."""
        self.say(title, "bold")
        self.say(text + "\n")
        self.console.print(table, "")

    def busy(self, words: str) -> AbstractContextManager[Any]:
        """A spinner beside the words while something takes its time; nothing where nobody watches."""
        return self.console.status(words) if self.live else nullcontext()

    @contextmanager
    def screen(self) -> Iterator[Callable[[Any], None] | None]:
        """Gives a function that draws what it is handed over what it drew before; None where nobody watches."""
        from rich.live import Live

        if not self.live:
            yield None
            return
        with Live(console=self.console, transient=True, auto_refresh=False) as live:
            yield lambda picture: live.update(picture, refresh=True)


def table_of(*columns: str) -> Table:
    """A table without lines; a column is right-aligned unless its name begins with <."""
    from rich.table import Table

    table = Table(box=None, header_style="dim", title_justify="left")
    for name in columns:
        table.add_column(name.removeprefix("<"), justify="left" if name.startswith("<") else "right", no_wrap=True)
    return table


def sparkline(values: Sequence[float], low: float, high: float, ascii_only: bool) -> str:
    """A line of text as high as the values, one character each.

    >>> sparkline([0.0, 0.5, 1.0], 0.0, 1.0, ascii_only=False)
    '▁▅█'
    """
    ramp = "_.:-=+*#" if ascii_only else "▁▂▃▄▅▆▇█"
    levels = [(value - low) / (high - low) if high > low else 0.5 for value in values]
    return "".join(ramp[min(max(int(level * len(ramp)), 0), len(ramp) - 1)] for level in levels)
