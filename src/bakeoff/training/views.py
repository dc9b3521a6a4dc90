"""The head of a probe, fitted on augmented views of its images too, and kept if it is better on validation.

Augmentation shows a linear head the same images in other ways, as it does when a network is fine-tuned, but each view
is computed once. It is the part of fine-tuning that a machine without a GPU has time for with a large network.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.views import list_views
from bakeoff.runs.config import Metric
from bakeoff.runs.measures import prepare
from bakeoff.text import counted
from bakeoff.training.features import Features, frozen_features
from bakeoff.training.head import LinearHead, fit_head
from bakeoff.training.inference import Forward
from bakeoff.training.task import Task

__all__ = ["Tuned", "tune_head"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Tuned:
    """The better of two heads, and what trying the second one cost."""

    head: LinearHead
    views: int
    """Views of each image that the head was fitted on; 0 if the one of the images alone was kept."""
    tried: int
    """Views of each image whose features were computed."""
    features: Sequence[Features]
    """The features of all views."""
    fit_seconds: float
    note: str
    """Which head was kept, and why."""


def tune_head(
    task: Task,
    plain: LinearHead,
    values: Floats,
    val_values: Floats,
    *,
    make_forward: Callable[[], Forward],
    seconds: float,
    fit_seconds: float,
) -> Tuned:
    """Fit a second head, on views of the images too, and keep the better one by the metric that decides.

    A run that learns its validation images has nothing to compare by: it keeps the second one. Where its time is short,
    a run makes fewer views than its config asks for.

    Args:
        task: The run.
        plain: The head of the images alone.
        values: Features of the images that are learned, (n, d).
        val_values: Features of the validation images.
        make_forward: From `once_compiled`.
        seconds: Seconds that `values` took.
        fit_seconds: Seconds that fitting `plain` took.
    """
    config, labels = task.run.train, task.learned.labels
    splits = [task.train, task.val] if config.with_val else [task.train]
    found: list[Features] = []
    tried = 0
    for view in list_views(task.run.augment, config.probe_views, task.run.seed):
        if not _has_time(task, seconds + (2 + tried) * fit_seconds):
            break
        found += frozen_features(task, *splits, view=view, make_forward=make_forward)
        tried += 1
    planned = config.probe_views
    cut = "" if tried == planned else f"; there was no time for {counted(planned - tried, 'more view')}"
    if not tried:
        note = f"its head was fitted without augmented views: there was no time for the {planned} that were planned"
        return Tuned(plain, 0, 0, (), 0.0, note)
    started = time.perf_counter()
    rows = np.concatenate([values, *(each.values for each in found)])
    second = fit_head(rows, labels, task.classes, config.balance, views=tried)
    fit_seconds = time.perf_counter() - started
    on_views = f"{counted(tried, 'augmented view')} of each image"
    if config.with_val:
        return Tuned(second, tried, tried, found, fit_seconds, f"its head was also fitted on {on_views}{cut}")
    metric = config.metric
    alone, both = (_rate(head.logits(val_values), task.val.labels, metric) for head in (plain, second))
    with_views, without = (_format(metric, rated) for rated in (both, alone))
    if both > alone:
        note = f"its head was also fitted on {on_views}: {with_views} on validation, {without} without{cut}"
        return Tuned(second, tried, tried, found, fit_seconds, note)
    note = f"its head was fitted on the images alone: {without} on validation, {with_views} also with {on_views}{cut}"
    return Tuned(plain, 0, tried, found, fit_seconds, note)


def _has_time(task: Task, seconds: float) -> bool:
    if task.wall_seconds is None or task.run.train.deterministic:
        return True
    return time.monotonic() + seconds <= task.started + task.wall_seconds


def _rate(logits: Floats, labels: NDArray[np.int32], metric: Metric) -> tuple[float, float]:
    """The metric as a score of which more is better. Of heads with equal scores, less log loss is better."""
    merits = []
    for each in (metric, Metric.LOG_LOSS):
        measure = prepare(each, logits, labels)
        merits.append(-math.inf if measure is None else each.merit(measure.value))
    return merits[0], merits[1]


def _format(metric: Metric, rated: tuple[float, float]) -> str:
    if not math.isfinite(rated[0]):
        return f"no {metric.label}"
    return f"{metric.label} {metric.merit(rated[0]) * metric.scale:.{metric.digits}f}{metric.unit}"
