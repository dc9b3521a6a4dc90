"""The progress of a run, from 0 to 1 of its length (seconds, images or epochs), and the time that it takes.

A run may have a deadline. If what it still has to do would end later, what is left of its length is shortened. Nothing
is cut off: the progress, and with it the schedule, still reaches its end, only sooner.
"""

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bakeoff.runs.config import Train
from bakeoff.training.pace import Pace

__all__ = ["Clock", "Course", "RunState", "ToScore"]

# A run is never shortened to less than this share of its length.
MIN_SHARE = 0.1
# What is left is never shortened to fewer steps of the last input size, so that the learning rate falls to its end.
LAST_STEPS = 5
# What is left follows what is affordable within this part of itself: pace that was lost for a moment changes little.
FOLLOWED_WITHIN = 0.1
# A smaller share of the length is the error of adding up.
ROUNDING = 1e-9
# A run says that it was shortened if it lost at least this share of its length.
SAID_SHARE = 0.02


@dataclass
class RunState:
    """The counters of a training run that its checkpoint stores."""

    batches: int = 0
    """Optimiser steps so far."""
    progress: float = 0.0
    """Completed fraction of the run's length, in [0, 1]."""
    evaluations: int = 0
    """Evaluations during training so far, without the one at the end."""
    rows: int = 0
    """Rows of the history."""
    losses: list[float] = field(default_factory=list)
    """Training losses since the last evaluation."""
    curve_losses: list[float] = field(default_factory=list)
    """Training losses since the last point of the learning curve."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds by phase."""
    probe_seconds: float = 0.0
    """Seconds of the run's length that the probe for the head took."""
    probe_images: int = 0
    """Images of the run's length that the probe for the head took."""
    left: float | None = None
    """What is left of the length, in its unit; None for a run that has never had a deadline."""
    scored_images: int = 0
    """Images scored so far, mirror images included, without first batches."""
    scored_seconds: float = 0.0
    """The seconds that this took."""


