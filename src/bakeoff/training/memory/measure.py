"""Measured memory: the peak of a run, and what is still available."""

from pathlib import Path

from bakeoff.machine import free_memory, peak_memory, read_field

__all__ = ["PeakMemory", "available_memory", "find_gpu"]

# Writing 5 to it resets VmHWM, the peak of this process, to its present size: proc(5).
RESET = Path("/proc/self/clear_refs")


def find_gpu() -> str | None:
    """TensorFlow's name of the first GPU, or None."""
    import tensorflow as tf

    return "GPU:0" if tf.config.list_physical_devices("GPU") else None


class PeakMemory:
    """The peak memory of a run, above what is in use when the object is created.

    On a GPU, or on any `device` that TensorFlow has statistics of, it is the peak of TensorFlow's allocator. Otherwise
    it is the peak of the process, which is reset first. Where that cannot be done, what exceeds the peak so far counts.
    """

    def __init__(self, device: str | None = None) -> None:
        self._device = device or find_gpu()
        if self._device is not None:
            import tensorflow as tf

            tf.config.experimental.reset_memory_stats(self._device)
            self._baseline = _device_bytes(self._device, "current")
            return
        self._baseline = _resident_bytes() if _reset_peak() else peak_memory()

    def read(self) -> int:
        """Bytes above the baseline at the peak so far."""
        peak = peak_memory() if self._device is None else _device_bytes(self._device, "peak")
        return max(0, peak - self._baseline)


def available_memory() -> int:
    """Bytes that a run can still allocate: on the GPU if there is one, else in the machine and its control groups."""
    device = find_gpu()
    return free_memory() if device is None else device_available(device)


def device_available(device: str) -> int:
    """Bytes that TensorFlow may still allocate on a device, whose limit is fixed when the process first uses it."""
    from tensorflow.python.client import device_lib

    limits = {found.name: int(found.memory_limit) for found in device_lib.list_local_devices()}
    return max(0, limits[f"/device:{device}"] - _device_bytes(device, "current"))


def _resident_bytes() -> int:
    """Bytes of this process in physical memory now."""
    return read_field(Path("/proc/self/status"), "VmRSS:") * 1024


def _reset_peak() -> bool:
    """Whether the peak of this process was set to its present size: on Linux, except in some sandboxes."""
    try:
        RESET.write_text("5")
    except OSError:
        return False
    return True


def _device_bytes(device: str, statistic: str) -> int:
    import tensorflow as tf

    return int(tf.config.experimental.get_memory_info(device)[statistic])
