"""A linear probe: a linear classifier on frozen features. It screens networks cheaply and initialises the head."""

import hashlib
import time
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from bakeoff.cache import mark_used
from bakeoff.data.batches import Split, sample_stratified
from bakeoff.errors import ConfigError
from bakeoff.files import cache_dir, hash_json, read_arrays, replacing
from bakeoff.networks.model import count_parameters
from bakeoff.runs.config import Balance
from bakeoff.runs.events import RunProgress
from bakeoff.runs.record import Seconds
from bakeoff.training.balance import class_weights, log_priors, note_missing
from bakeoff.training.features import frozen_features
from bakeoff.training.inference import compile_forward, predict_logits
from bakeoff.training.task import Outcome, Task

__all__ = ["HeadCost", "LinearHead", "fit_head", "initialise_head", "probe", "sample_images"]

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


def probe(task: Task) -> Outcome:
    """Score the network with a linear head on its frozen backbone."""
    seconds_start = time.monotonic() - task.started - task.seconds_data
    train, val = frozen_features(task, task.train, task.val)
    task.report(RunProgress("probe", 1.0))
    started = time.perf_counter()
    balance = task.run.train.balance
    features = np.concatenate([train.values, val.values]) if task.run.train.with_val else train.values
    head = fit_head(features, task.learned.labels, task.classes, balance)
    seconds_fit = time.perf_counter() - started
    task.network.head.set_weights([head.kernel, head.bias])
    model = task.network.model(task.run.model.size)
    return Outcome(
        val_logits=None if task.run.train.with_val else _score(task, head, model, val.values),
        seconds=Seconds(
            start=seconds_start,
            data=task.seconds_data,
            train=train.seconds + val.seconds + seconds_fit,
            fit=seconds_fit,
        ),
        images_seen=len(task.learned),
        images_per_second=max(train.images_per_second, val.images_per_second),
        scored_per_second=val.images_per_second,
        epochs=1.0,
        params_total=count_parameters(model)[0],
        params_trainable=head.kernel.size + head.bias.size,
        memory_peak_bytes=max(train.memory_peak_bytes, val.memory_peak_bytes, task.memory.read()),
        note=note_missing(balance, task.learned.labels, task.classes),
        model=model,
    )


def _score(task: Task, head: LinearHead, model: keras.Model, features: Floats) -> Floats:
    """The logits (n, classes) of the validation images, whose features are known; those of mirror images are not."""
    if task.run.train.flip_test:
        return predict_logits(compile_forward(model), task.val, flip=True)
    return head.logits(features)


class HeadCost(NamedTuple):
    """What a head that starts from a probe cost."""

    seconds: float
    """Seconds that it takes without the cache."""
    fit_seconds: float
    """The part of them in which the head was fitted."""
    images: int


def initialise_head(task: Task) -> HeadCost:
    """Set the network's head to a linear probe fitted on frozen features of some training images.

    With `train.with_val` all validation images are added to them.

    LP-FT (Kumar et al. 2022, arXiv 2202.10054): a head that starts at random would distort the backbone's features in
    the first steps.
    """
    samples = [sample_images(task.train, task.run.train.probe_images)]
    if task.run.train.with_val:
        samples.append(task.val)
    found = frozen_features(task, *samples)
    values = np.concatenate([features.values for features in found])
    labels = np.concatenate([sample.labels for sample in samples])
    head, fit_seconds = _read_or_fit_head(values, labels, task.classes, task.run.train.balance)
    task.network.head.set_weights([head.kernel, head.bias])
    return HeadCost(sum(features.seconds for features in found) + fit_seconds, fit_seconds, len(labels))


def _read_or_fit_head(
    features: Floats, labels: NDArray[np.int32], classes: int, balance: Balance = Balance.NONE
) -> tuple[LinearHead, float]:
    """The head that `fit_head` fits, and the seconds that this took, now or when the head was cached."""
    hashes = [hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() for array in (features, labels)]
    key = hash_json([*hashes, classes, balance, INVERSE_PENALTY, ITERATIONS, LEAST_DEVIATION, sklearn.__version__])
    path = cache_dir() / "features" / f"{key[:32]}-head.npz"
    try:
        arrays = read_arrays(path)
        head, seconds = LinearHead(arrays["kernel"], arrays["bias"]), float(arrays["seconds"])
    except (OSError, ValueError, KeyError):  # missing or damaged
        started = time.perf_counter()
        head = fit_head(features, labels, classes, balance)
        seconds = time.perf_counter() - started
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, kernel=head.kernel, bias=head.bias, seconds=seconds)
        return head, seconds
    mark_used(path)
    return head, seconds


def sample_images(split: Split, images: int) -> Split:
    """A stratified sample of a split, or all of it if it is no larger."""
    return split if images >= len(split) else split.take(sample_stratified(split.labels, images))


def fit_head(features: Floats, labels: NDArray[np.int32], classes: int, balance: Balance = Balance.NONE) -> LinearHead:
    """Fit a multinomial logistic regression on standardised features and express it in the raw features.

    A class without images gets zero weights and the smallest bias. Instead of balanced batches, the images get the
    weights that such batches come to. Logits are adjusted after the fit: as the bias has no penalty, a fit with the
    logarithm of each class's share added to its logit gives the same head.

    Args:
        features: (n, d).
        labels: (n,).
        classes: Number of classes of the dataset; not all need to occur in `labels`.
        balance: What is done about uneven classes.

    Raises:
        ConfigError: All images are of one class.
    """
    if len(np.unique(labels)) < 2:
        raise ConfigError(
            f"all {len(labels):,} training images of the probe are of one class; give a larger train.subset or"
            " train.probe_images"
        )
    weights_of = class_weights(balance, labels, classes)
    mean, deviations = features.mean(axis=0), features.std(axis=0)
    scale = np.maximum(deviations, LEAST_DEVIATION * deviations.mean()) + 1e-6
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=ITERATIONS, tol=1e-3)
    with warnings.catch_warnings():
        # The number of iterations is limited on purpose: a more exact optimum does not change the ranking.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit((features - mean) / scale, labels, None if weights_of is None else weights_of[labels])
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
