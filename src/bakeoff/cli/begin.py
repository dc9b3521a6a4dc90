"""What the verbs that train do first: check the arguments, prepare the data, fetch weights, open the study's folder."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bakeoff.cli.output import make_console, prepare_data, print_notes

if TYPE_CHECKING:
    from rich.table import Table

    from bakeoff.data.shards import Dataset
    from bakeoff.launch import Executor
    from bakeoff.networks.table import NetworkSpec
    from bakeoff.runs.config import Candidate, Data, Run, WeightsChoice
    from bakeoff.study import AnyPlan, StudyState

__all__ = [
    "Begun",
    "begin",
    "begin_study",
    "choose_data",
    "executing",
    "fetch",
    "introduce",
    "open_study",
    "parse_candidates",
]


class Begun(NamedTuple):
    """Checked arguments and prepared data; `started` is on the monotonic clock, `seed` that of the runs."""

    started: float
    data: "Data"
    shards: Path
    dataset: "Dataset"
    candidates: "list[Candidate]"
    weights: "WeightsChoice"
    seed: int


def choose_data(
    source: str, classes: str | None, seed: int | None, exclude: Path | None, recipe: "Run | None" = None
) -> "Data":
    """What was asked for; what was not said is the recipe's."""
    from bakeoff.runs.config import Data, Run

    said = (recipe or Run()).data
    return Data(
        source=source,
        classes=classes or said.classes,
        seed=said.seed if seed is None else seed,
        exclude=said.exclude if exclude is None else str(exclude),
    )


@contextlib.contextmanager
def executing(workers: int | None, cluster: str | None) -> "Iterator[Executor]":
    """Where runs are done: on this machine, one after the other or side by side, or on the nodes of a cluster.

    Raises ConfigError for what this machine cannot do.
    """
    from bakeoff.errors import ConfigError
    from bakeoff.launch import Local, connect
    from bakeoff.machine import count_cores

    if workers is not None and cluster is not None:
        raise ConfigError(
            "give --workers or --cluster, not both: a cluster's nodes say how many runs they have room for"
        )
    if workers is not None and workers > (cores := count_cores()):
        raise ConfigError(f"--workers {workers}: this machine has {cores} cores; give at most {cores}")
    if cluster is None:
        yield Local(workers or 1)
        return
    nodes = connect(cluster)
    try:
        yield nodes
    finally:
        nodes.close()


def begin(
    data: "Data",
    seed: int | None,
    candidates: "list[Candidate] | None",
    weights: list[str] | None,
    partial: bool,
    data_dir: Path | None,
    budget: float | None = None,
    recipe: "Run | None" = None,
) -> Begun:
    """Prepare data and weights for candidates (None: all that can start). Whatever is wrong is said before any work.

    What is not said of seed and weights is the recipe's. A budget in seconds for one network decides on its input size.
    """
    started = time.monotonic()
    from bakeoff.runs.config import Run, parse_weights
    from bakeoff.study import assign_weights, choose_candidates, find_missing

    said = recipe or Run()
    choice = parse_weights(weights or [said.model.weights], partial=partial or said.model.partial_weights)
    if candidates:
        choose_candidates(candidates, 32, choice)  # a wrong name should not wait for the data
    shards, dataset = prepare_data(data, data_dir)
    pace = (budget or 0.0) / max(dataset.counts["train"], 1)
    chosen = choose_candidates(candidates, dataset.side, choice, pace)
    choice = assign_weights(chosen, choice)
    fetch(find_missing(chosen, choice))
    return Begun(started, data, shards, dataset, chosen, choice, said.seed if seed is None else seed)


def open_study(
    begun: Begun, plan: "AnyPlan", out: Path, view: "Table", command: str = "", slots: int = 1
) -> "StudyState":
    """Open the study's folder and charge it for the preparation; show the data and the plan."""
    from bakeoff.cache import prune
    from bakeoff.locks import hold
    from bakeoff.report.board import format_bytes
    from bakeoff.runs.study_file import LeftOut, StudyData
    from bakeoff.study import open_state

    dataset = begun.dataset
    facts = StudyData(
        name=dataset.name,
        counts=dataset.counts,
        classes=len(dataset.class_names),
        fingerprint=dataset.fingerprint,
        notes=dataset.manifest.notes,
        quarantined=tuple(LeftOut(**bad.model_dump()) for bad in dataset.manifest.quarantined),
    )
    shell = " ".join(["bakeoff", *sys.argv[1:]])
    study = open_state(out, plan, data=facts, command=command or shell, slots=slots)
    hold(out)
    study.spend("prepare", time.monotonic() - begun.started)
    study.write(out)
    if deleted := prune():
        freed = format_bytes(sum(entry.bytes for entry in deleted))
        make_console().print(f"note: deleted {freed} from the cache that had not been used for long", highlight=False)
    introduce(dataset, view)
    return study


def begin_study(
    data: "Data",
    budget: str,
    candidates: str | None,
    weights: list[str] | None,
    partial: bool,
    out: Path | None,
    data_dir: Path | None,
    tune: bool | None = None,
    command: str = "",
    slots: int = 1,
) -> "tuple[StudyState, Path, Path]":
    """The study of a whole job, its folder, and the folder of its shards. `command` is what a shell did not say.

    A study that has not been begun is planned for so many slots.
    """
    from bakeoff.cli.console import render_plan
    from bakeoff.runs.config import parse_duration
    from bakeoff.study import make_plan, planned_slots

    seconds = parse_duration(budget)
    begun = begin(data, data.seed, parse_candidates(candidates), weights, partial, data_dir, seconds)
    folder = out or Path(f"bakeoff-{begun.dataset.name}")
    slots = planned_slots(folder, slots)
    plan = make_plan(
        seconds,
        data=begun.data,
        counts=begun.dataset.counts,
        candidates=begun.candidates,
        weights=begun.weights,
        seed=data.seed,
        tune=tune,
        slots=slots,
    )
    return open_study(begun, plan, folder, render_plan(plan), command, slots), folder, begun.shards


def introduce(dataset: "Dataset", view: "Table") -> None:
    """Show the data and the plan."""
    counts = ", ".join(f"{count:,} {split}" for split, count in dataset.counts.items())
    console = make_console()
    console.print(f"{dataset.name}: {len(dataset.class_names)} classes, {counts} images", highlight=False)
    print_notes(dataset.manifest)
    console.print(view, highlight=False)


def parse_candidates(text: str | None) -> "list[Candidate] | None":
    """Read NAME or NAME@SIZE, separated by commas; None where nothing was asked for."""
    from bakeoff.runs.config import parse_candidate

    return [parse_candidate(part) for part in text.split(",") if part.strip()] if text else None


def fetch(rows: "Sequence[NetworkSpec]") -> None:
    """Download the weights of networks, with a bar."""
    from bakeoff.cli.console import preparing
    from bakeoff.launch import fetch_weights

    for row in rows:
        with preparing(make_console()) as move:
            doing = f"downloading the weights of {row.name}"
            move(doing, 0, 0)
            fetch_weights(row, lambda event: move(doing, round(1000 * event.fraction), 1000))  # noqa: B023