class Clock:
    """Wall-clock seconds by phase."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        started = self.now()
        try:
            yield
        finally:
            self.seconds[phase] += self.now() - started


@dataclass(frozen=True)
class ToScore:
    """Images that a run scores, mirror images included."""

    evaluation: int
    """In each evaluation during training."""
    end: int
    """At the end."""


class Course:
    """How far a run is, and what is left of it: its progress, its input size, its evaluations and its pace."""

    def __init__(
        self,
        config: Train,
        sizes: Sequence[int],
        state: RunState,
        clock: Clock,
        *,
        images: int,
        to_score: ToScore,
        ends: float | None = None,
        saving: float = 0.0,
    ) -> None:
        """Begin at the start, or where `state` says.

        Args:
            config: Holds the length.
            sizes: The input sizes, in pixels, of the equal parts of the run.
            state: The counters, which are kept up to date.
            clock: The clock, to which steps are added.
            images: Size of the training split, for a length in epochs.
            to_score: What evaluations score.
            ends: The time of `clock` at which the run has to have ended, saving included; None for no deadline.
            saving: Seconds that are needed after the last evaluation.
        """
        self._config, self._sizes, self.state, self.clock = config, sizes, state, clock
        self._images, self._to_score, self._ends, self._saving = images, to_score, ends, saving
        self.pace = Pace(sizes[-1], state.scored_images, state.scored_seconds, clock.now)
        self._stage = -1
        """Position of the input size of the latest step."""
        self._first_steps = min(state.batches, self._position + 1)
        """First steps at an input size so far. Earlier processes of the run count with one for each size reached."""

    @property
    def size(self) -> int:
        """The input size of the latest step."""
        return self._sizes[self._stage]

    @property
    def images_seen(self) -> int:
        """Training images so far."""
        return self.state.batches * self._config.batch

    @property
    def timed_images(self) -> int:
        """Training images so far without those of first steps, whose time does not count as training."""
        return self.images_seen - self._config.batch * self._first_steps

    @property
    def is_evaluation_due(self) -> bool:
        """Whether to evaluate now; the last evaluation is made at the end of the run."""
        due = int(self.state.progress * self._config.evaluations)
        return self.state.evaluations < due and self.state.progress < 1.0

    @contextlib.contextmanager
    def step(self) -> Iterator[int]:
        """Measure the block, which trains on one batch; yields the position of its input size."""
        previous, self._stage = self._stage, self._position
        # The first step at an input size compiles its graph, so its time does not count as training.
        is_first = self._stage != previous
        done, started = self._done, self.clock.now()
        with self.clock.measure("compile" if is_first else "train"):
            yield self._stage
        seconds = self.clock.now() - started
        self.state.batches += 1
        if is_first:
            self._first_steps += 1
            self.pace.add_compilation(seconds)
        else:
            self.pace.add_step(self.size, self._config.batch, seconds)
        self._advance(self._done - done)

    @contextlib.contextmanager
    def scoring(self, passes: int = 1) -> Iterator[Callable[[int], None]]:
        """Measure the block, which scores images; see `Pace.scoring`."""
        with self.pace.scoring(passes) as count:
            yield count
        self.state.scored_images, self.state.scored_seconds = self.pace.scored_images, self.pace.scored_seconds

    @property
    def note(self) -> str:
        """By how much the run was shortened, as a sentence; empty if it was not."""
        if self.state.left is None or self.state.progress < 1.0:
            return ""
        planned, done = self._length + self._probe, self._done + self._probe
        if done > (1 - SAID_SHARE) * planned:
            return ""
        if self._config.seconds is not None:
            amounts = f"{done:.0f} of the {planned:.0f} s"
        elif self._config.images is not None:
            amounts = f"{done:,.0f} of the {planned:,.0f} images"
        else:
            amounts = f"{done / self._images:.1f} of the {planned / self._images:.1f} epochs"
        return f"trained {amounts} that were planned, to end in its time"

    @property
    def _position(self) -> int:
        """Position of the input size of the next step."""
        return min(int(self.state.progress * len(self._sizes)), len(self._sizes) - 1)

    @property
    def _probe(self) -> float:
        """What the probe for the head took of the length, in its unit. A length in epochs is without it."""
        if self._config.seconds is not None:
            return self.state.probe_seconds
        return self.state.probe_images if self._config.images is not None else 0.0

    @property
    def _length(self) -> float:
        """The length of all steps, in seconds or images: without the probe, but at least one step."""
        config = self._config
        if config.seconds is not None:
            return max(1e-9, config.seconds - self.state.probe_seconds)
        if config.images is not None:
            return max(1, config.images - self.state.probe_images)
        return (config.epochs or 1.0) * self._images

    @property
    def _done(self) -> float:
        """What steps have done of that."""
        return self.clock.seconds["train"] if self._config.seconds is not None else self.images_seen

    def _advance(self, amount: float) -> None:
        """Move the progress after a step that did so much of the length."""
        state = self.state
        if self._ends is None and state.left is None:
            state.progress = min(1.0, self._done / self._length)
            return
        state.left = self._shorten(amount)
        # The same share of what was left of the schedule as the step was of what was left of the length.
        rest = 1.0 - state.progress
        state.progress = state.progress + rest * amount / (state.left + amount) if state.left else 1.0

    def _shorten(self, amount: float) -> float:
        """What is left after a step: as planned, or less; more than after the last step, if the machine is faster."""
        planned = max(0.0, self._length - self._done)
        before = planned + amount if self.state.left is None else self.state.left
        left = max(0.0, before - amount)
        least = max(min(left, LAST_STEPS * self._last_step(amount)), MIN_SHARE * self._length - self._done)
        affordable = min(planned, max(0.0, self._affordable()))
        left += min(1.0, amount / (FOLLOWED_WITHIN * before)) * (affordable - left) if before else 0.0
        left = min(planned, max(least, left))
        return left if left > ROUNDING * self._length else 0.0

    def _last_step(self, amount: float) -> float:
        """How much of the length a step at the last input size is, if one at this size is so much."""
        if self._config.seconds is None:
            return amount
        return amount * max(1.0, self._sizes[-1] / self.size) ** 2

    def _affordable(self) -> float:
        """How much the run can still train, in the unit of its length, to end in time."""
        if self._ends is None:
            return math.inf
        evaluations = self._config.evaluations - 1 - self.state.evaluations
        to_score = evaluations * self._to_score.evaluation + self._to_score.end
        other = self.pace.predict_compiling(len(self._sizes) - 1 - self._stage)
        other += self.pace.predict_scoring(to_score) + self._saving * max(1.0, self.pace.slowness)
        seconds = self._ends - self.clock.now() - other
        if self._config.seconds is not None:
            return seconds
        per_image = self._predict_per_image()
        return math.inf if per_image is None else seconds / per_image

    def _predict_per_image(self) -> float | None:
        """Mean seconds per image in training over what is left of the progress; None before any was measured."""
        parts, progress = len(self._sizes), self.state.progress
        total = 0.0
        for position, size in enumerate(self._sizes):
            if (per_image := self.pace.predict_training(size)) is None:
                return None
            total += per_image * max(0.0, (position + 1) / parts - max(progress, position / parts))
        return total / (1.0 - progress)
