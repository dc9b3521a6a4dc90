"""Training: the only loop there is.

Progress runs from 0 to 1 over the run's length, be it seconds, images or epochs; learning rate, input size and
evaluations are functions of it, so the schedule always ends where the run ends.
"""

import math
import time
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import Split, sample_stratified, train_batches
from bakeoff.networks.model import count_parameters
from bakeoff.runs.config import INTERIM_IMAGES, Monitor
from bakeoff.runs.events import RunProgress
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.metrics import score
from bakeoff.runs.record import HistoryRow, Seconds, read_history, write_history
from bakeoff.training.checkpoint import Checkpoint, Part, Variables, discard_damaged
from bakeoff.training.features import frozen_features
from bakeoff.training.inference import Forward, compile_forward, predict_logits
from bakeoff.training.optimizer import build_optimizer, learning_rate, rate_factors
from bakeoff.training.probe import fit_head
from bakeoff.training.progress import Clock, RunState, measure_progress, shorten
from bakeoff.training.step import compile_step
from bakeoff.training.task import Outcome, Task
from bakeoff.training.weight_copies import BestWeights, MovingAverage, StartingWeights

__all__ = ["train"]


def train(task: Task) -> Outcome:
    """Fine-tune, or train from scratch, as the config says; or go on from where a killed process left it.

    Raises FloatingPointError when the loss diverges.
    """
    with task.replicas.scope():
        training = _Training(task)
        while not training.is_over:
            training.step()
            if training.is_to_be_scored:
                training.score()
            if training.checkpoint.is_due:
                training.save()
        return training.end()


