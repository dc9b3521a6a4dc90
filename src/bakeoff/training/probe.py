"""A linear probe: a linear classifier on frozen features. It screens networks cheaply and initialises the head."""

import contextlib
import hashlib
import time
from typing import NamedTuple

import keras
import numpy as np
import sklearn
from numpy.typing import NDArray

from bakeoff.cache import mark_used
from bakeoff.data.batches import Split, sample_stratified
from bakeoff.files import cache_dir, hash_json, read_arrays, replacing
from bakeoff.networks.model import count_parameters
from bakeoff.runs.config import Balance
from bakeoff.runs.events import RunProgress
from bakeoff.runs.record import Seconds
from bakeoff.training.balance import note_missing
from bakeoff.training.features import find_machine, frozen_features, once_compiled
from bakeoff.training.head import INVERSE_PENALTY, ITERATIONS, LEAST_DEVIATION, LinearHead, fit_head
from bakeoff.training.inference import compile_forward, predict_logits
from bakeoff.training.task import Outcome, Task
from bakeoff.training.views import tune_head

__all__ = ["HeadCost", "initialise_head", "probe", "sample_images"]

Floats = NDArray[np.float32]


def probe(task: Task) -> Outcome:
    """Score the network with a linear head on its frozen backbone."""
    config, labels = task.run.train, task.learned.labels
    seconds_start = time.monotonic() - task.started - task.seconds_data
    make_forward = once_compiled(task)
    train, val = frozen_features(task, task.train, task.val, make_forward=make_forward)
    task.report(RunProgress("probe", 1.0))
    started = time.perf_counter()
    values = np.concatenate([train.values, val.values]) if config.with_val else train.values
    head = fit_head(values, labels, task.classes, config.balance)
    seconds_fit = time.perf_counter() - started
    computed, notes = [train, val], [note_missing(config.balance, labels, task.classes)]
    views, tried = 0, 0
    if config.probe_views:
        seconds = train.seconds + config.with_val * val.seconds
        tuned = tune_head(
            task, head, values, val.values, make_forward=make_forward, seconds=seconds, fit_seconds=seconds_fit
        )
        head, views, tried = tuned.head, tuned.views, tuned.tried
        seconds_fit += tuned.fit_seconds
        computed += tuned.features
        notes.append(tuned.note)
    task.network.head.set_weights([head.kernel, head.bias])
    model = task.network.model(task.run.model.size)
    return Outcome(
        val_logits=None if config.with_val else _score(task, head, model, val.values),
        seconds=Seconds(
            start=seconds_start,
            data=task.seconds_data,
            train=sum(each.seconds for each in computed) + seconds_fit,
            fit=seconds_fit,
        ),
        images_seen=len(task.learned) * (1 + tried),
        images_per_second=max(each.images_per_second for each in computed),
        scored_per_second=val.images_per_second,
        epochs=1.0,
        params_total=count_parameters(model)[0],
        params_trainable=head.kernel.size + head.bias.size,
        memory_peak_bytes=max(task.memory.read(), *(each.memory_peak_bytes for each in computed)),
        note="; ".join(filter(None, notes)),
        model=model,
        head_views=views,
    )


def _score(task: Task, head: LinearHead, model: keras.Model, features: Floats) -> Floats:
    """The logits (n, classes) of the validation images, whose features are known; those of mirror images are not."""
    if task.run.train.flip_test:
        return predict_logits(compile_forward(model), task.val, flip=True)
    return head.logits(features)


class HeadCost(NamedTuple):
    """What a head that starts from a probe cost. Without `train.count_probe` the cache costs nothing."""

    seconds: float
    """Seconds that it takes."""
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
    timed = task.run.train.count_probe
    found = frozen_features(task, *samples, timed=timed)
    values = np.concatenate([features.values for features in found])
    labels = np.concatenate([sample.labels for sample in samples])
    head, fit_seconds = _read_or_fit_head(values, labels, task.classes, task.run.train.balance, timed=timed)
    task.network.head.set_weights([head.kernel, head.bias])
    return HeadCost(sum(features.seconds for features in found) + fit_seconds, fit_seconds, len(labels))


def _read_or_fit_head(
    features: Floats, labels: NDArray[np.int32], classes: int, balance: Balance = Balance.NONE, *, timed: bool = True
) -> tuple[LinearHead, float]:
    """The head that `fit_head` fits, and the seconds that this takes on this machine.

    If they are not asked for (`timed`), a cached head takes none. Else one of another machine is fitted again.
    """
    hashes = [hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() for array in (features, labels)]
    key = hash_json([*hashes, classes, balance, INVERSE_PENALTY, ITERATIONS, LEAST_DEVIATION, sklearn.__version__])
    path, machine = cache_dir() / "features" / f"{key[:32]}-head.npz", find_machine()
    with contextlib.suppress(OSError, ValueError, KeyError):  # missing, damaged, or of an older version
        arrays = read_arrays(path)
        head = LinearHead(arrays["kernel"], arrays["bias"])
        if not timed or str(arrays["machine"]) == machine:
            mark_used(path)
            return head, float(arrays["seconds"]) if timed else 0.0
    started = time.perf_counter()
    head = fit_head(features, labels, classes, balance)
    seconds = time.perf_counter() - started
    with replacing(path) as temporary, temporary.open("wb") as file:
        facts = {"seconds": np.float64(seconds), "machine": np.str_(machine)}
        np.savez(file, allow_pickle=False, kernel=head.kernel, bias=head.bias, **facts)
    return head, seconds


def sample_images(split: Split, images: int) -> Split:
    """A stratified sample of a split, or all of it if it is no larger."""
    return split if images >= len(split) else split.take(sample_stratified(split.labels, images))
