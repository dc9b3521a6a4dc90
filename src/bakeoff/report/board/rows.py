"""What a row of the board holds. The score of a row is its value of the metric that decides."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bakeoff.files import write_text
from bakeoff.networks.table import TABLE
from bakeoff.runs.config import Metric, Mode
from bakeoff.runs.metrics import Estimate
from bakeoff.runs.record import RunRecord, Stage, State

__all__ = [
    "COMPARISONS",
    "STAGES",
    "STATES",
    "Row",
    "field_of",
    "find_metric",
    "format_csv",
    "is_scored",
    "read_merit",
    "read_row",
    "read_score",
    "round_of",
    "write_board",
]

# The end of the name of a field that holds an interval.
_INTERVAL = "_ci95"

# Later stages come first because their results count more. TRAIN is a single run of full length.
STAGES = (Stage.REFIT, Stage.CONFIRM, Stage.TRAIN, Stage.TUNE, Stage.COMPARE, Stage.RACE, Stage.SCREEN)
# The stages that compare candidates. After them the winner is trained alone, with a probe beside it; `Winner.why` says
# which of the two is shipped.
COMPARISONS = (Stage.COMPARE, Stage.RACE, Stage.SCREEN)
# Completed rows come first, then those that were stopped.
STATES = {State.COMPLETE: 0, State.PRUNED: 1, State.RUNNING: 2, State.FAILED: 2}
_FROM_SCRATCH = {spec.name for spec in TABLE if spec.from_scratch}


class Row(BaseModel):
    """One run. Shares are fractions of 1, memory and files are bytes, times are seconds; 0 was not measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int | None
    """Position, best first; None for failed and running runs."""
    name: str
    """The network and its input size, as in `mobilenet-v2@96`."""
    state: State
    reason: str
    """Why the run was pruned or failed, or a note on a completed one."""
    stage: Stage
    id: str
    """Id of the run."""
    val_top1: float | None
    """Top-1 on the validation images; None if it was not scored."""
    val_top1_ci95: tuple[float, float] | None
    params_total: int
    """Parameters of the network, head included."""
    params_trainable: int
    """Those that were trained."""
    seconds_train: float
    """Seconds of training."""
    images_seen: int
    """Training images, each counted every time that it was used."""
    images_per_second: float
    """Training images per second of training."""
    memory_predicted_bytes: int
    """Predicted peak above the framework and the images."""
    memory_peak_bytes: int
    """Measured peak above the framework and the images."""
    model_bytes: int
    """Size of the saved model; 0 for a probe of the screen, which saves none."""
    batch: int
    """Images per step of the optimiser."""
    micro_batch: int
    """Images of a batch that are processed at once; less than `batch` if gradients were accumulated."""
    weights: str
    """Origin of the initial weights: `package`, `hub`, `preset`, `plugin`, `file` or `run`; `scratch` if the network
    has no pretrained weights, `random` if it has some that were not used."""
    tensors_matched: int
    """How many of the network's `tensors_total` tensors were loaded from the weights file."""
    tensors_total: int
    """Tensors of the network's backbone."""
    pareto: bool
    """Whether no other run of its stage (in a race: of its rung) and data is at least as good in all four criteria and
    better in one."""
    tie: bool
    """Whether validation cannot tell it from the best score of its stage (in a race: of its rung), or, of the best,
    from another one. Probes of a screen are told from the first by what is expected after fine-tuning."""
    metric: Metric = Metric.TOP1
    """The metric that decides. Metrics that were not computed are None."""
    val_balanced_accuracy: float | None = None
    """Balanced accuracy on the validation images."""
    val_balanced_accuracy_ci95: tuple[float, float] | None = None
    val_macro_f1: float | None = None
    """Macro F1 on them."""
    val_macro_f1_ci95: tuple[float, float] | None = None
    val_log_loss: float | None = None
    """Log loss on them, in nats."""
    val_log_loss_ci95: tuple[float, float] | None = None
    val_auroc: float | None = None
    """AUROC on them."""
    val_auroc_ci95: tuple[float, float] | None = None
    mode: Mode = Mode.FIT
    """`fit`, or `probe`: a linear classifier on frozen features."""
    val_images: int = 0
    """Images that the scores were measured on; 0: not scored."""
    folds: int = 0
    """Folds of the cross-validation that they are from; 0: validation images alone."""
    licence: str = ""
    """Licence of the initial weights, where it is known."""
    # The others are no column of the board.
    out: Path | None = Field(None, exclude=True)
    """The study's folder, which has the predictions; None: they are not read."""
    rung: int = Field(0, exclude=True)
    """Runs of the race that it continues: 0 in the first rung of a race, and in other stages."""
    seconds_planned: float = Field(0.0, exclude=True)
    """Training seconds that the study planned for its winner; 0: not known."""
    train_images: int = Field(0, exclude=True)
    """Images of the training split."""
    classes: int = Field(0, exclude=True)
    """Classes of the data; 0: not known."""
    fingerprint: str = Field("", exclude=True)
    """Hash of the images and labels; only rows of the same data are compared."""
    is_other: bool = Field(False, exclude=True)
    """Whether it is of other data than the study in whose folder it is."""


def find_metric(records: Sequence[RunRecord]) -> Metric:
    """The metric that decides about runs; top-1 if not all have the same."""
    metrics = {record.metric for record in records}
    return metrics.pop() if len(metrics) == 1 else Metric.TOP1


def read_row(
    record: RunRecord,
    metric: Metric | None = None,
    out: Path | None = None,
    rung: int = 0,
    *,
    is_other: bool = False,
) -> Row:
    """Convert a record to a row without rank and marks.

    Args:
        record: The run.
        metric: The metric that decides; None: the run's.
        out: The study's folder; with it, cross-validated rows are compared in pairs of predictions.
        rung: Runs of the race that it continues.
        is_other: Whether it is of other data than the study's.
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
        weights=_name_weights(record),
        tensors_matched=record.weights.tensors_matched,
        tensors_total=record.weights.tensors_total,
        pareto=False,
        tie=False,
        mode=record.config.train.mode,
        val_images=record.val.n if record.val else 0,
        folds=record.folds,
        licence=record.weights.licence,
        out=out,
        rung=rung,
        seconds_planned=record.seconds_planned,
        train_images=record.data.counts.get("train", 0),
        classes=record.data.classes,
        fingerprint=record.data.fingerprint,
        is_other=is_other,
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


def round_of(row: Row) -> tuple[int, int]:
    """The stage of a row and, in a race, its rung, as a number that is less for later ones.

    Rows of one round had the same training, as far as the study decides it, so only these are compared (`field_of`).
    """
    return STAGES.index(row.stage), -row.rung


def field_of(row: Row) -> tuple[int, int, str]:
    """What rows have to share to be compared: the round, and the data. `bakeoff train` may have written others."""
    return *round_of(row), row.fingerprint


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


def _name_weights(record: RunRecord) -> str:
    """The origin to show. The config comes first: a run that continues another one has the weights of its first run."""
    model, origin, plugin = record.config.model, record.weights.origin, record.plugin
    from_scratch = plugin.from_scratch if plugin else model.name in _FROM_SCRATCH
    if model.weights == "none" or (model.weights == "auto" and from_scratch):
        return "scratch" if from_scratch else "random"
    return origin
