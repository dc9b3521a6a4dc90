"""Dynamic batching: images of concurrent requests are predicted together, from a bounded queue.

While the model runs on one batch, the images that arrive form the next. So a single request never waits for others, and
batches grow with the load.
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
class _Request:
    images: Images
    probabilities: "asyncio.Future[Floats]"


class Batcher:
    """Runs a model on batches from a bounded queue, as long as `run` is running. Not thread-safe: use one event loop.

    Args:
        probabilities: The model.
        batch_images: Largest batch. A larger request is a batch of its own.
        waiting_images: Capacity of the queue, in images.
        on_batch: Called after each batch with its images and the seconds that the model took.
    """

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
        self._queue: deque[_Request] = deque()
        self._arrived = asyncio.Event()
        self.reserved = 0
        """Images that have a place in the queue: from before they are decoded until their prediction."""
        self.runs = False
        """Whether `run` is running. Nothing is predicted otherwise."""

    @property
    def is_full(self) -> bool:
        """Whether the queue has no place for another image."""
        return self.reserved >= self._waiting_images

    @contextmanager
    def reserve(self, images: int) -> Iterator[None]:
        """Reserve places in the queue for the duration of the block. Raises BusyError if there are too few."""
        if self.reserved + images > self._waiting_images:
            raise BusyError
        self.reserved += images
        try:
            yield
        finally:
            self.reserved -= images

    async def predict(self, images: Images) -> Floats:
        """The probabilities (n, classes) of images (n, side, side, 3) whose places are reserved."""
        request = _Request(images, asyncio.get_running_loop().create_future())
        self._queue.append(request)
        self._arrived.set()
        return await request.probabilities

    async def run(self) -> None:
        """Process batches until cancelled; a batch that has started is finished."""
        self.runs = True
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="model") as thread:
                await self._process(thread)
        finally:
            self.runs = False

    async def _process(self, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._take()
            if not batch:
                continue
            started = time.perf_counter()
            try:
                images = np.concatenate([request.images for request in batch])
                rows = await loop.run_in_executor(thread, self._probabilities, images)
            except Exception as error:  # each runtime has its own exceptions; the requests of the batch get them
                _fail(batch, error)
                continue
            self._on_batch(len(images), time.perf_counter() - started)
            ends = np.cumsum([len(request.images) for request in batch])[:-1]
            for request, part in zip(batch, np.split(rows, ends), strict=True):
                if not request.probabilities.done():
                    request.probabilities.set_result(part)

    def _take(self) -> list[_Request]:
        """Take the first requests that fit into a batch, without cancelled ones."""
        taken: list[_Request] = []
        images = 0
        while self._queue:
            first = self._queue[0]
            if taken and images + len(first.images) > self._batch_images:
                return taken
            self._queue.popleft()
            if not first.probabilities.done():
                taken.append(first)
                images += len(first.images)
        self._arrived.clear()
        return taken


def _fail(batch: list[_Request], error: Exception) -> None:
    for request in batch:
        if not request.probabilities.done():
            request.probabilities.set_exception(error)
