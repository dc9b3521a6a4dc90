"""Model and images to scores: each image counted once, every rate with its interval."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from bakeoff.calibration import calibration_error, softmax
from bakeoff.fuse import fuse
from bakeoff.pipeline import Split, eval_batches
from bakeoff.runs import Metrics, wilson_interval

__all__ = ["EVAL_BATCH", "Forward", "compile_forward", "confusion_matrix", "predict_logits", "score"]

EVAL_BATCH = 128

Batch = NDArray[np.uint8]
Floats = NDArray[np.float32]
Forward = Callable[[Batch], Floats]


def compile_forward(model: keras.Model) -> Forward:
    """uint8 images (n, side, side, 3) -> float32 outputs (n, …) in inference mode, compiled at the first call."""
    import tensorflow as tf

    # XLA stays off: its bilinear resize is wrong on CPUs in TF 2.21.
    fused = fuse(model)
    # A last batch that is short would be traced again, which takes longer than many batches.
    images_of_any_number = tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8)
    graph = tf.function(
        lambda images: fused(images, training=False), jit_compile=False, input_signature=[images_of_any_number]
    )

    def forward(images: Batch) -> Floats:
        outputs: Floats = graph(tf.constant(images)).numpy().astype(np.float32)
        return outputs

    return forward


def predict_logits(
    forward: Forward, split: Split, *, flip: bool = False, on_batch: Callable[[int], None] | None = None
) -> Floats:
    """Outputs of a compiled model, (n, …) float32, in the order of the split.

    With `flip`, the log of the mean of the probabilities of the image and its mirror image.
    """
    outputs = []
    for images, _ in eval_batches(split, EVAL_BATCH):
        logits = forward(images)
        if flip:
            mirrored = forward(np.ascontiguousarray(images[:, :, ::-1]))
            logits = np.log((softmax(logits) + softmax(mirrored)) / 2 + np.finfo(np.float32).tiny)
        outputs.append(logits)
        if on_batch is not None:
            on_batch(len(images))
    return np.concatenate(outputs)


def score(logits: Floats, labels: NDArray[np.int32], superclass_of: Sequence[int] | None) -> Metrics:
    """All the metrics of one split from logits (n, classes) and int labels (n,)."""
    n, classes = logits.shape
    probabilities = softmax(logits.astype(np.float32))
    predicted = logits.argmax(axis=1)
    hits = int((predicted == labels).sum())
    order = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    superclass_top1 = None
    if superclass_of is not None:
        parent = np.asarray(superclass_of)
        superclass_top1 = float((parent[predicted] == parent[labels]).mean())
    likelihood = np.clip(probabilities[np.arange(n), labels], 1e-12, 1.0)
    return Metrics(
        n=n,
        top1=hits / n,
        top1_ci95=wilson_interval(hits, n),
        top5=float((order == labels[:, None]).any(axis=1).mean()),
        superclass_top1=superclass_top1,
        macro_f1=float(f1_score(labels, predicted, labels=np.arange(classes), average="macro", zero_division=0)),
        log_loss=float(-np.log(likelihood).mean()),
        ece=calibration_error(probabilities.max(axis=1), predicted == labels),
    )


def confusion_matrix(logits: Floats, labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Counts (classes, classes): rows are the true class, columns the predicted one."""
    classes = logits.shape[1]
    pairs = labels.astype(np.int64) * classes + logits.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
