"""Outputs of a model on images, in inference mode."""

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import Split, eval_batches
from bakeoff.networks.fuse import fuse
from bakeoff.runs.calibration import softmax
from bakeoff.runs.events import RunProgress, write_event

__all__ = [
    "EVAL_BATCH",
    "Forward",
    "average_logits",
    "compile_forward",
    "full_float32",
    "predict_logits",
    "report_batches",
]

EVAL_BATCH = 128

Batch = NDArray[np.uint8]
Floats = NDArray[np.float32]
Forward = Callable[[Batch], Floats]


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """For the block, or for a function that it decorates, GPUs multiply float32 with all its bits.

    By default they round the factors to 11 bits (TF32). That is as good for scores, but not where predictions are
    compared with those of another device or runtime. It has to be around everything that such a process computes,
    because TensorFlow keeps the algorithm that it has chosen for a convolution.
    """
    import tensorflow as tf

    settings = tf.config.experimental
    before = settings.tensor_float_32_execution_enabled()
    settings.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        settings.enable_tensor_float_32_execution(before)


def compile_forward(model: keras.Model) -> Forward:
    """Compile a model for inference: uint8 images (n, side, side, 3) -> float32 outputs (n, …).

    The graph is compiled at the first call and then serves any n.
    """
    import tensorflow as tf

    # XLA stays off: its bilinear resize is wrong on CPUs in TF 2.21.
    fused = fuse(model)
    # With a fixed n, a shorter last batch would be traced again, which takes longer than many batches.
    images_of_any_number = tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8)
    graph = tf.function(
        lambda images: fused(images, training=False),
        autograph=False,
        jit_compile=False,
        input_signature=[images_of_any_number],
    )

    def forward(images: Batch) -> Floats:
        outputs: Floats = graph(tf.constant(images)).numpy().astype(np.float32)
        return outputs

    return forward


def predict_logits(
    forward: Forward, split: Split, *, flip: bool = False, on_batch: Callable[[int], None] | None = None
) -> Floats:
    """Compute a compiled model's outputs on a split.

    Args:
        forward: The compiled model.
        split: The images.
        flip: Average the probabilities of each image and its mirror image, and return the logarithm of the mean.
        on_batch: Called after each batch with its number of images.

    Returns:
        Outputs (n, …) in the order of the split: logits, or features if `forward` computes those.
    """
    outputs = []
    for images, _ in eval_batches(split, EVAL_BATCH):
        logits = forward(images)
        if flip:
            logits = average_logits(logits, forward(np.ascontiguousarray(images[:, :, ::-1])))
        outputs.append(logits)
        if on_batch is not None:
            on_batch(len(images))
    return np.concatenate(outputs)


def average_logits(logits: Floats, mirrored: Floats) -> Floats:
    """The logarithm of the mean of the probabilities of images and of their mirror images, from the logits of both."""
    averaged: Floats = np.log((softmax(logits) + softmax(mirrored)) / 2 + np.finfo(np.float32).tiny)
    return averaged


def report_batches(doing: str, total: int) -> Callable[[int], None]:
    """Make an `on_batch` for `predict_logits` that reports the progress of this process, of `total` images."""
    done = 0

    def report(images: int) -> None:
        nonlocal done
        done += images
        write_event(RunProgress(doing, done / total))

    return report
