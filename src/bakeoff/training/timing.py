"""The pace of this machine in a few seconds: images per second through one network, forward and in training."""

import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from bakeoff.files import write_json
from bakeoff.networks.blocks import freeze
from bakeoff.networks.find import find_network
from bakeoff.networks.model import build_network
from bakeoff.profile import Timing
from bakeoff.runs.config import read_run
from bakeoff.runs.folder import RunFolder
from bakeoff.training.inference import EVAL_BATCH, compile_forward
from bakeoff.training.memory import find_gpu
from bakeoff.training.replicas import list_devices
from bakeoff.training.tryout import VARIANTS, choose_variant, random_step, try_variants

__all__ = ["time_network"]

# Seconds for each of the two paces.
SECONDS = 1.0
# The images are random and of this side; the network resizes them to its input.
SIDE, CLASSES = 32, 100


def time_network(folder: Path, target: Path) -> None:
    """Time the network of a recipe on random images, with random weights, and write a Timing as JSON.

    On a GPU the precisions and XLA are tried first, and the fastest variant is timed.

    Args:
        folder: A folder with the recipe as `config.json`.
        target: The file to write.
    """
    run, started = read_run(RunFolder(folder).config), time.perf_counter()
    variant = None
    if find_gpu() is not None:
        # A step on several devices is not compiled by XLA.
        shared = list_devices()
        tried = [each for each in VARIANTS if not (each.jit_compile and shared)]
        variant = choose_variant(try_variants(run, side=SIDE, classes=CLASSES, variants=tried)).variant
        run = run.revised(train={"precision": variant.precision, "xla": variant.jit_compile})
    trying = time.perf_counter() - started
    keras.config.set_dtype_policy(run.train.precision.value)
    network = build_network(find_network(run.model.name), run.model, side=SIDE, classes=CLASSES)
    freeze(network.backbone, run.model.unfreeze, run.model.batch_norm)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (EVAL_BATCH, SIDE, SIDE, 3), np.uint8)

    forward = compile_forward(network.features(run.model.size))
    forwards, compiling_forward, timed = _repeat(lambda: forward(images))

    steps, compiling_step, timed_steps = _repeat(random_step(network, run, jit_compile=run.train.xla))
    timing = Timing(
        forward=forwards * EVAL_BATCH,
        training=steps * run.train.batch,
        compiling_forward=compiling_forward,
        compiling_step=compiling_step,
        timed=timed + timed_steps + trying,
        variant=variant,
    )
    write_json(target, timing.model_dump(mode="json"))


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
