"""One step of an optimiser on one batch, which may be larger than what fits into memory at once."""

from collections.abc import Callable
from typing import Any

import keras

from bakeoff.ema import MovingAverage
from bakeoff.fuse import fuse

__all__ = ["Step", "compile_step"]

Step = Callable[[Any, Any, float, float], float]


def compile_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    average: MovingAverage,
    smoothing: float,
    micro_batch: int,
) -> Step:
    """One training step: (images, labels, rate, decay of the average) -> loss; one graph if the batch fits whole.

    Otherwise gradients of micro-batches are added up first. That is the same step, but for batch normalisations that
    learn: they see the statistics of a micro-batch.
    """
    import tensorflow as tf

    weights, forward = model.trainable_variables, fuse(model)

    def differentiate(images: Any, labels: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            logits = forward(images, training=True)
            classes = logits.shape[-1]
            targets = tf.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
            scaled = optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled, [weight.value for weight in weights])

    def apply(gradients: Any, rate: Any, decay: Any) -> None:
        optimizer.learning_rate.assign(rate)
        optimizer.apply(gradients, weights)
        average.update(decay)

    # XLA stays off: its bilinear resize is wrong on CPUs in TF 2.21.
    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def step(images: Any, labels: Any, rate: Any, decay: Any) -> Any:
        loss, gradients = differentiate(images, labels)
        apply(gradients, rate, decay)
        return loss

    sums: list[Any] = []

    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def accumulate(images: Any, labels: Any, share: Any) -> Any:
        loss, gradients = differentiate(images, labels)
        for total, gradient in zip(sums, gradients, strict=True):
            total.assign_add(gradient * share)
        return loss * share

    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def finish(rate: Any, decay: Any) -> None:
        apply([total.read_value() for total in sums], rate, decay)
        for total in sums:
            total.assign(tf.zeros_like(total))

    def call(images: Any, labels: Any, rate: float, decay: float) -> float:
        if len(labels) <= micro_batch:
            return float(step(tf.constant(images), tf.constant(labels), tf.constant(rate), tf.constant(decay)))
        if not sums:
            sums.extend(tf.Variable(tf.zeros(weight.shape, weight.dtype), trainable=False) for weight in weights)
        loss = 0.0
        for first in range(0, len(labels), micro_batch):
            part = slice(first, first + micro_batch)
            share = len(labels[part]) / len(labels)
            loss += float(accumulate(tf.constant(images[part]), tf.constant(labels[part]), tf.constant(share)))
        finish(tf.constant(rate), tf.constant(decay))
        return loss

    return call
