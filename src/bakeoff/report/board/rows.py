"""What a row of the board holds, and how two rows compare: accuracies exactly, costs up to measurement noise."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from bakeoff.files import write_text
from bakeoff.networks.table import TABLE
from bakeoff.profile import FORWARD_PER_TRAINING_STEP
from bakeoff.runs.config import Model
from bakeoff.runs.record import RunRecord, Stage, State

__all__ = [
    "COSTS",
    "CRITERIA",
    "GAIN",
    "MAX_EPOCHS",
    "NOISE",
    "STAGES",
    "STATES",
    "Row",
    "are_tied",
    "difference_interval",
    "dominates",
    "estimate_training_rate",
    "expect_error",
    "format_csv",
    "is_clearly_cheaper",
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

# Later stages come first because their results count more. TRAIN is a single run of full length.
STAGES = (Stage.CONFIRM, Stage.TRAIN, Stage.TUNE, Stage.COMPARE, Stage.RACE, Stage.SCREEN)
# Completed rows come first, then those that were stopped.
STATES = {State.COMPLETE: 0, State.PRUNED: 1, State.RUNNING: 2, State.FAILED: 2}
_FROM_SCRATCH = {spec.name for spec in TABLE if spec.from_scratch}

# Costs within this factor count as equal: repeating a run changes its seconds and bytes by a few percent.
NOISE = 1.05

# Error is assumed to fall with images_seen ** -GAIN; benchmarks/screening.csv shows how well that orders networks.
GAIN = 0.2
# Images beyond this many passes over the training images are assumed to gain nothing: in benchmarks/levers.csv a larger
# input, with fewer images in the same time, became better at about four passes.
MAX_EPOCHS = 5


class Row(BaseModel):
    """One run. Accuracies are fractions of 1, memory and files are bytes, times are seconds; 0 was not measured."""

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
    """Size of the saved model; 0 for a probe, which saves none."""
    batch: int
    micro_batch: int
    """Images of a batch that are processed at once; less than `batch` if gradients were accumulated."""
    weights: str
    """Origin of the initial weights: `package`, `hub`, `file` or `run`; `scratch` if the network has no pretrained
    weights, `random` if it has some that were not used."""
    tensors_matched: int
    """How many of the network's `tensors_total` tensors were loaded from the weights file."""
    tensors_total: int
    pareto: bool
    tie: bool
    # These two are for `expect_error` alone, and no column of the board.
    seconds_planned: float = Field(0.0, exclude=True)
    """Training seconds that the study planned for its winner; 0: not known."""
    train_images: int = Field(0, exclude=True)
    """Images of the training split."""


def read_row(record: RunRecord) -> Row:
    """Convert a record to a row without rank and marks."""
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
        seconds_planned=record.seconds_planned,
        train_images=record.data.counts.get("train", 0),
    )


def write_board(out: Path, rows: Sequence[Row]) -> None:
    """Write `board.csv` atomically."""
    write_text(out / "board.csv", format_csv(rows))


def format_csv(rows: Sequence[Row]) -> str:
    """The board as CSV: the fields of Row, the interval as two columns, unrounded numbers, empty cells for None."""
    names = [name for name, field in Row.model_fields.items() if not field.exclude]
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
    """Whether a row completed and has an accuracy; only such rows are compared."""
    return row.state is State.COMPLETE and row.val_top1 is not None


def read_estimate(row: Row) -> tuple[float, float, float]:
    """Top-1 and its 95 % interval, as fractions of 1."""
    low, high = row.val_top1_ci95 or (0.0, 1.0)
    return row.val_top1 or 0.0, low, high


def read_losses(row: Row) -> dict[str, float]:
    """The four criteria as losses: less is better. A cost that was not measured is infinite, so it never wins."""
    costs = (row.memory_peak_bytes, row.params_trainable, row.seconds_train)
    return dict(zip(CRITERIA, (-read_estimate(row)[0], *(cost or math.inf for cost in costs)), strict=True))


