"""What a run costs in memory: predicted from the layers, and measured in the run's own process."""

import itertools
import math
import resource
import sys
from pathlib import Path

import keras

from bakeoff.config import Optimizer, Precision, Run
from bakeoff.evaluate import EVAL_BATCH
from bakeoff.model import Network

__all__ = ["PeakMemory", "available_memory", "predict_memory", "resident_bytes"]

# Numbers kept per trainable weight besides the weight itself.
OPTIMIZER_SLOTS = {Optimizer.ADAMW: 2, Optimizer.ADAM: 2, Optimizer.SGD: 1}
# Each layer costs graph nodes, kernels and their caches, whatever its size: fitted on a CPU, see docs/method.md.
BYTES_PER_LAYER = 2_100_000


def predict_memory(network: Network, run: Run, *, training: bool = True, batch: int | None = None) -> int:
    """Bytes above the framework's own at the peak of a training step (or of a forward pass) of this run.

    The sum of weights, gradients, optimiser slots and moving average, the activations saved for the backward
    pass at the run's batch and precision, and a cost per layer. Without training, the two largest neighbours
    among the activations stand for what is alive at once.
    """
    model = network.model(run.model.size)
    per_number = 4 if run.train.precision is Precision.FLOAT32 else 2
    activations = [
        count * per_number * ((batch or run.train.batch) if training else EVAL_BATCH)
        for count in _outputs(network, run.model.size)
    ]
    weights = 4 * int(model.count_params())
    graph = BYTES_PER_LAYER * len(activations)
    if not training:
        return weights + graph + max(map(sum, itertools.pairwise(activations)))
    trainable: int = 4 * sum(math.prod(weight.shape) for weight in model.trainable_weights)
    averages = weights if run.optim.ema else 0
    return weights + trainable * (1 + OPTIMIZER_SLOTS[run.optim.name]) + averages + sum(activations) + graph


def available_memory() -> int:
    """Bytes that a run could still get."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    raise KeyError("MemAvailable")


def resident_bytes() -> int:
    """Bytes of this process in physical memory now."""
    if sys.platform == "linux":
        return _status("VmRSS")
    return _peak_rusage()


class PeakMemory:
    """The peak of this process above what it held when the object was made.

    On Linux the kernel's own high-water mark is read (and reset at the start, where that is allowed); a child's
    ru_maxrss would hold its parent's peak, so it is used on other systems only.
    """

    def __init__(self) -> None:
        if sys.platform == "linux":
            # 5 resets VmHWM to the present size, see proc(5).
            Path("/proc/self/clear_refs").write_text("5")
        self._baseline = resident_bytes()

    def read(self) -> int:
        """Bytes above the baseline at the highest point so far."""
        peak = _status("VmHWM") if sys.platform == "linux" else _peak_rusage()
        return max(0, peak - self._baseline)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def _peak_rusage() -> int:
    # Bytes on macOS, the only other system this runs on.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _outputs(network: Network, size: int) -> list[int]:
    """Numbers per image that each layer of the backbone puts out at this input size."""
    backbone = network.backbone
    layers = keras.Model(backbone.inputs, [layer.output for layer in backbone.layers])
    shapes = layers.compute_output_shape((1, size, size, 3))
    return [math.prod(shape) for shape in shapes]
