"""Cross-validation of a linear probe: every image is scored by a head that has not seen it."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from bakeoff.data.checks import keep_together
from bakeoff.data.folds import assign_folds
from bakeoff.data.views import MIRROR
from bakeoff.networks.model import count_parameters
from bakeoff.runs.config import Balance
from bakeoff.runs.events import RunProgress
from bakeoff.runs.record import Seconds
from bakeoff.training.features import frozen_features, once_compiled
from bakeoff.training.head import fit_head
from bakeoff.training.inference import average_logits
from bakeoff.training.memory import MAX_AT_ONCE
from bakeoff.training.task import Folded, Outcome, Task

__all__ = ["cross_fit", "cross_validate"]

Floats = NDArray[np.float32]


def cross_fit(
    features: Floats,
    labels: NDArray[np.int32],
    classes: int,
    folds: NDArray[np.intp],
    on_fold: Callable[[int, int], None] | None = None,
    balance: Balance = Balance.NONE,
    mirrored: Floats | None = None,
) -> Floats:
    """Score the images of each fold by a head that is fitted on the images of all other folds.

    Args:
        features: (n, d).
        labels: (n,).
        classes: Number of classes of the dataset.
        folds: The fold of each image, (n,), as `assign_folds` returns it; at least two folds.
        on_fold: Called with (folds done, folds in all).
        balance: What each head does about uneven classes.
        mirrored: Features of the mirror images, (n, d), to average the probabilities of both; None to score the images
            alone.

    Returns:
        Logits (n, classes), in the order of the images.
    """
    logits = np.empty((len(labels), classes), np.float32)
    every = np.unique(folds)

    def score(fold: np.intp) -> None:
        held_out = folds == fold
        seen = np.unique(labels[~held_out])
        if len(seen) > 1:
            head = fit_head(features[~held_out], labels[~held_out], classes, balance)
            logits[held_out] = head.logits(features[held_out])
            if mirrored is not None:
                logits[held_out] = average_logits(logits[held_out], head.logits(mirrored[held_out]))
        else:  # the other folds are all of one class, so that one is predicted
            logits[held_out] = np.isin(np.arange(classes), seen)

    # The products of a fit are small: several threads for each wait for each other more than they compute. On a busy
    # machine a fit took seventy times as long with two threads as with one.
    threads = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(min(threads, MAX_AT_ONCE)) as executor:
        for done, job in enumerate(as_completed([executor.submit(score, fold) for fold in every]), start=1):
            job.result()
            if on_fold:
                on_fold(done, len(every))
    return logits


def cross_validate(task: Task) -> Outcome:
    """Score the network by cross-validation of a linear head on its frozen backbone.

    The images are those of validation and of training.
    """
    seconds_start = time.monotonic() - task.started - task.seconds_data
    make_forward = once_compiled(task)
    val, train = frozen_features(task, task.val, task.train, make_forward=make_forward)
    features, labels = np.concatenate([val.values, train.values]), np.concatenate([task.val.labels, task.train.labels])
    mirrored, seconds_mirrored = None, 0.0
    if task.run.train.flip_test:
        of_val, of_train = frozen_features(task, task.val, task.train, view=MIRROR, make_forward=make_forward)
        mirrored = np.concatenate([of_val.values, of_train.values])
        seconds_mirrored = of_val.seconds + of_train.seconds
    groups, note = keep_together(task.dataset, task.val, task.train)
    folds = assign_folds(labels, groups, task.run.train.folds, task.run.seed)
    started = time.perf_counter()

    def report(done: int, total: int) -> None:
        task.report(RunProgress("probe", done / total))

    logits = cross_fit(features, labels, task.classes, folds, report, task.run.train.balance, mirrored)
    seconds_fit = time.perf_counter() - started
    model = task.network.model(task.run.model.size)
    return Outcome(
        val_logits=logits,
        folded=Folded(labels, [*task.val.ids, *task.train.ids], folds.astype(np.int32)),
        seconds=Seconds(
            start=seconds_start,
            data=task.seconds_data,
            train=val.seconds + train.seconds + seconds_mirrored + seconds_fit,
            fit=seconds_fit,
        ),
        # As many as one head has learned from.
        images_seen=round(len(labels) * (1 - 1 / len(np.unique(folds)))),
        images_per_second=max(train.images_per_second, val.images_per_second),
        scored_per_second=val.images_per_second,
        epochs=1.0,
        params_total=count_parameters(model)[0],
        params_trainable=(features.shape[1] + 1) * task.classes,
        memory_peak_bytes=max(train.memory_peak_bytes, val.memory_peak_bytes, task.memory.read()),
        model=model,  # it has none of the heads, so it is not saved
        note=note,
    )
