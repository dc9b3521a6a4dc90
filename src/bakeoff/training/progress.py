"""Where a run stands besides its weights, and how far that is of its length, be it seconds, images or epochs."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from bakeoff.runs.config import Train

__all__ = ["Clock", "RunState", "measure_progress", "shorten"]


@dataclass
class RunState:
    """What a checkpoint keeps of it. Seconds are of wall clock, by what they were spent on."""

    batches: int = 0
    progress: float = 0.0
    evaluations: int = 0
    rows: int = 0
    """Of the history."""
    losses: list[float] = field(default_factory=list)
    """Since the last evaluation."""
    seconds: dict[str, float] = field(default_factory=dict)
    probe_seconds: float = 0.0
    """What the probe that the head started from takes of the run's length."""
    probe_images: int = 0


class Clock:
    """Wall-clock seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def charge(self, account: str) -> Iterator[None]:
        """Charge the block's time."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[account] += time.perf_counter() - started


def shorten(config: Train, state: RunState) -> Train:
    """The length of a run less what its probe took of it; at least one step is left."""
    seconds, images = state.probe_seconds, state.probe_images
    left = None if config.seconds is None else max(1e-9, config.seconds - seconds)
    return config.model_copy(update={"seconds": left, "images": config.images and max(1, config.images - images)})


def measure_progress(config: Train, seconds: float, images_seen: int, images: int) -> float:
    """From 0 to 1: by the seconds of training so far, or the images seen of a split of `images`."""
    if config.seconds is not None:
        return min(1.0, seconds / config.seconds)
    wanted = config.images if config.images is not None else (config.epochs or 1.0) * images
    return min(1.0, images_seen / wanted)
