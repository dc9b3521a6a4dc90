"""Requests per second and latencies of `bakeoff serve` at rising concurrency, compared with one image at a time.

Two servers with the same bundle alternate: one processes concurrent requests together, the other does not. The clients
run on the same machine and use a part of it. Every answer must name the class that the bundle itself predicts. Writes
serving.csv next to this file (new rows of a bundle replace older ones), and prints it.

    python benchmarks/serving.py BUNDLE
"""

import argparse
import asyncio
import json
import statistics
import time
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import bakeoff
from asking import Client, encode_png, make_request, serving
from bakeoff.deploy.bundle import open_bundle
from hardware import count_cores, name_cpu
from results import keep

CSV = Path(__file__).with_suffix(".csv")
CONCURRENCY = (1, 2, 4, 8, 16, 32)
TURNS, SECONDS = 3, 1.5
PICTURES = 64
TOGETHER, ALONE = 32, 1


@dataclass(frozen=True)
class Row:
    """A server with a number of concurrent clients: medians of the rounds; times in milliseconds."""

    bundle: str
    network: str
    batch: int
    concurrency: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    over_one_at_a_time: float
    version: str
    cpu: str
    cores: int
    date: str


@dataclass(frozen=True)
class Turn:
    """The result of one round: latencies in milliseconds, and its duration in seconds."""

    waits: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.waits) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency that this share of the requests is below."""
        return float(np.percentile(self.waits, share))


def main() -> None:
    """Load both servers alternately, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    folder = parser.parse_args().bundle

    bundle = open_bundle(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (PICTURES, bundle.side, bundle.side, 3), np.uint8)
    likeliest = bundle.probabilities(pixels).argmax(axis=1)
    questions = [
        (make_request(encode_png(image)), bundle.class_names[best])
        for image, best in zip(pixels, likeliest, strict=True)
    ]
    found: dict[tuple[int, int], list[Turn]] = {}
    with serving(folder, TOGETHER) as (together, _), serving(folder, ALONE) as (alone, _):
        for clients in CONCURRENCY:
            for turn in range(2 * TURNS):
                batch, port = ((TOGETHER, together), (ALONE, alone))[turn % 2]
                found.setdefault((batch, clients), []).append(asyncio.run(load(port, clients, questions)))
    rows = [
        Row(
            bundle=bundle.facts.kind,
            network=bundle.facts.candidate,
            batch=batch,
            concurrency=clients,
            requests_per_second=round(statistics.median(turn.rate for turn in turns), 1),
            p50_ms=round(statistics.median(turn.percentile(50) for turn in turns), 1),
            p99_ms=round(statistics.median(turn.percentile(99) for turn in turns), 1),
            over_one_at_a_time=round(
                statistics.median(
                    one.rate / other.rate for one, other in zip(turns, found[ALONE, clients], strict=True)
                ),
                2,
            ),
            version=bakeoff.__version__,
            cpu=name_cpu(),
            cores=count_cores(),
            date=date.today().isoformat(),
        )
        for (batch, clients), turns in found.items()
    ]
    keep(
        CSV,
        rows,
        same=["bundle", "network", "batch", "concurrency"],
        order=lambda row: (row["bundle"], int(row["concurrency"]), -int(row["batch"])),
    )
    table = Table("batch", "clients", "requests/s", "p50 ms", "p99 ms", "x one at a time")
    for row in rows:
        table.add_row(
            *map(str, (row.batch, row.concurrency, row.requests_per_second, row.p50_ms, row.p99_ms)),
            f"{row.over_one_at_a_time:.2f}",
        )
    Console().print(table)


async def load(port: int, clients: int, questions: list[tuple[bytes, str]]) -> Turn:
    """Concurrent clients send one request after the other for some seconds. A wrong answer ends this process."""
    waits: list[float] = []
    numbers = count()
    started = time.perf_counter()

    async def ask() -> None:
        client = Client(port)
        while time.perf_counter() - started < SECONDS:
            request, expected = questions[next(numbers) % len(questions)]
            asked = time.perf_counter()
            status, body = await client.ask(request)
            waits.append(1000 * (time.perf_counter() - asked))
            if status != 200 or json.loads(body)[0]["top"][0]["label"] != expected:
                raise SystemExit(f"an answer was {status} {body!r} instead of {expected}")
        client.close()

    await asyncio.gather(*(ask() for _ in range(clients)))
    return Turn(waits, time.perf_counter() - started)


if __name__ == "__main__":
    main()
