"""Does the choice hold on small data? By validation images alone, and by cross-validated predictions.

Small data sets are drawn: some images of each class from CIFAR-100, even and long-tailed, and from the digits; archives
of photographs are added by --photos. On each, every candidate is probed (scored on the validation split, and by
cross-validation on training and validation images together) and then fine-tuned with the usual recipe, the head from
its probe, for the same number of images. The test split says what a choice was worth: regret is the test top-1 of the
best fine-tuned candidate less that of the chosen one, in points. And it says how often the fine-tuned model is worse
than its own frozen probe, and what keeping the better of the two by validation gives.

Last it says by how much fine-tuning misses the difference that is expected of two probes (`measure_lead`), on the data
sets that judgement.py has not judged, which tell how well that holds on others.

Lengths are in images, so the figures do not depend on the machine's pace. A run that is finished is not repeated: the
same command continues. Writes small_data.csv next to this file, and prints it.

    python benchmarks/small_data.py --out FOLDER [--photos flowers12.tar --photos hands.tar] [--data-dir FOLDER]
"""

import argparse
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from pathlib import Path
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bakeoff.data.folds import choose_folds
from bakeoff.launch import Local, Spare, launch, open_test
from bakeoff.networks.find import find_network
from bakeoff.report.board import GAIN, MAX_EPOCHS
from bakeoff.runs.config import Candidate, Data, Mode, Run, Train, WeightsChoice, parse_candidate
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import RunRecord, Stage, State
from bakeoff.runs.versions import find_versions
from bakeoff.study.defaults import default_run, start_from_probe
from bakeoff.study.provide import prepare_data
from draws import Draw, write_images
from hardware import name_cpu
from results import keep, read

CSV = Path(__file__).with_suffix(".csv")
JUDGED = CSV.with_name("judgement_studies.csv")
# Of being right, between the probes of two networks on the same images: the mean of 63 pairs in the studies of JUDGED.
CORRELATION = 0.45
CANDIDATES = "efficientnet-lite0@96,efficientnet-lite0@128,efficientnet-lite1@96,efficientnet-lite2@96"

DRAWS = (
    Draw("cifar 20 x 20", "cifar100", "20", 20),
    Draw("cifar 20 x 50", "cifar100", "20", 50, seed=1),
    Draw("cifar 20 x 100", "cifar100", "20", 100, seed=2),
    Draw("cifar 10 x 30", "cifar100", "10", 30, seed=3),
    Draw("cifar 50 x 20", "cifar100", "50", 20, seed=4),
    Draw("cifar superclasses x 40", "cifar100", "coarse", 40, seed=5),
    Draw("cifar 20, long tail", "cifar100", "20", 100, seed=6, factor=50),
    Draw("digits 10 x 20", "digits", "all", 20),
)


@dataclass(frozen=True)
class Row:
    """A candidate on a data set. Top-1 as fractions of 1."""

    data: str
    network: str
    train_images: int
    val_images: int
    test_images: int
    probe_val: float
    """Of the frozen probe, on the validation split."""
    folds: int
    cross_images: int
    probe_cross: float
    """Of probes on training and validation images, each image scored by a probe that has not seen it."""
    probe_test: float
    tuned_val: float
    tuned_test: float
    images: int
    """Training images that the fine-tuning has seen, repeats counted."""
    tensorflow: str
    keras: str
    bakeoff: str
    cpu: str
    date: str


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the drawn images and the runs")
    parser.add_argument("--photos", type=Path, action="append", default=[], help="an archive of photographs")
    parser.add_argument("--candidates", default=CANDIDATES, help="NAME@SIZE, separated by commas")
    parser.add_argument("--images", type=int, default=4000, help="training images of a fine-tuning, repeats counted")
    parser.add_argument("--only", default="", help="data sets with this text in their name")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    arguments = parser.parse_args()

    check_images(read(CSV), arguments.images)
    candidates = [parse_candidate(word) for word in arguments.candidates.split(",")]
    sources = {draw.name: draw for draw in DRAWS} | {path.stem: path for path in arguments.photos}
    spare = Spare()
    try:
        executor = Local(1, spare)
        for name, source in sources.items():
            if arguments.only not in name:
                continue
            if isinstance(source, Draw):
                source = write_images(source, arguments.out / "images" / name, arguments.data_dir)
            rows = measure(name, source, candidates, arguments.images, arguments.out / "runs" / name, executor)
            keep(CSV, rows, same=("data", "network"))
    finally:
        spare.close()
    print_tables(read(CSV))


