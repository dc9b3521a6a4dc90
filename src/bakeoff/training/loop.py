"""The training loop.

Progress runs from 0 to 1 over the run's length, which is given in seconds, images or epochs. Learning rate, input size
and evaluations are functions of the progress, so the schedule always ends where the run ends, also if what is left of
the length is shortened so that the run ends in time (`progress`).
"""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import Split, train_batches
from bakeoff.networks.lora import merge_lora
from bakeoff.networks.model import count_parameters
from bakeoff.runs.config import INTERIM_IMAGES, Balance, Metric, Monitor, Train
from bakeoff.runs.events import RunProgress
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.history import HistoryRow, read_history, write_history
from bakeoff.runs.measures import measure_all, prepare
from bakeoff.runs.record import Seconds
from bakeoff.text import counted
from bakeoff.training.balance import balance_loss, note_missing
from bakeoff.training.checkpoint import Checkpoint, Stateful, Variables, discard_unusable
from bakeoff.training.curve import LearningCurve
from bakeoff.training.inference import compile_forward, predict_logits
from bakeoff.training.optimizer import build_optimizer, learning_rate, rate_multipliers
from bakeoff.training.probe import initialise_head, sample_images
from bakeoff.training.progress import Clock, Course, RunState, ToScore
from bakeoff.training.step import Steps, TrainStep, compile_step
from bakeoff.training.task import Outcome, Task
from bakeoff.training.weight_copies import BestWeights, MovingAverage, StartingWeights

__all__ = ["train"]

# Seconds from the last evaluation to the end of the process (scores, files, exit) without saving the weights: at least
# so many, and on a slow or busy machine a share of what the start took.
ENDING_SECONDS, ENDING_PER_START = 2.0, 0.2
# Bytes of weights that are written, and read again for their hash, in a second.
SAVED_BYTES_PER_SECOND = 100e6


def train(task: Task) -> Outcome:
    """Train the task's network as its config says, or resume from the checkpoint of a process that was killed.

    Raises FloatingPointError if the loss is not finite.
    """
    with task.replicas.scope():
        training = _Training(task)
        while not training.is_finished:
            training.step()
            if training.curve.is_due:
                training.add_point()
            if training.is_evaluation_due:
                training.evaluate()
            if training.checkpoint.is_due:
                training.save()
        return training.finish()


