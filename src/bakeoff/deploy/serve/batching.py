"""Images of concurrent requests answered together, from a queue that has an end.

While the model answers one batch, whatever arrives waits and makes the next: a lone request waits for nobody, and
under load batches grow by themselves.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from bakeoff.deploy.bundle import Floats, Images, Runtime

__all__ = ["Batcher", "BusyError"]


class BusyError(Exception):
    """The queue is full."""


@dataclass(frozen=True)
class _Waiting:
    images: Images
    answer: "asyncio.Future[Floats]"


class Batcher:
    """Feeds a model from a bounded queue; `run` must be running. All of it belongs to one event loop."""

    def __init__(
        self,
        probabilities: Runtime,
        *,
        batch_images: int,
        waiting_images: int,
        on_batch: Callable[[int, float], object] = lambda _images, _seconds: None,
    ) -> None:
        self._probabilities = probabilities
        self._batch_images = batch_images
        self._waiting_images = waiting_images
        self._on_batch = on_batch
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self.reserved = 0
        """Images that have a place, from before they are decoded until they are answered."""

    @contextmanager
    def reserve(self, images: int) -> Iterator[None]:
        """Hold places for some images. Raises BusyError if there are not so many."""
        if self.reserved + images > self._waiting_images:
            raise BusyError
        self.reserved += images
        try:
            yield
        finally:
            self.reserved -= images

    async def answer(self, images: Images) -> Floats:
        """Probabilities (n, classes) of images (n, side, side, 3) that have their places."""
        waiting = _Waiting(images, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._arrived.set()
        return await waiting.answer

    async def run(self) -> None:
        """Answer until cancelled; a batch that has begun is finished."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="model") as thread:
            while True:
                await self._arrived.wait()
                batch = self._take()
                if not batch:
                    continue
                images = np.concatenate([waiting.images for waiting in batch])
                started = time.perf_counter()
                try:
                    rows = await loop.run_in_executor(thread, self._probabilities, images)
                except Exception as error:  # whatever the runtime raises belongs to those who asked
                    _tell(batch, error)
                    continue
                self._on_batch(len(images), time.perf_counter() - started)
                ends = np.cumsum([len(waiting.images) for waiting in batch])[:-1]
                for waiting, own in zip(batch, np.split(rows, ends), strict=True):
                    if not waiting.answer.done():
                        waiting.answer.set_result(own)

    def _take(self) -> list[_Waiting]:
        """The requests at the head of the queue that fit into a batch, without those that nobody waits for any more."""
        taken: list[_Waiting] = []
        images = 0
        while self._queue:
            first = self._queue[0]
            if taken and images + len(first.images) > self._batch_images:
                return taken
            self._queue.popleft()
            if not first.answer.done():
                taken.append(first)
                images += len(first.images)
        self._arrived.clear()
        return taken


def _tell(batch: list[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
