"""One run on all GPUs of a machine: each holds the weights and takes its part of every batch (MirroredStrategy).

With one device every method passes its argument through.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Replicas", "open_replicas"]

# (images, targets) of one device -> mean loss over them, and its gradients.
DifferentiatePart = Callable[[Any, Any], tuple[Any, Sequence[Any]]]
# (images, targets, shares) from `Replicas.share_out` -> mean loss over the batch, and its gradients.
Differentiate = Callable[[Any, Any, Any], tuple[Any, Sequence[Any]]]


class Replicas:
    """The devices of a run. Variables have to be made, and steps taken, inside `scope`."""

    def __init__(self, devices: Sequence[str] = ()) -> None:
        import tensorflow as tf

        self.count = max(1, len(devices))
        self._strategy = tf.distribute.MirroredStrategy(list(devices)) if self.count > 1 else None

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Variables made in the block are on all devices."""
        return contextlib.nullcontext() if self._strategy is None else self._strategy.scope()

    def share_out(self, images: NDArray[Any], targets: NDArray[Any]) -> tuple[Any, Any, Any]:
        """Put a batch on the devices, for `gather`: images, targets, and each device's share of the batch in [0, 1].

        A batch with fewer images than devices leaves some devices without one. They get the first image at a share of
        0, because operations on no image fail on some CPUs (a oneDNN convolution returns the wrong shape).
        """
        import tensorflow as tf

        strategy = self._strategy
        if strategy is None:
            return tf.constant(images), tf.constant(targets), tf.constant(1.0)
        parts = np.array_split(np.arange(len(images)), self.count)

        def distribute(value_of: Callable[[NDArray[np.intp]], Any]) -> Any:
            return strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(value_of(parts[context.replica_id_in_sync_group]))
            )

        return (
            distribute(lambda part: images[part if len(part) else [0]]),
            distribute(lambda part: targets[part if len(part) else [0]]),
            distribute(lambda part: np.float32(len(part) / len(images))),
        )

    def gather(self, differentiate: DifferentiatePart, moved: Sequence[Any]) -> Differentiate:
        """Compute loss and gradients of a whole batch from its parts on the devices, inside a `tf.function`.

        `moved` are the variables that a forward pass updates, such as batch statistics. Each device updates its own
        copy from its part; all copies continue from the weighted mean.
        """
        if self._strategy is None:
            return lambda images, targets, _: differentiate(images, targets)
        import tensorflow as tf

        strategy, total = self._strategy, tf.distribute.ReduceOp.SUM

        def on_device(images: Any, targets: Any, share: Any) -> Any:
            loss, gradients = differentiate(images, targets)
            states = [tf.identity(variable) for variable in moved]
            return [value * tf.cast(share, value.dtype) for value in (loss, *gradients, *states)]

        def on_all(images: Any, targets: Any, shares: Any) -> tuple[Any, Sequence[Any]]:
            weighted = strategy.run(on_device, args=(images, targets, shares))
            loss, *means = [strategy.reduce(total, value, axis=None) for value in weighted]
            gradients, states = means[: len(means) - len(moved)], means[len(means) - len(moved) :]
            for variable, state in zip(moved, states, strict=True):
                variable.assign(state)
            return loss, gradients

        return on_all

    def apply(self, optimizer: Any, gradients: Sequence[Any], weights: Sequence[Any]) -> None:
        """Let a Keras optimiser move the weights by the gradients of a whole batch, on every device alike."""
        if self._strategy is None:
            optimizer.apply(gradients, weights)
            return
        import tensorflow as tf

        if optimizer.global_clipnorm:
            gradients, _ = tf.clip_by_global_norm(gradients, optimizer.global_clipnorm)

        def on_device(*whole: Any) -> None:
            # Keras clips what each device brings, and then adds it up: each brings an equal part of what is clipped.
            optimizer.apply([gradient / self.count for gradient in whole], weights)

        self._strategy.run(on_device, args=tuple(gradients))


def open_replicas(batch: int) -> Replicas:
    """All GPUs that this process may see, if there are several and images for each.

    $BAKEOFF_LOGICAL_CPUS divides the CPU into so many devices that are used like that: it is for tests.
    """
    import tensorflow as tf

    if pretended := int(os.environ.get("BAKEOFF_LOGICAL_CPUS", "0")):
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * pretended)
        kind = "CPU"
    elif len(tf.config.list_physical_devices("GPU")) > 1:
        kind = "GPU"
    else:
        return Replicas()
    return Replicas([device.name for device in tf.config.list_logical_devices(kind)][:batch])
