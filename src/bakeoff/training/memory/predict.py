"""Predicted memory: the peak of a run from the shapes of its layers, before anything is allocated.

Weights, their copies, and the tensors alive at the peak are derived from the shapes; the constants below are fitted.
"""

import itertools
import math
from collections.abc import Iterable, Iterator

import keras
from keras import layers

from bakeoff.machine import count_cores
from bakeoff.networks.lora import list_adapted, tried_lora
from bakeoff.networks.model import Network
from bakeoff.runs.config import Optimizer, Precision, Run
from bakeoff.training.inference import EVAL_BATCH
from bakeoff.training.memory.measure import find_gpu
from bakeoff.training.memory.walk import GraphStep, Tensor, walk

__all__ = ["MAX_AT_ONCE", "predict_memory"]

# Heads of a cross-validation that are fitted at once, at most: each has copies of its features.
MAX_AT_ONCE = 4
# Numbers that the optimiser stores for each trainable weight.
OPTIMIZER_SLOTS = {
    Optimizer.ADAMW: 2,
    Optimizer.ADAM: 2,
    Optimizer.ADAMAX: 2,
    Optimizer.LION: 1,
    Optimizer.RMSPROP: 1,
    Optimizer.SGD: 1,
}
# Further copies of each trainable weight within a step: its gradient, and its new value.
COPIES_IN_A_STEP = 2

# Fitted on benchmarks/memory.csv, see docs/why/memory.md.
# Bytes that the allocator takes for each byte of the tensors alive, in training and in inference.
FRAGMENTATION, FORWARD_FRAGMENTATION = 1.14, 1.25
# Constant part of a process.
PROCESS_BYTES = 9_000_000
# The compiled graph, for each operation and for each trained variable. In training it is, with the process, at most
# MAX_GRAPH_BYTES: counted without a limit, NASNet Mobile was predicted 48 % too high, EfficientNet-B7 8 %.
BYTES_PER_OPERATION = 440_000
BYTES_PER_VARIABLE = 1_230_000
MAX_GRAPH_BYTES = 750_000_000
# Each further input size, and the probe for the head, has its own graph. It partly reuses memory that compiling the
# previous graph has freed.
SHARE_OF_FURTHER_GRAPH = 0.5

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)

# First step, last step, numbers per image: the lifetime of a tensor.
Lifetime = tuple[int, int, int]


def predict_memory(
    network: Network, run: Run, *, training: bool = True, batch: int | None = None, probed: int = 0
) -> int:
    """Predict the peak memory of a run in bytes, above what the framework and the images take.

    No variable needs to exist yet. On a GPU the compiled graph and the fit of a linear probe are left out, because they
    are in the host's memory.

    Args:
        network: The network.
        run: The config.
        training: Whether to include training; otherwise only inference is predicted.
        batch: Images in memory at once; the run's batch if not given. With fewer, the accumulated gradients are one
            more copy of the trained weights.
        probed: Images that a linear probe is fitted on, if there is one.
    """
    half = run.train.precision is not Precision.FLOAT32
    bytes_per_number = 2 if half else 4
    on_host = not find_gpu()
    with tried_lora(network.backbone, run.model.lora if training else 0):
        model = network.model(run.model.size)
        steps = walk(model, network.side, half=half)
        weights: int = 4 * sum(math.prod(weight.shape) for weight in model.weights)
        adapted = adapted_numbers(network)
    images = _evaluation_batch(run, training=training)
    peak = FORWARD_FRAGMENTATION * bytes_per_number * images * forward_numbers(steps) + 4 * folded_numbers(steps)
    if probed and on_host:
        peak += _head_bytes(network, probed, folded=run.train.folds > 0)
    graph = PROCESS_BYTES + BYTES_PER_OPERATION * len(steps)
    if training:
        batch = batch or run.train.batch
        trained = [shape for step in steps for shape in step.weights]
        trained_bytes = 4 * sum(map(math.prod, trained))
        backward = FRAGMENTATION * bytes_per_number * batch * backward_numbers(steps)
        backward += 4 * folded_numbers(steps, training=True) + COPIES_IN_A_STEP * trained_bytes
        backward += bytes_per_number * adapted
        peak = max(peak, backward)
        weights = weights * _weight_copies(run)
        weights += (OPTIMIZER_SLOTS[run.optim.name] + (batch < run.train.batch)) * trained_bytes
        graph = min(MAX_GRAPH_BYTES, graph + BYTES_PER_VARIABLE * len(trained))
        further = len(run.train.sizes) + bool(run.train.probe_images)
        graph += round(SHARE_OF_FURTHER_GRAPH * further * graph)
    return weights + round(peak) + on_host * graph


def folded_numbers(steps: list[GraphStep], *, training: bool = False) -> int:
    """Count of the numbers of the kernels that normalisations are folded into (`networks/fuse.py`).

    They depend on no image, so TensorFlow computes them all at the start of a step.
    """
    convolutions = {step.output: step.operation for step in steps if isinstance(step.operation, _CONVOLUTIONS)}
    folded = [
        convolutions[step.inputs[0]]
        for step in steps
        if isinstance(step.operation, layers.BatchNormalization) and step.inputs[0] in convolutions
        if not (training and step.weights)
    ]
    return sum(math.prod(weight.shape) for operation in folded for weight in operation.weights)


