"""Memory as it will be: the peak of a run from the shapes of its layers, before anything is allocated.

Derived: weights and their copies, and the tensors alive at the worst moment. Fitted: the constants below.
"""

import itertools
import math
from collections.abc import Iterable, Iterator

from keras import layers

from bakeoff.networks.model import Network
from bakeoff.runs.config import Optimizer, Precision, Run
from bakeoff.training.inference import EVAL_BATCH
from bakeoff.training.memory.measure import find_gpu
from bakeoff.training.memory.walk import GraphStep, Tensor, walk

__all__ = ["predict_memory"]

# Numbers kept per trainable weight besides the weight itself.
OPTIMIZER_SLOTS = {
    Optimizer.ADAMW: 2,
    Optimizer.ADAM: 2,
    Optimizer.ADAMAX: 2,
    Optimizer.LION: 1,
    Optimizer.RMSPROP: 1,
    Optimizer.SGD: 1,
}
# Its gradient, and its next value, made while the present one is still being read.
COPIES_IN_A_STEP = 2

# Fitted on benchmarks/memory.csv, see docs/method.md. What the allocator takes for each byte of the tensors alive, ...
FRAGMENTATION = 1.06
# ... what a process takes besides, and its graph for each operation and for each trained variable.
PROCESS_BYTES = 13_000_000
BYTES_PER_OPERATION = 540_000
BYTES_PER_VARIABLE = 1_200_000
# A further input size, or the probe that a head starts from, has a graph of its own, which takes in part what the
# making of the last one left.
SHARE_OF_FURTHER_GRAPH = 0.5

Span = tuple[int, int, int]


def predict_memory(network: Network, run: Run, *, training: bool = True, batch: int | None = None) -> int:
    """Bytes above the framework's and the images' at the peak of this run; without `training`, of its forward pass.

    `batch` is how many images are in memory at once (None: the run's batch); with fewer than the run's batch, the sum
    of the gradients is one more copy. No variable needs to exist yet. On a GPU the graph, which is the host's, is left
    out.
    """
    model = network.model(run.model.size)
    half = run.train.precision is not Precision.FLOAT32
    steps = walk(model, network.side, half=half)
    bytes_per_number = 2 if half else 4
    held: int = 4 * sum(math.prod(weight.shape) for weight in model.weights)
    moment = bytes_per_number * _evaluated_at_once(run, training=training) * forward_numbers(steps)
    graph = PROCESS_BYTES + BYTES_PER_OPERATION * len(steps)
    if training:
        batch = batch or run.train.batch
        moment = max(moment, bytes_per_number * batch * backward_numbers(steps))
        trained = [shape for step in steps for shape in step.weights]
        copies = OPTIMIZER_SLOTS[run.optim.name] + COPIES_IN_A_STEP + (batch < run.train.batch)
        held = held * _models_held(run) + 4 * copies * sum(map(math.prod, trained))
        graph += BYTES_PER_VARIABLE * len(trained)
        further = len(run.train.sizes) + bool(run.train.probe_images)
        graph += round(SHARE_OF_FURTHER_GRAPH * further * graph)
    return held + round(FRAGMENTATION * moment) + (0 if find_gpu() else graph)


def backward_numbers(steps: list[GraphStep]) -> int:
    """Most numbers per image alive at once in the backward pass: what is still kept, and gradients on their way."""
    kept_from: dict[Tensor, int] = {}
    for position, step in enumerate(steps):
        for tensor in step.kept:
            kept_from.setdefault(tensor, position)
    end = len(steps) - 1
    kept = _alive(((first, end, tensor.numbers) for tensor, first in kept_from.items()), len(steps))
    learning = {step.output for step in steps if step.has_gradient}
    # The gradient of a tensor lives from its last reader back to its maker.
    flowing = _alive((span for tensor, span in _lives(steps) if tensor in learning), len(steps))
    return max(kept[at] + flowing[at] + _gradient_workspace(step) for at, step in enumerate(steps) if step.has_gradient)


def forward_numbers(steps: list[GraphStep]) -> int:
    """Most numbers per image alive at once when nothing is kept for a gradient."""
    alive = _alive((span for _, span in _lives(steps)), len(steps))
    return max(numbers + _workspace(step) for numbers, step in zip(alive, steps, strict=True))


def _models_held(run: Run) -> int:
    """How many times a training run holds all weights: the model's own and those it may go back to."""
    # The moving average, and the model's own weights, which are set aside while the average is evaluated.
    averages = 2 if run.optim.ema else 0
    start = bool(run.train.probe_images or run.model.start)
    return 1 + averages + start + bool(run.train.patience)


def _evaluated_at_once(run: Run, *, training: bool) -> int:
    if not training or run.train.probe_images or run.train.val_images is None:
        return EVAL_BATCH
    return min(EVAL_BATCH, run.train.val_images)


def _lives(steps: list[GraphStep]) -> Iterator[tuple[Tensor, Span]]:
    """Each output with the positions of its maker and its last reader, and its numbers."""
    last = {tensor: position for position, step in enumerate(steps) for tensor in step.inputs}
    for position, step in enumerate(steps):
        yield step.output, (position, last.get(step.output, position), step.output.numbers)


def _alive(spans: Iterable[Span], length: int) -> list[int]:
    """Numbers alive at each of `length` positions, from (first, last, numbers)."""
    changes = [0] * (length + 1)
    for first, last, numbers in spans:
        changes[first] += numbers
        changes[last + 1] -= numbers
    return list(itertools.accumulate(changes[:-1]))


def _workspace(step: GraphStep) -> int:
    """Numbers per image that an operation needs for itself."""
    match step.operation:
        case layers.Conv2D(kernel_size=(height, width)) if height * width > 1:
            # oneDNN works on a copy in a layout of its own.
            return step.inputs[0].numbers
    return 0


def _gradient_workspace(step: GraphStep) -> int:
    """Numbers per image that the gradient of an operation needs for itself."""
    match step.operation:
        case layers.BatchNormalization() if step.weights:
            # A sum of three terms: through the input, the mean and the variance.
            return 2 * step.output.numbers
        case layers.Conv2D(kernel_size=(height, width)) if height * width > 1:
            # The copies of what comes in and of the gradient that goes on.
            return step.inputs[0].numbers + step.output.numbers
    return 0
