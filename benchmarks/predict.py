"""Images per second of `bakeoff predict`, compared with plain `keras.Model.predict` on the same model.

10,000 test images of CIFAR-100. `bakeoff predict` reads and decodes PNG files; Keras gets the same images as one array
in memory, so it has less work. Both alternate on parts of the images. Further bundles are other formats of the same
run. Writes predict.csv next to this file, and prints it.

    python benchmarks/predict.py STUDY/bundle [STUDY/bundle-onnx ...] [--data-dir FOLDER]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import bakeoff
from asking import encode_png
from bakeoff.data.batches import load_split
from bakeoff.data.shards import open_dataset, prepare_cached
from bakeoff.deploy.bundle import Bundle, Format, ImageInput, open_bundle, predict
from bakeoff.runs.config import Data
from hardware import count_cores, name_cpu
from results import write

CSV = Path(__file__).with_suffix(".csv")
TURNS, IMAGES_A_TURN = 5, 2_000
BATCH = 64


@dataclass(frozen=True)
class Row:
    """One method: images per second, and the median of its ratios to Keras in the same round."""

    way: str
    network: str
    images: int
    images_per_second: float
    over_keras: float
    versions: str
    cpu: str
    cores: int
    date: str


def main() -> None:
    """Measure all methods alternately and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundles", nargs="+", type=Path, help="bundles of one run, including the Keras bundle")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    arguments = parser.parse_args()

    bundles = [open_bundle(folder) for folder in arguments.bundles]
    images = load_split(
        open_dataset(prepare_cached(Data(source="cifar100"), arguments.data_dir)), "test", unlock=True
    ).images[:]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number:05d}.png" for number in range(TURNS * IMAGES_A_TURN)]
        for path, image in zip(paths, images, strict=True):
            path.write_bytes(encode_png(image))
        rows = measure(bundles, images, paths)
    write(CSV, rows)
    table = Table("method", "images/s", "x keras.Model.predict")
    for row in rows:
        table.add_row(row.way, f"{row.images_per_second:,.0f}", f"{row.over_keras:.2f}")
    Console().print(table)


def measure(bundles: list[Bundle], images: np.ndarray, paths: list[Path]) -> list[Row]:
    """A row per method, Keras first."""
    (plain,) = (bundle for bundle in bundles if bundle.facts.format is Format.KERAS)
    model = keras.models.load_model(plain.folder / "model.keras", compile=False)
    ways: dict[str, Callable[[slice], object]] = {
        "keras.Model.predict, array": lambda part: model.predict(images[part], batch_size=BATCH, verbose=0),
        **{
            f"bakeoff predict, {bundle.facts.kind}": lambda part, bundle=bundle: list(
                predict(bundle, map(ImageInput.of, paths[part]))
            )
            for bundle in bundles
        },
    }
    for way in ways.values():
        way(slice(0, 2 * BATCH + 1))  # the first batches are compiled
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS):
        for name, way in ways.items():
            started = time.perf_counter()
            way(slice(turn * IMAGES_A_TURN, (turn + 1) * IMAGES_A_TURN))
            seconds[name].append(time.perf_counter() - started)
    base = next(iter(seconds.values()))
    return [
        Row(
            way=name,
            network=plain.facts.candidate,
            images=TURNS * IMAGES_A_TURN,
            images_per_second=round(IMAGES_A_TURN / statistics.median(taken), 1),
            over_keras=round(statistics.median(one / other for one, other in zip(base, taken, strict=True)), 2),
            versions=f"bakeoff {bakeoff.__version__}, keras {keras.__version__}",
            cpu=name_cpu(),
            cores=count_cores(),
            date=date.today().isoformat(),
        )
        for name, taken in seconds.items()
    ]


if __name__ == "__main__":
    main()
