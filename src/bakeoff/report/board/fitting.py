"""Tables that fit the terminal: columns of less importance are left out where there is no room, and named below."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = ["Column", "FittingTable"]


@dataclass(frozen=True)
class Column:
    """A column of a `FittingTable`."""

    head: str
    about: str = ""
    """What it shows, for the legend below the table; empty if the head says it."""
    left: bool = False
    """Whether its cells begin at the left, as words do; numbers end at the right."""
    wraps: bool = False
    """Whether all but the first line of a cell may be broken. Other cells are never broken."""
    below: bool = False
    """Whether all but the first line of a cell stand below its row, as wide as the terminal."""
    goes: int = 0
    """Columns with the highest number are left out first, those with 0 never."""


class FittingTable:
    """A Rich renderable that chooses its columns when the width of the terminal is known."""

    def __init__(
        self,
        columns: Sequence[Column],
        rows: Sequence[tuple[Sequence[str | Text], str]],
        notes: Sequence[str] = (),
        elsewhere: str = "",
    ) -> None:
        """
        Args:
            columns: The columns, from left to right.
            rows: The cells and the style of each row; cells that are missing at the end are empty. A text is no markup.
            notes: Lines below the table, before the legend.
            elsewhere: Where columns that are left out can be found, as in `board.csv has them`.
        """
        self.columns = columns
        self.rows = [
            ([Text(cell) if isinstance(cell, str) else cell for cell in cells], style) for cells, style in rows
        ]
        self.notes = notes
        self.elsewhere = elsewhere

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = [self._measure(place) for place in range(len(self.columns))]
        shown, gap = _choose(self.columns, widths, options.max_width)
        table = self._begin(shown, widths, gap, options.max_width)
        for cells, style in self.rows:
            lines = [(cells[place] if place < len(cells) else Text()).split("\n") for place in shown]
            row = [
                Text("\n").join(cell[:1] if self.columns[place].below else cell)
                for place, cell in zip(shown, lines, strict=True)
            ]
            table.add_row(*row, style=style)
            for number, place in enumerate(shown):
                if self.columns[place].below and len(lines[number]) > 1:
                    yield table
                    left = sum(widths[each] + gap for each in shown[:number])
                    yield Padding(Text("\n").join(lines[number][1:]), (0, 0, 0, left), style=style, expand=False)
                    table = self._begin(shown, widths, gap, options.max_width, head=False)
        if table.row_count or table.show_header:
            yield table
        if below := [*self.notes, *self._legend(shown, options.max_width)]:
            yield Text("\n".join(below), style="dim italic")

    def _begin(self, shown: Sequence[int], widths: Sequence[int], gap: int, most: int, *, head: bool = True) -> Table:
        """A table without rows. Its columns are as wide as those of every other, so that its rows continue theirs."""
        table = Table(box=SIMPLE_HEAD, padding=(0, gap - 1, 0, 0), show_edge=False, pad_edge=False, show_header=head)
        for place in shown:
            column = self.columns[place]
            room = most - sum(widths[each] + gap for each in shown if each != place)
            table.add_column(
                column.head,
                justify="left" if column.left else "right",
                overflow="fold",
                no_wrap=not (column.wraps or column.below),
                min_width=min(widths[place], most // 2) if column.wraps else None if column.below else widths[place],
                width=max(min(widths[place], room), 1) if column.below else None,
            )
        return table

    def _measure(self, place: int) -> int:
        """The width of a column: of its longest line, or of its longest first line if the others have more room."""
        column = self.columns[place]
        cells = [cells[place].plain for cells, _ in self.rows if place < len(cells)]
        lines = [
            line
            for text in (column.head, *cells)
            for line in text.split("\n")[: 1 if column.wraps or column.below else None]
        ]
        return max(Text(line).cell_len for line in lines)

    def _legend(self, shown: Sequence[int], width: int) -> list[str]:
        about = [
            f"{self.columns[place].head}: {self.columns[place].about}" for place in shown if self.columns[place].about
        ]
        lines: list[str] = []
        for phrase in about:
            if lines and len(lines[-1]) + len(phrase) + 3 <= width:
                lines[-1] += f"   {phrase}"
            else:
                lines.append(phrase)
        absent = [column.head.replace("\n", " ") for place, column in enumerate(self.columns) if place not in shown]
        if absent:
            lines.append(f"no room for {', '.join(absent)}{f'; {self.elsewhere}' if self.elsewhere else ''}")
        return lines


def _choose(columns: Sequence[Column], widths: Sequence[int], width: int) -> tuple[list[int], int]:
    """The columns that are shown, and the spaces between two: two of them where everything has room, else one."""
    shown = list(range(len(columns)))
    if sum(widths) + 2 * (len(shown) - 1) <= width:
        return shown, 2
    while sum(widths[place] for place in shown) + len(shown) - 1 > width:
        last = max(shown, key=lambda place: columns[place].goes)
        if not columns[last].goes:
            break
        shown.remove(last)
    return shown, 1
