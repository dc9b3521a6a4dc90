"""Records to ranked rows: the order, the Pareto front, and the ties."""

from collections.abc import Mapping, Sequence

from bakeoff.report.board.rows import STAGES, Row, are_tied, dominates, is_scored, order_of, read_estimate, read_row
from bakeoff.report.board.weigh import check_weights, score_rows
from bakeoff.runs.record import RunRecord, Stage, State

__all__ = ["rank"]


def rank(
    records: Sequence[RunRecord], stage: Stage | None = None, weigh: Mapping[str, float] | None = None
) -> list[Row]:
    """Rank candidates: completed, then pruned, then failed and running (without a rank); later stages first.

    Within a stage by validation top-1, then fewer seconds, then name; in the screen by the error that is expected after
    equal training time (`expect_error`). Every run has its row.
    `weigh` maps CRITERIA to weights: completed rows then go by the weighted mean of their ranks on each criterion.
    `pareto` and `tie` (with the most accurate row) are judged within a stage. Raises ConfigError on unusable weights.
    """
    if weigh is not None:
        check_weights(weigh)
    rows = sorted((read_row(record) for record in records if stage in (None, record.stage)), key=order_of)
    fields = {each: [row for row in rows if row.stage is each and is_scored(row)] for each in STAGES}
    if weigh is not None:
        scores = {row.id: score for field in fields.values() for row, score in score_rows(field, weigh)}
        rows.sort(key=lambda row: (*order_of(row)[:2], -scores.get(row.id, 0)))
    ranked = []
    for place, row in enumerate(rows, start=1):
        place_given = None if row.state in (State.FAILED, State.RUNNING) else place
        marks = _marks(row, fields[row.stage]) if is_scored(row) else {}
        ranked.append(row.model_copy(update={"rank": place_given, **marks}))
    return ranked


def _marks(row: Row, field: Sequence[Row]) -> dict[str, bool]:
    """Pareto and tie among the scored rows of a stage."""
    leader = max(field, key=lambda each: read_estimate(each)[0])
    others = [each for each in field if each is not leader]
    tie = any(are_tied(leader, other) for other in others) if row is leader else are_tied(leader, row)
    return {"pareto": not any(dominates(other, row) for other in field), "tie": tie}
