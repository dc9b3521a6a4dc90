"""What a row of the board holds, and how two rows compare: scores exactly, costs up to measurement noise.

The score of a row is its value of the metric that decides. The criterion `accuracy` means that metric.
"""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bakeoff.files import write_text
from bakeoff.networks.table import TABLE
from bakeoff.profile import FORWARD_PER_TRAINING_STEP
from bakeoff.runs.config import Metric, Mode, Model
from bakeoff.runs.metrics import Estimate
from bakeoff.runs.paired import difference_on_shared
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
    "find_metric",
    "format_csv",
    "is_clearly_cheaper",
    "is_clearly_less",
    "is_scored",
    "order_of",
    "read_losses",
    "read_merit",
    "read_row",
    "read_score",
    "write_board",
]

# The end of the name of a field that holds an interval.
_INTERVAL = "_ci95"
COSTS = ("memory", "params", "time")
CRITERIA = ("accuracy", *COSTS)

# Later stages come first because their results count more. TRAIN is a single run of full length.
STAGES = (Stage.REFIT, Stage.CONFIRM, Stage.TRAIN, Stage.TUNE, Stage.COMPARE, Stage.RACE, Stage.SCREEN)
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
    """One run. Shares are fractions of 1, memory and files are bytes, times are seconds; 0 was not measured."""

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
    """Size of the saved model; 0 for a probe of the screen, which saves none."""
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
    metric: Metric = Metric.TOP1
    """The metric that decides. Metrics that were not computed are None."""
    val_balanced_accuracy: float | None = None
    val_balanced_accuracy_ci95: tuple[float, float] | None = None
    val_macro_f1: float | None = None
    val_macro_f1_ci95: tuple[float, float] | None = None
    val_log_loss: float | None = None
    val_log_loss_ci95: tuple[float, float] | None = None
    val_auroc: float | None = None
    val_auroc_ci95: tuple[float, float] | None = None
    mode: Mode = Mode.FIT
    """`fit`, or `probe`: a linear classifier on frozen features."""
    val_images: int = 0
    """Images that the scores were measured on; 0: not scored."""
    folds: int = 0
    """Folds of the cross-validation that they are from; 0: validation images alone."""
    # The others are no column of the board.
    out: Path | None = Field(None, exclude=True)
    """The study's folder, which has the predictions; None: they are not read."""
    seconds_planned: float = Field(0.0, exclude=True)
    """Training seconds that the study planned for its winner; 0: not known."""
    train_images: int = Field(0, exclude=True)
    """Images of the training split."""


def find_metric(records: Sequence[RunRecord]) -> Metric:
    """The metric that decides about runs; top-1 if not all have the same."""
    metrics = {record.metric for record in records}
    return metrics.pop() if len(metrics) == 1 else Metric.TOP1


def read_row(record: RunRecord, metric: Metric | None = None, out: Path | None = None) -> Row:
    """Convert a record to a row without rank and marks.

    Args:
        record: The run.
        metric: The metric that decides; None: the run's.
        out: The study's folder; with it, cross-validated rows are compared in pairs of predictions.
    """
    estimates = {metric.field: record.val.read(metric) if record.val else None for metric in Metric}
    scores: dict[str, Any] = {}
    for field, estimate in estimates.items():
        scores |= {f"val_{field}": estimate and estimate.value, f"val_{field}_ci95": estimate and estimate.interval}
    return Row(
        rank=None,
        name=record.candidate,
        state=record.state,
        reason=record.reason,
        stage=record.stage,
        id=record.id,
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
        mode=record.config.train.mode,
        val_images=record.val.n if record.val else 0,
        folds=record.folds,
        out=out,
        seconds_planned=record.seconds_planned,
        train_images=record.data.counts.get("train", 0),
        metric=metric or record.metric,
        **scores,
    )


def write_board(out: Path, rows: Sequence[Row]) -> None:
    """Write `board.csv` atomically."""
    write_text(out / "board.csv", format_csv(rows))


