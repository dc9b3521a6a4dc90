"""One run's pieces in memory, as its process holds them, and what comes back when it is done."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from bakeoff.backbones import find_backbone
from bakeoff.config import Run
from bakeoff.cost import PeakMemory
from bakeoff.errors import ConfigError
from bakeoff.model import Network, build_network, freeze
from bakeoff.pipeline import Split, load_split
from bakeoff.runs import HistoryRow, Seconds
from bakeoff.shards import Dataset, open_dataset
from bakeoff.weights import WeightsSource, load_weights, locate_start

__all__ = ["Outcome", "Progress", "Task", "open_task"]


@dataclass(frozen=True)
class Progress:
    """Where a run stands: what it is doing, how far it is in [0, 1], and its latest validation top-1."""

    doing: str
    fraction: float
    epoch: float = 0.0
    val_top1: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Task:
    """Everything a run needs, ready to use. `tell` may be called as often as one likes."""

    run: Run
    folder: Path
    dataset: Dataset
    train: Split
    val: Split
    source: WeightsSource
    network: Network
    memory: PeakMemory
    tell: Callable[[Progress], None]
    seconds_data: float

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.dataset.class_names)


@dataclass(frozen=True)
class Outcome:
    """What a finished run hands to its record. Logits are float32 (n, classes) on the task's validation split."""

    val_logits: NDArray[np.float32]
    seconds: Seconds
    images_seen: int
    images_per_second: float
    epochs: float
    memory_predicted_bytes: int
    memory_peak_bytes: int
    params_total: int
    params_trainable: int
    model: keras.Model | None = None
    history: list[HistoryRow] = field(default_factory=list)
    note: str = ""


def open_task(run: Run, folder: Path, data: Path, tell: Callable[[Progress], None]) -> Task:
    """Load data and network. Raises ConfigError, DataError or WeightsError."""
    started = time.perf_counter()
    dataset = open_dataset(data, run.data.classes, run.data.seed)
    train = load_split(dataset, "train", subset=run.train.subset)
    val = load_split(dataset, "val", subset=run.train.val_images)
    seconds_data = time.perf_counter() - started
    # The framework and the images are the same for every network, so they are the baseline of its memory.
    memory = PeakMemory()
    row = find_backbone(run.model.name)
    if row.scratch and (run.train.sizes or run.train.probe_images):
        raise ConfigError(f"{row.name} is trained from scratch at one size: remove train.sizes and train.probe_images")
    if run.model.start and run.train.probe_images:
        raise ConfigError("model.start brings a trained head: remove train.probe_images")
    source = locate_start(run.model, folder.parents[1])
    keras.config.set_dtype_policy(run.train.precision.value)
    keras.utils.set_random_seed(run.seed)
    network = build_network(row, run.model, side=dataset.side, classes=len(dataset.class_names))
    if source.origin == "run":
        network.adopt(keras.models.load_model(source.path, compile=False), run.model.size)
    elif source.path is not None:
        load_weights(network.backbone, row, source)
    freeze(network.backbone, run.model.unfreeze if source.path is not None else 1.0, run.model.batch_norm)
    return Task(run, folder, dataset, train, val, source, network, memory, tell, seconds_data)
