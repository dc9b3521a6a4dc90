"""Data parallelism: one run on all GPUs of a machine (`tf.distribute.MirroredStrategy`).

Each device is a replica: it holds all weights and processes its part of every batch. With one device every method
passes its arguments through.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.variables import LOGICAL_CPUS

__all__ = ["Replicas", "list_devices", "open_replicas"]

# (images, targets) of one device -> mean loss over them, and its gradients.
DifferentiatePart = Callable[[Any, Any], tuple[Any, Sequence[Any]]]
# (images, targets, shares) from `Replicas.distribute` -> mean loss over the batch, and its gradients.
Differentiate = Callable[[Any, Any, Any], tuple[Any, Sequence[Any]]]


class Replicas:
    """The devices of a run. Create variables and take steps inside `scope`."""

    def __init__(self, devices: Sequence[str] = ()) -> None:
        import tensorflow as tf

        self.count = max(1, len(devices))
        self._strategy = tf.distribute.MirroredStrategy(list(devices)) if self.count > 1 else None

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """A context in which new variables are mirrored on all devices."""
        return contextlib.nullcontext() if self._strategy is None else self._strategy.scope()

    def distribute(self, images: NDArray[Any], targets: NDArray[Any]) -> tuple[Any, Any, Any]:
        """Divide a batch among the devices.

        A batch with fewer images than devices leaves some devices without one. They get the first image at a share of
        0, because operations on no image fail on some CPUs (a oneDNN convolution returns the wrong shape).

        Returns:
            Images, targets, and each device's share of the batch in [0, 1], as the arguments of `parallelize`'s result.
        """
        import tensorflow as tf

        strategy = self._strategy
        if strategy is None:
            return tf.constant(images), tf.constant(targets), tf.constant(1.0)
        parts = np.array_split(np.arange(len(images)), self.count)

        def place(value_of: Callable[[NDArray[np.intp]], Any]) -> Any:
            return strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(value_of(parts[context.replica_id_in_sync_group]))
            )

        return (
            place(lambda part: images[part if len(part) else [0]]),
            place(lambda part: targets[part if len(part) else [0]]),
            place(lambda part: np.float32(len(part) / len(images))),
        )

    def parallelize(self, differentiate: DifferentiatePart, updated: Sequence[Any]) -> Differentiate:
        """Make a function of a device's part of a batch into one of the whole batch, for use in a `tf.function`.

        Args:
            differentiate: Computes the mean loss over images of one device, and its gradients.
            updated: Variables that a forward pass updates, such as batch statistics. Each device updates its copy from
                its part of the batch; all copies continue from their weighted mean.

        Returns:
            A function of the three results of `distribute`.
        """
        if self._strategy is None:
            return lambda images, targets, _: differentiate(images, targets)
        import tensorflow as tf

        strategy, total = self._strategy, tf.distribute.ReduceOp.SUM

        def on_device(images: Any, targets: Any, share: Any) -> Any:
            loss, gradients = differentiate(images, targets)
            states = [tf.identity(variable) for variable in updated]
            return [value * tf.cast(share, value.dtype) for value in (loss, *gradients, *states)]

        def on_all(images: Any, targets: Any, shares: Any) -> tuple[Any, Sequence[Any]]:
            weighted = strategy.run(on_device, args=(images, targets, shares))
            loss, *means = [strategy.reduce(total, value, axis=None) for value in weighted]
            gradients, states = means[: len(means) - len(updated)], means[len(means) - len(updated) :]
            for variable, state in zip(updated, states, strict=True):
                variable.assign(state)
            return loss, gradients

        return on_all

    def apply(self, optimizer: Any, gradients: Sequence[Any], weights: Sequence[Any]) -> None:
        """Apply the gradients of a whole batch with a Keras optimiser, identically on every device."""
        if self._strategy is None:
            optimizer.apply(gradients, weights)
            return
        import tensorflow as tf

        if limit := getattr(optimizer, "inner_optimizer", optimizer).global_clipnorm:
            # Gradients are as large as the scaled loss makes them.
            gradients, _ = tf.clip_by_global_norm(gradients, optimizer.scale_loss(limit))

        def on_device(*batch_gradients: Any) -> None:
            # Keras clips each device's gradient and then sums over devices. The gradient is clipped already, so each
            # device contributes an equal part of it.
            optimizer.apply([gradient / self.count for gradient in batch_gradients], weights)

        self._strategy.run(on_device, args=tuple(gradients))


def open_replicas(batch: int) -> Replicas:
    """The devices of `list_devices`, but no more than images in a batch."""
    return Replicas(list_devices()[:batch])


def list_devices() -> list[str]:
    """The devices that share a run: all GPUs that this process can see, if they are several; else none.

    For tests, $BAKEOFF_LOGICAL_CPUS divides the CPU into that many devices, which are used instead.
    """
    import tensorflow as tf

    if logical_cpus := round(LOGICAL_CPUS.read_number(0)):
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * logical_cpus)
        kind = "CPU"
    elif len(tf.config.list_physical_devices("GPU")) > 1:
        kind = "GPU"
    else:
        return []
    return [device.name for device in tf.config.list_logical_devices(kind)]
