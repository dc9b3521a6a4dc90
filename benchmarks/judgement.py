"""Does `bakeoff run` choose right? Against every candidate fine-tuned at one equal budget, and against cheap rules.

Three steps, each of which goes on where it was stopped:

- `tune`: every candidate is fine-tuned with its usual recipe on every data set, by three seeds: the exhaustive answer.
  All get the same training seconds. They are given as images, by the pace of each candidate that was measured in the
  beginning, so that the machine may do other things meanwhile. Each candidate is probed too, for the cheap rules.
- `study`: `bakeoff run` with the same candidates, in 10 % and in 25 % of what the exhaustive answer costs, by three
  seeds. It decides by the clock, so nothing else may run. Its cache has nothing but what this machine was measured to
  take: the features that `tune` has computed would be a gift.
- `table`: what the choices were worth.

Regret is the test top-1 of the best candidate less that of the chosen one, both fine-tuned at the equal budget and
averaged over seeds, in points. The figures are in judgement_tuned.csv and judgement_studies.csv next to this file, or
in the folder of --csv. A file has rows of one length of training (--seconds).

    python benchmarks/judgement.py tune|study|table --out FOLDER [--photos ARCHIVE …] [--weights NAME=PATH …]
        [--data-sets "digits,cifar 20 x 50"] [--candidates NAME@SIZE,…] [--seeds 0,1,2] [--seconds 45]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import groupby
from pathlib import Path

from rich.progress import track

from bakeoff.launch import Local, Spare, launch, open_test, time_network
from bakeoff.machine import tensorflow_environment
from bakeoff.networks.find import find_network
from bakeoff.profile import read_profile
from bakeoff.report.board import Row, measure_lead, rank, round_of
from bakeoff.runs.config import Candidate, Data, Mode, Run, WeightsChoice, parse_candidate, parse_weights
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import RunRecord, Stage, State, list_records
from bakeoff.runs.shipped import find_shipped
from bakeoff.runs.study_file import read_study
from bakeoff.study import Forecast
from bakeoff.study.defaults import default_run, has_random_weights, start_from_probe
from bakeoff.study.provide import prepare_data
from draws import Draw, choose_sources, write_images
from hardware import count_cores, name_cpu
from judged import STUDIES, TUNED, StudyRow, TunedRow, check_length, print_tables
from logme import score_features
from results import keep, read

SIZES = (64, 96, 128)
LITES = [f"efficientnet-lite{number}@{size}" for number in range(3) for size in SIZES]
FROM_SCRATCH = ["lenet@32", "cnn-small@32", "cnn-custom@32"]
SIZE_OF_OTHERS = 96
PROBED = 3000

DRAWS = (
    Draw("digits", "digits", "all", 150),
    *(
        Draw(f"cifar {classes} x {images}", "cifar100", str(classes), images, seed=seed)
        for seed, (classes, images) in enumerate((c, n) for c in (5, 20, 50) for n in (50, 200, 450))
    ),
    Draw("cifar superclasses x 200", "cifar100", "coarse", 200),
)


@dataclass(frozen=True)
class Field:
    """What is judged."""

    candidates: list[Candidate]
    weights: WeightsChoice
    seconds: float
    """Training seconds of every candidate."""
    seeds: tuple[int, ...]
    out: Path
    csv: Path
    """The folder of the files with the figures."""

    def recipe(self, candidate: Candidate, data: Data, seed: int) -> Run:
        """The usual recipe of a candidate, for as many images as it sees in the seconds that all have."""
        images = max(500, round(self.seconds * self.paces[str(candidate)]["rate"]))
        run = default_run(find_network(candidate.name), candidate.size or 0, data, self.weights, seed)
        # Its head starts as in a study, where runs have seconds.
        run = start_from_probe(run.revised(train={"seconds": self.seconds, "epochs": None, "evaluations": 1}), PROBED)
        return run.revised(train={"images": images, "seconds": None})

    @property
    def paces(self) -> dict[str, dict[str, float]]:
        """Training images per second, and seconds around a training, by candidate: measured once."""
        path = self.out / "paces.json"
        paces: dict[str, dict[str, float]] = {}
        if path.is_file() and self.profiles.is_dir():
            paces = json.loads(path.read_text())
        missing = [each for each in self.candidates if str(each) not in paces]
        if not missing:
            return paces
        # In a cache of its own: the profile of the usual one has runs of `tune`, which had other work beside them.
        with cache_with(self.profiles) as cache:
            for candidate in track(missing, description="paces"):
                spec = find_network(candidate.name)
                time_network(default_run(spec, candidate.size or 0, Data(), self.weights, 0), count_cores())
            forecast = Forecast(read_profile(), count_cores())
            # Studies are planned by what was measured now.
            shutil.copytree(cache / "profiles", self.profiles, dirs_exist_ok=True)
        for candidate in missing:
            around = forecast.overhead(candidate, Mode.FIT)
            paces[str(candidate)] = {"rate": forecast.rate(candidate, Mode.FIT).value, "around": around}
        path.write_text(json.dumps(paces, indent=1))
        return paces

    @property
    def profiles(self) -> Path:
        """The folder of this machine's profile as it was when the paces were measured."""
        return self.out / "profiles"

    @property
    def cost(self) -> float:
        """Seconds that the exhaustive answer takes on this machine if nothing else runs."""
        paces = self.paces
        return sum(self.seconds + paces[str(each)]["around"] for each in self.candidates) * len(self.seeds)