def order_of(row: Row) -> tuple[int, int, float, float, str, str]:
    """Sort key: state, stage, accuracy (in the screen: expected error), training seconds, name, id."""
    losses = read_losses(row)
    screened = row.stage is Stage.SCREEN and is_scored(row)
    loss = expect_error(row) if screened else losses["accuracy"]
    return STATES[row.state], STAGES.index(row.stage), loss, losses["time"], row.name, row.id


def expect_error(row: Row) -> float:
    """Expected error of a screened row after the planned training time, up to a constant factor; the order matters.

    A network that trains twice as fast sees twice as many images in that time. Each doubling of the images seen is
    assumed to reduce the error by an eighth, up to MAX_EPOCHS passes over the training images.
    """
    images = max(estimate_training_rate(row), 1e-9)
    if row.seconds_planned:
        images = min(images * row.seconds_planned, MAX_EPOCHS * max(row.train_images, 1))
    return (1 - read_estimate(row)[0]) * math.pow(images / max(row.images_seen, 1), -GAIN)


def estimate_training_rate(row: Row) -> float:
    """Images per second in training; a probe, which saves no model, has measured forward passes only."""
    return row.images_per_second / (1 if row.model_bytes else FORWARD_PER_TRAINING_STEP)


def is_clearly_less(name: str, first: float, second: float) -> bool:
    """Whether the first loss on a criterion is less than the second; a cost must be less by more than NOISE.

    Args:
        name: One of CRITERIA.
        first: A loss on this criterion, as `read_losses` returns it.
        second: The loss to compare it with.
    """
    return first < second if name == "accuracy" else is_clearly_cheaper(first, second)


def is_clearly_cheaper(first: float, second: float) -> bool:
    """Whether the first cost is less than the second by more than measurement noise (NOISE)."""
    return first * NOISE < second


def dominates(first: Row, second: Row) -> bool:
    """Whether the first row is at least as accurate, clearly more expensive on no cost, and better on one criterion.

    If the accuracies are equal, the product of its costs must be less, too. Without this rule three rows could dominate
    each other in a circle: each clearly cheaper than the next on one cost and slightly more expensive on another.
    """
    mine, its = read_losses(first), read_losses(second)
    if mine["accuracy"] > its["accuracy"] or any(is_clearly_less(name, its[name], mine[name]) for name in COSTS):
        return False
    if mine["accuracy"] < its["accuracy"]:
        return True
    cheaper = any(is_clearly_less(name, mine[name], its[name]) for name in COSTS)
    return cheaper and _multiply_costs(mine) < _multiply_costs(its)


def difference_interval(first: Row, second: Row) -> tuple[float, float]:
    """95 % interval of first's top-1 minus second's, in [-1, 1]: the hybrid score interval (Newcombe 1998, method 10).

    It combines the two Wilson intervals and assumes independent samples. Scores on the same images are usually
    positively correlated, so the interval is too wide rather than too narrow: in doubt the result is a tie.
    """
    (p1, low1, high1), (p2, low2, high2) = read_estimate(first), read_estimate(second)
    difference = p1 - p2
    return difference - math.hypot(p1 - low1, high2 - p2), difference + math.hypot(high1 - p1, p2 - low2)


def are_tied(first: Row, second: Row) -> bool:
    """Whether chance alone could explain the difference in accuracy."""
    low, high = difference_interval(first, second)
    return low <= 0 <= high


def _multiply_costs(losses: dict[str, float]) -> tuple[int, float]:
    """The number of costs that were not measured, and the product of the measured ones."""
    measured = [losses[name] for name in COSTS if losses[name] < math.inf]
    return len(COSTS) - len(measured), math.prod(measured)


def _name_weights(model: Model, origin: str) -> str:
    """The origin to show. The config comes first: a run that continues another one has the weights of its first run."""
    from_scratch = model.name in _FROM_SCRATCH
    if model.weights == "none" or (model.weights == "auto" and from_scratch):
        return "scratch" if from_scratch else "random"
    return origin
