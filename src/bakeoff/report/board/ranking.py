"""Records to ranked rows: the order, the Pareto front, and the ties."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bakeoff.report.board.comparing import dominates, measure_lead, order_of
from bakeoff.report.board.criteria import check_criteria, score_rows
from bakeoff.report.board.rows import Row, field_of, find_metric, is_scored, read_merit, read_row
from bakeoff.runs.record import RunRecord, Stage, State
from bakeoff.runs.study_file import read_study

__all__ = ["rank"]


def rank(
    records: Sequence[RunRecord],
    stage: Stage | None = None,
    criteria: Mapping[str, float] | None = None,
    *,
    out: Path | None = None,
) -> list[Row]:
    """Rank runs: completed ones first, then pruned ones, then failed and running ones; later stages and rungs first.

    Within these the order is the metric that decides (`find_metric`) on validation, then training seconds, then name.
    The screen is ordered by the error expected after equal training time (`expect_error`). `pareto` and `tie` (with the
    row of the best score; in the screen, with the first one) refer to the row's stage, in a race to its rung, and in it
    to the rows of the same data.

    Args:
        records: The runs; each becomes one row.
        stage: Only rank the runs of this stage.
        criteria: Weights by criterion (CRITERIA). Completed rows are then ordered by the weighted score of
            `score_rows`.
        out: The study's folder: ties of cross-validated rows are decided on the predictions in it, and runs of other
            data than the study's come after its own.

    Returns:
        The rows in order; failed and running ones have no rank.

    Raises:
        ConfigError: The weights are unusable.
        OutputError: The study's file is damaged.
    """
    if criteria is not None:
        check_criteria(criteria)
    own = read_study(out).own(records) if out else records
    metric, own_ids = find_metric(own), {record.id for record in own}
    chosen = [record for record in records if stage in (None, record.stage)]
    by_id = {record.id: record for record in records}
    read = (
        read_row(record, metric, out, _find_rung(record, by_id), is_other=record.id not in own_ids) for record in chosen
    )
    rows = sorted(read, key=order_of)
    scored: dict[tuple[int, int, str], list[Row]] = {}
    for row in filter(is_scored, rows):
        scored.setdefault(field_of(row), []).append(row)
    if criteria is not None:
        scores = {row.id: score for group in scored.values() for row, score in score_rows(group, criteria)}
        rows.sort(key=lambda row: (*order_of(row)[:3], -scores.get(row.id, 0)))
    ranked = []
    for place, row in enumerate(rows, start=1):
        number = None if row.state in (State.FAILED, State.RUNNING) else place
        marks = _find_marks(row, scored[field_of(row)]) if is_scored(row) else {}
        ranked.append(row.model_copy(update={"rank": number, **marks}))
    return ranked


def _find_rung(record: RunRecord, by_id: Mapping[str, RunRecord]) -> int:
    """How many runs of a race a run of it continues; 0 in other stages."""
    before = by_id.get(Path(record.config.model.start).parent.name)
    if record.stage is not Stage.RACE or before is None or before.stage is not Stage.RACE:
        return 0
    return 1 + _find_rung(before, by_id)


def _find_marks(row: Row, rows: Sequence[Row]) -> dict[str, bool]:
    """Pareto and tie of a row among `rows`, the scored rows of its field in their order."""
    leader = rows[0] if row.stage is Stage.SCREEN else max(rows, key=read_merit)
    others = [each for each in rows if each is not leader] if row is leader else [row]
    tie = any(measure_lead(leader, other).is_tie for other in others)
    return {"pareto": not any(dominates(other, row) for other in rows), "tie": tie}
