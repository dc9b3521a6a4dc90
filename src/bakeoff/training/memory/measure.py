"""Memory as it is: what a run took at its highest, and what the machine could still give."""

import resource
import sys
from pathlib import Path

from bakeoff.machine import free_memory, read_field

__all__ = ["PeakMemory", "available_memory", "find_gpu", "resident_bytes"]


def find_gpu() -> str | None:
    """TensorFlow's name of the first GPU, or None."""
    import tensorflow as tf

    return "GPU:0" if tf.config.list_physical_devices("GPU") else None


def resident_bytes() -> int:
    """Bytes of this process in physical memory now."""
    if sys.platform == "linux":
        return _status("VmRSS")
    return _peak_rusage()


class PeakMemory:
    """The peak of this run above what was held when the object was made.

    With a GPU (or any `device` that TensorFlow keeps statistics of) its allocator is asked; otherwise the process. On
    Linux the kernel's own high-water mark is read (and reset at the start, where that is allowed); a child's
    ru_maxrss would hold its parent's peak, so it is used on other systems only.
    """

    def __init__(self, device: str | None = None) -> None:
        self._device = device or find_gpu()
        if self._device is not None:
            import tensorflow as tf

            tf.config.experimental.reset_memory_stats(self._device)
            self._baseline = _device_bytes(self._device, "current")
            return
        if sys.platform == "linux":
            # 5 resets VmHWM to the present size, see proc(5).
            Path("/proc/self/clear_refs").write_text("5")
        self._baseline = resident_bytes()

    def read(self) -> int:
        """Bytes above the baseline at the highest point so far."""
        if self._device is not None:
            peak = _device_bytes(self._device, "peak")
        else:
            peak = _status("VmHWM") if sys.platform == "linux" else _peak_rusage()
        return max(0, peak - self._baseline)


def available_memory() -> int:
    """Bytes that a run could still get: on the GPU if there is one, else of the machine and its control groups."""
    device = find_gpu()
    return free_memory() if device is None else device_available(device)


def device_available(device: str) -> int:
    """Bytes of a device that TensorFlow may use and does not: its limit is fixed when the process first uses it."""
    from tensorflow.python.client import device_lib

    limits = {found.name: int(found.memory_limit) for found in device_lib.list_local_devices()}
    return max(0, limits[f"/device:{device}"] - _device_bytes(device, "current"))


def _status(field: str) -> int:
    return read_field(Path("/proc/self/status"), f"{field}:") * 1024


def _device_bytes(device: str, statistic: str) -> int:
    import tensorflow as tf

    return int(tf.config.experimental.get_memory_info(device)[statistic])


def _peak_rusage() -> int:
    # Bytes on macOS, the only other system this runs on.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