class _Training:
    """A run under way."""

    def __init__(self, task: Task) -> None:
        self._task, self._run, self._config = task, task.run, task.run.train
        self._sizes = (*self._config.sizes, self._run.model.size)
        models = [task.network.model(size) for size in self._sizes]
        self._model = models[-1]
        self._state, self._clock = RunState(), Clock()
        # Of the last step: which of the sizes, and the rate.
        self._stage, self._rate = -1, 0.0
        path = RunFolder(task.folder).checkpoint
        self._notes = ["its checkpoint was damaged, so it began anew"] if discard_damaged(path) else []
        if self._config.probe_images and not path.is_file():
            seconds, images = _start_head_from_probe(task)
            if self._config.count_probe:
                self._state.probe_seconds, self._state.probe_images = seconds, images
        self._average = MovingAverage(self._model, self._run.optim.ema)
        self._best = BestWeights(self._model)
        goes_on = self._config.probe_images or self._run.model.start
        self._start = StartingWeights(self._model) if goes_on else None
        optimizer = build_optimizer(self._run.optim)
        optimizer.build(self._model.trainable_variables)
        factors = rate_factors(self._run.optim, task.network)
        smoothing = self._run.optim.label_smoothing
        self._steps = [
            compile_step(model, optimizer, self._average, smoothing, task.micro_batch, factors, task.replicas)
            for model in models
        ]
        self._forward = compile_forward(self._model)
        self._interim = task.val if self._config.patience else _sample(task.val, INTERIM_IMAGES)
        parts: dict[str, Part] = {
            "model": Variables(self._model.variables),
            "optimizer": Variables(optimizer.variables),
            "average": self._average,
            "best": self._best,
        }
        if self._start is not None:
            parts["start"] = self._start
        self.checkpoint = Checkpoint(path, parts)
        self._go_on_or_begin()
        self._length = shorten(self._config, self._state)
        self._history = read_history(task.folder)[: self._state.rows]
        self._batches = train_batches(
            task.train,
            task.classes,
            self._config.batch,
            self._run.augment,
            seed=self._run.seed,
            start=self._state.batches,
        )

    def _go_on_or_begin(self) -> None:
        facts = self.checkpoint.read()
        if facts is not None:
            self._state = RunState(**facts)
            self._clock.seconds.update(self._state.seconds)
        elif self._start is not None:
            with self._clock.charge("evaluate"):
                self._start.hits = _count_hits(self._forward, self._interim)

    @property
    def is_over(self) -> bool:
        """Whether the end of the schedule is reached, or nothing gets better any more."""
        return self._state.progress >= 1.0 or self._is_stale

    @property
    def _is_stale(self) -> bool:
        return 0 < self._config.patience <= self._best.stale

    @property
    def _images_seen(self) -> int:
        return self._state.batches * self._config.batch

    def step(self) -> None:
        """One step on one batch, at the rate and the input size of the present progress."""
        state = self._state
        previous, self._stage = self._stage, min(int(state.progress * len(self._sizes)), len(self._sizes) - 1)
        self._rate = learning_rate(self._run.optim, state.progress)
        # The first step at a size traces and compiles it: its time is no measure of training.
        with self._clock.charge("train" if self._stage == previous else "compile"):
            images, targets = next(self._batches)
            loss = self._steps[self._stage](images, targets, self._rate, self._average.next_decay())
        state.batches += 1
        state.losses.append(loss)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss} after {self._images_seen} images, at rate {self._rate:.2g}"
            )
        state.progress = measure_progress(
            self._length, self._clock.seconds["train"], self._images_seen, len(self._task.train)
        )
        self._task.tell(self._where())

    @property
    def is_to_be_scored(self) -> bool:
        """Whether an evaluation on the way is due; the one at the end is not on the way."""
        due = int(self._state.progress * self._config.evaluations)
        return self._state.evaluations < due and self._state.progress < 1.0

    def score(self) -> None:
        """Score the average of the weights on a part of validation, or on all of it where the choice depends on it."""
        self._state.evaluations += 1
        with self._clock.charge("evaluate"), self._average.swapped_in():
            # A curve can do without mirror images, which double the time; a choice among its points cannot.
            self._evaluate(self._interim, flip=self._config.flip_test and self._config.patience > 0)
            if self._config.patience:
                self._best.look(_merit(self._history[-1], self._config.monitor))

    def save(self) -> None:
        """Write the checkpoint."""
        self._state.seconds = dict(self._clock.seconds)
        self.checkpoint.write(asdict(self._state))

    def end(self) -> Outcome:
        """Keep the average, or the best, or the start, and score it on all of validation."""
        task = self._task
        self._average.keep()
        with self._clock.charge("evaluate"):
            flip = self._config.flip_test
            stopped = self._is_stale
            if stopped:
                self._notes.append(f"stopped early at {self._state.progress:.0%} of its length")
            else:
                val_logits = self._evaluate(task.val, flip=flip)
            if self._config.patience:
                if not stopped:
                    self._best.look(_merit(self._history[-1], self._config.monitor))
                self._best.restore()
                val_logits = predict_logits(self._forward, task.val, flip=flip)
            if self._start is not None and _count_hits(self._forward, self._interim) < self._start.hits:
                self._notes.append("too short to gain anything: its starting point was kept")
                self._start.restore()
                val_logits = predict_logits(self._forward, task.val, flip=flip)
        seconds = self._clock.seconds
        rate = (self._images_seen - self._config.batch * len(self._sizes)) / max(seconds["train"], 1e-9)
        seconds["train"] += self._state.probe_seconds
        total, trainable = count_parameters(self._model)
        images_seen = self._images_seen + self._state.probe_images
        return Outcome(
            val_logits=val_logits,
            seconds=Seconds(data=task.seconds_data, **seconds),
            images_seen=images_seen,
            images_per_second=rate,
            epochs=images_seen / len(task.train),
            params_total=total,
            params_trainable=trainable,
            memory_peak_bytes=task.memory.read(),
            model=self._model,
            note="; ".join(self._notes),
        )

    def _evaluate(self, split: Split, *, flip: bool) -> NDArray[np.float32]:
        """Logits of a split, with a row of history about them."""
        logits = predict_logits(self._forward, split, flip=flip)
        metrics = score(logits, split.labels, self._task.dataset.superclass_of)
        self._history.append(
            HistoryRow(
                seconds=self._state.probe_seconds + self._clock.seconds["train"],
                progress=self._state.progress,
                epoch=self._images_seen / len(self._task.train),
                images_seen=self._images_seen,
                size=self._sizes[self._stage],
                learning_rate=self._rate,
                train_loss=float(np.mean(self._state.losses)),
                val_loss=metrics.log_loss,
                val_top1=metrics.top1,
            )
        )
        self._state.losses.clear()
        self._state.rows = len(self._history)
        write_history(self._task.folder, self._history)
        return logits

    def _where(self) -> RunProgress:
        progress, seconds = self._state.progress, self._clock.seconds["train"]
        left = seconds * (1 - progress) / progress if progress else None
        top1 = self._history[-1].val_top1 if self._history else None
        return RunProgress("train", progress, self._images_seen / len(self._task.train), len(self._history), top1, left)


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


def _merit(row: HistoryRow, monitor: Monitor) -> float:
    return row.val_top1 if monitor is Monitor.TOP1 else -row.val_loss


def _count_hits(forward: Forward, split: Split) -> int:
    return int((predict_logits(forward, split).argmax(axis=1) == split.labels).sum())


def _sample(split: Split, images: int) -> Split:
    return split if images >= len(split) else split.take(sample_stratified(split.labels, images))
