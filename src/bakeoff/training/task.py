"""Everything that one run needs, loaded into its process, and the outcome of the run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import Split, load_split
from bakeoff.data.shards import Dataset, open_dataset
from bakeoff.errors import ConfigError
from bakeoff.networks.blocks import freeze
from bakeoff.networks.find import find_network
from bakeoff.networks.lora import enable_lora
from bakeoff.networks.model import Network, build_network
from bakeoff.networks.saved import open_model
from bakeoff.networks.weights import LoadReport, WeightsSource, load_weights, locate_starting_weights
from bakeoff.profile import MemoryEstimate, correct_memory, read_profile
from bakeoff.runs.config import Mode, Run
from bakeoff.runs.events import RunProgress
from bakeoff.runs.record import Seconds
from bakeoff.training.memory import PeakMemory, available_memory, find_gpu, predict_memory
from bakeoff.training.replicas import Replicas, open_replicas
from bakeoff.variables import RUN_MEMORY_BYTES

__all__ = ["Folded", "Outcome", "Task", "open_task"]


@dataclass(frozen=True)
class Task:
    """Everything that a run needs, ready to use."""

    run: Run
    folder: Path
    dataset: Dataset
    train: Split
    val: Split
    """The validation images. With `train.with_val` they are learned, and not scored."""
    source: WeightsSource
    """Where the starting weights come from."""
    loaded: LoadReport
    """How many tensors were loaded from it."""
    network: Network
    micro_batch: int
    """Number of images of a training batch in memory at once."""
    memory_modelled_bytes: int
    """Peak on each device, as counted from shapes."""
    memory_expected: MemoryEstimate
    """The same, corrected by the peaks measured on this machine."""
    memory: PeakMemory
    replicas: Replicas
    report: Callable[[RunProgress], None]
    """Called with the progress; may be called often."""
    seconds_data: float
    """Seconds that loading the data took."""
    started: float
    """The time of `time.monotonic` at which the run's process was started, or given the run."""
    wall_seconds: float | None = None
    """Wall-clock seconds from then on in which the run has to end; None for no limit."""
    keep_time: Callable[[], None] = lambda: None
    """Called before each checkpoint: stores how long the run has taken so far, for its record if it is resumed."""

    @cached_property
    def learned(self) -> Split:
        """The images that the run learns: those of training, or those of training and validation."""
        return self.train.joined(self.val) if self.run.train.with_val else self.train

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.dataset.class_names)


class Folded(NamedTuple):
    """The images that a cross-validation has scored: those of validation and of training."""

    labels: NDArray[np.int32]
    """(n,)."""
    ids: list[str]
    folds: NDArray[np.int32]
    """The fold of each image, (n,)."""


@dataclass(frozen=True)
class Outcome:
    """The result of a finished run, for its record."""

    val_logits: NDArray[np.float32] | None
    """Logits (n, classes) on the task's validation split, or on the images of `folded`; None if it was learned."""
    seconds: Seconds
    images_seen: int
    images_per_second: float
    epochs: float
    memory_peak_bytes: int
    params_total: int
    params_trainable: int
    model: keras.Model
    """The trained network."""
    scored_per_second: float = 0.0
    folded: Folded | None = None
    """The images that were scored if that was done by cross-validation; None: those of the validation split."""
    note: str = ""
    """What was unusual, such as an early stop."""
    start_kept: bool = False
    """Whether the model is the one that training started from, because training made it worse."""
    head_views: int = 0
    """Augmented views of each image that the head of a probe was fitted on; 0: the images alone."""


