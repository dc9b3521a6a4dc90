"""One round: a study that is disturbed a few times and given again until it ends; then everything is looked at."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

STUDY = ["run", "digits", "--candidates", "lenet,cnn-small", "--budget", "45s"]
# Attempts after which a study that does not end counts as lost.
ATTEMPTS = 12
PATIENCE = 180.0


@dataclass
class Round:
    """What happened, and what was wrong with it."""

    faults: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    failures: list[str] = field(default_factory=list)

    def demand(self, holds: bool, complaint: str) -> None:
        """Note a failure unless something holds."""
        if not holds:
            self.failures.append(complaint)


class Study:
    """The folder of a study, the command that makes it, and what was last seen in it."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.cache = folder / "cache"
        self._complete: dict[str, tuple[str, float]] = {}

    def start(self) -> subprocess.Popen[str]:
        """The command, in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "bakeoff", *STUDY, "--out", str(self.out)],
            env=os.environ | {"BAKEOFF_CACHE_DIR": str(self.cache), "BAKEOFF_CHECKPOINT_SECONDS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def look(self, found: Round, *, torn: frozenset[Path] = frozenset()) -> None:
        """Every file under a final name is whole, and no completed run was lost or done again; `torn` are known."""
        for path in self.out.rglob("*.json"):
            if path not in torn and not path.name.startswith(".partial-"):
                try:
                    json.loads(path.read_text())
                except ValueError as error:
                    found.failures.append(f"{path.relative_to(self.out)} is torn: {error}")
        complete = {}
        for path in self.out.glob("runs/*/record.json"):
            if path in torn:
                continue
            record = json.loads(path.read_text())
            if record["state"] == "COMPLETE":
                model = path.with_name("model.keras")
                # A record gets its test score later, so its own time does not tell.
                written = model.stat().st_mtime if model.is_file() else 0.0
                complete[record["id"]] = (json.dumps(record["val"]), written)
        for identity, before in self._complete.items():
            if self.out / "runs" / identity / "record.json" not in torn:
                found.demand(identity in complete, f"the completed run {identity} was lost")
                found.demand(complete.get(identity, before) == before, f"the completed run {identity} was done again")
        self._complete = complete

    def forget(self, identity: str) -> None:
        """A run that was destroyed on purpose may be done again."""
        self._complete.pop(identity, None)


Fault = Callable[[Study, subprocess.Popen[str], random.Random], None]


def kill_driver(study: Study, process: subprocess.Popen[str], dice: random.Random) -> None:  # noqa: ARG001
    """SIGKILL of the command; its children see their input end."""
    process.kill()


def kill_child(study: Study, process: subprocess.Popen[str], dice: random.Random) -> None:  # noqa: ARG001
    """SIGKILL of a worker."""
    if children := _children(process.pid):
        _signal(dice.choice(children), signal.SIGKILL)


def interrupt(study: Study, process: subprocess.Popen[str], dice: random.Random) -> None:  # noqa: ARG001
    """Ctrl-C."""
    process.send_signal(signal.SIGINT)


def terminate(study: Study, process: subprocess.Popen[str], dice: random.Random) -> None:  # noqa: ARG001
    """SIGTERM, as a machine that shuts down sends it."""
    process.terminate()


def pause_child(study: Study, process: subprocess.Popen[str], dice: random.Random) -> None:  # noqa: ARG001
    """A worker that stands still for some seconds."""
    for child in _children(process.pid):
        _signal(child, signal.SIGSTOP)
        time.sleep(3)
        _signal(child, signal.SIGCONT)


FAULTS: dict[str, Fault] = {
    "kill of the driver": kill_driver,
    "kill of a child": kill_child,
    "interrupt": interrupt,
    "terminate": terminate,
    "pause of a child": pause_child,
}


def cut_record(study: Study, dice: random.Random) -> str | None:
    """Half of a finished run's record is lost; what the command has to name, and to do again when it is removed."""
    if not (records := sorted(study.out.glob("runs/*/record.json"))):
        return None
    path = dice.choice(records)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path.parent.name


