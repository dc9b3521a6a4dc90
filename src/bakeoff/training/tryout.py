"""Which precision makes a training step fastest on this machine, and whether XLA does: each is tried by two steps."""

import gc
import itertools
import time
from collections.abc import Callable, Iterable

import keras
import numpy as np

from bakeoff.errors import ConfigError
from bakeoff.networks.blocks import freeze
from bakeoff.networks.find import find_network
from bakeoff.networks.fuse import fuse
from bakeoff.networks.lora import enable_lora
from bakeoff.networks.model import Network, build_network, split_resizing
from bakeoff.profile import Variant
from bakeoff.runs.config import Precision, Run
from bakeoff.runs.facts import Facts
from bakeoff.training.optimizer import build_optimizer
from bakeoff.training.step import compile_step
from bakeoff.training.weight_copies import MovingAverage

__all__ = ["VARIANTS", "StepTrial", "choose_variant", "find_xla_error", "random_step", "try_step", "try_variants"]

# Steps that are timed, after one that compiles.
TIMED_STEPS = 2
# Two steps tell differences of less than 5 % badly, so float32 without XLA, whose results vary least, is kept then.
LEAST_GAIN = 1.05
# Largest mean difference of logits with XLA, as a share of their standard deviation over images. In float32 it was
# 0.000003 on a CPU; GPUs multiply float32 with fewer bits.
XLA_TOLERANCE = 0.02
XLA_IMAGES = 8


class StepTrial(Facts):
    """What two steps of a variant took."""

    variant: Variant
    seconds: float | None = None
    """Of the faster one; None if the variant cannot be used."""
    reason: str = ""
    """Why it cannot be used."""


# Float32 without XLA first: what it takes is known even if a later one ends the process.
VARIANTS = tuple(Variant(precision=each, jit_compile=jit) for jit, each in itertools.product((False, True), Precision))


def try_variants(run: Run, *, side: int, classes: int, variants: Iterable[Variant] = VARIANTS) -> tuple[StepTrial, ...]:
    """Time two training steps of a run's network in each variant, with random weights and images.

    XLA is not timed if it computes something else.

    Args:
        run: The config; its precision is not used.
        side: Side in pixels of the stored images.
        classes: Number of logits.
        variants: What to try, in this order.
    """
    variants = tuple(variants)
    error = find_xla_error(run, side=side, classes=classes) if any(each.jit_compile for each in variants) else ""
    return tuple(
        StepTrial(variant=variant, reason=error)
        if variant.jit_compile and error
        else try_step(run, variant, side=side, classes=classes)
        for variant in variants
    )


def choose_variant(trials: Iterable[StepTrial]) -> StepTrial:
    """The trial with the fastest step; float32 without XLA unless another is at least 5 % faster.

    Raises ConfigError if no variant can be used.
    """
    trials = tuple(trials)
    usable = [(trial.seconds, trial) for trial in trials if trial.seconds is not None]
    if not usable:
        reasons = dict.fromkeys(trial.reason for trial in trials)
        raise ConfigError(f"no training step can be taken: {'; '.join(reasons)}")
    seconds, fastest = min(usable, key=lambda found: found[0])
    plain = next((found for found in usable if found[1].variant == Variant()), None)
    return plain[1] if plain and plain[0] < LEAST_GAIN * seconds else fastest


def try_step(run: Run, variant: Variant, *, side: int, classes: int) -> StepTrial:
    """Time two training steps of a run's network in one variant, as `try_variants`."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(variant.precision.value)
    try:
        return StepTrial(variant=variant, seconds=_time_steps(run, variant, side, classes))
    except Exception as error:  # whatever it is, the variant cannot be used, and the trial says why
        return StepTrial(variant=variant, reason=_explain(error))
    finally:
        keras.config.set_dtype_policy(policy)
        gc.collect()  # models are cycles of references, and the next one needs their memory


def find_xla_error(run: Run, *, side: int, classes: int) -> str:
    """Why XLA cannot be used for a run's network; empty if it computes the same logits, in float32."""
    import tensorflow as tf

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(Precision.FLOAT32.value)
    try:
        resize, network = split_resizing(_build(run, side, classes).model(run.model.size))
        forward = fuse(network)
        images = np.random.default_rng(run.seed).integers(0, 256, (XLA_IMAGES, side, side, 3), np.uint8)
        images = tf.constant(resize(images))
        right, found = (
            tf.function(lambda images: forward(images, training=False), jit_compile=jit)(images).numpy()
            for jit in (False, True)
        )
    except Exception as error:
        return _explain(error)
    finally:
        keras.config.set_dtype_policy(policy)
        gc.collect()
    difference = np.abs(found - right).mean() / right.std(axis=0).mean()
    return "" if difference <= XLA_TOLERANCE else f"XLA computes other logits: they differ by {difference:.1%}"


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


def _time_steps(run: Run, variant: Variant, side: int, classes: int) -> float:
    run = run.revised(train={"precision": variant.precision})
    step = random_step(_build(run, side, classes), run, jit_compile=variant.jit_compile)
    seconds = []
    for _ in range(1 + TIMED_STEPS):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def _build(run: Run, side: int, classes: int) -> Network:
    keras.utils.set_random_seed(run.seed)
    network = build_network(find_network(run.model.name), run.model, side=side, classes=classes)
    freeze(network.backbone, run.model.unfreeze, run.model.batch_norm)
    if run.model.lora:
        enable_lora(network.backbone, run.model.lora)
    return network


def _explain(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
