"""How `bakeoff serve` handles damaged requests, and how it behaves when it is killed and restarted under load.

Ten thousand requests are random changes of valid ones: images that are truncated, have changed bytes or claim to be
huge, truncated and mixed-up forms, headers of any kind. Each must get an answer with a status below 500, or 503. The
memory of the server is read after a thousand earlier requests, which fill its caches, and after the last one. Then
sixteen clients send requests to a server that is killed (SIGKILL) or stopped (SIGTERM) and restarted on the same port.
No answer may be wrong; requests without an answer ("lost") and failed connections are counted. Writes abuse.csv next to
this file, and prints it.

    python benchmarks/abuse.py BUNDLE
"""

import argparse
import asyncio
import io
import json
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from rich.console import Console
from rich.table import Table

import asking
from asking import HOST, Client, encode_png, make_request, serving
from bakeoff.deploy.bundle import open_bundle
from hardware import count_cores, name_cpu
from results import write

CSV = Path(__file__).with_suffix(".csv")
REQUESTS, WARM_UP = 10_000, 1_000
CLIENTS = 16
KINDS = ("image/png", "image/jpeg", "", "text/html", "application/octet-stream", "multipart/form-data; boundary=x")


@dataclass(frozen=True)
class Row:
    """One test: how its requests ended, and the resident memory of the server before and after it, in megabytes."""

    ordeal: str
    requests: int
    ends: str
    wrong: int
    memory_before_mb: float
    memory_after_mb: float
    seconds_without_answer: float
    cpu: str
    cores: int
    date: str


def main() -> None:
    """Run all tests and write their results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    folder = parser.parse_args().bundle

    rows = [asyncio.run(fuzz(folder)), *(asyncio.run(kill(folder, number)) for number in (9, 15))]
    write(CSV, rows)
    table = Table("test", "requests", "ends", "wrong", "MB before", "MB after", "s without an answer")
    for row in rows:
        table.add_row(
            row.ordeal,
            f"{row.requests:,}",
            row.ends,
            str(row.wrong),
            f"{row.memory_before_mb:.0f}",
            f"{row.memory_after_mb:.0f}",
            f"{row.seconds_without_answer:.1f}",
        )
    Console().print(table)


async def fuzz(folder: Path) -> Row:
    """Send damaged requests from several clients at once."""
    rng = random.Random(0)
    seeds = [make_image(kind, rng) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP") for _ in range(4)]
    ends: Counter[str] = Counter()
    with serving(folder) as (port, pid):
        server = psutil.Process(pid)

        async def ask(requests: int) -> None:
            client = Client(port)
            for _ in range(requests):
                try:
                    status, _ = await client.ask(damage(rng, seeds))
                    ends[str(status)] += 1
                except OSError:
                    ends["closed"] += 1
            client.close()

        await asyncio.gather(*(ask(WARM_UP // CLIENTS) for _ in range(CLIENTS)))
        before = server.memory_info().rss
        ends.clear()
        await asyncio.gather(*(ask(REQUESTS // CLIENTS) for _ in range(CLIENTS)))
        after = server.memory_info().rss
        status, _ = await Client(port).ask(make_request(seeds[0]))
    bad = sum(number for end, number in ends.items() if end.startswith("5") and end != "503")
    return make_row("damaged requests", ends, bad + (status != 200), before, after, 0.0)


async def kill(folder: Path, number: int) -> Row:
    """Stop the server while requests are under way, and start it again."""
    bundle = open_bundle(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (bundle.side, bundle.side, 3), np.uint8)
    expected = bundle.class_names[int(bundle.probabilities(pixels[None])[0].argmax())]
    request, ends = make_request(encode_png(pixels)), Counter[str]()
    wrong, answered, done = 0, [0.0], asyncio.Event()

    async def ask(port: int) -> None:
        nonlocal wrong
        client = Client(port)
        while not done.is_set():
            try:
                status, body = await client.ask(request)
            except ConnectionRefusedError:
                ends["nobody there"] += 1
                await asyncio.sleep(0.05)
                continue
            except OSError:
                ends["lost"] += 1
                continue
            ends[str(status)] += 1
            if status == 200:
                answered.append(time.perf_counter())
                wrong += json.loads(body)[0]["top"][0]["label"] != expected
        client.close()

    with serving(folder) as (port, pid):
        clients = [asyncio.create_task(ask(port)) for _ in range(CLIENTS)]
        await asyncio.sleep(3)
        before = psutil.Process(pid).memory_info().rss
        psutil.Process(pid).send_signal(number)
        ended = time.perf_counter()
        again = await asyncio.to_thread(start_again, folder, port)
        await asyncio.sleep(3)
        after = psutil.Process(again.pid).memory_info().rss
        done.set()
        await asyncio.gather(*clients)
        again.terminate()
        again.wait()
    late = min(when for when in answered if when > ended + 0.2)
    gap = late - max(when for when in answered if when < late)
    return make_row(f"{signal.Signals(number).name} and started again", ends, wrong, before, after, gap)


def start_again(folder: Path, port: int) -> "subprocess.Popen[str]":
    """Start another server on the port as soon as the port is free."""
    while True:
        command = [sys.executable, asking.__file__, str(folder), "32", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        if process.stdout.readline():
            return process
        process.wait()


def make_row(ordeal: str, ends: Counter[str], wrong: int, before: int, after: int, gap: float) -> Row:
    """The row of a test."""
    return Row(
        ordeal=ordeal,
        requests=ends.total(),
        ends=" ".join(f"{end}: {number}" for end, number in sorted(ends.items())),
        wrong=wrong,
        memory_before_mb=round(before / 1e6, 1),
        memory_after_mb=round(after / 1e6, 1),
        seconds_without_answer=round(gap, 2),
        cpu=name_cpu(),
        cores=count_cores(),
        date=date.today().isoformat(),
    )


def make_image(kind: str, rng: random.Random) -> bytes:
    """An image of random size, in the format `kind`."""
    buffer = io.BytesIO()
    size = rng.randint(1, 200), rng.randint(1, 200)
    Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1])).save(buffer, format=kind)
    return buffer.getvalue()


def damage(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A request that is damaged in most cases."""
    body = bytearray(rng.choice(seeds))
    match rng.randrange(6):
        case 0:
            del body[rng.randrange(len(body)) :]
        case 1:
            for _ in range(rng.randint(1, 40)):
                body[rng.randrange(len(body))] = rng.randrange(256)
        case 2:
            body = bytearray(rng.randbytes(rng.randrange(4_000)))
        case 3:
            body = bytearray(claim(rng.randint(1, 70_000), rng.randint(1, 70_000)))
    if rng.random() < 0.4:
        end = rng.choice((b"\r\n--x--\r\n", b"", b"--x", b"\r\n--x\r\n"))
        name = rng.choice((b'form-data; name="a"; filename="a.png"', b"form-data", b'form-data; filename*=x\xff"', b""))
        body = bytearray(b"--x\r\nContent-Disposition: " + name + b"\r\n\r\n" + bytes(body) + end)
        return make_request(bytes(body), KINDS[-1] if rng.random() < 0.9 else "multipart/form-data; boundary=")
    if rng.random() < 0.05:
        return f"POST /predict HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: nine\r\n\r\n".encode() + bytes(body)
    path = rng.choice(("/predict",) * 9 + ("/predict?top=-1", "/predict?top=99999", "/nowhere", "/model"))
    return make_request(bytes(body), rng.choice(KINDS), path)


def claim(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims this size."""
    head = struct.pack(">II", width, height) + bytes([8, 2, 0, 0, 0])
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(50_000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


if __name__ == "__main__":
    main()