def format_csv(rows: Sequence[Row]) -> str:
    """The board as CSV: the fields of Row, an interval as two columns, unrounded numbers, empty cells for None."""
    names: list[str] = []
    for name, field in Row.model_fields.items():
        if not field.exclude:
            names += [f"{name}_low", f"{name}_high"] if name.endswith(_INTERVAL) else [name]
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = row.model_dump(mode="json")
        for name in [name for name in cells if name.endswith(_INTERVAL)]:
            cells[f"{name}_low"], cells[f"{name}_high"] = cells.pop(name) or (None, None)
        writer.writerow({key: str(cell).lower() if isinstance(cell, bool) else cell for key, cell in cells.items()})
    return file.getvalue()


def is_scored(row: Row) -> bool:
    """Whether a row completed and has a score; only such rows are compared."""
    return row.state is State.COMPLETE and read_score(row) is not None


def read_score(row: Row, metric: Metric | None = None) -> Estimate | None:
    """A metric of a row, by default the one that decides, with its interval; None if it is not known."""
    field = f"val_{(metric or row.metric).field}"
    value = getattr(row, field)
    return None if value is None else Estimate(value, getattr(row, f"{field}_ci95"))


def read_merit(row: Row) -> float:
    """The score of a row as a number of which more is better; a row without a score is worse than any other."""
    score = read_score(row)
    return -math.inf if score is None else row.metric.merit(score.value)


def read_losses(row: Row) -> dict[str, float]:
    """The four criteria as losses: less is better. A cost that was not measured is infinite, so it never wins."""
    costs = (row.memory_peak_bytes, row.params_trainable, row.seconds_train)
    return dict(zip(CRITERIA, (-read_merit(row), *(cost or math.inf for cost in costs)), strict=True))


def order_of(row: Row) -> tuple[int, int, float, bool, float, str, str]:
    """Sort key: state, stage, score (in the screen: expected error), training seconds, name, id.

    Of equally good runs outside the screen, one that trained the network comes before a probe.
    """
    losses = read_losses(row)
    screened = row.stage is Stage.SCREEN and is_scored(row)
    loss = expect_error(row) if screened else losses["accuracy"]
    is_probe = row.mode is Mode.PROBE and not screened
    return STATES[row.state], STAGES.index(row.stage), loss, is_probe, losses["time"], row.name, row.id


def expect_error(row: Row) -> float:
    """Expected error of a screened row after the planned training time, up to a constant factor; the order matters.

    A network that trains twice as fast sees twice as many images in that time. Each doubling of the images seen is
    assumed to reduce the error by an eighth, up to MAX_EPOCHS passes over the training images.
    """
    images = max(estimate_training_rate(row), 1e-9)
    if row.seconds_planned:
        images = min(images * row.seconds_planned, MAX_EPOCHS * max(row.train_images, 1))
    score = read_score(row)
    error = math.inf if score is None else row.metric.error(score.value)
    return error * math.pow(images / max(row.images_seen, 1), -GAIN)


def estimate_training_rate(row: Row) -> float:
    """Images per second in training; a probe has measured forward passes only."""
    return row.images_per_second / (FORWARD_PER_TRAINING_STEP if row.mode is Mode.PROBE else 1)


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
    """95 % interval of how much better first's score is than second's: the hybrid score interval.

    It combines the intervals of the two scores (Newcombe 1998, method 10, for proportions; Zou & Donner 2008) and
    assumes independent samples. Scores on the same images are usually positively correlated, so the interval is too
    wide rather than too narrow: in doubt the result is a tie. If a row is cross-validated, it is the paired interval on
    the images that both were scored on, where those are known.
    """
    if first.out and (first.folds or second.folds):
        paired = difference_on_shared(first.out, first.id, second.id, first.metric)
        if paired is not None:
            return paired
    (p1, low1, high1), (p2, low2, high2) = _read_range(first), _read_range(second)
    difference = p1 - p2
    return difference - math.hypot(p1 - low1, high2 - p2), difference + math.hypot(high1 - p1, p2 - low2)


def are_tied(first: Row, second: Row) -> bool:
    """Whether chance alone could explain the difference of the scores."""
    low, high = difference_interval(first, second)
    return low <= 0 <= high


def _read_range(row: Row) -> tuple[float, float, float]:
    """The score and the ends of its interval, as numbers of which more is better; without an interval it is endless."""
    score = read_score(row)
    if score is None or score.interval is None:
        return read_merit(row), -math.inf, math.inf
    low, high = sorted(map(row.metric.merit, score.interval))
    return row.metric.merit(score.value), low, high


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
