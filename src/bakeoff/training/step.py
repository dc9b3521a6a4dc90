"""One step of an optimiser on one batch, which may be larger than what fits into memory at once."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import keras

from bakeoff.networks.fuse import fuse
from bakeoff.training.replicas import Replicas
from bakeoff.training.weight_copies import MovingAverage

__all__ = ["TrainStep", "compile_step"]

TrainStep = Callable[[Any, Any, float, float], float]


def compile_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    average: MovingAverage,
    smoothing: float,
    micro_batch: int,
    factors: Mapping[str, float] = MappingProxyType({}),
    replicas: Replicas | None = None,
) -> TrainStep:
    """One training step: (images, targets, rate, decay of the average) -> loss; one graph if the batch fits whole.

    Targets (n, classes) are each class' share of an image. `factors` are fractions of the rate by the variables' paths.

    If the batch does not fit, gradients of micro-batches are added up first; with several devices each takes a part.
    That is the same step, but for batch normalisations that learn: they see the statistics of a part.
    """
    import tensorflow as tf

    own = replicas or Replicas()

    weights, forward = model.trainable_variables, fuse(model)

    def differentiate_part(images: Any, targets: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            logits = forward(images, training=True)
            smooth = targets * (1 - smoothing) + smoothing / logits.shape[-1]
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(smooth, logits))
            scaled = optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled, [weight.value for weight in weights])

    differentiate = own.gather(
        differentiate_part, [v.value for v in model.non_trainable_variables if "float" in v.dtype]
    )
    slowed = [(weight.value, factors[weight.path]) for weight in weights if weight.path in factors]

    def apply(gradients: Any, rate: Any, decay: Any) -> None:
        optimizer.learning_rate.assign(rate)
        before = [tf.identity(variable) for variable, _ in slowed]
        own.apply(optimizer, gradients, weights)
        # Keras has one rate for all, so a part of the step is taken back.
        for (variable, factor), old in zip(slowed, before, strict=True):
            variable.assign(old + factor * (variable - old))
        average.update(decay)

    # XLA stays off: its bilinear resize is wrong on CPUs in TF 2.21.
    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def step(images: Any, targets: Any, shares: Any, rate: Any, decay: Any) -> Any:
        loss, gradients = differentiate(images, targets, shares)
        apply(gradients, rate, decay)
        return loss

    sums: list[Any] = []

    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def accumulate(images: Any, targets: Any, shares: Any, fraction: Any) -> Any:
        loss, gradients = differentiate(images, targets, shares)
        for total, gradient in zip(sums, gradients, strict=True):
            total.assign_add(gradient * fraction)
        return loss * fraction

    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def finish(rate: Any, decay: Any) -> None:
        apply([total.read_value() for total in sums], rate, decay)
        for total in sums:
            total.assign(tf.zeros_like(total))

    def call(images: Any, targets: Any, rate: float, decay: float) -> float:
        if len(targets) <= micro_batch:
            return float(step(*own.share_out(images, targets), tf.constant(rate), tf.constant(decay)))
        if not sums:
            sums.extend(tf.Variable(tf.zeros(weight.shape, weight.dtype), trainable=False) for weight in weights)
        loss = 0.0
        for first in range(0, len(targets), micro_batch):
            part = slice(first, first + micro_batch)
            fraction = tf.constant(len(targets[part]) / len(targets))
            loss += float(accumulate(*own.share_out(images[part], targets[part]), fraction))
        finish(tf.constant(rate), tf.constant(decay))
        return loss

    return call