def main() -> None:
    """Do one of the steps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("step", choices=("tune", "study", "table"))
    parser.add_argument("--out", type=Path, required=True, help="folder for the drawn images, the runs and the studies")
    parser.add_argument("--photos", type=Path, action="append", default=[], help="an archive of photographs")
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=PATH", help="one more network")
    parser.add_argument("--data-sets", help="their names, separated by commas; all by default")
    parser.add_argument("--candidates", default=",".join([*LITES, *FROM_SCRATCH]), help="NAME@SIZE, with commas")
    parser.add_argument("--seeds", default="0,1,2", help="of the trainings and of the studies, separated by commas")
    parser.add_argument("--seconds", type=float, default=45.0, help="training seconds of every candidate")
    parser.add_argument("--shares", default="0.1,0.25", help="budgets of studies, as shares of the exhaustive answer's")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive")
    parser.add_argument("--csv", type=Path, default=Path(__file__).parent, help="folder of the files with the figures")
    arguments = parser.parse_args()

    sources = {draw.name: draw for draw in DRAWS} | {path.stem: path for path in arguments.photos}
    sources = choose_sources(parser, arguments.data_sets, sources)
    weights = parse_weights(arguments.weights)
    others = [f"{name}@{SIZE_OF_OTHERS}" for name in weights.named]
    words = dict.fromkeys([*arguments.candidates.split(","), *others])
    candidates = [parse_candidate(word) for word in words]
    seeds = tuple(map(int, arguments.seeds.split(",")))
    field = Field(candidates, weights, arguments.seconds, seeds, arguments.out.resolve(), arguments.csv)
    if arguments.step != "table":
        check_length(read(arguments.csv / TUNED), arguments.seconds)
        for name, source in sources.items():
            if isinstance(source, Draw):
                source = write_images(source, field.out / "images" / name, arguments.data_dir)
            if arguments.step == "tune":
                tune(name, source.resolve(), field)
            else:
                study(name, source.resolve(), field, arguments.weights, [*map(float, arguments.shares.split(","))])
    print_tables(read(arguments.csv / TUNED), read(arguments.csv / STUDIES))


def tune(name: str, source: Path, field: Field) -> None:
    """Fine-tune every candidate on a data set by every seed; those too that only a study has chosen."""
    data = Data(source=str(source))
    shards, _ = prepare_data(data)
    known = {(row["network"], row["seed"]) for row in read(field.csv / TUNED) if row["data"] == name}
    chosen = {row["chosen"] for row in read(field.csv / STUDIES) if row["data"] == name}
    extra = [parse_candidate(each) for each in sorted(chosen - {str(each) for each in field.candidates})]
    field = replace(field, candidates=[*field.candidates, *extra])
    missing = [
        (candidate, seed)
        for candidate in field.candidates
        for seed in field.seeds
        if (str(candidate), str(seed)) not in known
    ]
    # A probe has no seed.
    probed = {row["network"]: row for row in read(field.csv / TUNED) if row["data"] == name}
    spare = Spare()
    try:
        executor = Local(1, spare)
        for candidate, seed in track(missing, description=name):

            def run(config: Run) -> RunRecord:
                out = field.out / "runs" / name
                record = launch(config, stage=Stage.TRAIN, out=out, data=shards, executor=executor)
                if record.state is not State.COMPLETE:
                    raise SystemExit(f"a run failed: {record.reason}; see {run_dir(out, record.id) / 'log.txt'}")
                return record

            tuned = run(field.recipe(candidate, data, seed))
            if tuned.test is None:
                tuned = open_test(run_dir(field.out / "runs" / name, tuned.id), shards)
            probe_val = evidence = None
            if before := probed.get(str(candidate)):
                probe_val, evidence = (_read_number(before[key]) for key in ("probe_val", "logme"))
            elif not has_random_weights(tuned.config):
                probe = tuned.config.revised(
                    model={"unfreeze": 0.0}, train={"mode": Mode.PROBE, "images": None, "probe_images": 0}
                )
                record = run(probe.model_copy(update={"seed": 0}))
                assert record.val is not None
                probe_val = round(record.val.top1, 4)
                evidence = round(score_features(run_dir(field.out / "runs" / name, record.id), shards), 5)
            row = make_tuned(name, tuned, seed, field.seconds, probe_val, evidence)
            keep(field.csv / TUNED, [row], same=("data", "network", "seed"))
            probed[str(candidate)] = {key: str(value) for key, value in asdict(row).items()}
    finally:
        spare.close()


def _read_number(text: str) -> float | None:
    return None if text in ("", "None") else float(text)


def make_tuned(
    name: str, record: RunRecord, seed: int, seconds: float, probe_val: float | None, evidence: float | None
) -> TunedRow:
    """A row of the exhaustive answer."""
    assert record.val is not None
    assert record.test is not None
    return TunedRow(
        data=name,
        network=record.candidate,
        seed=seed,
        seconds=seconds,
        images=record.images_seen,
        took=round(record.seconds.total, 1),
        val_top1=round(record.val.top1, 4),
        test_top1=round(record.test.top1, 4),
        test_images=record.test.n,
        probe_val=probe_val,
        logme=evidence,
        imagenet=find_network(record.config.model.name).imagenet_top1,
        parameters=record.params_total,
        bakeoff=record.versions["bakeoff"],
        code=record.versions.get("code", ""),
        cpu=name_cpu(),
        date=date.today().isoformat(),
    )


def study(name: str, source: Path, field: Field, weights: Sequence[str], shares: Sequence[float]) -> None:
    """Run the studies of a data set that were not run yet."""
    known = {(row["share"], row["seed"]) for row in read(field.csv / STUDIES) if row["data"] == name}
    for share in shares:
        for seed in field.seeds:
            if (str(share), str(seed)) in known:
                continue
            budget = round(share * field.cost)
            out = field.out / "studies" / f"{name} {share:.0%} {seed} {time.time_ns()}"
            command = [sys.executable, "-m", "bakeoff", "run", str(source), "--budget", f"{budget}s"]
            command += ["--candidates", ",".join(map(str, field.candidates)), "--seed", str(seed), "--out", str(out)]
            command += [word for choice in weights for word in ("--weights", choice)]
            load, started = os.getloadavg()[0], time.monotonic()
            run_alone(command, field.profiles, out.with_name(f"{out.name}.log"))
            row = make_study(name, out, share, seed, budget, time.monotonic() - started, load)
            keep(field.csv / STUDIES, [row], same=("data", "share", "seed"))


def run_alone(command: Sequence[str], profiles: Path, log: Path) -> None:
    """Run a command whose cache has this machine's profile and nothing else. Ends with its last words if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with cache_with(profiles), log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, env=tensorflow_environment(), check=False, stdout=file, stderr=file)
    if done.returncode:
        last = log.read_text(encoding="utf-8").strip().rpartition("\n")[2]
        raise SystemExit(f"a study ended with code {done.returncode}: {last}; see {log}")


