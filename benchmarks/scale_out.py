"""A hundred candidates on 1, 8 and 64 nodes with a simulated clock: duration, utilisation and bottlenecks.

The stages are the real ones: `propose()`, and the search with Optuna. The processor time of Optuna is measured and
added to the clock, because the driver asks for one trial at a time. Training is simulated: the speeds and accuracies
that were measured for nine networks (screening.csv) are assigned to a hundred candidates. All data to and from nodes
pass through one cable at the driver. Writes scale_out.csv next to this file, and prints it. Takes some minutes.

    python benchmarks/scale_out.py [--nodes 1,8,64] [--hours 8]
"""

import argparse
import itertools
import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bakeoff.errors import NothingTrainedError
from bakeoff.networks.table import TABLE
from bakeoff.profile import Profile, find_device
from bakeoff.runs.config import Candidate, Data, Mode, Run, run_id
from bakeoff.runs.folder import run_dir
from bakeoff.runs.metrics import Metrics
from bakeoff.runs.record import DataFacts, RunRecord, Seconds, Stage, State, WeightsFacts, write_record
from bakeoff.study import Forecast, Search, StudyPlan, default_space, make_plan, make_search, propose
from bakeoff.study.run_pool import RunRequest
from bakeoff.study.search import run_search
from clock import AROUND, Clock, StudyContext
from hardware import count_cores, name_cpu
from results import read, write

CSV = Path(__file__).with_suffix(".csv")
MEASURED = Path(__file__).with_name("screening.csv")
COUNTS = {"train": 45_000, "val": 5_000, "test": 10_000}
CANDIDATES, TRIALS = 100, 100
# The nodes are invented, so nothing is measured on them.
FORECAST = Forecast(Profile(device=find_device()), threads=2)
SIZES = (64, 72, 80, 96, 112, 128)
# Training seconds of a trial if each candidate gets a hundred trials.
TRIAL_SECONDS = 60.0


@dataclass(frozen=True)
class Row:
    """One study on a number of nodes. Shares are fractions of the wall-clock time."""

    work: str
    nodes: int
    runs: int
    hours: float
    node_hours: float
    nodes_busy: float
    cable_busy: float
    driver_busy: float
    bound: str
    """The bottleneck."""
    cpu: str
    cores: int
    date: str


class World:
    """The simulated result of a run: measured speed and accuracy, assigned to the candidates."""

    def __init__(self, out: Path) -> None:
        self._out = out
        measured = [row for row in read(MEASURED) if row["classes"] == "all" and row["screen_top1"]]
        names = [
            Candidate(name=row.name, size=size)
            for size, row in itertools.product(SIZES, (row for row in TABLE if not row.from_scratch))
            if size >= row.min_size
        ]
        self.candidates = names[:CANDIDATES]
        self._facts = {str(name): measured[place % len(measured)] for place, name in enumerate(self.candidates)}
        self._params = {row.name: row.params_total for row in TABLE}

    def weights(self, run: Run) -> float:
        """Bytes."""
        return 4.0 * self._params[run.model.name]

    def record(self, run: Run, stage: Stage) -> RunRecord:
        """The record that the run would write."""
        facts = self._facts[run.candidate]
        identity = run_id(run, "simulated", "simulated")
        luck = random.Random(identity).gauss(0, 0.01)
        is_probe = run.train.mode is Mode.PROBE
        top1 = float(facts["screen_top1" if is_probe else "compare_top1"]) + luck
        top1 -= 0.0 if is_probe else 0.02 * abs(run.optim.learning_rate / 5e-4 - 1) ** 0.5
        rate = float(facts["compare_images_per_second"]) * (3 if is_probe else 1)
        seconds = float(facts["screen_seconds"]) if is_probe else run.train.seconds or 0.0
        val = run.train.val_images or COUNTS["val"]
        record = RunRecord(
            id=identity,
            stage=stage,
            state=State.COMPLETE,
            config=run,
            data=DataFacts(name="cifar100", fingerprint="simulated", counts=COUNTS, classes=100),
            weights=WeightsFacts(origin="hub", hash="simulated"),
            params_total=self._params[run.model.name],
            model_bytes=0 if is_probe else int(self.weights(run)),
            seconds=Seconds(train=seconds, total=seconds + AROUND),
            images_seen=run.train.subset or round(rate * seconds),
            images_per_second=rate,
            val=Metrics(
                n=val,
                top1=top1,
                top1_ci95=(top1 - 0.02, top1 + 0.02),
                top5=min(1.0, top1 + 0.2),
                superclass_top1=None,
                macro_f1=top1,
                log_loss=2 * (1 - top1),
                ece=0.03,
            ),
        )
        write_record(run_dir(self._out, identity), record)
        return record

    def context(self, run: Run, record: RunRecord, then: Any = None) -> StudyContext:
        """The run as the nodes see it."""
        return StudyContext(record.seconds.train, self.weights(run), record.model_bytes > 0, then)


def simulate_study(nodes: int, hours: float) -> Row:
    """`bakeoff run` with a search: everything that fits into a budget."""
    clock = Clock(nodes)
    with tempfile.TemporaryDirectory() as scratch:
        world = World(Path(scratch))
        budget = 3600 * hours
        plan = make_plan(
            budget,
            data=Data(source="cifar100"),
            counts=COUNTS,
            candidates=world.candidates,
            forecast=FORECAST,
            tune=True,
            slots=nodes,
        )
        records: list[RunRecord] = []
        changes: Mapping[str, Any] | None = None
        trials = 0
        while (proposal := propose(plan, records, budget - clock.now, FORECAST, changes)) is not None:
            if proposal.stage is Stage.TUNE:
                changes, trials = _search(plan, proposal.runs[0], world, clock, Path(scratch))
                continue
            done = [world.record(run, proposal.stage) for run in proposal.runs]
            clock.do(world.context(run, record) for run, record in zip(proposal.runs, done, strict=True))
            records += done
    work = f"run, {hours:g} h: {len(plan.candidates)} of {CANDIDATES} screened, {plan.finalists} raced, {trials} trials"
    return _row(work, clock)


