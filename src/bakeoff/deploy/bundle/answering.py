"""Many images: read and decoded in threads while the model answers those before them, in the order given."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bakeoff.data.pixels import decode
from bakeoff.deploy.bundle.opening import Bundle, Named
from bakeoff.deploy.bundle.runtimes import Images
from bakeoff.errors import DataError

__all__ = ["BATCH", "Answer", "ImageInput", "predict"]

BATCH = 64
# Batches that are read and decoded ahead of the one that is answered.
_AHEAD = 4


@dataclass(frozen=True)
class Answer:
    """What a bundle says of one image: classes with their probabilities, likeliest first, or why it cannot say."""

    path: str
    top: list[Named]
    error: str | None = None


@dataclass(frozen=True)
class ImageInput:
    """An image that is yet to be read."""

    name: str
    read: Callable[[], bytes]

    @classmethod
    def of(cls, path: Path) -> "ImageInput":
        """A file."""
        return cls(str(path), path.read_bytes)


def predict(bundle: Bundle, sources: Iterable[ImageInput], *, top: int = 5) -> Iterator[Answer]:
    """Answers in the order of the sources; an unreadable image gets an answer with its error."""
    sources = iter(sources)
    pending: deque[tuple[list[ImageInput], list[Future[Images]]]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            while True:
                while len(pending) < _AHEAD and (batch := list(itertools.islice(sources, BATCH))):
                    pending.append((batch, [pool.submit(_load, source, bundle.side) for source in batch]))
                if not pending:
                    return
                yield from _answer(bundle, *pending.popleft(), top)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _load(source: ImageInput, side: int) -> Images:
    return decode(source.read(), side)


def _answer(bundle: Bundle, sources: list[ImageInput], loading: list[Future[Images]], top: int) -> Iterator[Answer]:
    images: dict[int, Images] = {}
    errors: dict[int, str] = {}
    for position, future in enumerate(loading):
        try:
            images[position] = future.result()
        except OSError as error:
            errors[position] = error.strerror or str(error)
        except DataError as error:
            errors[position] = str(error)
    answers = bundle.probabilities(np.stack(list(images.values()))) if images else ()
    rows = dict(zip(images, answers, strict=True))
    for position, source in enumerate(sources):
        if position in errors:
            yield Answer(source.name, [], errors[position])
        else:
            yield Answer(source.name, bundle.name(rows[position], top))