@contextmanager
def cache_with(profiles: Path) -> Iterator[Path]:
    """A cache for this process and what it starts, with this machine's profile if there is one, and nothing else."""
    before = os.environ.get("BAKEOFF_CACHE_DIR")
    with tempfile.TemporaryDirectory(prefix="judgement-") as cache:
        if profiles.is_dir():
            shutil.copytree(profiles, Path(cache) / "profiles")
        os.environ["BAKEOFF_CACHE_DIR"] = cache
        try:
            yield Path(cache)
        finally:
            del os.environ["BAKEOFF_CACHE_DIR"]
            if before is not None:
                os.environ["BAKEOFF_CACHE_DIR"] = before


def make_study(name: str, out: Path, share: float, seed: int, budget: int, seconds: float, load: float) -> StudyRow:
    """A row of a study."""
    file, records = read_study(out), list_records(out)
    shipped = find_shipped(file, records)
    assert shipped is not None
    assert shipped.test is not None
    return StudyRow(
        data=name,
        share=share,
        seed=seed,
        budget=budget,
        seconds=round(seconds, 1),
        chosen=shipped.candidate,
        frozen=shipped.config.train.mode is Mode.PROBE,
        test_top1=round(shipped.test.top1, 4),
        screened=name_scored(records, Stage.SCREEN, out),
        raced=name_scored(records, Stage.RACE, out),
        cut=" ".join(file.plan["cut"]),
        tied=" ".join(list_ties(records, out)),
        load=round(load, 2),
        bakeoff=shipped.versions["bakeoff"],
        code=shipped.versions.get("code", ""),
        cpu=name_cpu(),
        date=date.today().isoformat(),
    )


def list_scored(records: Sequence[RunRecord], stage: Stage, out: Path) -> list[Row]:
    """The rows of a stage that have a score, the best first; in a race those of the last rung first."""
    return [row for row in rank(records, stage=stage, out=out) if row.val_top1 is not None]


def name_scored(records: Sequence[RunRecord], stage: Stage, out: Path) -> str:
    """Their names. A network that went on to a later rung of the race has a row in each; the last one comes first."""
    return " ".join(dict.fromkeys(row.name for row in list_scored(records, stage, out)))


def list_ties(records: Sequence[RunRecord], out: Path) -> Iterator[str]:
    """The pairs that a study calls a tie, with the interval of the difference: `leader=other:low:high`.

    The leader is the one that the rows are compared with: the first of the screen, and in a race of the same rung.
    """
    for stage in (Stage.SCREEN, Stage.RACE):
        for _, rung in groupby(list_scored(records, stage, out), key=round_of):
            leader, *others = rung
            for row in others:
                if row.tie:
                    lead = measure_lead(leader, row)
                    yield f"{leader.name}={row.name}:{lead.low:.4f}:{lead.high:.4f}"


if __name__ == "__main__":
    main()
