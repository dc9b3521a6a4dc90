"""Ranked rows as a table for the terminal."""

from collections.abc import Sequence

from rich.text import Text

from bakeoff.report.board.fitting import Column, FittingTable
from bakeoff.report.board.formatting import (
    DASH,
    format_bytes,
    format_caveats,
    format_count,
    format_estimate,
    format_memory_error,
    format_seconds,
    name_images,
    name_rungs,
)
from bakeoff.report.board.rows import STAGES, Row
from bakeoff.runs.config import Metric
from bakeoff.runs.record import State

__all__ = ["render_table"]

_MARKS = "★ on the Pareto front (costs within 5 % count as equal)   ≈ ties with the best"
_COSTS = (
    Column("memory", "peak"),
    Column("(error)", "of its prediction", goes=6),
    Column("trained", "parameters", goes=4),
    Column("of all", goes=2),
    Column("time", "training"),
    Column("img/s", goes=3),
    Column("file", "of the saved model", goes=5),
)


def render_table(rows: Sequence[Row]) -> FittingTable:
    """A table with rounded numbers and units, later stages first.

    The first number is the metric that decides; if that is not top-1, top-1 comes next. ★ marks the Pareto front, ≈ a
    tie with the best score of the stage, in a race of the rung. On a narrow terminal costs of less importance are left
    out. Rows of other data than the study's are last.
    """
    decides = rows[0].metric if rows else Metric.TOP1
    metrics = list(dict.fromkeys((decides, Metric.TOP1)))
    columns = [
        Column("#"),
        Column("network", left=True, below=True),
        *(
            Column(
                f"{metric.label.replace(' ', chr(10))}{metric.unit}", left=metric is decides, goes=metric is not decides
            )
            for metric in metrics
        ),
        *_COSTS,
    ]
    lines: list[tuple[list[str | Text], str]] = []
    own = [row for row in rows if not row.is_other]
    groups = {stage.value: [row for row in own if row.stage is stage] for stage in STAGES}
    groups["other data"] = [row for row in rows if row.is_other]
    for name, group in groups.items():
        if group:
            lines.append((["", Text(name, style="bold")], ""))
        for row in group:
            cells: list[str | Text] = [str(row.rank or DASH), _describe(row), *_format_cells(row, metrics)]
            lines.append((cells, "" if row.state is State.COMPLETE else "dim"))
    notes = [
        f"{name}: {found}"
        for name, group in groups.items()
        for describe in (name_images, name_rungs)
        if (found := describe(group))
    ]
    return FittingTable(columns, lines, [*notes, _MARKS], "board.csv has them")


def _describe(row: Row) -> Text:
    """The name, and below it the caveats and the reason why the run stopped."""
    note = row.reason if row.state is State.COMPLETE else f"{row.state}: {row.reason or 'no reason was recorded'}"
    lines = [Text(row.name), *(Text(caveat, style="bold yellow") for caveat in format_caveats(row))]
    return Text("\n").join([*lines, Text(note)] if note else lines)


def _format_cells(row: Row, metrics: Sequence[Metric]) -> list[str]:
    score, *others = (format_estimate(row, metric) for metric in metrics)
    error = format_memory_error(row)
    return [
        f"{score} {'★' * row.pareto}{'≈' * row.tie}".rstrip(),
        *others,
        format_bytes(row.memory_peak_bytes),
        error if error == DASH else f"({error})",
        format_count(row.params_trainable),
        format_count(row.params_total),
        format_seconds(row.seconds_train),
        f"{row.images_per_second:.0f}" if row.images_per_second else DASH,
        format_bytes(row.model_bytes),
    ]
