"""Requests share batches, get their own predictions, and are rejected when the queue is full."""

import asyncio
import threading

import numpy as np
import pytest

from bakeoff.deploy.serve.batching import Batcher, BusyError


def _images(*values):
    return np.stack([np.full((2, 2, 3), value, np.uint8) for value in values])


def _sum(images):
    return images.reshape(len(images), -1).astype(np.float32)[:, :1]


async def _with_running(batcher, work):
    running = asyncio.create_task(batcher.run())
    try:
        return await asyncio.wait_for(work(), 30)
    finally:
        running.cancel()


def test_waiting_requests_share_a_batch_and_each_gets_its_own_predictions():
    sizes, gate = [], threading.Event()

    def slow(images):
        gate.wait(20)
        sizes.append(len(images))
        return _sum(images)

    async def work():
        first = asyncio.create_task(batcher.predict(_images(1)))
        await asyncio.sleep(0.1)
        others = [asyncio.create_task(batcher.predict(_images(*values))) for values in ((2,), (3, 4), (5,), (6, 7, 8))]
        await asyncio.sleep(0.1)
        gate.set()
        return await asyncio.gather(first, *others)

    batcher = Batcher(slow, batch_images=4, waiting_images=100)
    answers = asyncio.run(_with_running(batcher, work))
    assert sizes == [1, 4, 3]
    assert [rows[:, 0].tolist() for rows in answers] == [[1], [2], [3, 4], [5], [6, 7, 8]]


def test_an_error_of_the_model_reaches_its_requests_and_the_next_are_answered():
    def failing(images):
        if images[0, 0, 0, 0] == 13:
            raise RuntimeError("out of order")
        return _sum(images)

    async def work():
        with pytest.raises(RuntimeError, match="out of order"):
            await batcher.predict(_images(13))
        return await batcher.predict(_images(5))

    batcher = Batcher(failing, batch_images=4, waiting_images=100)
    assert asyncio.run(_with_running(batcher, work)).tolist() == [[5]]


def test_places_are_limited_and_released():
    batcher = Batcher(_sum, batch_images=4, waiting_images=3)
    with batcher.reserve(2):
        with pytest.raises(BusyError), batcher.reserve(2):
            pass
        with batcher.reserve(1):
            assert batcher.reserved == 3
    assert batcher.reserved == 0


def test_cancelled_requests_are_not_predicted():
    seen, gate = [], threading.Event()

    def slow(images):
        gate.wait(20)
        seen.extend(images[:, 0, 0, 0].tolist())
        return _sum(images)

    async def work():
        first = asyncio.create_task(batcher.predict(_images(1)))
        await asyncio.sleep(0.1)
        gone, last = asyncio.create_task(batcher.predict(_images(2))), asyncio.create_task(batcher.predict(_images(3)))
        await asyncio.sleep(0.1)
        gone.cancel()
        gate.set()
        await asyncio.gather(first, last)

    batcher = Batcher(slow, batch_images=4, waiting_images=100)
    asyncio.run(_with_running(batcher, work))
    assert seen == [1, 3]
