"""`bakeoff serve` at twice its capacity for half an hour: latencies, refusals, memory, wrong answers.

First a few clients that wait for their answers find the capacity. Then requests arrive at random moments (a Poisson
process), twice as many as that, whether earlier ones are answered or not; one of a hundred is damaged. An answer of
status 200 to a sound one is compared with the bundle's own. The resident memory of the server is read every
ten seconds; its slope is that of the least-squares line after the first third. At the end SIGTERM comes while requests
are under way: what the server had read before it must be answered. What was sent in the last second before it may still
have been with the system, which closes it; a client may send it again. Writes endurance.csv next to this file, and
prints it; with --try it prints only.

    python benchmarks/endurance.py BUNDLE [--minutes 30] [--try]
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from abuse import damage, make_image
from asking import Client, encode_png, make_request, serving
from bakeoff.deploy.bundle import Bundle, open_bundle
from hardware import count_cores, name_cpu
from results import keep

CSV = Path(__file__).with_suffix(".csv")
CLIENTS, CAPACITY_SECONDS = 16, 20.0
TIMES_CAPACITY, DAMAGED = 2.0, 0.01
# Connections that are open at once, at most: the system allows a process about a thousand files.
MAX_OPEN = 400
READ_EVERY = 10.0
# Readings between two lines of progress.
SAY_EVERY = 6
# Seconds after which a request that was sent has been read by the server.
SURELY_READ = 1.0
PICTURES = 32


@dataclass(frozen=True)
class Row:
    """What half an hour came to. Latencies are those of answers with status 200, in milliseconds."""

    minutes: float
    capacity: float
    """Answers per second to clients that wait for each."""
    offered: float
    """Requests per second that were sent."""
    late_p99_ms: float
    """How long after its moment a request was sent, because the clients had too much to do."""
    ends: str
    """How many requests ended in which status; `closed`: the connection ended without an answer; `late`: no answer in
    the client's time; `unsent`: MAX_OPEN others were under way, and it was not sent; the name of an exception: the
    client failed."""
    p50_ms: float
    p99_ms: float
    wrong: int
    memory_start_mb: float
    memory_end_mb: float
    memory_by_minute_mb: str
    slope_mb_per_hour: float
    lost_at_stop: int
    """Requests that were sent SURELY_READ before SIGTERM, or earlier, and got no answer."""
    refused_at_stop: int
    """Requests that were sent later than that, and got no answer."""
    cpu: str
    cores: int
    date: str


@dataclass
class Load:
    """What is sent, and how it ended."""

    port: int
    requests: list[tuple[bytes, str]]
    """Valid requests, each with the class that the bundle predicts."""
    ends: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    free: list[Client] = field(default_factory=list)

    async def send(self, rng: random.Random, seeds: list[bytes]) -> float | None:
        """Send one request on a connection that is free, or on a new one; when it was sent if it got no answer."""
        request, expected = rng.choice(self.requests)
        is_damaged = rng.random() < DAMAGED
        mark = " (damaged)" if is_damaged else ""
        client = self.free.pop() if self.free else Client(self.port)
        started = time.perf_counter()
        try:
            status, body = await client.ask(damage(rng, seeds) if is_damaged else request)
        except OSError as error:
            self.ends[("late" if isinstance(error, TimeoutError) else "closed") + mark] += 1
            return started
        except Exception as error:  # it must not end half an hour's measurement
            self.ends[type(error).__name__] += 1
            client.close()
            return None
        self.free.append(client)
        self.ends[f"{status}{mark}"] += 1
        if status == 200 and not is_damaged:
            self.seconds.append(time.perf_counter() - started)
            self.wrong += json.loads(body)[0]["top"][0]["label"] != expected
        return None


def main() -> None:
    """Measure, and write the row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--try", action="store_true", dest="tried", help="write no file")
    arguments = parser.parse_args()
    row = asyncio.run(endure(open_bundle(arguments.bundle), arguments.bundle, arguments.minutes))
    if not arguments.tried:
        keep(CSV, [row], same=("minutes", "cpu", "cores"))
    table = Table("figure", "value")
    for name, value in asdict(row).items():
        table.add_row(name, str(value))
    Console().print(table)


