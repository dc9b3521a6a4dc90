"""Frozen features: what a backbone says of each image, computed once and kept on disk by content.

The key is the network, its weights, its input size, the precision and the records: screening, probes and the
head that fine-tuning starts from all read the same file. What it cost to compute them is kept beside them, so that a
record never takes the reading of a file for the speed of a network.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.cache import mark_used
from bakeoff.data.batches import Split
from bakeoff.files import cache_dir, hash_json, read_json, replacing, write_json
from bakeoff.runs.events import RunProgress
from bakeoff.training.inference import Forward, compile_forward, predict_logits
from bakeoff.training.task import Task

__all__ = ["Features", "frozen_features"]


@dataclass(frozen=True)
class Features:
    """Pooled features (n, d), float32, and what computing them cost, now or when they went into the cache."""

    values: NDArray[np.float32]
    seconds: float
    images_per_second: float
    """Without the first batch, which compiles the network."""
    memory_peak_bytes: int


def frozen_features(task: Task, *splits: Split) -> list[Features]:
    """The features of each split in its order, by the task's network as it stands at the start."""
    forward = compile_forward(task.network.features(task.run.model.size))
    return [_read_or_compute(task, split, forward) for split in splits]


def _read_or_compute(task: Task, split: Split, forward: Forward) -> Features:
    run = task.run
    key = [run.model.name, run.model.size, task.source.hash, run.train.precision, task.dataset.fingerprint, split.ids]
    if task.source.path is None:
        key.append(run.seed)  # random weights are their seed's
    path = cache_dir() / "features" / f"{hash_json(key)[:32]}.npy"
    if (known := _read(path, len(split))) is not None:
        mark_used(path)
        return known
    features = _compute(task, split, forward)
    with replacing(path) as temporary:
        np.save(temporary, features.values)
    write_json(path.with_suffix(".json"), {name: value for name, value in vars(features).items() if name != "values"})
    return features


def _read(path: Path, images: int) -> Features | None:
    """What the cache has; None if that is nothing, or damaged."""
    try:
        values: NDArray[np.float32] = np.load(path)
        known = Features(values, **read_json(path.with_suffix(".json")))
    except (OSError, EOFError, ValueError, TypeError):
        return None
    return known if values.shape[:1] == (images,) else None


def _compute(task: Task, split: Split, forward: Forward) -> Features:
    started = time.perf_counter()
    done: list[tuple[int, float]] = []

    def count(images: int) -> None:
        done.append(((done[-1][0] if done else 0) + images, time.perf_counter() - started))
        task.tell(RunProgress("features", done[-1][0] / len(split)))

    values = predict_logits(forward, split, on_batch=count)
    (first, compiled), (last, ended) = done[0], done[-1]
    rate = (last - first) / (ended - compiled) if last > first else last / ended
    return Features(values, time.perf_counter() - started, rate, task.memory.read())
