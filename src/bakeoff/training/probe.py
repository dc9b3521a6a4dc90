"""The cheap screen: a linear classifier on frozen features, which is also the head that fine-tuning starts from."""

import time
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from bakeoff.networks.model import count_parameters
from bakeoff.runs.events import RunProgress
from bakeoff.runs.record import Seconds
from bakeoff.training.features import frozen_features
from bakeoff.training.task import Outcome, Task

__all__ = ["LinearHead", "fit_head", "probe"]

# Inverse strength of the L2 penalty on standardised features.
INVERSE_PENALTY = 0.01
ITERATIONS = 60

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LinearHead:
    """logits = features @ kernel + bias; kernel (d, classes), bias (classes,), float32."""

    kernel: Floats
    bias: Floats

    def logits(self, features: Floats) -> Floats:
        """Logits (n, classes) of features (n, d)."""
        return features @ self.kernel + self.bias


def probe(task: Task) -> Outcome:
    """Score the network with everything but a linear head frozen."""
    train, val = frozen_features(task, task.train, task.val)
    task.tell(RunProgress("probe", 1.0))
    started = time.perf_counter()
    head = fit_head(train.values, task.train.labels, task.classes)
    seconds_fit = time.perf_counter() - started
    model = task.network.model(task.run.model.size)
    return Outcome(
        val_logits=head.logits(val.values),
        seconds=Seconds(data=task.seconds_data, train=train.seconds + val.seconds + seconds_fit),
        images_seen=len(task.train),
        images_per_second=max(train.images_per_second, val.images_per_second),
        epochs=1.0,
        params_total=count_parameters(model)[0],
        params_trainable=head.kernel.size + head.bias.size,
        memory_peak_bytes=max(train.memory_peak_bytes, val.memory_peak_bytes, task.memory.read()),
    )


def fit_head(features: Floats, labels: NDArray[np.int32], classes: int) -> LinearHead:
    """Multinomial logistic regression on standardised features, folded back to raw features.

    A class without an image in the sample gets zeros and the smallest bias.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=ITERATIONS, tol=1e-3)
    with warnings.catch_warnings():
        # Stopping early is part of the recipe: the last digits of the optimum do not move the ranking.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit((features - mean) / scale, labels)
    weights, bias = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:  # scikit-learn keeps one row for two classes
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    offsets = bias - weights @ (mean / scale)
    kernel = np.zeros((features.shape[1], classes), np.float32)
    intercept = np.full(classes, offsets.min(), np.float32)
    kernel[:, regression.classes_] = (weights / scale).T
    intercept[regression.classes_] = offsets
    return LinearHead(kernel, intercept)
