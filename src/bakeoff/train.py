"""Training: the only loop there is.

Progress runs from 0 to 1 over the run's length, be it seconds, images or epochs; learning rate, input size and
evaluations are functions of it, so the schedule always ends where the run ends.
"""

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from bakeoff.config import INTERIM_IMAGES, Monitor, Train
from bakeoff.ema import BestWeights, MovingAverage
from bakeoff.evaluate import Forward, compile_forward, predict_logits, score
from bakeoff.features import frozen_features
from bakeoff.model import count_parameters
from bakeoff.optim import build_optimizer, learning_rate, rate_factors
from bakeoff.pipeline import Split, sample_stratified, train_batches
from bakeoff.probe import fit_head
from bakeoff.runs import HistoryRow, Seconds, write_history
from bakeoff.step import compile_step
from bakeoff.task import Outcome, Progress, Task

__all__ = ["train"]


def train(task: Task) -> Outcome:
    """Fine-tune, or train from scratch, as the config says. Raises FloatingPointError when the loss diverges."""
    run = task.run
    clock = _Clock()
    sizes = (*run.train.sizes, run.model.size)
    models = [task.network.model(size) for size in sizes]
    model = models[-1]
    probe_seconds, probe_images = _start_head_from_probe(task) if run.train.probe_images else (0.0, 0)
    if not run.train.count_probe:
        probe_seconds, probe_images = 0.0, 0
    length = _shorten(run.train, probe_seconds, probe_images)
    average = MovingAverage(model, run.optim.ema)
    best = BestWeights(model)
    optimizer = build_optimizer(run.optim)
    optimizer.build(model.trainable_variables)
    factors = rate_factors(run.optim, task.network)
    steps = [
        compile_step(each, optimizer, average, run.optim.label_smoothing, task.micro_batch, factors) for each in models
    ]
    forward = compile_forward(model)
    interim = task.val if run.train.patience else _sample(task.val, INTERIM_IMAGES)
    batches = train_batches(task.train, task.classes, run.train.batch, run.augment, seed=run.seed)

    start = None
    if run.train.probe_images or run.model.start:
        with clock.charge("evaluate"):
            start = _Start(model, forward, interim)
    progress, images_seen, stage, evaluations = 0.0, 0, -1, 0
    losses: list[float] = []
    history: list[HistoryRow] = []

    def evaluate(split: Split, *, flip: bool) -> np.ndarray[Any, np.dtype[np.float32]]:
        logits = predict_logits(forward, split, flip=flip)
        metrics = score(logits, split.labels, task.dataset.superclass_of)
        history.append(
            HistoryRow(
                seconds=probe_seconds + clock.seconds["train"],
                progress=progress,
                epoch=images_seen / len(task.train),
                images_seen=images_seen,
                size=sizes[stage],
                learning_rate=rate,
                train_loss=float(np.mean(losses)),
                val_loss=metrics.log_loss,
                val_top1=metrics.top1,
            )
        )
        losses.clear()
        write_history(task.folder, history)
        return logits

    while progress < 1.0 and not _is_stale(best, run.train):
        previous, stage = stage, min(int(progress * len(sizes)), len(sizes) - 1)
        rate = learning_rate(run.optim, progress)
        # The first step at a size traces and compiles it: its time is no measure of training.
        with clock.charge("train" if stage == previous else "compile"):
            images, targets = next(batches)
            losses.append(steps[stage](images, targets, rate, average.next_decay()))
        images_seen += len(images)
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(f"the loss became {losses[-1]} after {images_seen} images, at rate {rate:.2g}")
        progress = _progress(length, clock.seconds["train"], images_seen, len(task.train))
        task.tell(_where(progress, clock.seconds["train"], images_seen / len(task.train), history))
        if evaluations < int(progress * run.train.evaluations) and progress < 1.0:
            evaluations += 1
            with clock.charge("evaluate"), average.swapped_in():
                # A curve can do without mirror images, which double the time; a choice among its points cannot.
                evaluate(interim, flip=run.train.flip_test and run.train.patience > 0)
                if run.train.patience:
                    best.look(_merit(history[-1], run.train.monitor))

    average.keep()
    with clock.charge("evaluate"):
        stopped = _is_stale(best, run.train)
        note = f"stopped early at {progress:.0%} of its length" if stopped else ""
        if not stopped:
            val_logits = evaluate(task.val, flip=run.train.flip_test)
        if run.train.patience:
            if not stopped:
                best.look(_merit(history[-1], run.train.monitor))
            best.restore()
            val_logits = predict_logits(forward, task.val, flip=run.train.flip_test)

        if start is not None and start.is_better(forward, interim):
            note = "too short to gain anything: its starting point was kept"
            start.restore()
            val_logits = predict_logits(forward, task.val, flip=run.train.flip_test)

    images_per_second = (images_seen - run.train.batch * len(sizes)) / max(clock.seconds["train"], 1e-9)
    images_seen += probe_images
    clock.seconds["train"] += probe_seconds
    total, trainable = count_parameters(model)
    return Outcome(
        val_logits=val_logits,
        seconds=Seconds(data=task.seconds_data, **clock.seconds),
        images_seen=images_seen,
        images_per_second=images_per_second,
        epochs=images_seen / len(task.train),
        params_total=total,
        params_trainable=trainable,
        memory_peak_bytes=task.memory.read(),
        model=model,
        note=note,
    )


