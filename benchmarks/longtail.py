"""What each `train.balance` does where classes are uneven: a long-tailed draw of CIFAR-100 with factor 50.

The size of the classes falls exponentially, as usual (Cui et al. 2019; Cao et al. 2019): from 450 training images of
the first class to 9 of the last, 11,349 in all. Validation has the last 50 training images of every class of the
archive; the test split stays locked. Each balance is a linear probe of EfficientNet-Lite0 at 96 pixels, and a short
fine-tuning from that probe's head for each seed, of equally many images. Scores are of the validation images with each
class counting the same; those called tail are of images of which each class has its share of the training split.

Runs are kept in --studies, so an interrupted call continues. Writes longtail.csv next to this file, and prints it.

    python benchmarks/longtail.py --studies FOLDER [--data-dir FOLDER] [--quick]
"""

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bakeoff.console.bars import draw_bars, make_console
from bakeoff.data.shards import Dataset, open_dataset, prepare
from bakeoff.data.sources import BadImage, OnCount, RawImage, Source, SplitName, open_source
from bakeoff.launch import launch
from bakeoff.runs.calibration import cross_fit, fit_temperature
from bakeoff.runs.config import Balance, BatchNorm, Data, Mode, Model, Optim, Run, Train
from bakeoff.runs.events import RunProgress
from bakeoff.runs.folder import run_dir
from bakeoff.runs.metrics import score
from bakeoff.runs.predictions import read_predictions
from bakeoff.runs.record import RunRecord, Stage, State
from hardware import count_cores, name_cpu
from results import keep

CSV = Path(__file__).with_suffix(".csv")
LARGEST, FACTOR, VAL_IMAGES = 450, 50, 50
SEEDS, IMAGES = (0, 1), 8000
# Classes with more training images are "many", with fewer "few" (Liu et al. 2019, arXiv 1904.05160).
MANY, FEW = 100, 20
QUICK = {"subset": 600, "val_images": 500}
PROBE, FINE_TUNED = "probe", "fine-tuned"


@dataclass(frozen=True)
class Row:
    """One run: scores as fractions of 1, log loss in nats."""

    trained: str
    balance: str
    seed: int
    balanced_accuracy: float
    macro_f1: float
    log_loss: float
    many: float
    """Mean recall of the classes with more than 100 training images."""
    medium: float
    few: float
    """Mean recall of the classes with fewer than 20."""
    top1_tail: float
    log_loss_tail: float
    temperature: float
    """Fitted on validation images of which each class has its share of the training split."""
    ece_tail: float
    """Calibration error of such images at the temperature of the other half of them."""
    ece_even: float
    """Calibration error of all validation images at that temperature."""
    images_seen: int
    train_images: int
    val_images: int
    run: str
    versions: str
    cpu: str
    cores: int
    date: str


class LongTail(Source):
    """A long-tailed draw of a source's training images, with an even validation split; the test split is kept."""

    licence = "as CIFAR-100's"

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = f"{source.name}-tail{FACTOR}"
        self.signature = f"{source.signature} {LARGEST} {FACTOR} {VAL_IMAGES}"
        self._splits = dict(self._draw())

    @property
    def class_names(self) -> tuple[str, ...]:
        """Those of the source: the first classes are the large ones."""
        return self._source.class_names

    @property
    def count(self) -> int:
        """The images that are drawn."""
        return len(self._splits)

    def records(self) -> Iterator[RawImage | BadImage]:
        """The images that are drawn, in the order of the source."""
        return self.fetch(list(self._splits))

    def fetch(self, keys: Sequence[str]) -> Iterator[RawImage]:
        """The images of `keys`, in that order."""
        for record in self._source.fetch(keys):
            yield replace(record, split=self._splits[record.key], coarse_label=None)

    def _draw(self) -> Iterator[tuple[str, SplitName]]:
        images = [record for record in self._source.records() if isinstance(record, RawImage)]
        sizes = class_sizes(len(self.class_names))
        train = sorted((record.label, record.key) for record in images if record.split == "train")
        for label, group in groupby(train, key=lambda pair: pair[0]):
            keys = [key for _, key in group]
            yield from ((key, "train") for key in keys[: sizes[label]])
            yield from ((key, "val") for key in keys[-VAL_IMAGES:])
        yield from ((record.key, "test") for record in images if record.split == "test")


