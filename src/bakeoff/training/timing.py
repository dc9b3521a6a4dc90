"""The pace of this machine in a few seconds: images per second through one network, forward and in training."""

import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from bakeoff.files import write_json
from bakeoff.networks.model import Network, build_network, freeze
from bakeoff.networks.table import find_network
from bakeoff.profile import Timing
from bakeoff.runs.config import Run, read_run
from bakeoff.runs.folder import RunFolder
from bakeoff.training.inference import EVAL_BATCH, compile_forward
from bakeoff.training.optimizer import build_optimizer
from bakeoff.training.step import compile_step
from bakeoff.training.weight_copies import MovingAverage

__all__ = ["random_step", "time_network"]

# Seconds for each of the two paces.
SECONDS = 1.0
# The images are random and of this side; the network resizes them to its input.
SIDE, CLASSES = 32, 100


def time_network(folder: Path, target: Path) -> None:
    """Time the network of a recipe on random images, with random weights, and write a Timing as JSON.

    Args:
        folder: A folder with the recipe as `config.json`.
        target: The file to write.
    """
    run = read_run(RunFolder(folder).config)
    keras.config.set_dtype_policy(run.train.precision.value)
    network = build_network(find_network(run.model.name), run.model, side=SIDE, classes=CLASSES)
    freeze(network.backbone, run.model.unfreeze, run.model.batch_norm)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (EVAL_BATCH, SIDE, SIDE, 3), np.uint8)

    forward = compile_forward(network.features(run.model.size))
    forwards, compiling_forward, timed = _repeat(lambda: forward(images))

    steps, compiling_step, timed_steps = _repeat(random_step(network, run))
    timing = Timing(
        forward=forwards * EVAL_BATCH,
        training=steps * run.train.batch,
        compiling_forward=compiling_forward,
        compiling_step=compiling_step,
        timed=timed + timed_steps,
    )
    write_json(target, timing.model_dump(mode="json"))


def random_step(network: Network, run: Run, *, jit_compile: bool = False) -> Callable[[], float]:
    """A training step of a run, always on the same random images; it returns their mean loss.

    Args:
        network: The run's network; its dtype policy is that of the run's precision.
        run: The config.
        jit_compile: Whether XLA compiles the step.
    """
    model, batch, classes = network.model(run.model.size), run.train.batch, network.head.units
    average = MovingAverage(model, run.optim.ema)
    optimizer = build_optimizer(run.optim, run.train.precision)
    optimizer.build(model.trainable_variables)
    step = compile_step(model, optimizer, average, run.optim.label_smoothing, batch, jit_compile=jit_compile)
    rng = np.random.default_rng(run.seed)
    images = rng.integers(0, 256, (batch, network.side, network.side, 3), np.uint8)
    targets = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, batch)]
    return lambda: step(images, targets, 1e-4, average.next_decay())


def _repeat(call: Callable[[], object]) -> tuple[float, float, float]:
    """Calls per second after the first one, the seconds of the first one, and the seconds of the others."""
    started = time.perf_counter()
    call()
    first, count = time.perf_counter() - started, 0
    started = time.perf_counter()
    while not count or time.perf_counter() < started + SECONDS:
        call()
        count += 1
    seconds = time.perf_counter() - started
    return count / seconds, first, seconds
