"""One run on all GPUs of a machine: each holds the weights and takes its part of every batch (MirroredStrategy).

With one device everything here is as good as not there.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Replicas", "open_replicas"]

# What a device computes of its part: (images, targets) -> mean loss, and its gradients.
Differentiate = Callable[[Any, Any], tuple[Any, Sequence[Any]]]


class Replicas:
    """The devices of a run. Variables have to be made, and steps taken, inside `scope`."""

    def __init__(self, devices: Sequence[str] = ()) -> None:
        import tensorflow as tf

        self.count = max(1, len(devices))
        self._strategy = tf.distribute.MirroredStrategy(list(devices)) if self.count > 1 else None

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Variables made in the block are on all devices."""
        return contextlib.nullcontext() if self._strategy is None else self._strategy.scope()

    def share_out(self, batch: NDArray[Any]) -> Any:
        """A batch for `gather`: on the one device, or an even part of it on each."""
        import tensorflow as tf

        if self._strategy is None:
            return tf.constant(batch)
        parts = np.array_split(batch, self.count)
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )

    def gather(self, differentiate: Differentiate, moved: Sequence[Any]) -> Differentiate:
        """The same over a whole batch that was shared out: to be called inside a `tf.function`.

        `moved` are the variables that a forward pass moves, such as batch statistics: each device moves its own copy by
        its part, and they all go on from the mean.
        """
        if self._strategy is None:
            return differentiate
        import tensorflow as tf

        strategy, total = self._strategy, tf.distribute.ReduceOp.SUM

        def on_device(images: Any, targets: Any) -> Any:
            loss, gradients = differentiate(images, targets)
            return loss, gradients, [tf.identity(variable) for variable in moved], tf.shape(images)[0]

        def on_all(images: Any, targets: Any) -> tuple[Any, Sequence[Any]]:
            losses, gradients, states, sizes = strategy.run(on_device, args=(images, targets))
            whole = tf.cast(strategy.reduce(total, sizes, axis=None), tf.float32)
            shares = strategy.run(lambda size: tf.cast(size, tf.float32) / whole, args=(sizes,))

            def weigh(value: Any, share: Any) -> Any:
                # A device that got no image has no mean, which is no matter.
                return tf.math.multiply_no_nan(value, tf.cast(share, value.dtype))

            def mean(values: Any) -> Any:
                weighted = strategy.run(weigh, args=(values, shares))
                return strategy.reduce(total, weighted, axis=None)

            for variable, state in zip(moved, states, strict=True):
                variable.assign(mean(state))
            return mean(losses), [mean(gradient) for gradient in gradients]

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