def check_images(rows: Sequence[dict[str, str]], images: int) -> None:
    """End if there are rows of fine-tunings of another length: their regrets have no mean with those of this one."""
    # The last batch is a whole one.
    if others := [row["images"] for row in rows if not images <= int(row["images"]) < images + Train(epochs=1).batch]:
        raise SystemExit(f"{CSV} has rows of {others[0]} images, not {images}: move it away first")


def measure(
    name: str, source: Path, candidates: Sequence[Candidate], images: int, out: Path, executor: Local
) -> list[Row]:
    """Probe and fine-tune each candidate on a data set."""
    data = Data(source=str(source))
    shards, dataset = prepare_data(data)
    rows = []
    for candidate in track(candidates, description=name):
        tuned = default_run(find_network(candidate.name), candidate.size or 0, data, WeightsChoice(), seed=0)
        tuned = start_from_probe(tuned.revised(train={"images": images, "epochs": None, "evaluations": 1}), 3000)
        probe = tuned.revised(model={"unfreeze": 0.0}, train={"mode": Mode.PROBE, "images": None, "probe_images": 0})
        folds = choose_folds(dataset.counts["val"], dataset.counts["train"] + dataset.counts["val"])
        crossed = probe.revised(train={"folds": folds})

        def run(config: Run, *, scored: bool = False) -> RunRecord:
            record = launch(config, stage=Stage.TRAIN, out=out, data=shards, executor=executor)
            if record.state is not State.COMPLETE:
                raise SystemExit(f"a run failed: {record.reason}; see {run_dir(out, record.id) / 'log.txt'}")
            return open_test(run_dir(out, record.id), shards) if scored and record.test is None else record

        rows.append(make_row(name, candidate, run(probe, scored=True), run(crossed), run(tuned, scored=True)))
    return rows


def make_row(name: str, candidate: Candidate, probe: RunRecord, crossed: RunRecord, tuned: RunRecord) -> Row:
    """A row of the table."""
    assert probe.val is not None
    assert probe.test is not None
    assert crossed.val is not None
    assert tuned.val is not None
    assert tuned.test is not None
    versions, counts = find_versions(), probe.data.counts
    return Row(
        data=name,
        network=str(candidate),
        train_images=counts["train"],
        val_images=counts["val"],
        test_images=counts["test"],
        probe_val=round(probe.val.top1, 4),
        folds=crossed.config.train.folds,
        cross_images=crossed.val.n,
        probe_cross=round(crossed.val.top1, 4),
        probe_test=round(probe.test.top1, 4),
        tuned_val=round(tuned.val.top1, 4),
        tuned_test=round(tuned.test.top1, 4),
        images=tuned.images_seen,
        tensorflow=versions["tensorflow"],
        keras=versions["keras"],
        bakeoff=versions["bakeoff"],
        cpu=name_cpu(),
        date=date.today().isoformat(),
    )


@dataclass(frozen=True)
class Summary:
    """What the two ways of choosing came to on one data set. Regret in points."""

    data: str
    val_images: int
    cross_images: int
    by_val: float
    by_cross: float
    tuned_loses: int
    """Candidates whose fine-tuned model is worse on the test split than their probe."""
    kept_loses: int
    """Candidates of which the better one by validation, the fine-tuned one where both are equal, is the worse one."""
    candidates: int


