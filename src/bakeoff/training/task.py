"""One run's pieces in memory, as its process holds them, and what comes back when it is done."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import Split, load_split
from bakeoff.data.shards import Dataset, open_dataset
from bakeoff.errors import ConfigError
from bakeoff.networks.model import Network, build_network, freeze
from bakeoff.networks.table import find_network
from bakeoff.networks.weights import LoadReport, WeightsSource, load_weights, locate_start
from bakeoff.runs.config import Mode, Run
from bakeoff.runs.events import RunProgress
from bakeoff.runs.record import HistoryRow, Seconds
from bakeoff.training.memory import PeakMemory, available_memory, predict_memory
from bakeoff.training.replicas import Replicas, open_replicas

__all__ = ["Outcome", "Task", "open_task"]


@dataclass(frozen=True)
class Task:
    """Everything a run needs, ready to use. `tell` may be called as often as one likes."""

    run: Run
    folder: Path
    dataset: Dataset
    train: Split
    val: Split
    source: WeightsSource
    loaded: LoadReport
    network: Network
    micro_batch: int
    """Images of a training batch that are in memory at once."""
    memory_predicted_bytes: int
    memory: PeakMemory
    replicas: Replicas
    tell: Callable[[RunProgress], None]
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
    memory_peak_bytes: int
    params_total: int
    params_trainable: int
    model: keras.Model | None = None
    history: list[HistoryRow] = field(default_factory=list)
    note: str = ""


def open_task(
    run: Run,
    folder: Path,
    data: Path,
    tell: Callable[[RunProgress], None],
    micro_batch: int | None = None,
    source: WeightsSource | None = None,
) -> Task:
    """Load data and network; a micro-batch that is predicted not to fit is halved until it does.

    It starts from `source`, or else from what the config names.

    Raises ConfigError (also if not even one image at a time would fit), DataError or WeightsError.
    """
    started = time.perf_counter()
    # It divides the devices, which has to come before anything is computed.
    replicas = open_replicas(run.train.batch) if run.train.mode is Mode.FIT else Replicas()
    dataset = open_dataset(data, run.data.classes, run.data.seed)
    train = load_split(dataset, "train", subset=run.train.subset)
    val = load_split(dataset, "val", subset=run.train.val_images)
    seconds_data = time.perf_counter() - started
    # The framework and the images are the same for every network, so they are the baseline of its memory.
    memory = PeakMemory()
    row = find_network(run.model.name)
    if row.from_scratch and (run.train.sizes or run.train.probe_images):
        raise ConfigError(f"{row.name} is trained from scratch at one size: remove train.sizes and train.probe_images")
    if run.model.start and run.train.probe_images:
        raise ConfigError("model.start brings a trained head: remove train.probe_images")
    source = source or locate_start(run.model, folder.parents[1])
    keras.config.set_dtype_policy(run.train.precision.value)
    keras.utils.set_random_seed(run.seed)
    with replicas.scope():
        # Variables made inside it exist as shapes alone until it ends, so the prediction comes before their memory.
        with keras.StatelessScope():
            network = build_network(row, run.model, side=dataset.side, classes=len(dataset.class_names))
            freeze(network.backbone, run.model.unfreeze, run.model.batch_norm)
            micro_batch, predicted = _fit_memory(network, run, micro_batch or run.train.batch, replicas.count)
        loaded = LoadReport(0, 0)
        if source.origin == "run":
            network.adopt(keras.models.load_model(source.path, compile=False), run.model.size)
        elif source.path is not None:
            loaded = load_weights(network.backbone, row, source, partial=run.model.partial_weights)
    return Task(
        run=run,
        folder=folder,
        dataset=dataset,
        train=train,
        val=val,
        source=source,
        loaded=loaded,
        network=network,
        micro_batch=micro_batch,
        memory_predicted_bytes=predicted,
        memory=memory,
        replicas=replicas,
        tell=tell,
        seconds_data=seconds_data,
    )


def _fit_memory(network: Network, run: Run, micro_batch: int, devices: int) -> tuple[int, int]:
    """The largest half, quarter, ... of the micro-batch whose part on a device is predicted to fit, and its predicted
    bytes there."""
    if run.train.mode is Mode.PROBE:
        return micro_batch, predict_memory(network, run, training=False)
    limit = os.environ.get("BAKEOFF_RUN_MEMORY_BYTES", "")
    if limit and not limit.isdecimal():
        raise ConfigError(f"BAKEOFF_RUN_MEMORY_BYTES is {limit!r}; give a number of bytes, as in 4000000000")
    room = int(limit) if limit else available_memory()
    while (predicted := predict_memory(network, run, batch=-(-micro_batch // devices))) > room:
        if micro_batch == 1:
            raise ConfigError(
                f"not enough memory: even one image at a time would take {predicted / 1e6:,.0f} MB, and"
                f" {room / 1e6:,.0f} MB are free; choose a smaller input or network"
            )
        micro_batch = -(-micro_batch // 2)
    return micro_batch, predicted