async def endure(bundle: Bundle, folder: Path, minutes: float) -> Row:
    """Send requests for so long."""
    rng = random.Random(0)
    seeds = [make_image(kind, rng) for kind in ("PNG", "JPEG", "WEBP") for _ in range(4)]
    pixels = np.random.default_rng(0).integers(0, 256, (PICTURES, bundle.side, bundle.side, 3), np.uint8)
    labels = [bundle.class_names[int(place)] for place in bundle.probabilities(pixels).argmax(axis=1)]
    requests = [(make_request(encode_png(each)), label) for each, label in zip(pixels, labels, strict=True)]
    with serving(folder) as (port, pid):
        capacity = await find_capacity(Load(port, requests))
        load, memory = Load(port, requests), [(0.0, psutil.Process(pid).memory_info().rss)]
        under_way: set[asyncio.Task[float | None]] = set()
        late: list[float] = []
        started, arrivals = time.perf_counter(), 0.0
        while arrivals < 60 * minutes:
            arrivals += rng.expovariate(TIMES_CAPACITY * capacity)
            await asyncio.sleep(max(0.0, arrivals - (time.perf_counter() - started)))
            elapsed = time.perf_counter() - started
            if elapsed - memory[-1][0] >= READ_EVERY:
                memory.append((elapsed, read_memory(pid, elapsed)))
                if len(memory) % SAY_EVERY == 0:
                    ends = dict(load.ends.most_common(3))
                    sys.stderr.write(f"{elapsed / 60:.0f} min: {memory[-1][1] / 1e6:.1f} MB, {ends}\n")
            if len(under_way) >= MAX_OPEN:
                load.ends["unsent"] += 1
                continue
            late.append(elapsed - arrivals)
            task = asyncio.create_task(load.send(rng, seeds))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        last = list(under_way)
        stopped = time.perf_counter()
        psutil.Process(pid).send_signal(signal.SIGTERM)
        closed = [each for each in await asyncio.gather(*last) if each is not None]
    times, bytes_ = (np.array(column) for column in zip(*memory, strict=True))
    settled = times >= times[-1] / 3
    slope = float(np.polyfit(times[settled], bytes_[settled], 1)[0]) * 3600 if settled.sum() > 1 else float("nan")
    return Row(
        minutes=minutes,
        capacity=round(capacity, 1),
        offered=round(len(late) / (stopped - started), 1),
        late_p99_ms=round(1000 * float(np.percentile(late, 99)), 1),
        ends=", ".join(f"{end}: {count}" for end, count in sorted(load.ends.items())),
        p50_ms=round(1000 * float(np.percentile(load.seconds, 50)), 1),
        p99_ms=round(1000 * float(np.percentile(load.seconds, 99)), 1),
        wrong=load.wrong,
        memory_start_mb=round(memory[0][1] / 1e6, 1),
        memory_end_mb=round(memory[-1][1] / 1e6, 1),
        memory_by_minute_mb=" ".join(f"{resident / 1e6:.1f}" for _, resident in memory[::SAY_EVERY]),
        slope_mb_per_hour=round(slope / 1e6, 2),
        lost_at_stop=sum(sent <= stopped - SURELY_READ for sent in closed),
        refused_at_stop=sum(sent > stopped - SURELY_READ for sent in closed),
        cpu=name_cpu(),
        cores=count_cores(),
        date=date.today().isoformat(),
    )


def read_memory(pid: int, elapsed: float) -> int:
    """The resident bytes of the server. Ends this process if it has ended."""
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.NoSuchProcess:
        raise SystemExit(f"the server ended after {elapsed / 60:.1f} minutes") from None


async def find_capacity(load: Load) -> float:
    """Answers per second to clients that wait for each of their answers."""
    end = time.perf_counter() + CAPACITY_SECONDS

    async def ask() -> int:
        client, answers = Client(load.port), 0
        while time.perf_counter() < end:
            status, _ = await client.ask(load.requests[answers % PICTURES][0])
            answers += status == 200
        client.close()
        return answers

    return sum(await asyncio.gather(*(ask() for _ in range(CLIENTS)))) / CAPACITY_SECONDS


if __name__ == "__main__":
    main()
