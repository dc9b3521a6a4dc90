"""What a row holds, and how two rows compare: accuracy exactly, costs up to the noise of measuring them."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bakeoff.files import write_text
from bakeoff.networks.table import TABLE
from bakeoff.runs.config import Model
from bakeoff.runs.record import RunRecord, Stage, State

__all__ = [
    "COSTS",
    "CRITERIA",
    "NOISE",
    "STAGES",
    "STATES",
    "Row",
    "are_tied",
    "board_text",
    "difference_interval",
    "do_differ",
    "dominates",
    "expect_error",
    "is_clearly_less",
    "is_scored",
    "order_of",
    "read_estimate",
    "read_losses",
    "read_row",
    "write_board",
]

COSTS = ("memory", "params", "time")
CRITERIA = ("accuracy", *COSTS)

# The later a stage, the more its verdict counts; a run trained alone was trained in full.
STAGES = (Stage.CONFIRM, Stage.TRAIN, Stage.TUNE, Stage.COMPARE, Stage.RACE, Stage.SCREEN)
# Completed rows come first, then those that were stopped.
STATES = {State.COMPLETE: 0, State.PRUNED: 1, State.RUNNING: 2, State.FAILED: 2}
_SCRATCH = {backbone.name for backbone in TABLE if backbone.from_scratch}

# Costs closer than this count as equal: no run takes the same seconds and bytes twice.
NOISE = 1.05

# The exponent of the error's fall with the images seen; benchmarks/screening.csv shows how well it orders.
_GAIN = 0.2
_FORWARD_PER_TRAINING_STEP = 3


class Row(BaseModel):
    """One candidate in one stage. Fractions of 1, bytes, seconds; a figure of 0 was not measured."""

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
    images_seen: int
    images_per_second: float
    memory_predicted_bytes: int
    memory_peak_bytes: int
    model_bytes: int
    """The saved model's file; a probe saves none."""
    batch: int
    micro_batch: int
    """Images of a batch that were in memory at once."""
    weights: str
    """Where it started: `package`, `hub`, `file`, `run`; `scratch` where there are no pretrained weights, `random`
    where there are and they were not used."""
    tensors_matched: int
    """Tensors of the network that a weight file set, of `tensors_total`."""
    tensors_total: int
    pareto: bool
    tie: bool


def read_row(record: RunRecord) -> Row:
    """A record's row, not yet ranked or marked."""
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
        images_seen=record.images_seen,
        images_per_second=record.images_per_second,
        memory_predicted_bytes=record.memory_predicted_bytes,
        memory_peak_bytes=record.memory_peak_bytes,
        model_bytes=record.model_bytes,
        batch=record.config.train.batch,
        micro_batch=record.micro_batch,
        weights=_name_weights(record.config.model, record.weights.origin),
        tensors_matched=record.weights.tensors_matched,
        tensors_total=record.weights.tensors_total,
        pareto=False,
        tie=False,
    )


def write_board(out: Path, rows: Sequence[Row]) -> None:
    """Write `board.csv`, whole or not at all."""
    write_text(out / "board.csv", board_text(rows))


def board_text(rows: Sequence[Row]) -> str:
    """The board as CSV: the JSON fields of Row, its interval as two columns, numbers in full, absent ones empty."""
    names = list(Row.model_fields)
    at = names.index("val_top1_ci95")
    names[at : at + 1] = ["val_top1_ci95_low", "val_top1_ci95_high"]
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = row.model_dump(mode="json")
        cells["val_top1_ci95_low"], cells["val_top1_ci95_high"] = cells.pop("val_top1_ci95") or (None, None)
        writer.writerow({key: str(cell).lower() if isinstance(cell, bool) else cell for key, cell in cells.items()})
    return file.getvalue()


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
    """Sort key: state, stage, accuracy (of the screen the expected error), seconds, name."""
    losses = read_losses(row)
    screened = row.stage is Stage.SCREEN and is_scored(row)
    merit = expect_error(row) if screened else losses["accuracy"]
    return STATES[row.state], STAGES.index(row.stage), merit, losses["time"], row.name, row.id


def expect_error(row: Row) -> float:
    """The error of a screened row after training for a time that is equal for all, up to a factor that is as well.

    A network that trains twice as fast sees twice the images in that time, and each doubling of those it has seen is
    expected to take an eighth off the error.
    """
    # A probe saves no model, and only goes forward.
    rate = row.images_per_second / (1 if row.model_bytes else _FORWARD_PER_TRAINING_STEP)
    growth = max(rate, 1e-9) / max(row.images_seen, 1)
    return (1 - read_estimate(row)[0]) * math.pow(growth, -_GAIN)


def is_clearly_less(name: str, first: float, second: float) -> bool:
    """Whether one loss on a criterion is less than another: of costs, by more than the 5 % that noise makes."""
    return first < second if name == "accuracy" else do_differ(first, second)


def do_differ(less: float, more: float) -> bool:
    """Whether two costs are further apart than the noise of their measurement."""
    return less * NOISE < more


def dominates(first: Row, second: Row) -> bool:
    """Whether the first row is at least as accurate as the second, clearly dearer in nothing, and better in something.

    Between equal accuracies the product of its costs must be less as well: otherwise three rows, each clearly cheaper
    than the next in one thing and a little dearer in another, would beat each other in a circle.
    """
    mine, its = read_losses(first), read_losses(second)
    if mine["accuracy"] > its["accuracy"] or any(is_clearly_less(name, its[name], mine[name]) for name in COSTS):
        return False
    if mine["accuracy"] < its["accuracy"]:
        return True
    cheaper = any(is_clearly_less(name, mine[name], its[name]) for name in COSTS)
    return cheaper and _burden(mine) < _burden(its)


def difference_interval(first: Row, second: Row) -> tuple[float, float]:
    """95 % interval of first's top-1 minus second's, in [-1, 1]: the hybrid score of Newcombe 1998 (his method 10).

    It is built from the two Wilson intervals and takes the samples as independent. On the same images the two scores
    usually rise and fall together, so it errs towards calling a tie.
    """
    (p1, low1, high1), (p2, low2, high2) = read_estimate(first), read_estimate(second)
    difference = p1 - p2
    return difference - math.hypot(p1 - low1, high2 - p2), difference + math.hypot(high1 - p1, p2 - low2)


def are_tied(first: Row, second: Row) -> bool:
    """Whether chance alone could explain the difference in accuracy."""
    low, high = difference_interval(first, second)
    return low <= 0 <= high


def _burden(losses: dict[str, float]) -> tuple[int, float]:
    """How many costs were not measured, and the product of those that were."""
    measured = [losses[name] for name in COSTS if losses[name] < math.inf]
    return len(COSTS) - len(measured), math.prod(measured)


def _name_weights(model: Model, origin: str) -> str:
    """A run that goes on from another began where that one did, so its config decides before its origin does."""
    scratch = model.name in _SCRATCH
    if model.weights == "none" or (model.weights == "auto" and scratch):
        return "scratch" if scratch else "random"
    return origin
