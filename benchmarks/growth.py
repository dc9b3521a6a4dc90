"""Time and memory at 1, 4 and 16 times the images: preparing, screening one network, one epoch.

There are two kinds of data: CIFAR-100 repeated with altered bytes, and a folder of JPEG files of 224 pixels. Every
measurement runs in a separate process. The limit of the in-memory cache is below the smallest data set, so all sizes
are read from disk. Writes growth.csv next to this file, and prints it. Needs about 10 GB of temporary space.

    python benchmarks/growth.py [--data-dir FOLDER] [--factors 1,4,16]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from bakeoff.data.shards import prepare
from bakeoff.data.sources import BadImage, RawImage, Source, open_source
from bakeoff.files import write_json
from bakeoff.launch import launch
from bakeoff.runs.config import BatchNorm, Data, Mode, Model, Run, Train
from bakeoff.runs.record import RunRecord, Stage, State
from hardware import count_cores, name_cpu
from processes import measure
from results import write

CSV = Path(__file__).with_suffix(".csv")
MEMORY_LIMIT = 2**26
PHOTOS, PHOTO_SIDE, CLASSES = 2000, 224, 10
SCREEN_IMAGES, VAL_IMAGES = 2000, 1000
WORKS = ("prepare", "screen", "epoch")
SHARDS, FACTS = "shards", "facts.json"


@dataclass(frozen=True)
class Row:
    """One measurement: its seconds, and the peak resident memory of its processes together, in bytes."""

    data: str
    work: str
    factor: int
    images: int
    """Images that were processed."""
    seconds: float
    images_per_second: float
    peak_bytes: int
    cpu: str
    cores: int
    date: str


class Repeated(Source):
    """A source that repeats raw images; a copy differs from the original in its first pixels."""

    def __init__(self, source: Source, times: int) -> None:
        self._source = source
        self._times = times
        self.name = f"{source.name}x{times}"
        self.licence = source.licence
        self.signature = f"{source.signature} {times}"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Those of the original."""
        return self._source.class_names

    @property
    def count(self) -> int:
        """All images, copies included."""
        return self._times * self._source.count

    def records(self) -> Iterator[RawImage | BadImage]:
        """The original records, then the records of each copy."""
        for copy in range(self._times):
            for record in self._source.records():
                yield record if isinstance(record, BadImage) else _alter(record, copy)

    def fetch(self, keys: Sequence[str]) -> Iterator[RawImage]:
        """The records of `keys`, in that order."""
        originals = self._source.fetch([key.rpartition("#")[0] for key in keys])
        for key, record in zip(keys, originals, strict=True):
            yield _alter(record, int(key.rpartition("#")[2]))


def _alter(record: RawImage, copy: int) -> RawImage:
    data = bytes((value + copy) % 256 for value in record.data[:3]) + record.data[3:]
    return RawImage(f"{record.key}#{copy}", record.split, record.label, None, data, record.shape)


def main() -> None:
    """Measure everything, or (as a child process) do one task."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    parser.add_argument("--factors", default="1,4,16")
    parser.add_argument("--child", nargs=3, metavar=("WORK", "SOURCE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        work, source, folder = arguments.child
        if work == "prepare":
            facts = prepare_shards(source, Path(folder), arguments.data_dir)
        else:
            facts = {"screen": screen, "epoch": train_epoch}[work](Path(folder))
        write_json(Path(folder) / FACTS, dict(zip(("images", "seconds"), facts, strict=True)))
        return
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch) / "photos"
        environment = {
            "BAKEOFF_CACHE_DIR": str(Path(scratch) / "cache"),
            "BAKEOFF_MEMORY_LIMIT_BYTES": str(MEMORY_LIMIT),
        }
        drawn = 0
        for factor in map(int, arguments.factors.split(",")):
            for number in range(drawn, factor * PHOTOS):
                draw_photo(photos, number)
            drawn = factor * PHOTOS
            for data, source in (("cifar100", f"cifar100#{factor}"), ("photos", str(photos))):
                folder = Path(scratch) / f"{data}-{factor}"
                folder.mkdir()
                for work in WORKS:
                    command = [sys.executable, __file__, "--child", work, source, str(folder)]
                    command += ["--data-dir", str(arguments.data_dir.resolve())] if arguments.data_dir else []
                    _, peak_bytes, _ = measure(command, os.environ | environment)
                    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
                    rows.append(_row(data, work, factor, facts["images"], facts["seconds"], peak_bytes))
                    write(CSV, rows)
    print_table(rows)


def draw_photo(folder: Path, number: int) -> None:
    """Write a JPEG file: a smooth random pattern with noise, about as many bytes as a photograph of its size."""
    rng = np.random.default_rng(number)
    label = number % CLASSES
    path = folder / f"class-{label}" / f"{number:06d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = Image.fromarray(rng.integers(0, 256, (7 + label, 7 + label, 3), np.uint8))
    smooth = np.asarray(coarse.resize((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.BICUBIC), np.int16)
    noisy = smooth + rng.integers(-12, 13, smooth.shape, np.int16)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=85)


def prepare_shards(source: str, folder: Path, data_dir: Path | None) -> tuple[int, float]:
    """Prepare `NAME#TIMES` or a folder of images; returns the number of images and the seconds."""
    name, _, times = source.partition("#")
    opened = open_source(Data(source=name), data_dir)
    if times:
        opened = Repeated(opened, int(times))
    count = opened.count
    started = time.perf_counter()
    prepare(opened, folder / SHARDS)
    return count, time.perf_counter() - started


def screen(folder: Path) -> tuple[int, float]:
    """Probe EfficientNet-Lite0 as a screen does, including the start of the process and the reading of the data."""
    model = Model(name="efficientnet-lite0", size=64, unfreeze=0.0, batch_norm=BatchNorm.FROZEN)
    train = Train(mode=Mode.PROBE, epochs=None, subset=SCREEN_IMAGES, val_images=VAL_IMAGES)
    record = run(Run(model=model, train=train), Stage.SCREEN, folder)
    return SCREEN_IMAGES + VAL_IMAGES, record.seconds.total


def train_epoch(folder: Path) -> tuple[int, float]:
    """Train LeNet on every image once; returns the number of images and the seconds of training."""
    train = Train(epochs=1, evaluations=1, val_images=VAL_IMAGES)
    record = run(Run(model=Model(name="lenet", size=32), train=train), Stage.TRAIN, folder)
    return record.data.counts["train"], record.seconds.train


def run(config: Run, stage: Stage, folder: Path) -> RunRecord:
    """Train a run in a separate process. Raises SystemExit if it fails."""
    record = launch(config, stage=stage, out=folder, data=folder / SHARDS)
    if record.state is not State.COMPLETE:
        raise SystemExit(f"{record.candidate}: {record.reason}")
    return record


def _row(data: str, work: str, factor: int, images: int, seconds: float, peak_bytes: int) -> Row:
    rate = round(images / seconds, 1)
    today = date.today().isoformat()
    return Row(data, work, factor, images, round(seconds, 2), rate, peak_bytes, name_cpu(), count_cores(), today)


def print_table(rows: Sequence[Row]) -> None:
    """Print one line per measurement, grouped by task."""
    table = Table("data", "work", "times", "images", "seconds", "images/s", "peak memory")
    for row in sorted(rows, key=lambda row: (row.data, row.work, row.factor)):
        table.add_row(
            row.data,
            row.work,
            str(row.factor),
            f"{row.images:,}",
            f"{row.seconds:.1f}",
            f"{row.images_per_second:,.0f}",
            f"{row.peak_bytes / 1e6:,.0f} MB",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