def _search(plan: StudyPlan, base: Run, world: World, clock: Clock, out: Path) -> tuple[Mapping[str, Any], int]:
    """Run the real search on simulated nodes; returns its changes and its number of trials."""
    search = make_search(base, default_space(base), budget=plan.tune_seconds, counts=COUNTS, head_start=True)
    began, before = clock.now, clock.runs
    _run(search, world, clock, out, lambda: plan.tune_seconds - (clock.now - began))
    return {}, clock.runs - before


def _run(search: Search, world: World, clock: Clock, out: Path, seconds_left: Any) -> None:
    class Ended(Exception):  # noqa: N818
        """The deciding pair needs images, which the simulation does not have."""

    def train_each(requests: Iterable[RunRequest], runs: int | None = None) -> None:
        if runs is not None:
            done = [world.record(request.run, Stage.TUNE) for request in requests]
            clock.do(world.context(record.config, record) for record in done)
            raise Ended

        def jobs() -> Iterator[StudyContext]:
            for request in requests:
                # Inputs of another size have the speed and accuracy of the candidate's size here.
                run = request.run.revised(model={"size": search.base.model.size})
                record = world.record(run, Stage.TUNE)
                yield world.context(run, record, lambda told=request.then, record=record: told and told(record))

        clock.do(jobs())

    try:
        run_search(search, out, seconds_left=seconds_left, train_each=train_each, slots=clock.nodes)
    except (Ended, NothingTrainedError):
        return


def simulate_everything(nodes: int, seconds_of_driver: float) -> Row:
    """A search of a hundred trials for each of a hundred candidates, as a reference; not a recommended use."""
    clock = Clock(nodes)
    with tempfile.TemporaryDirectory() as scratch:
        world = World(Path(scratch))
        jobs = [
            StudyContext(TRIAL_SECONDS, 4.0 * row.params_total, keeps_model=True)
            for candidate in world.candidates
            for row in (next(row for row in TABLE if row.name == candidate.name),)
            for _ in range(TRIALS)
        ]
    clock.do(jobs)
    # The driver draws and reports one trial after the other, besides its other work.
    clock.driver += seconds_of_driver * len(jobs)
    clock.now = max(clock.now, clock.driver)
    return _row(f"tune: {CANDIDATES} candidates x {TRIALS} trials of {TRIAL_SECONDS:.0f} s", clock)


def measure_driver() -> float:
    """Seconds of the driver for one trial in a search of a hundred: drawing it and reporting its result."""
    clock = Clock(1)
    with tempfile.TemporaryDirectory() as scratch:
        world = World(Path(scratch))
        candidate = next(each for each in world.candidates if each.name == "efficientnet-lite0")
        plan = make_plan(
            36000, data=Data(source="cifar100"), counts=COUNTS, candidates=[candidate], forecast=FORECAST, tune=True
        )
        (base,) = propose(plan, [], 36000, FORECAST).runs  # type: ignore[union-attr]
        base = base.revised(train={"mode": "fit", "seconds": 60.0, "subset": None}, model={"unfreeze": 1.0})
        search = make_search(base, default_space(base), budget=3600, counts=COUNTS)
        _run(search, world, clock, Path(scratch), lambda: 1e9 if clock.runs < TRIALS else 0.0)
    return clock.driver / clock.runs


def _row(work: str, clock: Clock) -> Row:
    shares = {
        "the nodes": clock.busy / clock.now / clock.nodes,
        "the driver's cable": clock.cable / clock.now,
        "the driver": clock.driver / clock.now,
    }
    nodes, cable, driver = (round(share, 4) for share in shares.values())
    return Row(
        work=work,
        nodes=clock.nodes,
        runs=clock.runs,
        hours=round(clock.now / 3600, 3),
        node_hours=round(clock.now * clock.nodes / 3600, 1),
        nodes_busy=nodes,
        cable_busy=cable,
        driver_busy=driver,
        bound=max(shares, key=shares.__getitem__) if max(shares.values()) > 0.5 else "one run after another",
        cpu=name_cpu(),
        cores=count_cores(),
        date=date.today().isoformat(),
    )


def main() -> None:
    """Simulate and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", default="1,8,64")
    parser.add_argument("--hours", type=float, default=8.0)
    arguments = parser.parse_args()
    nodes = [int(word) for word in arguments.nodes.split(",")]
    driver = measure_driver()
    rows = [simulate_everything(count, driver) for count in nodes]
    for count in nodes:
        rows.append(simulate_study(count, arguments.hours))
        write(CSV, rows)
    table = Table("work", "nodes", "runs", "hours", "node hours", "nodes busy", "cable busy", "driver busy", "bound by")
    for row in rows:
        shares = (f"{share:.0%}" for share in (row.nodes_busy, row.cable_busy, row.driver_busy))
        table.add_row(
            row.work, str(row.nodes), f"{row.runs:,}", f"{row.hours:,.2f}", f"{row.node_hours:,.0f}", *shares, row.bound
        )
    Console().print(table)


if __name__ == "__main__":
    main()
