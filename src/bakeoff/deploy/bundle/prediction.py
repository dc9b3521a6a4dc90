"""Predictions for many images: threads read and decode images while the model runs on those before them."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bakeoff.data.pixels import decode
from bakeoff.deploy.bundle.opened import Bundle, ClassScore
from bakeoff.deploy.bundle.runtimes import Images
from bakeoff.errors import DataError
from bakeoff.machine import count_cores

__all__ = ["BATCH", "ImageInput", "Prediction", "predict"]

BATCH = 64
# Batches that are read and decoded in advance.
_AHEAD = 4


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image: its most probable classes, most probable first, or why it cannot be read."""

    path: str
    top: list[ClassScore]
    error: str | None = None
    unsure: bool | None = None
    """Whether the confidence is below the threshold; None if there is no threshold, or no answer."""


@dataclass(frozen=True)
class ImageInput:
    """An image that has not been read yet."""

    name: str
    """Its path, or what stands for it in the output."""
    read: Callable[[], bytes]
    may_wait: bool = False
    """Whether it is no file but a pipe or a terminal: reading it may wait for another program, and forever."""

    @classmethod
    def of(cls, path: Path) -> "ImageInput":
        """An image file, or a pipe that has a path."""
        # pathlib's is_file raises where a folder cannot be entered; here reading the file does.
        return cls(str(path), path.read_bytes, may_wait=not os.path.isfile(path))  # noqa: PTH113


def predict(bundle: Bundle, inputs: Iterable[ImageInput], *, top: int = 5) -> Iterator[Prediction]:
    """Predict the classes of images.

    Args:
        bundle: The model.
        inputs: The images; they are read a few batches in advance.
        top: Number of classes in each prediction.

    Yields:
        A prediction for each input, in their order. That of an unreadable image holds the error.
    """
    inputs = iter(inputs)
    pending: deque[tuple[list[ImageInput], list[Future[Images]]]] = deque()
    with ThreadPoolExecutor(count_cores()) as pool:
        try:
            while True:
                while len(pending) < _AHEAD and (batch := list(itertools.islice(inputs, BATCH))):
                    pending.append((batch, [_begin_to_load(image, bundle, pool) for image in batch]))
                if not pending:
                    return
                yield from _predict_batch(bundle, *pending.popleft(), top)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin_to_load(image: ImageInput, bundle: Bundle, pool: Executor) -> "Future[Images]":
    """Load an image in another thread; in this one if that may wait.

    Ctrl-C interrupts only the main thread, and Python does not end before its other threads have ended.
    """
    if not image.may_wait:
        return pool.submit(_load, image, bundle)
    loaded: Future[Images] = Future()
    try:
        loaded.set_result(_load(image, bundle))
    except (OSError, DataError) as error:
        loaded.set_exception(error)
    return loaded


def _load(image: ImageInput, bundle: Bundle) -> Images:
    return decode(image.read(), bundle.side, bundle.fit)


def _predict_batch(
    bundle: Bundle, inputs: list[ImageInput], loading: list[Future[Images]], top: int
) -> Iterator[Prediction]:
    images: dict[int, Images] = {}
    errors: dict[int, str] = {}
    for position, future in enumerate(loading):
        try:
            images[position] = future.result()
        except OSError as error:
            errors[position] = error.strerror or str(error)
        except DataError as error:
            errors[position] = str(error)
    probabilities = bundle.probabilities(np.stack(list(images.values()))) if images else ()
    rows = dict(zip(images, probabilities, strict=True))
    for position, image in enumerate(inputs):
        if position in errors:
            yield Prediction(image.name, [], errors[position])
        else:
            row = rows[position]
            yield Prediction(image.name, bundle.top_classes(row, top), unsure=bundle.is_unsure(row))