class _Training:
    """A run in progress: the model, copies of its weights, the compiled steps and the counters."""

    def __init__(self, task: Task) -> None:
        self._task, self._run, self._config = task, task.run, task.run.train
        self._sizes = (*self._config.sizes, self._run.model.size)
        self._models = [task.network.model(size) for size in self._sizes]
        self._model = self._models[-1]
        self._state, self._clock = RunState(), Clock()
        self._rate = 0.0
        """Learning rate of the latest step."""

        self._optimizer = build_optimizer(self._run.optim, self._config.precision)
        self._optimizer.build(self._model.trainable_variables)
        self._variables = {
            "model": Variables(self._model.variables),
            "optimizer": Variables(self._optimizer.variables),
        }

        path = RunFolder(task.folder).checkpoint
        wrong = discard_unusable(path, self._variables, asdict(self._state))
        self._notes = [f"its checkpoint {wrong}, so it started from the beginning"] if wrong else []
        if note := note_missing(self._config.balance, task.learned.labels, task.classes):
            self._notes.append(note)
        before_probe = self._clock.now()
        if self._config.probe_images and not path.is_file():
            cost = initialise_head(task)
            self._clock.seconds["fit"] = cost.fit_seconds
            if self._config.count_probe:
                self._state.probe_seconds, self._state.probe_images = cost.seconds, cost.images
        probe_took = self._clock.now() - before_probe

        self._average = MovingAverage(self._model, self._run.optim.ema)
        self._best = BestWeights(self._model)
        # Training that starts from a trained head can make it worse, so its starting weights are stored.
        has_trained_head = self._config.probe_images or self._run.model.start
        self._interim = task.val if self._config.patience else sample_images(task.val, INTERIM_IMAGES)
        has_start = has_trained_head and not self._config.with_val
        self._start = StartingWeights(self._model, len(self._interim)) if has_start else None
        self._start_kept = False
        self._start_logits: NDArray[np.float32] | None = None
        """The logits of the starting weights on the images of an evaluation; None if their score was known."""
        self._steps = Steps(self._compile_steps, uses_xla=self._config.xla, devices=task.replicas.count)
        self._forward = compile_forward(self._model)

        self.checkpoint = Checkpoint(path, self._stateful_parts())
        counters = self.checkpoint.read()
        if counters is not None:
            self._state = RunState(**counters)
            self._clock.seconds.update(self._state.seconds)
        self._clock.seconds["start"] = self._clock.now() - task.started - task.seconds_data - probe_took
        self.course = self._make_course()
        # Without a checkpoint, the starting weights are scored if they may be needed again.
        if counters is None and self._start is not None:
            with self._clock.measure("evaluate"):
                images = [self._config.metric, self._config.precision, task.dataset.decoded_key, self._interim.ids]
                # With a deadline they are scored in any case, because that measures how long scoring takes.
                self._start.score(images, self._measure_start, cached=task.wall_seconds is None)
        self._history = read_history(task.folder)[: self._state.rows]
        total, trained = count_parameters(self._model)
        self.curve = LearningCurve(task, self.course, self._interim, trained / total)
        self._batches = train_batches(
            task.learned,
            task.classes,
            self._config.batch,
            self._run.augment,
            seed=self._run.seed,
            start=self._state.batches,
            balanced=self._config.balance is Balance.SAMPLER,
        )

    def _compile_steps(self, jit_compile: bool) -> list[TrainStep]:
        """One step for each input size; all share the weights and the optimiser."""
        optim, task = self._run.optim, self._task
        multipliers = rate_multipliers(optim, task.network)
        balance = balance_loss(self._config.balance, task.learned.labels, task.classes)
        return [
            compile_step(
                model,
                self._optimizer,
                self._average,
                optim.label_smoothing,
                task.micro_batch,
                multipliers,
                task.replicas,
                balance=balance,
                jit_compile=jit_compile,
            )
            for model in self._models
        ]

    def _stateful_parts(self) -> dict[str, Stateful]:
        """What the checkpoint stores besides the counters."""
        parts: dict[str, Stateful] = {**self._variables, "average": self._average, "best": self._best}
        return parts if self._start is None else parts | {"start": self._start}

    def _make_course(self) -> Course:
        """The progress of this run, with its deadline if it has one."""
        task, config = self._task, self._config
        ends = None if task.wall_seconds is None else task.started + task.wall_seconds
        if ends is not None and config.deterministic:
            limit = f"its limit of {task.wall_seconds:g} s of wall clock"
            self._notes.append(f"{limit} was ignored, because it is deterministic")
            ends = None
        passes = 1 + config.flip_test
        at_end = passes * len(task.val)
        if config.patience:  # the last weights, then the best
            at_end *= 2
        if self._start is not None and not (self._is_interim_all and not self._run.model.lora):
            at_end += len(self._interim)
        to_score = ToScore(evaluation=len(self._interim) * (passes if config.patience else 1), end=at_end)
        if config.with_val:
            to_score = ToScore(evaluation=0, end=0)
        weight_bytes = 4 * count_parameters(self._model)[0]
        ending = max(ENDING_SECONDS, ENDING_PER_START * self._clock.seconds["start"])
        return Course(
            config,
            self._sizes,
            self._state,
            self._clock,
            images=len(task.learned),
            to_score=to_score,
            ends=ends,
            saving=ending + weight_bytes / SAVED_BYTES_PER_SECOND,
        )

    @property
    def is_finished(self) -> bool:
        """Whether the run has reached its length, or early stopping ends it."""
        return self._state.progress >= 1.0 or self._is_stopped_early

    @property
    def _is_stopped_early(self) -> bool:
        patience = self._config.patience
        return 0 < patience <= self._best.evaluations_without_improvement

    @property
    def is_evaluation_due(self) -> bool:
        """Whether to evaluate now: never if the validation images are learned."""
        return self.course.is_evaluation_due and not self._config.with_val

    def step(self) -> None:
        """Train on one batch, at the learning rate and the input size of the current progress."""
        self._rate = learning_rate(self._run.optim, self._state.progress)
        with self.course.step() as position:
            images, targets = next(self._batches)
            loss = self._steps.take(position, images, targets, self._rate, self._average.next_decay())
        if not self._config.with_val:
            self._state.losses.append(loss)
            self._state.curve_losses.append(loss)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss} after {counted(self.course.images_seen, 'image')}, at rate {self._rate:.2g}"
            )
        self._task.report(self._progress_event())

    def add_point(self) -> None:
        """Add a point to the learning curve, scored on a few images unless an evaluation follows that scores more."""
        scored, logits = None, None
        if not self.is_evaluation_due and not self.is_finished:
            scored = self.curve.choose_images()
        if scored is not None:
            # The pace of so few images is not that of an evaluation, so the course does not learn from it.
            with self._clock.measure("evaluate"), self._average.swapped_in():
                logits = predict_logits(self._forward, scored)
        self.curve.add(self._seconds, logits, scored)

    def evaluate(self) -> None:
        """Score the moving average on a sample of the validation images; on all of them if early stopping needs it."""
        self._state.evaluations += 1
        with self._clock.measure("evaluate"), self._average.swapped_in():
            # Mirror images double the time. The learning curve does not need them; early stopping does.
            self._score(self._interim, flip=self._config.flip_test and self._config.patience > 0)
            if self._config.patience:
                self._best.update(_monitored(self._history[-1], self._config))

    def save(self) -> None:
        """Write the checkpoint, after the time that the run has taken, so that its phases never exceed the total."""
        self._task.keep_time()
        self._state.seconds = dict(self._clock.seconds)
        self.checkpoint.write(asdict(self._state))

    def finish(self) -> Outcome:
        """Choose the final weights, and score them on all validation images."""
        params_trainable = count_parameters(self._model)[1]
        self._average.copy_to_model()
        val_logits = None
        if self._config.with_val:
            merge_lora(self._task.network.backbone)
        else:
            with self._clock.measure("evaluate"):
                val_logits = self._choose_weights()
        self._notes += filter(None, (self._steps.note, self.course.note))
        if self._state.batches == 1 and not learning_rate(self._run.optim, 0.0):
            self._notes.append("it learned nothing: its only step is the first of the warm-up, at rate 0; lengthen it")
        seconds = self._clock.seconds
        # 0 if only first steps were taken.
        images_per_second = self.course.timed_images / max(seconds["train"], 1e-9)
        seconds["train"] += self._state.probe_seconds
        images_seen = self.course.images_seen + self._state.probe_images
        return Outcome(
            val_logits=val_logits,
            seconds=Seconds(data=self._task.seconds_data, **seconds),
            images_seen=images_seen,
            images_per_second=images_per_second,
            epochs=images_seen / len(self._task.learned),
            params_total=count_parameters(self._model)[0],
            params_trainable=params_trainable,
            memory_peak_bytes=self._task.memory.read(),
            scored_per_second=self.course.pace.scored_per_second,
            model=self._model,
            note="; ".join(self._notes),
            start_kept=self._start_kept,
        )

    def _choose_weights(self) -> NDArray[np.float32]:
        """Put the final weights into the model and return their logits on all validation images.

        They are the moving average; with early stopping, the best weights so far; and the starting weights, if
        training has made those worse.
        """
        val, flip = self._task.val, self._config.flip_test
        if self._is_stopped_early:
            self._notes.append(f"stopped early at {self._state.progress:.0%} of its length")
        elif self._config.patience:
            self._score(val, flip=flip)
            self._best.update(_monitored(self._history[-1], self._config))
        if self._config.patience:
            self._best.restore()
        logits = None if self._start is None else self._keep_better(self._start)
        if self._run.model.lora:
            # What is saved is scored: merged, the kernels of a mixed precision are rounded in another way.
            merge_lora(self._task.network.backbone)
            self._forward, logits = compile_forward(self._model), None
        if logits is None or not self._is_interim_all:
            logits = self._predict(val, flip=flip)
        if not self._config.patience:
            self._add_row(logits, val)
        return logits

    def _keep_better(self, start: StartingWeights) -> NDArray[np.float32] | None:
        """Restore the starting weights if they are better than the model's.

        Returns:
            The logits of the better ones on the images of an evaluation; None if they are not known.
        """
        logits = self._predict_interim()
        if self._find_merit(logits) >= start.merit:
            return logits
        self._notes.append("training made it worse: its starting point was kept")
        start.restore()
        self._start_kept = True
        return self._start_logits

    @property
    def _is_interim_all(self) -> bool:
        """Whether an evaluation computes just what the last one does: all images, without mirror images."""
        return len(self._interim) == len(self._task.val) and not self._config.flip_test

    def _predict(self, split: Split, *, flip: bool) -> NDArray[np.float32]:
        with self.course.scoring(passes=1 + flip) as count:
            return predict_logits(self._forward, split, flip=flip, on_batch=count)

    def _predict_interim(self) -> NDArray[np.float32]:
        """The logits on the images of an evaluation, without mirror images."""
        return self._predict(self._interim, flip=False)

    def _measure_start(self) -> float:
        self._start_logits = self._predict_interim()
        return self._find_merit(self._start_logits)

    def _find_merit(self, logits: NDArray[np.float32]) -> float:
        """The metric that decides, on the images of an evaluation, as a score: higher is better."""
        metric = self._config.metric
        measure = prepare(metric, logits, self._interim.labels)
        return _merit(metric, measure and measure.value)

    def _score(self, split: Split, *, flip: bool) -> None:
        """Score the model on a split, and add a row to the history."""
        self._add_row(self._predict(split, flip=flip), split)

    def _add_row(self, logits: NDArray[np.float32], split: Split) -> None:
        """Add the scores of a split to the history."""
        values: dict[str, Any] = {f"val_{field}": value for field, value in measure_all(logits, split.labels).items()}
        self._history.append(
            HistoryRow(
                seconds=self._seconds,
                progress=self._state.progress,
                epoch=self.course.images_seen / len(self._task.learned),
                images_seen=self.course.images_seen,
                size=self.course.size,
                learning_rate=self._rate,
                train_loss=float(np.mean(self._state.losses)),
                val_loss=values.pop("val_log_loss"),
                val_images=len(split),
                **values,
            )
        )
        self._state.losses.clear()
        self._state.rows = len(self._history)
        write_history(self._task.folder, self._history)

    @property
    def _seconds(self) -> float:
        """Training seconds so far."""
        return self._state.probe_seconds + self._clock.seconds["train"]

    def _progress_event(self) -> RunProgress:
        progress, seconds = self._state.progress, self._clock.seconds["train"]
        return RunProgress(
            doing="train",
            fraction=progress,
            epoch=self.course.images_seen / len(self._task.learned),
            evaluations=len(self._history),
            val_top1=self._history[-1].val_top1 if self._history else None,
            seconds_left=seconds * (1 - progress) / progress if progress else None,
            val_score=self._history[-1].read(self._config.metric) if self._history else None,
        )


def _monitored(row: HistoryRow, config: Train) -> float:
    """The metric that early stopping monitors, as a score: higher is better."""
    metric = {Monitor.LOSS: Metric.LOG_LOSS, Monitor.TOP1: Metric.TOP1, Monitor.METRIC: config.metric}[config.monitor]
    return _merit(metric, row.read(metric))


def _merit(metric: Metric, value: float | None) -> float:
    """A metric as a score: higher is better. What is not defined (AUROC of one class) is worse than anything."""
    return -math.inf if value is None else metric.merit(value)