def open_task(
    run: Run,
    folder: Path,
    data: Path,
    report: Callable[[RunProgress], None],
    micro_batch: int | None = None,
    source: WeightsSource | None = None,
    started: float | None = None,
    wall_seconds: float | None = None,
    keep_time: Callable[[], None] = lambda: None,
) -> Task:
    """Load data and network. A micro-batch that is predicted not to fit into memory is halved until it fits.

    Args:
        run: The config.
        folder: The run's folder, `OUT/runs/ID`.
        data: The folder of shards.
        report: Called with the progress.
        micro_batch: Largest number of images in memory at once; the run's batch if not given.
        source: The starting weights; those that the config names if not given.
        started: The time of `time.monotonic` at which the run's process was started; now if not given.
        wall_seconds: Wall-clock seconds from then on in which the run has to end; None for no limit.
        keep_time: Called before each checkpoint.

    Raises:
        ConfigError: Keys of the config contradict each other, or not even one image at a time is predicted to fit.
        DataError: The data is damaged.
        WeightsError: The starting weights are missing or do not belong to the network.
    """
    opened = time.monotonic()
    # Devices must be configured before TensorFlow computes anything.
    replicas = open_replicas(run.train.batch) if run.train.mode is Mode.FIT else Replicas()
    dataset = open_dataset(data, run.data.classes, run.data.seed, run.data.fit).at_input(run.model.size)
    train = load_split(dataset, "train", subset=run.train.subset)
    with_val = run.train.with_val
    val = load_split(dataset, "val", subset=None if with_val else run.train.val_images)
    seconds_data = time.monotonic() - opened
    # Memory is measured above this baseline: framework and images take the same for every network.
    memory = PeakMemory()
    spec = find_network(run.model.name)
    if spec.from_scratch and (run.train.sizes or run.train.probe_images):
        raise ConfigError(f"{spec.name} is trained from scratch at one size: remove train.sizes and train.probe_images")
    if spec.one_size and run.train.sizes:
        raise ConfigError(f"{spec.name} is built for one input size: remove train.sizes")
    if run.model.start and run.train.probe_images:
        raise ConfigError("model.start brings a trained head: remove train.probe_images")
    if run.model.lora and run.train.mode is Mode.PROBE:
        raise ConfigError("a probe trains nothing but its head: remove model.lora")
    if run.train.xla and find_gpu() is None:
        raise ConfigError("train.xla is for GPUs: on CPUs steps take longer with it; remove it")
    source = source or locate_starting_weights(run.model, folder.parents[1])
    keras.config.set_dtype_policy(run.train.precision.value)
    keras.utils.set_random_seed(run.seed)
    with replicas.scope():
        # Inside this scope variables are only shapes, so memory is predicted before any is allocated.
        with keras.StatelessScope():
            network = build_network(spec, run.model, side=dataset.side, classes=len(dataset.class_names))
            freeze(network.backbone, run.model.unfreeze, run.model.batch_norm)
            fitted = (len(train) + (len(val) if run.train.folds or with_val else 0)) * (1 + run.train.probe_views)
            micro_batch, modelled, expected = _fit_memory(
                network, run, micro_batch or run.train.batch, replicas.count, images=fitted
            )
        loaded = LoadReport(0, 0)
        if source.origin == "run":
            assert source.path is not None
            network.copy_weights(open_model(source.path, spec.plugin), run.model.size)
        elif source.path is not None:
            loaded = load_weights(network.backbone, spec, source, partial=run.model.partial_weights)
        if run.model.lora:
            enable_lora(network.backbone, run.model.lora)
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
        memory_modelled_bytes=modelled,
        memory_expected=expected,
        memory=memory,
        replicas=replicas,
        report=report,
        seconds_data=seconds_data,
        started=opened if started is None else started,
        wall_seconds=wall_seconds,
        keep_time=keep_time,
    )


def _fit_memory(
    network: Network, run: Run, micro_batch: int, devices: int, *, images: int
) -> tuple[int, int, MemoryEstimate]:
    """Halve the micro-batch until each device's part of it is predicted to fit, with a margin for the uncertainty.

    Returns:
        The micro-batch, and the peak of each device in bytes: as modelled, and as expected on this machine.
    """
    profile = read_profile()
    probed = images if run.train.mode is Mode.PROBE else min(images, run.train.probe_images)

    def expect(part: int) -> tuple[int, MemoryEstimate]:
        training = run.train.mode is Mode.FIT
        modelled = predict_memory(network, run, training=training, batch=-(-part // devices), probed=probed)
        return modelled, correct_memory(profile, network.spec, run.train.mode, run.train.precision, modelled)

    if run.train.mode is Mode.PROBE:
        return micro_batch, *expect(micro_batch)
    available = RUN_MEMORY_BYTES.read_number(available_memory())
    while True:
        modelled, expected = expect(micro_batch)
        if expected.safe <= available:
            return micro_batch, modelled, expected
        if micro_batch == 1:
            raise ConfigError(
                f"not enough memory: even one image at a time would take {expected.value / 1e6:,.0f} MB, or up to"
                f" {expected.margin:.0%} more, and {available / 1e6:,.0f} MB are free; choose a smaller input or"
                " network"
            )
        micro_batch = -(-micro_batch // 2)
