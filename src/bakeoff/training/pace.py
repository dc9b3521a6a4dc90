"""The pace of a run on its machine: how long its steps, its scoring and its compilations take, as measured so far."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Pace"]

# A step this many seconds ago counts e times less, so that the pace is that of now.
MEMORY_SECONDS = 5.0
# Steps and seconds at an input size before later steps are compared with them: a single step may be slow by chance.
STEPS_COMPARED, SECONDS_COMPARED = 5, 1.0
# If something took longer than expected by more than this factor, the machine's pace has changed meanwhile.
MAX_SURPRISE = 1.5


@dataclass
class _Rate:
    """Steps, their seconds and their images; older seconds and images count less."""

    steps: int = 0
    seconds: float = 0.0
    images: float = 0.0

    def add(self, images: int, seconds: float) -> None:
        """Count a step."""
        kept = math.exp(-seconds / MEMORY_SECONDS)
        self.steps += 1
        self.seconds, self.images = kept * self.seconds + seconds, kept * self.images + images

    @property
    def per_image(self) -> float | None:
        """Seconds per image; None before the first step."""
        return self.seconds / self.images if self.images else None


class Pace:
    """Seconds per image in training and in scoring, and seconds per compilation.

    Scoring is measured only now and then. In between, the steps show by how much the machine has become slower.
    """

    def __init__(
        self,
        size: int,
        scored_images: int = 0,
        scored_seconds: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to measure.

        Args:
            size: Input size, in pixels, at which images are scored.
            scored_images: Images that an earlier process of the run has scored.
            scored_seconds: The seconds that this took.
            now: The clock.
        """
        self._now = now
        self._size, self._step_size = size, 0
        self._training = _Rate()
        self._compile_seconds = 0.0
        self._has_scored = False
        self.scored_images, self.scored_seconds = scored_images, scored_seconds
        """Images scored so far, mirror images included, and the seconds that this took; without first batches."""
        # Seconds per image in the latest scoring and in the first one.
        self._scoring = self._first_scoring = scored_seconds / scored_images if scored_images else None
        # Since the latest scoring: how much slower the machine became up to the end of the previous input size, and the
        # seconds per image in training with which the present ones are compared; 0 as long as there are none.
        self._slower_before, self._reference = 1.0, 0.0
        self._expected: float | None = None
        """Seconds per image that were expected when the input size changed."""

    @property
    def scored_per_second(self) -> float:
        """Images per second in all scoring so far; 0 if none was measured."""
        return self.scored_images / self.scored_seconds if self.scored_seconds else 0.0

    def add_compilation(self, seconds: float) -> None:
        """Count the first step at an input size, which compiles it."""
        self._compile_seconds = seconds / self.slowness

    def add_step(self, size: int, images: int, seconds: float) -> None:
        """Count another step at an input size."""
        if size != self._step_size:
            self._slower_before, self._expected = self._slower, self.predict_training(size)
            self._begin_rate()
            self._step_size = size
        self._training.add(images, seconds)
        is_known = self._training.steps >= STEPS_COMPARED and self._training.seconds >= SECONDS_COMPARED
        if is_known and not self._reference:
            self._reference = self._training.per_image or 0.0
            # Larger inputs take at most as much longer as they have more pixels; the rest is the machine.
            if self._expected and self._reference > MAX_SURPRISE * self._expected:
                self._slower_before *= self._reference / self._expected

    @contextlib.contextmanager
    def scoring(self, passes: int = 1) -> Iterator[Callable[[int], None]]:
        """Measure the block, which scores images; yields the `on_batch` for `predict_logits`.

        Args:
            passes: 2 if each image is scored with its mirror image, else 1.
        """
        scored, started = 0, self._now()
        began = started

        def count(images: int) -> None:
            nonlocal scored, began
            # The first batch in a process compiles the network.
            if self._has_scored:
                scored += passes * images
            else:
                self._has_scored, began = True, self._now()

        yield count
        if scored:
            self._add_scoring(scored, self._now() - began)

    def _add_scoring(self, images: int, seconds: float) -> None:
        self.scored_images += images
        self.scored_seconds += seconds
        surprise = seconds / images / (self._scoring * self._slower) if self._scoring else math.inf
        if 1 / MAX_SURPRISE < surprise < MAX_SURPRISE:
            self._reference = (self._training.per_image or 0.0) if self._reference else 0.0
        else:
            # Steps before this scoring say nothing of the pace now.
            self._begin_rate()
        self._scoring, self._slower_before, self._expected = seconds / images, 1.0, None
        self._first_scoring = self._first_scoring or self._scoring

    def _begin_rate(self) -> None:
        self._training, self._reference = _Rate(), 0.0

    @property
    def _slower(self) -> float:
        """How much slower the machine has become since the latest scoring, judged by the steps."""
        now = self._training.per_image
        return self._slower_before * (now / self._reference if now and self._reference else 1.0)

    @property
    def slowness(self) -> float:
        """How much slower the machine is now than at the first scoring."""
        return self._slower * (self._scoring / self._first_scoring if self._scoring and self._first_scoring else 1.0)

    def predict_compiling(self, sizes: int) -> float:
        """Seconds of compiling so many input sizes more, and the scoring if nothing was scored yet."""
        return (sizes + (not self._has_scored)) * self._compile_seconds * self.slowness

    def predict_scoring(self, images: int) -> float:
        """Seconds of scoring so many images; 0 before anything was measured."""
        if self._scoring is not None:
            return images * self._scoring * self._slower
        # A forward pass takes no longer than a step at the same input size.
        return images * (self.predict_training(self._size) or 0.0)

    def predict_training(self, size: int) -> float | None:
        """Seconds per image in training at an input size; None before any was measured."""
        per_image = self._training.per_image
        # The work grows with the number of pixels.
        return None if per_image is None else per_image * (size / self._step_size) ** 2
