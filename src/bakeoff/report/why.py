"""Why the winner won, as a table: the winner and its nearest rivals, by score and by cost."""

from collections.abc import Sequence
from typing import NamedTuple

from bakeoff.report.board import (
    Lead,
    Row,
    explain_exception,
    explain_win,
    find_head_to_head,
    format_bytes,
    format_count,
    format_difference,
    format_ends,
    format_estimate,
    format_seconds,
    is_clearly_cheaper,
    is_scored,
    measure_lead,
    name_other_data,
)
from bakeoff.runs.config import Mode

__all__ = ["Why", "WhyRow", "explain_in_table"]

# More rivals are in the table of all runs.
_RIVALS = 4


class WhyCell(NamedTuple):
    """A cost as text, how many times that of the winner it is, and whether it is clearly the least of the table."""

    text: str
    times: str
    is_least: bool


class WhyRow(NamedTuple):
    """One candidate of the table, the winner first."""

    name: str
    score: str
    behind: str
    """Its score minus that of the winner, in points; empty for the winner."""
    interval: str
    """The 95 % interval of that difference."""
    is_tie: bool
    """Whether chance alone could explain the difference."""
    costs: list[WhyCell]


class Why(NamedTuple):
    """The table, and sentences on what it does not show. Without rivals there are no rows."""

    caption: str
    score: str
    """The heading of the scores."""
    difference: str
    """The heading of the differences."""
    costs: list[str]
    """The headings of the costs that were measured."""
    rows: list[WhyRow]
    notes: list[str]


def explain_in_table(rows: Sequence[Row]) -> Why:
    """Compare the winner with its nearest rivals in the latest round where it has any; expects the order of `rank`."""
    match = find_head_to_head(rows)
    if match is None:
        return Why("", "", "", [], [], [explain_win(rows)])
    best: dict[str, Row] = {match.winner.name: match.winner}
    for rival in match.rivals:
        best.setdefault(rival.name, rival)
    shown, metric = list(best.values())[: 1 + _RIVALS], match.winner.metric
    costs: dict[str, list[tuple[float, str]]] = {
        "Peak memory": [(row.memory_peak_bytes, format_bytes(row.memory_peak_bytes)) for row in shown],
        "Trained parameters": [(row.params_trainable, format_count(row.params_trainable)) for row in shown],
        "Training time": [(row.seconds_train, format_seconds(row.seconds_train)) for row in shown],
    }
    columns = {heading: _make_cells(column) for heading, column in costs.items() if any(value for value, _ in column)}
    # A lead may have to be read from the predictions.
    leads = [None, *(measure_lead(row, match.winner) for row in shown[1:])]
    table = [
        _make_row(row, lead, [cells[place] for cells in columns.values()])
        for place, (row, lead) in enumerate(zip(shown, leads, strict=True))
    ]
    first = next(filter(is_scored, rows))
    notes = [explain_exception(match), *_name_shared(shown[1:], leads[1:]), name_other_data(rows)]
    if match.eliminated:
        notes.append(f"Eliminated in an earlier rung, after less training: {', '.join(match.eliminated)}.")
    if first.stage is not match.winner.stage:
        at = "" if first.name == match.winner.name else f" as {first.name}"
        what = "fitted a classifier on its frozen features" if first.mode is Mode.PROBE else "trained it again"
        notes.insert(0, f"The {first.stage} stage {what}{at}: {format_estimate(first)}{metric.unit}.")
    rivals = "rival" if len(shown) == 2 else f"{len(shown) - 1} nearest rivals"
    expected = any(lead.is_expected for lead in leads if lead)
    caption = f"The winner and its {rivals} in {match.where}."
    if expected:
        caption += " Differences are those that are expected after fine-tuning."
    caption += " In brackets: the 95 % interval of the difference, and how many times the cost of the winner."
    caption += f" \N{ALMOST EQUAL TO}: chance alone could {'turn' if expected else 'explain'} the difference."
    caption += " Bold: clearly the least."
    where = "" if any(row.folds for row in shown) else " on validation"
    return Why(
        caption,
        f"{metric.heading}{where}{'' if metric.is_loss else ', %'}",
        "Against the winner" if metric.is_loss else "Against the winner, points",
        list(columns),
        table,
        list(filter(None, notes)),
    )


def _name_shared(rivals: Sequence[Row], leads: Sequence[Lead | None]) -> list[str]:
    """On which images a rival is compared that was scored on others than the winner: a sentence for each number."""
    names: dict[int, list[str]] = {}
    for rival, lead in zip(rivals, leads, strict=True):
        if lead and lead.images:
            names.setdefault(lead.images, []).append(rival.name)
    return [
        f"The difference of {', '.join(those)} is that on the {images:,} images that both were scored on."
        for images, those in names.items()
    ]


def _make_row(row: Row, lead: Lead | None, costs: list[WhyCell]) -> WhyRow:
    """The row of a candidate with its lead on the winner, which has none."""
    score = format_estimate(row)
    if lead is None:
        return WhyRow(row.name, score, "", "", is_tie=False, costs=costs)
    behind, ends = format_difference(lead.difference, row.metric), format_ends(lead.low, lead.high, row.metric)
    return WhyRow(row.name, score, behind, ends, lead.is_tie, costs)


def _make_cells(column: Sequence[tuple[float, str]]) -> list[WhyCell]:
    """The cells of a cost, from its values, the winner's first, and their texts. A value of 0 was not measured."""
    values = [value for value, _ in column]
    cells = []
    for place, (value, text) in enumerate(column):
        times = value / values[0] if values[0] else 0.0
        others = values[:place] + values[place + 1 :]
        is_least = bool(value) and all(other and is_clearly_cheaper(value, other) for other in others)
        shown = "" if times in (0.0, 1.0) else f"{times:{'.0f' if times >= 10 else '.2g'}}\N{MULTIPLICATION SIGN}"
        cells.append(WhyCell(text, shown, is_least))
    return cells