class _Start:
    """The weights that a run began with, and how well they did: a run too short for its schedule may end below them."""

    def __init__(self, model: keras.Model, forward: Forward, images: Split) -> None:
        self._model = model
        self._weights = model.get_weights()
        self._hits = _count_hits(forward, images)

    def is_better(self, forward: Forward, images: Split) -> bool:
        """Whether the model as it stands names fewer of the images rightly than it did at its start."""
        return _count_hits(forward, images) < self._hits

    def restore(self) -> None:
        """Give the starting weights back to the model."""
        self._model.set_weights(self._weights)


class _Clock:
    """Wall-clock seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def charge(self, account: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[account] += time.perf_counter() - started


def _start_head_from_probe(task: Task) -> tuple[float, int]:
    """LP-FT (Kumar et al., arXiv 2202.10054): a head that fits spares the backbone the first, wildest steps.

    Returns the seconds it takes where no features are in the cache, and its images.
    """
    sample = _sample(task.train, task.run.train.probe_images)
    (features,) = frozen_features(task, sample)
    started = time.perf_counter()
    head = fit_head(features.values, sample.labels, task.classes)
    task.network.head.set_weights([head.kernel, head.bias])
    return features.seconds + time.perf_counter() - started, len(sample)


def _shorten(config: Train, seconds: float, images: int) -> Train:
    """The length of a run less what has been spent before its first step; at least that step is left."""
    left = None if config.seconds is None else max(1e-9, config.seconds - seconds)
    return config.model_copy(update={"seconds": left, "images": config.images and max(1, config.images - images)})


def _progress(config: Train, seconds: float, images_seen: int, images: int) -> float:
    if config.seconds is not None:
        return min(1.0, seconds / config.seconds)
    wanted = config.images if config.images is not None else (config.epochs or 1.0) * images
    return min(1.0, images_seen / wanted)


def _where(progress: float, seconds: float, epoch: float, history: list[HistoryRow]) -> Progress:
    left = seconds * (1 - progress) / progress if progress else None
    return Progress("train", progress, epoch, len(history), history[-1].val_top1 if history else None, left)


def _merit(row: HistoryRow, monitor: Monitor) -> float:
    return row.val_top1 if monitor is Monitor.TOP1 else -row.val_loss


def _is_stale(best: BestWeights, config: Train) -> bool:
    return 0 < config.patience <= best.stale


def _count_hits(forward: Forward, split: Split) -> int:
    return int((predict_logits(forward, split).argmax(axis=1) == split.labels).sum())


def _sample(split: Split, images: int) -> Split:
    return split if images >= len(split) else split.take(sample_stratified(split.labels, images))