def class_sizes(classes: int) -> list[int]:
    """Training images of each class: from LARGEST down to its FACTOR-th part."""
    return [int(LARGEST * FACTOR ** (-label / (classes - 1))) for label in range(classes)]


def main() -> None:
    """Train with each balance, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--studies", type=Path, required=True, help="folder for the data and the runs")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    parser.add_argument("--quick", action="store_true", help="a few images and one seed: prints, writes no CSV file")
    arguments = parser.parse_args()

    out, rows, console = arguments.studies, list[Row](), make_console()
    with draw_bars(console) as move:
        dataset = prepare_tail(out / "shards", arguments.data_dir, move)
        runs = list_runs(quick=arguments.quick)
        for number, run in enumerate(runs):
            record = train(run, out, lambda done, number=number: move(f"{len(runs)} runs", number + done, len(runs)))
            rows.append(make_row(record, out, dataset))
            if not arguments.quick:
                keep(CSV, rows[-1:], same=("trained", "balance", "seed"), order=_place)
            console.print(f"{number + 1} of {len(runs)}: {_name(run)}: {rows[-1].balanced_accuracy:.1%}")
    print_table(rows)


def prepare_tail(folder: Path, data_dir: Path | None, on_count: OnCount) -> Dataset:
    """The prepared draw."""
    prepare(LongTail(open_source(Data(source="cifar100"), data_dir)), folder, on_count=on_count)
    return open_dataset(folder)


def list_runs(*, quick: bool) -> list[Run]:
    """A probe of each balance, then a fine-tuning of each with each seed."""
    model = Model(name="efficientnet-lite0", size=96, batch_norm=BatchNorm.FROZEN)
    less = QUICK if quick else {}
    probe = Run(model=model, train=Train(mode=Mode.PROBE)).revised(model={"unfreeze": 0.0}, train=less)
    fit = Run(model=model, optim=Optim(learning_rate=5e-4, ema=0.98), train=Train(images=IMAGES)).revised(
        train={"evaluations": 1, "probe_images": sum(class_sizes(100)), "count_probe": False} | less
    )
    if quick:
        fit = fit.revised(train={"images": QUICK["subset"]})
    return [
        run.revised(train={"balance": balance}).model_copy(update={"seed": seed})
        for run, seed in [(probe, 0), *((fit, seed) for seed in (SEEDS[:1] if quick else SEEDS))]
        for balance in Balance
    ]


def train(run: Run, out: Path, move: Callable[[float], None]) -> RunRecord:
    """Train a run, or find its record; `move` is told the part that is done. Raises SystemExit if it fails."""
    longest = "features" if run.train.mode is Mode.PROBE else "train"

    def show(event: RunProgress) -> None:
        if event.doing == longest:
            move(event.fraction)

    move(0.0)
    record = launch(run, stage=Stage.TRAIN, out=out, data=out / "shards", on_progress=show)
    if record.state is not State.COMPLETE:
        raise SystemExit(f"{_name(run)}: {record.reason}")
    return record


def make_row(record: RunRecord, out: Path, dataset: Dataset) -> Row:
    """The scores of a finished run."""
    found = read_predictions(run_dir(out, record.id), "val")
    logits, labels = found.logits, found.labels
    sizes = dataset.class_counts("train")
    even = score(logits, labels, None)
    of_class = score_classes(logits, labels, len(sizes))
    shares, tail = sizes / sizes.sum(), draw_tail(labels, sizes)
    temperature = fit_temperature(logits[tail], labels[tail])
    config = record.config
    return Row(
        trained=PROBE if config.train.mode is Mode.PROBE else FINE_TUNED,
        balance=config.train.balance,
        seed=config.seed,
        balanced_accuracy=round(even.balanced_accuracy or 0.0, 4),
        macro_f1=round(even.macro_f1, 4),
        log_loss=round(even.log_loss, 4),
        many=round(float(of_class.recall[sizes > MANY].mean()), 4),
        medium=round(float(of_class.recall[(sizes >= FEW) & (sizes <= MANY)].mean()), 4),
        few=round(float(of_class.recall[sizes < FEW].mean()), 4),
        top1_tail=round(float(shares @ of_class.recall), 4),
        log_loss_tail=round(float(shares @ of_class.log_loss), 4),
        temperature=round(temperature, 3),
        ece_tail=round(score(cross_fit(logits[tail], labels[tail]), labels[tail], None).ece, 4),
        ece_even=round(score(logits / np.float32(temperature), labels, None).ece, 4),
        images_seen=record.images_seen,
        train_images=config.train.subset or record.data.counts["train"],
        val_images=len(labels),
        run=record.id,
        versions=", ".join(f"{name} {version}" for name, version in record.versions.items()),
        cpu=name_cpu(),
        cores=count_cores(),
        date=date.today().isoformat(),
    )


@dataclass(frozen=True)
class ByClass:
    """Means over the images of each class, (classes,)."""

    recall: NDArray[np.float64]
    log_loss: NDArray[np.float64]


def score_classes(logits: NDArray[np.float32], labels: NDArray[np.int32], classes: int) -> ByClass:
    """Recall and log loss of each class."""
    counts = np.bincount(labels, minlength=classes)
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    recall, log_loss = (
        np.bincount(labels, values, classes) / counts for values in (logits.argmax(axis=1) == labels, losses)
    )
    return ByClass(recall, log_loss)


def draw_tail(labels: NDArray[np.int32], sizes: NDArray[np.int64]) -> NDArray[np.intp]:
    """Positions of validation images of which each class has its share of the training split, at least one image."""
    counts = np.bincount(labels, minlength=len(sizes))
    wanted = np.maximum(1, np.rint(counts.min() * sizes / sizes.max()).astype(int))
    drawn = [np.flatnonzero(labels == label)[:number] for label, number in enumerate(wanted)]
    # In random order, because cross-fitting takes every second image.
    return np.random.default_rng(0).permutation(np.concatenate(drawn))


def _name(run: Run) -> str:
    return f"{run.train.mode}, {run.train.balance}, seed {run.seed}"


def _place(row: Mapping[str, str]) -> tuple[bool, int, int]:
    return row["trained"] != PROBE, list(Balance).index(Balance(row["balance"])), int(row["seed"])


def print_table(rows: Sequence[Row]) -> None:
    """Print one line per balance: means over the seeds."""
    table = Table(
        "", "balance", "balanced", "macro F1", "log loss", "many", "medium", "few", "top-1 tail", "T", "ECE tail, even"
    )
    for trained in (PROBE, FINE_TUNED):
        for balance in Balance:
            some = [row for row in rows if (row.trained, row.balance) == (trained, balance)]
            if not some:
                continue
            mean = {
                name: statistics.fmean(getattr(row, name) for row in some)
                for name, value in vars(some[0]).items()
                if isinstance(value, float)
            }
            shares = ("balanced_accuracy", "macro_f1", "log_loss", "many", "medium", "few", "top1_tail", "temperature")
            cells = [
                f"{mean[name]:.2f}" if name in ("log_loss", "temperature") else f"{mean[name]:.1%}" for name in shares
            ]
            table.add_row(trained, balance, *cells, f"{mean['ece_tail']:.3f}, {mean['ece_even']:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
