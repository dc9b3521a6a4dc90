"""Ranked rows as a table for the terminal."""

import itertools
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from bakeoff.report.board.formatting import (
    DASH,
    format_bytes,
    format_caveats,
    format_count,
    format_estimate,
    format_memory_error,
    format_seconds,
    name_images,
)
from bakeoff.report.board.rows import STAGES, Row
from bakeoff.runs.config import Metric
from bakeoff.runs.record import State

__all__ = ["render_table"]

_CAPTION = (
    "★ on the Pareto front (costs within 5 % count as equal)   ≈ ties with the best\n"
    "memory: peak (error of prediction)   time: training   file: saved model"
)
_HEADS = ("memory\n(error)", "trained", "of all", "time", "img/s", "file")


def render_table(rows: Sequence[Row]) -> RenderableType:
    """A table with rounded numbers and units, later stages first.

    The first number is the metric that decides; if that is not top-1, top-1 comes next. ★ marks the Pareto front, ≈ a
    tie with the stage's best score. On a narrow terminal numbers wrap; names and scores never do.
    """
    return _Board(rows)


class _Board:
    """A Rich renderable: it builds the table when the width of the terminal is known."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        decides = self.rows[0].metric if self.rows else Metric.TOP1
        metrics = list(dict.fromkeys((decides, Metric.TOP1)))
        heads = (*(f"{metric.label.replace(' ', chr(10))}{metric.unit}" for metric in metrics), *_HEADS)
        longest = max((len(line) for row in self.rows for line in (row.name, *format_caveats(row))), default=0)
        columns = zip(heads, *(_format_cells(row, metrics) for row in self.rows), strict=True)
        widths = [max(len(line) for cell in column for line in cell.splitlines()) for column in columns]
        digits = len(str(len(self.rows)))
        # Two spaces separate the columns if there is room for them.
        is_wide = options.max_width >= digits + longest + sum(widths) + 2 * (1 + len(widths))
        # Otherwise these columns keep a fixed width, and Rich narrows the remaining ones.
        fixed = (*widths[: len(metrics)], len("9.99 GB"), *widths[len(metrics) + 1 :][:2])
        table = Table(box=SIMPLE_HEAD, padding=(0, int(is_wide), 0, 0), show_edge=False, pad_edge=False)
        table.add_column("#", justify="right", no_wrap=True)
        table.add_column("network", overflow="fold", min_width=longest, width=None if is_wide else longest)
        for head, width in itertools.zip_longest(heads, () if is_wide else fixed):
            justify: JustifyMethod = "left" if head == heads[0] else "right"
            table.add_column(head, justify=justify, overflow="fold", width=width)
        for stage in STAGES:
            in_stage = [row for row in self.rows if row.stage is stage]
            if in_stage:
                table.add_row("", Text(stage.value, style="bold"))
            for row in in_stage:
                # Text, not markup: names and reasons may contain brackets.
                cells = [Text(str(row.rank or DASH)), _describe(row), *map(Text, _format_cells(row, metrics))]
                table.add_row(*cells, style="" if row.state is State.COMPLETE else "dim")
        yield table
        stages = [[row for row in self.rows if row.stage is stage] for stage in STAGES]
        images = [f"{rows[0].stage}: {found}\n" for rows in stages if (found := name_images(rows))]
        yield Text("".join([*images, _CAPTION]), style="dim italic")


def _describe(row: Row) -> Text:
    """The name, and below it the caveats and the reason why the run stopped."""
    note = row.reason if row.state is State.COMPLETE else f"{row.state}: {row.reason or 'no reason was recorded'}"
    lines = [Text(row.name), *(Text(caveat, style="bold yellow") for caveat in format_caveats(row))]
    return Text("\n").join([*lines, Text(note)] if note else lines)


def _format_cells(row: Row, metrics: Sequence[Metric]) -> list[str]:
    memory = format_bytes(row.memory_peak_bytes)
    score, *others = (format_estimate(row, metric) for metric in metrics)
    return [
        f"{score} {'★' * row.pareto}{'≈' * row.tie}".rstrip(),
        *others,
        memory if memory == DASH else f"{memory} ({format_memory_error(row)})",
        format_count(row.params_trainable),
        format_count(row.params_total),
        format_seconds(row.seconds_train),
        f"{row.images_per_second:.0f}" if row.images_per_second else DASH,
        format_bytes(row.model_bytes),
    ]