def adapted_numbers(network: Network) -> int:
    """Count of the numbers of the kernels that rank matrices are added to (`networks/lora.py`).

    The sums are needed until the backward pass has come to them; each then has a gradient, for a moment.
    """
    kernels: list[int] = [math.prod(layer.kernel.shape) for layer in list_adapted(network.backbone)]
    return sum(kernels) + max(kernels, default=0)


def backward_numbers(steps: list[GraphStep]) -> int:
    """Largest count of numbers per image alive at once in the backward pass: saved activations and gradients."""
    saved_from: dict[Tensor, int] = {}
    for position, step in enumerate(steps):
        for tensor in step.kept:
            saved_from.setdefault(tensor, position)
    end = len(steps) - 1
    saved = _alive(((first, end, tensor.numbers) for tensor, first in saved_from.items()), len(steps))
    learning = {step.output for step in steps if step.has_gradient}
    # The gradient of a tensor is alive from the tensor's last reader back to the operation that computed it.
    gradients = _alive((lifetime for tensor, lifetime in _lifetimes(steps) if tensor in learning), len(steps))
    return max(
        saved[position] + gradients[position] + _gradient_workspace(step)
        for position, step in enumerate(steps)
        if step.has_gradient
    )


def forward_numbers(steps: list[GraphStep]) -> int:
    """Largest count of numbers per image alive at once in inference, where nothing is saved for gradients."""
    alive = _alive((lifetime for _, lifetime in _lifetimes(steps)), len(steps))
    last = _last_readers(steps)
    return max(
        numbers + _workspace(step) - _written_in_place(step, [each for each in step.inputs if last[each] == position])
        for position, (numbers, step) in enumerate(zip(alive, steps, strict=True))
    )


def _weight_copies(run: Run) -> int:
    """How many copies of all weights a training run holds: the model's, and those of `weight_copies.py`."""
    # The moving average, and a copy of the model's weights while the average is evaluated.
    averages = 2 if run.optim.ema else 0
    start = bool(run.train.probe_images or run.model.start)
    return 1 + averages + start + bool(run.train.patience)


def _head_bytes(network: Network, images: int, *, folded: bool) -> int:
    """Bytes of the features of so many images, and of a logistic regression on them (`training/probe.py`)."""
    width, classes = map(int, network.head.kernel.shape)
    features = 4 * images * width
    # Standardised features take a copy for each of two operations. Later, of one copy, the optimiser holds ten earlier
    # steps and gradients of float64 numbers, and the logits.
    fitting = max(2 * features, features + 160 * width * classes + 8 * images * classes)
    if not folded:
        return features + fitting
    # Those of validation and training are put together, and each of the heads that are fitted at once has a copy.
    return 2 * features + min(MAX_AT_ONCE, count_cores()) * (features + fitting)


def _evaluation_batch(run: Run, *, training: bool) -> int:
    if not training or run.train.probe_images or run.train.val_images is None:
        return EVAL_BATCH
    return min(EVAL_BATCH, run.train.val_images)


def _lifetimes(steps: list[GraphStep]) -> Iterator[tuple[Tensor, Lifetime]]:
    """Each step's output, and its lifetime from that step to its last reader."""
    last = _last_readers(steps)
    for position, step in enumerate(steps):
        yield step.output, (position, last.get(step.output, position), step.output.numbers)


def _last_readers(steps: list[GraphStep]) -> dict[Tensor, int]:
    """The last step that reads each tensor."""
    return {tensor: position for position, step in enumerate(steps) for tensor in step.inputs}


def _written_in_place(step: GraphStep, released: list[Tensor]) -> int:
    """Numbers per image that an operation writes into the memory of an input that nothing reads after it."""
    match step.operation:
        case layers.Activation() if step.operation.activation is keras.activations.gelu:
            return 0
        case layers.ReLU() | layers.Activation() | layers.Add() | layers.BatchNormalization():
            return step.output.numbers if any(each.numbers == step.output.numbers for each in released) else 0
    return 0


def _alive(lifetimes: Iterable[Lifetime], length: int) -> list[int]:
    """The numbers per image alive at each of `length` steps."""
    changes = [0] * (length + 1)
    for first, last, numbers in lifetimes:
        changes[first] += numbers
        changes[last + 1] -= numbers
    return list(itertools.accumulate(changes[:-1]))


def _workspace(step: GraphStep) -> int:
    """Numbers per image that an operation needs as temporary memory."""
    match step.operation:
        case layers.Conv2D(kernel_size=(height, width), groups=1) if height * width > 1:
            # oneDNN copies the input into its own memory layout.
            return step.inputs[0].numbers
        case layers.Activation() if step.operation.activation is keras.activations.gelu:
            # Half of the input and one plus its error function, before they are multiplied.
            return step.output.numbers
    return 0


def _gradient_workspace(step: GraphStep) -> int:
    """Numbers per image that the gradient of an operation needs as temporary memory."""
    match step.operation:
        case layers.Activation() if step.operation.activation is keras.activations.gelu:
            # The gradients of the two factors, before they are added.
            return 2 * step.output.numbers
        case layers.BatchNormalization() if step.weights:
            # The gradient is a sum of three terms: through the input, the mean and the variance.
            return 2 * step.output.numbers
        case layers.Conv2D(kernel_size=(height, width), groups=1) if height * width > 1:
            # Copies of the input and of the output's gradient in oneDNN's memory layout.
            return step.inputs[0].numbers + step.output.numbers
    return 0
