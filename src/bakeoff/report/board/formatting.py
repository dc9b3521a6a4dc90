"""Numbers as text with units, rounded for readers, and the caveats of a row.

Files keep the exact numbers; only views round them. A value that was not measured (0 or None) is a dash.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bakeoff.report.board.rows import Row, read_score
from bakeoff.runs.config import Metric, Mode
from bakeoff.runs.findings import Arm
from bakeoff.runs.metrics import Metrics
from bakeoff.runs.predictions import name_folds
from bakeoff.runs.record import Stage
from bakeoff.text import counted

__all__ = [
    "DASH",
    "Headline",
    "format_arm",
    "format_bytes",
    "format_caveats",
    "format_changes",
    "format_count",
    "format_difference",
    "format_ends",
    "format_estimate",
    "format_headline",
    "format_interval",
    "format_memory_error",
    "format_percent",
    "format_range",
    "format_score",
    "format_seconds",
    "format_value",
    "format_where",
    "name_images",
    "name_rungs",
]

# An en dash for a missing value, written by name because it looks like a hyphen.
DASH = "\N{EN DASH}"


def format_caveats(row: Row) -> list[str]:
    """What a reader would not expect: a probe outside the screen, random or incomplete weights, and a batch that was
    split to fit into memory."""
    caveats = []
    if row.mode is Mode.PROBE and row.stage is not Stage.SCREEN:
        caveats.append("a probe on frozen features")
    if row.weights == "random":
        caveats.append("RANDOM WEIGHTS")
    if row.tensors_matched < row.tensors_total:
        caveats.append(f"only {row.tensors_matched} of {counted(row.tensors_total, 'tensor')} loaded")
    if 0 < row.micro_batch < row.batch:
        caveats.append(f"micro-batch {row.micro_batch}, batch {row.batch}")
    return caveats


def format_changes(changes: Mapping[str, Any]) -> str:
    """Format keys of a run's config with their values: `learning rate 0.0012, batch 32`."""
    named = {"optim.name": "optimiser", "model.size": "input size", "augment.policy": "augmentation"}
    words = []
    for key, value in changes.items():
        name = named.get(key, key.rpartition(".")[2].replace("_", " "))
        words.append(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(words)


def format_memory_error(row: Row) -> str:
    """The error of the predicted peak memory against the measured one: `+9 %`; a dash if one is missing."""
    if not row.memory_predicted_bytes or not row.memory_peak_bytes:
        return DASH
    return f"{100 * row.memory_predicted_bytes / row.memory_peak_bytes - 100:+.0f} %"


def format_estimate(row: Row, metric: Metric | None = None) -> str:
    """A metric on validation and half the width of its 95 % interval: `84.2 ±1.0`, in percent; `0.512 ±0.030`, in nats.

    Args:
        row: The run.
        metric: The metric; None: the one that decides.
    """
    score, metric = read_score(row, metric), metric or row.metric
    value = format_value(row, metric)
    if score is None or score.interval is None:
        return value
    low, high = score.interval
    return f"{value} ±{(high - low) * metric.scale / 2:.{metric.digits}f}"


def format_value(row: Row, metric: Metric) -> str:
    """A metric on validation: `84.2`, in percent; `0.512`, in nats."""
    score = read_score(row, metric)
    return DASH if score is None else f"{score.value * metric.scale:.{metric.digits}f}"


def format_score(value: float | None, metric: Metric) -> str:
    """A metric with its unit: `84.2 %`, or `0.512` for log loss."""
    return DASH if value is None else f"{value * metric.scale:.{metric.digits}f}{metric.unit}"


def format_interval(interval: tuple[float, float], metric: Metric) -> str:
    """The interval of a metric: `83.1 to 85.2 %`, or `0.498 to 0.530` for log loss."""
    low, high = (f"{end * metric.scale:.{metric.digits}f}" for end in interval)
    return f"{low} to {high}{metric.unit}"


class Headline(NamedTuple):
    """The score to name first: the metric's title, its value, its interval, and top-1 if that is another metric."""

    title: str
    value: str
    interval: str
    top1: str


def format_headline(metrics: Metrics, metric: Metric) -> Headline:
    """The metric that decided, on a split; top-1 where it is not known."""
    estimate = metrics.read(metric)
    if estimate is None or estimate.interval is None or metric is Metric.TOP1:
        return Headline("top-1", format_percent(metrics.top1), format_range(metrics.top1_ci95), "")
    interval = format_interval(estimate.interval, metric)
    return Headline(metric.label, format_score(estimate.value, metric), interval, format_percent(metrics.top1))


def format_arm(arm: Arm) -> str:
    """The score of an arm with its interval: `84.2 % (83.1 to 85.2 %)`."""
    score, interval = arm.estimate
    return f"{format_score(score, arm.metric)} ({format_interval(interval, arm.metric)})"


def format_difference(difference: float, metric: Metric) -> str:
    """A difference between two scores with its sign: `+1.2`, in points; `+0.031`, in nats."""
    return f"{difference * metric.scale:+.{metric.digits}f}"


def format_ends(low: float, high: float, metric: Metric) -> str:
    """The interval of a difference: `-0.3 to +2.7`; `not known` where it is endless.

    It is where one of the two scores has no interval, as some in files of older versions.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "not known"
    return f"{format_difference(low, metric)} to {format_difference(high, metric)}"


def format_where(row: Row) -> str:
    """How a row was scored, in a sentence: `on validation`, or `in 10-fold cross-validation on 720 images`."""
    return f"in {_format_images(row)}" if row.folds else "on validation"


def name_images(rows: Sequence[Row]) -> str:
    """What the accuracies of a stage stand on; empty if nothing was scored.

    As in `10-fold cross-validation on 720 images; lenet@32: 72 validation images`.
    """
    names: dict[str, list[str]] = {}
    for row in rows:
        if row.val_images:
            names.setdefault(_format_images(row), []).append(row.name)
    if not names:
        return ""
    usual = max(names, key=lambda images: len(names[images]))
    others = [f"{', '.join(rows)}: {images}" for images, rows in names.items() if images != usual]
    return "; ".join([usual, *others])


def name_rungs(rows: Sequence[Row]) -> str:
    """That the runs of a race are compared by rung; empty for a stage without further rungs."""
    return "the last rung first; runs are compared within their rung" if any(row.rung for row in rows) else ""


def _format_images(row: Row) -> str:
    if row.folds:
        return f"{name_folds(row.folds, row.val_images)} on {counted(row.val_images, 'image')}"
    return counted(row.val_images, "validation image")


def format_percent(fraction: float | None) -> str:
    """A fraction of 1: 0.8423 is `84.2 %`."""
    return DASH if fraction is None else f"{fraction * 100:.1f} %"


def format_range(interval: tuple[float, float]) -> str:
    """An interval of fractions of 1: (0.831, 0.852) is `83.1 to 85.2 %`."""
    low, high = interval
    return f"{low * 100:.1f} to {high * 100:.1f} %"


def format_bytes(count: int) -> str:
    """Bytes in decimal megabytes or gigabytes; few of them in kilobytes or bytes."""
    if not count:
        return DASH
    if count < 1e5:
        return f"{count / 1e3:.2g} kB" if count >= 1e3 else f"{count} B"
    if count >= 1e9:
        return f"{count / 1e9:.2f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.2g} MB"


def format_count(count: int) -> str:
    """A count in thousands (k), millions (M) or thousands of millions (G)."""
    if not count:
        return DASH
    if count < 1e3:
        return str(count)
    scaled, unit = next((count / size, unit) for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if count >= size)
    return f"{scaled:.0f} {unit}" if scaled >= 100 else f"{scaled:.1f} {unit}"


def format_seconds(seconds: float) -> str:
    """Seconds; minutes from two minutes on, hours from two hours on."""
    if not seconds:
        return DASH
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
