"""Records to ranked rows: the order, the Pareto front, the ties, and `board.csv`."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bakeoff.errors import ConfigError
from bakeoff.files import replacing
from bakeoff.runs import RunRecord, Stage, State

__all__ = [
    "CRITERIA",
    "STAGES",
    "Row",
    "difference_interval",
    "dominates",
    "is_scored",
    "order_of",
    "rank",
    "read_estimate",
    "read_losses",
    "write_board",
]

CRITERIA = ("accuracy", "memory", "params", "time")

# The later a stage, the more its verdict counts; a run trained alone was trained in full.
STAGES = (Stage.CONFIRM, Stage.TRAIN, Stage.TUNE, Stage.COMPARE, Stage.RACE, Stage.SCREEN)
_STATES = {State.COMPLETE: 0, State.PRUNED: 1, State.RUNNING: 2, State.FAILED: 2}


class Row(BaseModel):
    """One candidate in one stage. Fractions of 1, bytes, seconds; a cost of 0 was not measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int | None
    name: str
    state: State
    reason: str
    stage: Stage
    id: str
    val_top1: float | None
    val_top1_ci95: tuple[float, float] | None
    params_total: int
    params_trainable: int
    seconds_train: float
    images_per_second: float
    memory_predicted_bytes: int
    memory_peak_bytes: int
    pareto: bool
    tie: bool


def rank(
    records: Sequence[RunRecord], stage: Stage | None = None, weigh: Mapping[str, float] | None = None
) -> list[Row]:
    """Rank candidates: completed, then pruned, then failed and running (without a rank); later stages first.

    Within a stage by validation top-1, then fewer seconds, then name. Every run has its row.
    `weigh` maps CRITERIA to weights: completed rows then go by the weighted mean of their ranks on each criterion.
    `pareto` and `tie` (with the most accurate row) are judged within a stage. Raises ConfigError on unusable weights.
    """
    if weigh is not None:
        _check(weigh)
    rows = sorted((_read_row(record) for record in records if stage in (None, record.stage)), key=order_of)
    fields = {each: [row for row in rows if row.stage is each and is_scored(row)] for each in STAGES}
    if weigh is not None:
        scores = {row.id: _score(row, fields[row.stage], weigh) if is_scored(row) else 0.0 for row in rows}
        rows.sort(key=lambda row: (*order_of(row)[:2], -scores[row.id]))
    ranked = []
    for place, row in enumerate(rows, start=1):
        place_given = None if row.state in (State.FAILED, State.RUNNING) else place
        marks = _marks(row, fields[row.stage]) if is_scored(row) else {}
        ranked.append(row.model_copy(update={"rank": place_given, **marks}))
    return ranked


def difference_interval(first: Row, second: Row) -> tuple[float, float]:
    """95 % interval of first's top-1 minus second's, in [-1, 1]: the hybrid score of Newcombe 1998 (his method 10).

    It is built from the two Wilson intervals and takes the samples as independent. On the same images the two scores
    usually rise and fall together, so it errs towards calling a tie.
    """
    (p1, low1, high1), (p2, low2, high2) = read_estimate(first), read_estimate(second)
    difference = p1 - p2
    return difference - math.hypot(p1 - low1, high2 - p2), difference + math.hypot(high1 - p1, p2 - low2)


def write_board(out: Path, rows: Sequence[Row]) -> None:
    """Write `board.csv`: the JSON fields of Row, its interval as two columns, numbers in full, absent ones empty."""
    names = list(Row.model_fields)
    at = names.index("val_top1_ci95")
    names[at : at + 1] = ["val_top1_ci95_low", "val_top1_ci95_high"]
    with replacing(out / "board.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=names)
        writer.writeheader()
        for row in rows:
            cells = row.model_dump(mode="json")
            cells["val_top1_ci95_low"], cells["val_top1_ci95_high"] = cells.pop("val_top1_ci95") or (None, None)
            writer.writerow({key: str(cell).lower() if isinstance(cell, bool) else cell for key, cell in cells.items()})


def is_scored(row: Row) -> bool:
    """Whether a row completed and has an accuracy, so that it can be compared."""
    return row.state is State.COMPLETE and row.val_top1 is not None


def read_estimate(row: Row) -> tuple[float, float, float]:
    """Top-1 and its 95 % interval, as fractions of 1."""
    low, high = row.val_top1_ci95 or (0.0, 1.0)
    return row.val_top1 or 0.0, low, high


def read_losses(row: Row) -> dict[str, float]:
    """The four criteria, less is better; a cost that was not measured wins nothing."""
    costs = (row.memory_peak_bytes, row.params_trainable, row.seconds_train)
    return dict(zip(CRITERIA, (-read_estimate(row)[0], *(cost or math.inf for cost in costs)), strict=True))


def order_of(row: Row) -> tuple[int, int, float, float, str, str]:
    """Sort key: state, stage, accuracy, seconds, name."""
    losses = read_losses(row)
    return _STATES[row.state], STAGES.index(row.stage), losses["accuracy"], losses["time"], row.name, row.id


def dominates(first: Row, second: Row) -> bool:
    """Whether the first row is no worse than the second on all four criteria and better on one."""
    pairs = list(zip(read_losses(first).values(), read_losses(second).values(), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _read_row(record: RunRecord) -> Row:
    return Row(
        rank=None,
        name=record.candidate,
        state=record.state,
        reason=record.reason,
        stage=record.stage,
        id=record.id,
        val_top1=record.val.top1 if record.val else None,
        val_top1_ci95=record.val.top1_ci95 if record.val else None,
        params_total=record.params_total,
        params_trainable=record.params_trainable,
        seconds_train=record.seconds.train,
        images_per_second=record.images_per_second,
        memory_predicted_bytes=record.memory_predicted_bytes,
        memory_peak_bytes=record.memory_peak_bytes,
        pareto=False,
        tie=False,
    )


def _score(row: Row, field: Sequence[Row], weigh: Mapping[str, float]) -> float:
    """Weighted mean in [0, 1] of the row's ranks among the scored rows of its stage; 1 is best on everything."""
    return sum(weight * _share_beaten(row, field, name) for name, weight in weigh.items()) / sum(weigh.values())


def _share_beaten(row: Row, field: Sequence[Row], name: str) -> float:
    """Rank on one criterion as a number in [0, 1]: the share of rivals that are worse, equals counting half."""
    own, all_losses = read_losses(row)[name], [read_losses(other)[name] for other in field]
    worse, equal = sum(loss > own for loss in all_losses), all_losses.count(own) - 1
    return (worse + equal / 2) / (len(field) - 1) if len(field) > 1 else 1.0


def _check(weigh: Mapping[str, float]) -> None:
    unknown = sorted(set(weigh) - set(CRITERIA))
    if unknown:
        raise ConfigError(f"there is no criterion {unknown[0]!r} to weigh; criteria are {', '.join(CRITERIA)}")
    if not all(0 <= weight < math.inf for weight in weigh.values()) or not sum(weigh.values()) > 0:
        raise ConfigError("weights of criteria must be finite, none below 0 and one above it, as in accuracy=2, time=1")


def _marks(row: Row, field: Sequence[Row]) -> dict[str, bool]:
    """Pareto and tie among the scored rows of a stage, of which the first is the most accurate."""
    leader, others = field[0], field[1:]
    tie = any(_tied(leader, other) for other in others) if row is leader else _tied(leader, row)
    return {"pareto": not any(dominates(other, row) for other in field), "tie": tie}


def _tied(first: Row, second: Row) -> bool:
    low, high = difference_interval(first, second)
    return low <= 0 <= high
