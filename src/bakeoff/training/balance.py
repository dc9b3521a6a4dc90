"""Uneven classes in training: weights of classes in the loss, or an addition to their logits.

Both are made of the number of training images of each class. Neither is a part of the model: it is evaluated, saved and
exported without them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.runs.config import Balance
from bakeoff.text import counted

__all__ = ["LossBalance", "balance_loss", "class_weights", "log_priors", "note_missing"]

# beta of Cui et al. 2019, one of the values that they tried: 10 images count as 9.6, 500 as 99, and no class as more
# than 100. With 0.999 the weights would hardly differ from the inverse frequencies of classes of up to 500 images.
EFFECTIVE_BETA = 0.99

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LossBalance:
    """What a training step does about uneven classes; by default nothing."""

    weights: Floats | None = None
    """The weight of an image in the loss by its class, (classes,). The mean over the training images is 1."""
    offsets: Floats | None = None
    """Added to the logits in training, (classes,), in nats."""

    def losses(self, targets: Any, logits: Any, smoothing: float) -> Any:
        """The cross entropy of each image, (n,).

        The loss of a mixed image is the mixture of the losses of both: each has its own weight and smooth target.

        Args:
            targets: (n, classes), each row with sum 1.
            logits: (n, classes).
            smoothing: Label smoothing, in [0, 1).
        """
        import tensorflow as tf

        if self.offsets is not None:
            logits += self.offsets
        if self.weights is None:
            return _cross_entropy(targets, logits, smoothing)
        weighted = targets * self.weights
        of_image = tf.reduce_sum(weighted, axis=1)
        # Rows with sum 1 again: the gradient of TensorFlow's cross entropy is wrong for others.
        return of_image * _cross_entropy(weighted / of_image[:, None], logits, smoothing)


def _cross_entropy(targets: Any, logits: Any, smoothing: float) -> Any:
    import tensorflow as tf

    smooth = targets * (1 - smoothing) + smoothing / logits.shape[-1]
    return tf.nn.softmax_cross_entropy_with_logits(smooth, logits)


def balance_loss(balance: Balance, labels: NDArray[np.int32], classes: int) -> LossBalance:
    """What the loss does in each kind of balance; a balanced sampler leaves the loss as it is.

    Args:
        balance: The kind.
        labels: The classes of the training images, (n,).
        classes: Number of classes; not all need to occur in `labels`.
    """
    if balance is Balance.LOGITS:
        return LossBalance(offsets=log_priors(labels, classes))
    return LossBalance(weights=None if balance is Balance.SAMPLER else class_weights(balance, labels, classes))


def class_weights(balance: Balance, labels: NDArray[np.int32], classes: int) -> Floats | None:
    """The weight of an image by its class, (classes,); None if all are 1. For a sampler: how often it draws an image.

    The mean over the images is 1, so that the loss and its gradient keep their size. The weight of a class without
    images is 0.

    Args:
        balance: The kind.
        labels: The classes of the training images, (n,).
        classes: Number of classes.
    """
    counts = np.bincount(labels, minlength=classes)
    match balance:
        case Balance.NONE | Balance.LOGITS:
            return None
        case Balance.WEIGHTS | Balance.SAMPLER:
            effective: NDArray[np.floating] = counts.astype(np.float64)
        case Balance.EFFECTIVE:
            effective = (1 - EFFECTIVE_BETA**counts) / (1 - EFFECTIVE_BETA)
    inverse = np.divide(1.0, effective, out=np.zeros(classes), where=counts > 0)
    weights: Floats = (inverse * (counts.sum() / (inverse * counts).sum())).astype(np.float32)
    return weights


def log_priors(labels: NDArray[np.int32], classes: int) -> Floats:
    """The logarithm of each class's share of the images, (classes,).

    A class without images gets the largest: training then lowers its logit most, and it is not predicted.

    Args:
        labels: The classes of the training images, (n,).
        classes: Number of classes.
    """
    counts = np.bincount(labels, minlength=classes)
    priors: Floats = np.log(np.where(counts > 0, counts, counts.max()) / counts.sum()).astype(np.float32)
    return priors


def note_missing(balance: Balance, labels: NDArray[np.int32], classes: int) -> str:
    """One line about classes that no balance can help, because they have no training image; empty if there are none."""
    missing = classes - len(np.unique(labels))
    if balance is Balance.NONE or not missing:
        return ""
    return f"train.balance = {balance}: {missing:,} of {counted(classes, 'class')} have no training images"
