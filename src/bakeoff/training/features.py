"""Frozen features: a backbone's pooled outputs on each image, computed once and cached on disk.

The cache key is made of the network, its weights, its input size, the precision and the images; of the seed where
weights are random; and of the view where images are augmented. Screening, probes and the head that fine-tuning starts
from all read the same file. A cache hit reports the time that the features took when they were computed, so it does not
inflate throughput. That time is kept for each machine (its device, and the threads of the process). On another one the
features of a few batches are computed again to measure it.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.cache import mark_used
from bakeoff.data.batches import Split
from bakeoff.data.views import View
from bakeoff.files import cache_dir, hash_json, read_json, replacing, write_json
from bakeoff.machine import count_cores
from bakeoff.profile import find_device
from bakeoff.runs.events import RunProgress
from bakeoff.training.inference import EVAL_BATCH, Forward, compile_forward, predict_logits
from bakeoff.training.memory import find_gpu
from bakeoff.training.task import Task
from bakeoff.variables import TF_NUM_INTEROP_THREADS

__all__ = ["Features", "find_machine", "frozen_features", "once_compiled"]

# Images on which the time of features from another machine is measured: the first batch compiles the network.
MEASURED_IMAGES = 4 * EVAL_BATCH


class _Cost(NamedTuple):
    seconds: float = 0.0
    images_per_second: float = 0.0
    memory_peak_bytes: int = 0


@dataclass(frozen=True)
class Features:
    """Pooled features (n, d), and what computing them costs on this machine, whether they are cached or not."""

    values: NDArray[np.float32]
    seconds: float
    """Wall-clock seconds of computing them."""
    images_per_second: float
    """Throughput without the first batch, which compiles the network."""
    memory_peak_bytes: int


def once_compiled(task: Task) -> Callable[[], Forward]:
    """A function that returns the run's compiled network up to the features; it is compiled at the first call."""
    return functools.cache(lambda: compile_forward(task.network.features(task.run.model.size)))


def find_machine() -> str:
    """16 hexadecimal digits of what a time holds for: the device, and the threads of this process."""
    threads = TF_NUM_INTEROP_THREADS.read() or str(count_cores())
    return hash_json([find_device().key, find_gpu(), threads])[:16]


def frozen_features(
    task: Task,
    *splits: Split,
    view: View | None = None,
    make_forward: Callable[[], Forward] | None = None,
    timed: bool = True,
) -> list[Features]:
    """Compute, or read from the cache, the features of each split with the network's starting weights.

    Args:
        task: The run.
        splits: The images.
        view: How they are shown; None: as they are.
        make_forward: From `once_compiled`, where features are asked for several times.
        timed: Whether their cost is asked for. If not, cached ones cost nothing.
    """
    make_forward = make_forward or once_compiled(task)
    doing = "features" if view is None else f"features of view {view.number}"

    found: list[Features] = []
    before, total = 0, sum(map(len, splits))
    for split in splits:

        def report(images: int, before: int = before) -> None:
            task.report(RunProgress(doing, (before + images) / total))

        found.append(_read_or_compute(task, split, view, make_forward, report, timed=timed))
        before += len(split)
    return found


def _read_or_compute(
    task: Task,
    split: Split,
    view: View | None,
    make_forward: Callable[[], Forward],
    report: Callable[[int], None],
    *,
    timed: bool,
) -> Features:
    path, machine = _find_path(task, split, view), find_machine()
    costs = _read_costs(path.with_suffix(".json"))

    def compute(part: Split) -> tuple[NDArray[np.float32], _Cost]:
        return _compute(task, view.of(part) if view else part, make_forward(), report)

    values = _read(path, len(split))
    if values is None:
        values, cost = compute(split)
        with replacing(path) as temporary:
            np.save(temporary, values)
    else:
        mark_used(path)
        if not timed or machine in costs:
            return Features(values, *(costs[machine] if timed else _Cost()))
        part = split.take(np.arange(min(len(split), MEASURED_IMAGES)))
        cost = compute(part)[1]
        cost = cost._replace(seconds=cost.seconds + (len(split) - len(part)) / cost.images_per_second)
    costs[machine] = cost
    write_json(path.with_suffix(".json"), {name: each._asdict() for name, each in costs.items()})
    return Features(values, *cost)


def _find_path(task: Task, split: Split, view: View | None) -> Path:
    """The file of the features; what they cost is beside it."""
    run = task.run
    key = [run.model.name, run.model.size, task.source.hash, run.train.precision, task.dataset.pixels_key, split.ids]
    if run.model.source:
        # The number counts up when what computes such a network changes.
        key.append([run.model.source, 2])
    if task.source.path is None or task.loaded.matched < task.loaded.total:
        key.append(run.seed)  # Random weights depend on the seed, and so does what a partial load leaves random.
    if view is not None:
        key.append(view.key)
    return cache_dir() / "features" / f"{hash_json(key)[:32]}.npy"


def _read(path: Path, images: int) -> NDArray[np.float32] | None:
    """The cached features; None if the file is missing or damaged, or has another number of images."""
    try:
        values: NDArray[np.float32] = np.load(path)
    except (OSError, EOFError, ValueError):
        return None
    return values if values.shape[:1] == (images,) else None


def _read_costs(path: Path) -> dict[str, _Cost]:
    """What the cached features cost, by machine; nothing if that is damaged, or of a version that named no machine."""
    try:
        return {machine: _Cost(**cost) for machine, cost in read_json(path).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _compute(
    task: Task, split: Split, forward: Forward, report: Callable[[int], None]
) -> tuple[NDArray[np.float32], _Cost]:
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
    return values, _Cost(time.perf_counter() - started, rate, task.memory.read())