def summarise(rows: Sequence[dict[str, str]]) -> Summary:
    """The regrets of a data set, from its rows of the CSV. Equal scores share the choice, so their regret is a mean."""
    tuned = np.array([float(row["tuned_test"]) for row in rows])
    probed = np.array([float(row["probe_test"]) for row in rows])

    def regret(key: str) -> float:
        scores = np.array([float(row[key]) for row in rows])
        return float(100 * (tuned.max() - tuned[scores == scores.max()].mean()))

    keeps_tuned = np.array([float(row["tuned_val"]) >= float(row["probe_val"]) for row in rows])
    kept = np.where(keeps_tuned, tuned, probed)
    return Summary(
        data=rows[0]["data"],
        val_images=int(rows[0]["val_images"]),
        cross_images=int(rows[0]["cross_images"]),
        by_val=regret("probe_val"),
        by_cross=regret("probe_cross"),
        tuned_loses=int((tuned < probed).sum()),
        kept_loses=int((kept < np.maximum(tuned, probed)).sum()),
        candidates=len(rows),
    )


def find_spread(rows: Sequence[dict[str, str]]) -> float:
    """By how many points fine-tuning misses the expected difference of two probes: the standard deviation.

    The squared misses of all pairs of networks, less what chance gives two accuracies on the same images: the mean of
    each data set, and of these.
    """
    means = []
    for name in dict.fromkeys(row["data"] for row in rows):
        squares = []
        for pair in combinations([row for row in rows if row["data"] == name], 2):
            images = float(pair[0]["train_images"])
            rest = (min(float(pair[0]["images"]), MAX_EPOCHS * images) / images) ** -GAIN
            first, second = ({key: float(row[key]) for key in ("probe_cross", "tuned_test")} for row in pair)
            miss = first["tuned_test"] - second["tuned_test"] - rest * (first["probe_cross"] - second["probe_cross"])
            chance = sum(
                rest**2 * variance(row, "probe_cross", "cross_images") + variance(row, "tuned_test", "test_images")
                for row in pair
            )
            squares.append(miss**2 - (1 - CORRELATION) * chance)
        means.append(fmean(squares))
    return 100 * math.sqrt(max(0.0, fmean(means)))


def variance(row: dict[str, str], top1: str, images: str) -> float:
    """The variance of an accuracy by chance."""
    return float(row[top1]) * (1 - float(row[top1])) / float(row[images])


def print_tables(rows: Sequence[dict[str, str]]) -> None:
    """Print one line per data set, and the means."""
    names: Iterable[str] = dict.fromkeys(row["data"] for row in rows)
    found = [summarise([row for row in rows if row["data"] == name]) for name in names]
    table = Table("data", "images of val", "crossed", "regret by val", "by crossed", "tuned < probe", "kept worse")
    for each in found:
        table.add_row(
            each.data,
            f"{each.val_images}",
            f"{each.cross_images}",
            f"{each.by_val:.2f}",
            f"{each.by_cross:.2f}",
            f"{each.tuned_loses} of {each.candidates}",
            f"{each.kept_loses}",
        )
    table.add_section()
    means = [
        math.fsum(values) / len(found) for values in zip(*((each.by_val, each.by_cross) for each in found), strict=True)
    ]
    table.add_row(
        "mean, sum",
        "",
        "",
        *(f"{mean:.2f}" for mean in means),
        f"{sum(each.tuned_loses for each in found)} of {sum(each.candidates for each in found)}",
        f"{sum(each.kept_loses for each in found)}",
    )
    Console().print(table)
    judged = {row["data"] for row in read(JUDGED)}
    fitted = [row for row in rows if row["data"] not in judged]
    number = len({row["data"] for row in fitted})
    Console().print(
        f"fine-tuning misses what is expected of two probes by {find_spread(fitted):.1f} points ({number} sets)"
    )


if __name__ == "__main__":
    main()
