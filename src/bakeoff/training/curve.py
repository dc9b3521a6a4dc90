"""The learning curve of a run: what the training loss and the score on validation were at even steps of its length."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import Split
from bakeoff.profile import FORWARD_PER_TRAINING_STEP
from bakeoff.runs.history import CURVE_POINTS, CURVE_SHARE, CurvePoint, read_curve, write_curve
from bakeoff.runs.measures import measure_all
from bakeoff.training.probe import sample_images
from bakeoff.training.progress import Course
from bakeoff.training.task import Task

__all__ = ["LearningCurve"]

# The score of fewer images says nothing: with so many its 95 % interval is up to 28 points wide.
LEAST_IMAGES = 50


class LearningCurve:
    """The points so far, and when the next one is due.

    How many images a point scores follows from counts alone, so that equal runs have equal curves: a training step of
    an image takes at least as long as a forward pass of it, and longer by the part of the network that is trained.
    """

    def __init__(self, task: Task, course: Course, val: Split, trained_share: float) -> None:
        """Begin at the start, or with the points of a run that is resumed.

        Args:
            task: The run.
            course: Its progress.
            val: The validation images that evaluations score; points score a sample of them.
            trained_share: The share of the network's parameters that is trained.
        """
        self._task, self._config, self._course, self._val = task, task.run.train, course, val
        # A process that was killed may have written points after its last checkpoint.
        self._points = [point for point in read_curve(task.folder) if point.progress <= course.state.progress]
        self._sample: Split | None = None
        sizes = (*self._config.sizes, task.run.model.size)
        mean_pixels = sum((size / sizes[-1]) ** 2 for size in sizes) / len(sizes)
        self._forwards_per_step = mean_pixels * (1 + (FORWARD_PER_TRAINING_STEP - 1) * trained_share)

    @property
    def is_due(self) -> bool:
        """Whether the run has come to its next point: never if the validation images are learned."""
        # A step that passes two of the places leaves the second point to the next step.
        is_behind = len(self._points) < int(self._course.state.progress * CURVE_POINTS)
        return is_behind and not self._config.with_val

    def choose_images(self) -> Split | None:
        """The images that a point scores now; None if they would be too few, or evaluations are as many as points."""
        if self._config.evaluations >= CURVE_POINTS:
            return None
        planned = self._course.images_seen / self._course.state.progress
        images = int(CURVE_SHARE * self._forwards_per_step * planned / CURVE_POINTS)
        if images < min(LEAST_IMAGES, len(self._val)):
            return None
        # Images are copied, or read from a file, once, as long as their number stays.
        if self._sample is None or len(self._sample) != min(images, len(self._val)):
            self._sample = sample_images(self._val, images)
        return self._sample

    def add(self, seconds: float, logits: NDArray[np.float32] | None, scored: Split | None) -> None:
        """Add a point.

        Args:
            seconds: Training seconds so far.
            logits: What the model answers for the scored images, (n, classes); None without a score.
            scored: These images.
        """
        state, values = self._course.state, dict[str, Any]()
        if logits is not None and scored is not None:
            values = {f"val_{field}": value for field, value in measure_all(logits, scored.labels).items()}
            values |= {"val_loss": values.pop("val_log_loss"), "val_images": len(scored)}
        self._points.append(
            CurvePoint(
                seconds=seconds,
                progress=state.progress,
                epoch=self._course.images_seen / len(self._task.learned),
                images_seen=self._course.images_seen,
                train_loss=float(np.mean(state.curve_losses)),
                **values,
            )
        )
        state.curve_losses.clear()
        write_curve(self._task.folder, self._points)
