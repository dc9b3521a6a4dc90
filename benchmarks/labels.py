"""How many planted wrong labels are among the most suspicious ones, beside cleanlab's rankings.

A twentieth of the labels is changed: uniformly, or to another class of the same superclass. The change goes the public
way, as a list for `--relabel`, and so does the search. The rankings of cleanlab are made of the same probabilities; it
has a separate environment, which is created on the first call.

Precision and recall are those of as many first rows as labels were changed: they differ where a list is shorter.
CIFAR-100 has wrong labels of its own, which count as false alarms here. Writes labels.csv next to this file, and prints
the means over the seeds.

    python benchmarks/labels.py --flowers flowers12.tar [--data-dir FOLDER] [--peer-python PYTHON]
"""

import argparse
import csv
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from bakeoff.console.bars import draw_bars
from bakeoff.data.checks import HeldOut, find_suspicious
from bakeoff.data.shards import SPLITS, Dataset, read_blocks
from bakeoff.runs.config import Data
from bakeoff.runs.versions import find_versions
from bakeoff.study.labels import NETWORK, score_labels
from bakeoff.study.provide import prepare_data
from peers import make_environment
from results import write

HERE = Path(__file__).parent
CSV = HERE / "labels.csv"
PEER_PACKAGES = ("cleanlab==2.9.0",)
SHARE, SEEDS, SUPERCLASSES = 0.05, (0, 1, 2), 4


@dataclass(frozen=True)
class Row:
    """One ranking of one data set with planted labels; shares as fractions of 1."""

    data: str
    planted: str
    """`uniform`: any other class. `superclass`: another class of the same superclass."""
    seed: int
    ranking: str
    images: int
    classes: int
    changed: int
    """Labels that were changed."""
    listed: int
    """Labels that the ranking has; all images for one that lists no suspicious ones."""
    precision: float
    """Share of changed labels among as many first rows as were changed."""
    recall: float
    """Share of the changed labels that are there."""
    recall_listed: float
    """Share of the changed labels that are anywhere in the list."""
    restored: float | None
    """Share of the found ones whose suggestion is the label before the change; None without suggestions."""
    network: str
    versions: str


class Planted(NamedTuple):
    """The changed labels: names of classes by image id."""

    before: dict[str, str]
    after: dict[str, str]


def main() -> None:
    """Plant, search, compare, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--flowers", required=True, help="archive or folder of another data set")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    parser.add_argument("--peer-python", help="interpreter of an environment with cleanlab")
    arguments = parser.parse_args()
    peer = arguments.peer_python or make_environment(PEER_PACKAGES)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            cifar = Data(source="cifar100", classes=",".join(draw_superclasses(arguments.data_dir, seed)))
            for data, planted in (
                (cifar, "uniform"),
                (cifar, "superclass"),
                (Data(source=arguments.flowers), "uniform"),
            ):
                rows += measure(data, planted, seed, arguments.data_dir, Path(folder), peer)
    write(CSV, rows)
    print_table(rows)


def draw_superclasses(data_dir: Path | None, seed: int) -> list[str]:
    """The classes of some superclasses of CIFAR-100."""
    _, dataset = prepare_data(Data(source="cifar100"), data_dir)
    assert dataset.superclass_of
    drawn = np.random.default_rng(seed).choice(len(dataset.superclass_names or ()), SUPERCLASSES, replace=False)
    return [name for name, own in zip(dataset.class_names, dataset.superclass_of, strict=True) if own in drawn]


def measure(data: Data, planted: str, seed: int, data_dir: Path | None, folder: Path, peer: str) -> Iterator[Row]:
    """Plant labels into a data set and find them, by bakeoff and by cleanlab."""
    _, dataset = prepare_data(data, data_dir)
    changes = plant(dataset, planted, seed)
    table = folder / "planted.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "suggested"), *changes.after.items()])
    changed = data.model_copy(update={"relabel": str(table)})
    with draw_bars() as move:
        shards, dataset = prepare_data(changed, data_dir, move)
        scored = score_labels(changed, shards, dataset, move)
    yield from compare(dataset.name, dataset.class_names, planted, seed, changes, scored, folder, peer)


def compare(
    data: str,
    names: Sequence[str],
    planted: str,
    seed: int,
    changes: Planted,
    scored: HeldOut,
    folder: Path,
    peer: str,
) -> Iterator[Row]:
    """Rank the same probabilities by bakeoff and by cleanlab."""
    found = find_suspicious(scored, names)
    first = found[: len(changes.before)]
    hits = [one for one in first if one.id in changes.before]
    restored = sum(one.suggested == changes.before[one.id] for one in hits) / max(1, len(hits))
    rankings = {"bakeoff": [one.id for one in found], **rank_by_peer(scored, folder, peer)}
    versions = find_versions()
    for name, ids in rankings.items():
        count = len(changes.before.keys() & set(ids[: len(changes.before)]))
        yield Row(
            data=data,
            planted=planted,
            seed=seed,
            ranking=name,
            images=len(scored.ids),
            classes=len(names),
            changed=len(changes.before),
            listed=len(ids),
            precision=round(count / max(1, min(len(ids), len(changes.before))), 4),
            recall=round(count / len(changes.before), 4),
            recall_listed=round(len(changes.before.keys() & set(ids)) / len(changes.before), 4),
            restored=round(restored, 4) if name == "bakeoff" else None,
            network=NETWORK,
            versions=f"bakeoff {versions['bakeoff']}, {PEER_PACKAGES[0].replace('==', ' ')}",
        )


def plant(dataset: Dataset, planted: str, seed: int) -> Planted:
    """Choose images of all splits and another class for each."""
    labels = {
        key: int(label)
        for split in SPLITS
        for block in read_blocks(dataset, split, unlock=True)
        for key, label in zip(block.ids, block.labels, strict=True)
    }
    names, rng = dataset.class_names, np.random.default_rng(seed)
    group_of = dataset.superclass_of if planted == "superclass" else [0] * len(names)
    assert group_of
    chosen = rng.choice(sorted(labels), round(SHARE * len(labels)), replace=False).tolist()
    after = {}
    for key in chosen:
        own = labels[key]
        others = [one for one, group in enumerate(group_of) if group == group_of[own] and one != own]
        after[key] = names[rng.choice(others)]
    return Planted({key: names[labels[key]] for key in chosen}, after)


def rank_by_peer(scored: HeldOut, folder: Path, peer: str) -> dict[str, list[str]]:
    """Image ids in the order of each ranking of cleanlab."""
    asked, answered = folder / "scored.npz", folder / "ranked.npz"
    scored.write(asked)
    subprocess.run([peer, str(HERE / "labels_peer.py"), str(asked), str(answered)], check=True)
    with np.load(answered) as rankings:
        return {f"cleanlab {name}": scored.ids[rankings[name]].tolist() for name in rankings.files}


def print_table(rows: Sequence[Row]) -> None:
    """Print the means over seeds."""
    table = Table("data", "planted", "ranking", "listed", "precision", "recall", "restored", box=None)
    for data, planted, ranking in dict.fromkeys((row.data, row.planted, row.ranking) for row in rows):
        same = [row for row in rows if (row.data, row.planted, row.ranking) == (data, planted, ranking)]
        listed, precision, recall = (
            np.mean([getattr(row, name) for row in same]) for name in ("listed", "precision", "recall")
        )
        restored = [row.restored for row in same if row.restored is not None]
        table.add_row(
            data,
            planted,
            ranking,
            f"{listed:.0f}",
            f"{precision:.1%}",
            f"{recall:.1%}",
            f"{np.mean(restored):.1%}" if restored else "",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
