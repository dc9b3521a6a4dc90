"""Frozen features: what a backbone says of each image, computed once and kept on disk by content.

The key is the network, its weights, its input size, the precision and the records: screening, probes and the
head that fine-tuning starts from all read the same file. What it cost to compute them is kept beside them, so that a
record never takes the reading of a file for the speed of a network.
"""

import json
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.evaluate import compile_forward, predict_logits
from bakeoff.files import cache_dir, hash_json, replacing, write_json
from bakeoff.pipeline import Split
from bakeoff.task import Progress, Task

__all__ = ["Features", "frozen_features"]


@dataclass(frozen=True)
class Features:
    """Pooled features (n, d), float32, and what computing them cost, now or when they went into the cache."""

    values: NDArray[np.float32]
    seconds: float
    memory_peak_bytes: int


def frozen_features(task: Task, split: Split) -> Features:
    """The features of a split in its order, by the task's network as it stands at the start."""
    run = task.run
    key = [run.model.name, run.model.size, task.source.hash, run.train.precision, task.dataset.fingerprint, split.ids]
    if task.source.path is None:
        key.append(run.seed)  # random weights are their seed's
    path = cache_dir() / "features" / f"{hash_json(key)[:32]}.npy"
    cost_path = path.with_suffix(".json")
    if not (path.is_file() and cost_path.is_file()):
        started = time.perf_counter()
        features = _compute(task, split)
        cost = {"seconds": time.perf_counter() - started, "memory_peak_bytes": task.memory.read()}
        with replacing(path) as temporary:
            np.save(temporary, features)
        write_json(cost_path, cost)
    values: NDArray[np.float32] = np.load(path)
    return Features(values, **json.loads(cost_path.read_text(encoding="utf-8")))


def _compute(task: Task, split: Split) -> NDArray[np.float32]:
    done = 0

    def count(images: int) -> None:
        nonlocal done
        done += images
        task.tell(Progress("features", done / len(split)))

    forward = compile_forward(task.network.features(task.run.model.size))
    return predict_logits(forward, split, on_batch=count)
