"""The progress of a run, from 0 to 1 of its length (seconds, images or epochs), and the time that it takes."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from bakeoff.runs.config import Train

__all__ = ["Clock", "RunState", "measure_progress", "subtract_probe"]


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
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds by phase."""
    probe_seconds: float = 0.0
    """Seconds of the run's length that the probe for the head took."""
    probe_images: int = 0
    """Images of the run's length that the probe for the head took."""


class Clock:
    """Wall-clock seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - started


def subtract_probe(config: Train, state: RunState) -> Train:
    """The run's length without the part that its probe took; at least one step is left."""
    seconds, images = state.probe_seconds, state.probe_images
    left = None if config.seconds is None else max(1e-9, config.seconds - seconds)
    return config.model_copy(update={"seconds": left, "images": config.images and max(1, config.images - images)})


def measure_progress(config: Train, seconds: float, images_seen: int, images: int) -> float:
    """The completed fraction of a run's length, in [0, 1].

    Args:
        config: Holds the length.
        seconds: Training seconds so far.
        images_seen: Training images seen so far.
        images: Size of the training split, for a length in epochs.
    """
    if config.seconds is not None:
        return min(1.0, seconds / config.seconds)
    length = config.images if config.images is not None else (config.epochs or 1.0) * images
    return min(1.0, images_seen / length)
