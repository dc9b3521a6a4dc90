"""Frozen features: a backbone's pooled outputs on each image, computed once and cached on disk.

The cache key is made of the network, its weights, its input size, the precision and the images; of the seed where
weights are random; and of the view where images are augmented. Screening, probes and the head that fine-tuning starts
from all read the same file. A cache hit reports the time that the features took when they were computed, so it does not
inflate throughput.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.cache import mark_used
from bakeoff.data.batches import Split
from bakeoff.data.views import View
from bakeoff.files import cache_dir, hash_json, read_json, replacing, write_json
from bakeoff.runs.events import RunProgress
from bakeoff.training.inference import Forward, compile_forward, predict_logits
from bakeoff.training.task import Task

__all__ = ["Features", "frozen_features", "once_compiled"]


@dataclass(frozen=True)
class Features:
    """Pooled features (n, d), and what computing them cost: now, or when they were cached."""

    values: NDArray[np.float32]
    seconds: float
    """Wall-clock seconds of computing them."""
    images_per_second: float
    """Throughput without the first batch, which compiles the network."""
    memory_peak_bytes: int


def once_compiled(task: Task) -> Callable[[], Forward]:
    """A function that returns the run's compiled network up to the features; it is compiled at the first call."""
    return functools.cache(lambda: compile_forward(task.network.features(task.run.model.size)))


def frozen_features(
    task: Task, *splits: Split, view: View | None = None, make_forward: Callable[[], Forward] | None = None
) -> list[Features]:
    """Compute, or read from the cache, the features of each split with the network's starting weights.

    Args:
        task: The run.
        splits: The images.
        view: How they are shown; None: as they are.
        make_forward: From `once_compiled`, where features are asked for several times.
    """
    make_forward = make_forward or once_compiled(task)
    doing = "features" if view is None else f"features of view {view.number}"

    found: list[Features] = []
    before, total = 0, sum(map(len, splits))
    for split in splits:

        def report(images: int, before: int = before) -> None:
            task.report(RunProgress(doing, (before + images) / total))

        found.append(_read_or_compute(task, split, view, make_forward, report))
        before += len(split)
    return found


def _read_or_compute(
    task: Task,
    split: Split,
    view: View | None,
    make_forward: Callable[[], Forward],
    report: Callable[[int], None],
) -> Features:
    run = task.run
    key = [run.model.name, run.model.size, task.source.hash, run.train.precision, task.dataset.pixels_key, split.ids]
    if run.model.source:
        # The number counts up when what computes such a network changes.
        key.append([run.model.source, 2])
    if task.source.path is None or task.loaded.matched < task.loaded.total:
        key.append(run.seed)  # Random weights depend on the seed, and so does what a partial load leaves random.
    if view is not None:
        key.append(view.key)
        split = view.of(split)
    path = cache_dir() / "features" / f"{hash_json(key)[:32]}.npy"
    if (cached := _read(path, len(split))) is not None:
        mark_used(path)
        return cached
    features = _compute(task, split, make_forward(), report)
    with replacing(path) as temporary:
        np.save(temporary, features.values)
    write_json(path.with_suffix(".json"), {name: value for name, value in vars(features).items() if name != "values"})
    return features


def _read(path: Path, images: int) -> Features | None:
    """The cached features; None if the file is missing or damaged, or has another number of images."""
    try:
        values: NDArray[np.float32] = np.load(path)
        features = Features(values, **read_json(path.with_suffix(".json")))
    except (OSError, EOFError, ValueError, TypeError):
        return None
    return features if values.shape[:1] == (images,) else None


def _compute(task: Task, split: Split, forward: Forward, report: Callable[[int], None]) -> Features:
    started = time.perf_counter()
    images_done: list[int] = []
    seconds: list[float] = []

    def count(images: int) -> None:
        images_done.append(images + (images_done[-1] if images_done else 0))
        seconds.append(time.perf_counter() - started)
        report(images_done[-1])

    values = predict_logits(forward, split, on_batch=count)
    # The first batch compiles the network, so it counts only if there is no other.
    timed = images_done[-1] - images_done[0]
    rate = timed / (seconds[-1] - seconds[0]) if timed else images_done[-1] / seconds[-1]
    return Features(values, time.perf_counter() - started, rate, task.memory.read())
