"""A linear head: a multinomial logistic regression on features."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from bakeoff.errors import ConfigError
from bakeoff.runs.config import Balance
from bakeoff.text import counted
from bakeoff.training.balance import class_weights, log_priors

__all__ = ["INVERSE_PENALTY", "ITERATIONS", "LEAST_DEVIATION", "LinearHead", "fit_head"]

# Inverse strength of the L2 penalty on standardised features.
INVERSE_PENALTY = 0.01
ITERATIONS = 60
# Least deviation that a feature is divided by, as a part of the mean deviation of all. A feature that is zero for
# almost all training images would otherwise get a weight thousands of times the others': it alone would decide about an
# image that has it, and in 8 bits nothing would be left of the other weights.
LEAST_DEVIATION = 0.01

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LinearHead:
    """A linear classifier: logits = features @ kernel + bias, with kernel (d, classes) and bias (classes,)."""

    kernel: Floats
    bias: Floats

    def logits(self, features: Floats) -> Floats:
        """The logits (n, classes) of features (n, d)."""
        return features @ self.kernel + self.bias


def fit_head(
    features: Floats, labels: NDArray[np.int32], classes: int, balance: Balance = Balance.NONE, *, views: int = 0
) -> LinearHead:
    """Fit a multinomial logistic regression on standardised features and express it in the raw features.

    A class without images gets zero weights and the smallest bias. Instead of balanced batches, the images get the
    weights that such batches come to. Logits are adjusted after the fit: as the bias has no penalty, a fit with the
    logarithm of each class's share added to its logit gives the same head.

    Args:
        features: (n, d), or those of the images and then of each of so many views of them, ((1 + views) * n, d).
        labels: (n,).
        classes: Number of classes of the dataset; not all need to occur in `labels`.
        balance: What is done about uneven classes.
        views: An image and its views count as one image, so that the penalty weighs as much as without views.

    Raises:
        ConfigError: All images are of one class.
    """
    if len(np.unique(labels)) < 2:
        raise ConfigError(
            f"all {counted(len(labels), 'training image')} of the probe are of one class; give a larger train.subset or"
            " train.probe_images"
        )
    by_class = class_weights(balance, labels, classes)
    weights_of = None if by_class is None else by_class[labels]
    if views:
        weights_of = np.tile((np.ones(len(labels)) if weights_of is None else weights_of) / (1 + views), 1 + views)
    mean, deviations = features.mean(axis=0), features.std(axis=0)
    scale = np.maximum(deviations, LEAST_DEVIATION * deviations.mean()) + 1e-6
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=ITERATIONS, tol=1e-3)
    with warnings.catch_warnings():
        # The number of iterations is limited on purpose: a more exact optimum does not change the ranking.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit((features - mean) / scale, np.tile(labels, 1 + views), weights_of)
    weights, bias = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:  # scikit-learn keeps one row for two classes
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    offsets = bias - weights @ (mean / scale)
    if balance is Balance.LOGITS:
        offsets = offsets - log_priors(labels, classes)[regression.classes_]
    kernel = np.zeros((features.shape[1], classes), np.float32)
    intercept = np.full(classes, offsets.min(), np.float32)
    kernel[:, regression.classes_] = (weights / scale).T
    intercept[regression.classes_] = offsets
    return LinearHead(kernel, intercept)
