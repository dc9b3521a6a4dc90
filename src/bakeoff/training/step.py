"""One optimiser step on one batch, with gradient accumulation if the batch does not fit into memory at once."""

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras

from bakeoff.networks.fuse import fuse
from bakeoff.networks.model import split_resizing
from bakeoff.training.balance import LossBalance
from bakeoff.training.replicas import Replicas
from bakeoff.training.weight_copies import MovingAverage

__all__ = ["Steps", "TrainStep", "compile_step"]

TrainStep = Callable[[Any, Any, float, float], float]
"""(images, targets, learning rate, decay of the moving average) -> mean loss over the batch."""


class Steps:
    """The steps of a run, one for each input size. Where XLA cannot compile one, all are taken without it."""

    def __init__(self, compile_all: Callable[[bool], Sequence[TrainStep]], *, uses_xla: bool, devices: int) -> None:
        """Compile them.

        Args:
            compile_all: Compiles the steps; told whether XLA does it.
            uses_xla: Whether the config asks for XLA.
            devices: Devices that share a step, which XLA cannot compile for several.
        """
        self.note = ""
        """Why XLA was not used though it was asked for, for the run's record."""
        self._compile_all, self._uses_xla = compile_all, uses_xla and devices == 1
        if uses_xla and not self._uses_xla:
            self.note = "it trained without XLA, which does not compile a step on several devices"
        self._steps = compile_all(self._uses_xla)

    def take(self, position: int, images: Any, targets: Any, rate: float, decay: float) -> float:
        """Take a step at the input size at this position, and return its loss."""
        import tensorflow as tf

        try:
            return self._steps[position](images, targets, rate, decay)
        except tf.errors.OpError as error:
            # A step that takes too much memory is tried again in smaller parts.
            if not self._uses_xla or isinstance(error, tf.errors.ResourceExhaustedError):
                raise
            traceback.print_exc()
        self.note = "it trained without XLA, which could not compile its step; its log says why"
        self._uses_xla, self._steps = False, self._compile_all(False)
        return self._steps[position](images, targets, rate, decay)


def compile_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    average: MovingAverage,
    smoothing: float,
    micro_batch: int,
    multipliers: Mapping[str, float] = MappingProxyType({}),
    replicas: Replicas | None = None,
    *,
    balance: LossBalance | None = None,
    jit_compile: bool = False,
) -> TrainStep:
    """Compile the training step of a model.

    A batch of at most `micro_batch` images is one graph. For a larger one, the gradients of its micro-batches are
    accumulated first. With several devices, each computes a part of every micro-batch. Both give the same step as the
    whole batch, except for batch normalisations that learn: they see only the statistics of their part.

    Args:
        model: uint8 images (n, side, side, 3) -> logits (n, classes).
        optimizer: Built for the model's trainable variables.
        average: Updated after each step.
        smoothing: Label smoothing, in [0, 1).
        micro_batch: Largest number of images in memory at once.
        multipliers: Learning-rate multipliers by path, for variables that learn more slowly.
        replicas: The devices; one if not given.
        balance: What the loss does about uneven classes; nothing if not given.
        jit_compile: Whether XLA compiles the step, except for the resizing of the images (`split_resizing`). Only for
            one device.

    Returns:
        The step. Its targets are (n, classes), each row with sum 1.
    """
    import tensorflow as tf

    replicas, balance = replicas or Replicas(), balance or LossBalance()
    weights = model.trainable_variables
    resize, network = split_resizing(model) if jit_compile else (lambda images: images, model)
    forward = fuse(network)
    # Whether a gradient reaches each weight; known once the first part is traced.
    is_reached: list[bool] = []

    def reached(values: Iterable[Any]) -> list[Any]:
        return [value for value, is_learning in zip(values, is_reached, strict=True) if is_learning]

    def differentiate_part(images: Any, targets: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            logits = forward(images, training=True)
            # The mean over images, whatever their weights: so micro-batches and devices add up to the batch.
            loss = tf.reduce_mean(balance.losses(targets, logits, smoothing))
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [weight.value for weight in weights])
        is_reached[:] = [gradient is not None for gradient in gradients]
        return loss, reached(gradients)

    statistics = [variable.value for variable in model.non_trainable_variables if "float" in variable.dtype]
    differentiate = replicas.parallelize(differentiate_part, statistics)
    slower = [(weight.value, multipliers[weight.path]) for weight in weights if weight.path in multipliers]

    def apply(gradients: Any, rate: Any, decay: Any) -> None:
        optimizer.learning_rate.assign(rate)
        before = [tf.identity(variable) for variable, _ in slower]
        replicas.apply(optimizer, gradients, reached(weights))
        # Keras has one rate for all variables; slower ones are moved part of the way back.
        for (variable, multiplier), old in zip(slower, before, strict=True):
            variable.assign(old + multiplier * (variable - old))
        average.update(decay)

    @tf.function(autograph=False, jit_compile=jit_compile)  # type: ignore[untyped-decorator]
    def step(images: Any, targets: Any, shares: Any, rate: Any, decay: Any) -> Any:
        loss, gradients = differentiate(images, targets, shares)
        apply(gradients, rate, decay)
        return loss

    # The accumulated gradients; created at the first batch that does not fit, because they take memory.
    sums: list[Any] = []

    @tf.function(autograph=False, jit_compile=jit_compile)  # type: ignore[untyped-decorator]
    def accumulate(images: Any, targets: Any, shares: Any, fraction: Any) -> Any:
        loss, gradients = differentiate(images, targets, shares)
        for total, gradient in zip(reached(sums), gradients, strict=True):
            total.assign_add(gradient * fraction)
        return loss * fraction

    @tf.function(autograph=False, jit_compile=jit_compile)  # type: ignore[untyped-decorator]
    def apply_sums(rate: Any, decay: Any) -> None:
        apply([total.read_value() for total in reached(sums)], rate, decay)
        for total in sums:
            total.assign(tf.zeros_like(total))

    def place(images: Any, targets: Any) -> tuple[Any, Any, Any]:
        return replicas.distribute(resize(images), targets)

    def train_on_batch(images: Any, targets: Any, rate: float, decay: float) -> float:
        if len(targets) <= micro_batch:
            return float(step(*place(images, targets), tf.constant(rate), tf.constant(decay)))
        if not sums:
            sums.extend(tf.Variable(tf.zeros(weight.shape, weight.dtype), trainable=False) for weight in weights)
        loss = 0.0
        for first in range(0, len(targets), micro_batch):
            part = slice(first, first + micro_batch)
            fraction = tf.constant(len(targets[part]) / len(targets))
            loss += float(accumulate(*place(images[part], targets[part]), fraction))
        apply_sums(tf.constant(rate), tf.constant(decay))
        return loss

    return train_on_batch