def flip_checkpoint(study: Study, dice: random.Random) -> str | None:
    """A bit of a checkpoint is another; its run has to begin anew, or not to mind."""
    for path in study.out.glob("runs/*/checkpoint.npz"):
        raw = bytearray(path.read_bytes())
        raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        path.write_bytes(raw)
    return None


def cut_shard(study: Study, dice: random.Random) -> str | None:
    """Half of a shard is lost; the data have to be prepared anew."""
    if shards := sorted(study.cache.glob("data/*/*.tfrecord")):
        path = dice.choice(shards)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return None


Damage = Callable[[Study, random.Random], str | None]
DAMAGES: dict[str, Damage] = {
    "record cut in half": cut_record,
    "bit of a checkpoint flipped": flip_checkpoint,
    "shard cut in half": cut_shard,
}


def play(folder: Path, seed: int) -> Round:
    """One study with random faults at random moments, from an empty cache, and damage between two attempts."""
    dice = random.Random(seed)
    study, found = Study(folder), Round()
    faults = dice.randint(1, 4)
    while found.attempts < ATTEMPTS:
        found.attempts += 1
        if found.attempts > 1 and dice.random() < 0.4:
            name = dice.choice(list(DAMAGES))
            found.faults[name] += 1
            if lost := DAMAGES[name](study, dice):
                _demand_it_is_named(study, found, lost)
        process = study.start()
        if found.faults.total() < faults:
            name = dice.choice(list(FAULTS))
            _wait(process, dice.uniform(0.5, 25.0))
            if process.poll() is None:
                found.faults[name] += 1
                FAULTS[name](study, process, dice)
        try:
            _, said = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            found.failures.append(f"hung for {PATIENCE:.0f} s after {dict(found.faults)}")
            break
        study.look(found)
        found.demand("Traceback" not in said, f"a traceback: {said[-500:]}")
        found.demand(
            process.returncode in (0, 130, -signal.SIGKILL, -signal.SIGTERM, 143),
            f"exit code {process.returncode} after {dict(found.faults)}: {said[-300:]}",
        )
        if process.returncode == 0:
            break
    _judge_end(study, found)
    return found


def _demand_it_is_named(study: Study, found: Round, lost: str) -> None:
    """The command names the run whose record is damaged, and ends with 2; then the run is removed, as it says."""
    process = study.start()
    _, said = process.communicate(timeout=PATIENCE)
    found.demand(process.returncode == 2, f"exit code {process.returncode} with half a record: {said[-300:]}")
    found.demand(lost in said and "remove that run's folder" in said, f"half a record was not named: {said[-300:]}")
    shutil.rmtree(study.out / "runs" / lost)
    study.forget(lost)


def _judge_end(study: Study, found: Round) -> None:
    """The study ended with one confirmed run, its test opened once, and views of the records that are there."""
    records = [json.loads(path.read_text()) for path in study.out.glob("runs/*/record.json")]
    confirmed = [record for record in records if record["stage"] == "confirm" and record["state"] == "COMPLETE"]
    found.demand(len(confirmed) == 1, f"{len(confirmed)} confirmed runs")
    for record in confirmed:
        folder = study.out / "runs" / record["id"]
        openings = (folder / "test-openings.txt").read_text().splitlines()
        found.demand(record["test"] is not None, "the test was not opened")
        if record["test"]:
            found.demand(record["test"]["openings"] == len(openings), "an opening was not counted")
    if (study.out / "board.csv").is_file():
        with (study.out / "board.csv").open(newline="") as file:
            ids = {row["id"] for row in csv.DictReader(file)}
        found.demand(ids == {record["id"] for record in records}, "the board is not of these records")
    for name in ("report.html", "bundle/bundle.json", "bundle/model.keras"):
        found.demand((study.out / name).is_file(), f"{name} is missing")
    left = list(study.out.rglob(".partial-*"))
    found.demand(not left, f"left behind: {[path.name for path in left]}")
    shutil.rmtree(study.out)


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
