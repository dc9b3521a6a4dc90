"""One round: a study that is disturbed a few times and given again until it ends; then everything is looked at."""

import copy
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bakeoff.data.shards import read_manifest
from bakeoff.files import hash_file

from . import packages
from .machine import Clock, Disk, children_of, hear_interrupts, lift_limit, limit_memory, measure_work, send

# The whole job, whose runs have limits; and one whose runs have a length alone, for a machine that is busy besides.
WHOLE = ("run", "digits", "--candidates", "lenet,cnn-small", "--budget", "120s")
IMAGES = 12_800  # whole batches, so a run sees exactly as many
EQUAL = ("compare", "digits", "--candidates", "lenet,cnn-small", "--images", str(IMAGES))
# Attempts after which a study that does not end counts as lost.
ATTEMPTS = 12
# A run that stands still is ended by its limit, which is longer than a minute. On a busy machine a command that works
# takes longer than this, but not so many times as long.
PATIENCE, MOST_PATIENCE = 300.0, 6
# A run that hangs, or that lacks memory again, is over; if it was the only one, so is the study.
NOTHING_TRAINED = (3,)
KILLED = (-signal.SIGKILL, -signal.SIGTERM, 130, 143)


@dataclass
class Round:
    """What happened, and what was wrong with it."""

    faults: Counter[str] = field(default_factory=Counter)
    """Those that happened: one for which the command ended too early, or that found nothing to damage, is none."""
    attempts: int = 0
    failures: list[str] = field(default_factory=list)

    def demand(self, holds: bool, complaint: str) -> None:
        """Note a failure unless something holds."""
        if not holds:
            self.failures.append(complaint)


class Study:
    """The folder of a study, the command that makes it, and what was last seen in it."""

    def __init__(self, folder: Path, command: tuple[str, ...]) -> None:
        self.command = command
        self.disk, self.cache_disk = Disk(folder / "disk"), Disk(folder / "cache")
        self.clock = Clock(folder / "clock")
        self.out = folder / "disk" / "out"
        self.cache = folder / "cache" / "cache"
        self._complete: dict[str, tuple[str, float]] = {}
        self._openings: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()
        """Openings of the test split, by run, whose process was killed before a record counted them."""

    def start(self) -> subprocess.Popen[str]:
        """The command, in a process group of its own."""
        settings = {"BAKEOFF_CACHE_DIR": str(self.cache), "BAKEOFF_CHECKPOINT_SECONDS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "bakeoff", *self.command, "--out", str(self.out)],
            env=os.environ | settings | self.clock.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=hear_interrupts,
        )

    def look(self, found: Round) -> None:
        """Every JSON file under a final name is whole, and no completed run or opening of the test was lost, and no run
        done again."""
        torn = set()
        for path in self.out.rglob("*.json"):
            if not path.name.startswith(".partial-"):
                try:
                    json.loads(path.read_text())
                except ValueError as error:
                    torn.add(path)
                    found.failures.append(f"{path.relative_to(self.out)} is torn: {error}")
        complete = {}
        openings: Counter[str] = Counter()
        for path in {*self.out.glob("runs/*/record.json")} - torn:
            record = json.loads(path.read_text())
            openings[record["id"]] = count_openings(path.parent)
            seconds = record["seconds"]
            found.demand(min(seconds.values()) >= 0, f"{record['id']} took less than no time: {seconds}")
            if record["state"] == "COMPLETE":
                model = path.with_name("model.keras")
                # A record gets its test score later, so its own time does not tell.
                written = model.stat().st_mtime if model.is_file() else 0.0
                complete[record["id"]] = (json.dumps(record["val"]), written)
        for identity, before in self._complete.items():
            found.demand(identity in complete, f"the completed run {identity} was lost")
            found.demand(complete.get(identity, before) == before, f"the completed run {identity} was done again")
        for identity, count in self._openings.items():
            found.demand(openings[identity] >= count, f"an opening of the test by {identity} was forgotten")
        self._complete, self._openings = complete, openings

    @property
    def records(self) -> list[dict[str, Any]]:
        """All records there are."""
        return [json.loads(path.read_text()) for path in self.out.glob("runs/*/record.json")]

    @property
    def has_runs_left(self) -> bool:
        """Whether the command has yet to begin its last run."""
        if self.command == WHOLE:
            return all(record["stage"] != "confirm" for record in self.records)
        return sum(record["state"] != "RUNNING" for record in self.records) < 2

    def faults(self, only: str = "") -> list[str]:
        """The names of the faults that can happen to it, with this text in them."""
        names = [name for name in FAULTS if self.command == WHOLE or name not in ONLY_WHOLE]
        names = [name for name in names if name != "clock set back" or self.clock.can_jump]
        return [name for name in names if only in name]

    def forget(self, identity: str) -> None:
        """A run that was destroyed on purpose may be done again, its test opened too."""
        self._complete.pop(identity, None)
        for openings in (self._openings, self.uncounted):
            openings.pop(identity, None)


@dataclass
class Scene:
    """A study's command at work, about to be disturbed."""

    study: Study
    process: subprocess.Popen[str]
    dice: random.Random
    found: Round

    def find_workers(self) -> list[int]:
        """The workers of the command, as soon as there are any; none if it ends before."""
        while self.process.poll() is None:
            if children := children_of(self.process.pid):
                return children
            time.sleep(0.05)
        return []


# Faults. Each says whether it happened.


def kill_driver(scene: Scene) -> bool:
    """SIGKILL of the command; its children see their input end."""
    scene.process.kill()
    return True


def kill_child(scene: Scene) -> bool:
    """SIGKILL of a worker."""
    workers = scene.find_workers()
    if workers:
        send(scene.dice.choice(workers), signal.SIGKILL)
    return bool(workers)


def interrupt(scene: Scene) -> bool:
    """Ctrl-C."""
    scene.process.send_signal(signal.SIGINT)
    return True


def terminate(scene: Scene) -> bool:
    """SIGTERM, as a machine that shuts down sends it."""
    scene.process.terminate()
    return True


def pause_child(scene: Scene) -> bool:
    """A worker that stands still for some seconds."""
    workers = scene.find_workers()
    for worker in workers:
        send(worker, signal.SIGSTOP)
        time.sleep(3)
        send(worker, signal.SIGCONT)
    return bool(workers)


def pause_everything(scene: Scene) -> bool:
    """A machine that sleeps for a minute: the command and all that it has begun."""
    processes = [scene.process.pid, *children_of(scene.process.pid)]
    for each in processes:
        send(each, signal.SIGSTOP)
    time.sleep(60)
    for each in processes:
        send(each, signal.SIGCONT)
    return True


def jump_back(scene: Scene) -> bool:
    """A clock that is set back by an hour."""
    scene.study.clock.jump(-3600)
    return True


def hang_child(scene: Scene) -> bool:
    """A worker that stands still for ever."""
    workers = scene.find_workers()
    for worker in workers:
        send(worker, signal.SIGSTOP)
    return bool(workers)


def starve_child(scene: Scene) -> bool:
    """A worker that gets no more memory: the kernel kills it for that."""
    workers = scene.find_workers()
    for worker in workers:
        limit_memory(worker)
    return bool(workers)


def fill_disk(scene: Scene) -> bool:
    """A disk without room."""
    scene.study.disk.fill()
    return True


def fill_cache(scene: Scene) -> bool:
    """A disk without room where the cache is."""
    scene.study.cache_disk.fill()
    return True


def delete_cache(scene: Scene) -> bool:
    """The cache is deleted, as one may do at any time."""
    was_there = scene.study.cache.is_dir()
    shutil.rmtree(scene.study.cache, ignore_errors=True)
    return was_there


def share_cache(scene: Scene) -> bool:
    """Another study with the same cache, at once: it ends as it should, too."""
    other = copy.copy(scene.study)
    other.out, other.uncounted = scene.study.out.with_name("other"), Counter()
    process = other.start()
    _, said = process.communicate(timeout=2 * PATIENCE)
    scene.found.demand(process.returncode == 0, f"exit code {process.returncode} beside another study: {said[-300:]}")
    if process.returncode == 0:
        _judge_end(other, scene.found)
    return True


def kill_after_opening(scene: Scene) -> bool:
    """SIGKILL of everything between the opening of the test split and the record that counts it."""
    while scene.process.poll() is None:
        for path in scene.study.out.glob("runs/*/test-openings.txt"):
            if not _is_counted(path.parent):
                for child in children_of(scene.process.pid):
                    send(child, signal.SIGKILL)
                scene.process.kill()
                scene.process.wait()
                # The record may have been written just before.
                happened = not _is_counted(path.parent)
                scene.study.uncounted[path.parent.name] += happened
                return happened
        time.sleep(0.01)
    return False


def _is_counted(folder: Path) -> bool:
    """Whether the record of a run counts all openings of its test."""
    test = json.loads((folder / "record.json").read_text())["test"]
    return count_openings(folder) <= (test["openings"] if test else 0)


def start_another(scene: Scene) -> bool:
    """The same command beside the first one, which keeps the folder."""
    other = scene.study.start()
    _, said = other.communicate(timeout=PATIENCE)
    if scene.process.poll() is not None:
        return False
    scene.found.demand(other.returncode == 2, f"exit code {other.returncode} beside the first: {said[-300:]}")
    scene.found.demand("in use by another bakeoff" in said, f"two at once were not told: {said[-300:]}")
    return True


# With the exit codes that may follow, besides 0 for one that comes when all is done.
FAULTS: dict[str, tuple[Callable[[Scene], bool], tuple[int, ...]]] = {
    "kill of the driver": (kill_driver, KILLED),
    "kill of a child": (kill_child, ()),
    "interrupt": (interrupt, KILLED),
    "terminate": (terminate, KILLED),
    "pause of a child": (pause_child, ()),
    "sleep of a minute": (pause_everything, ()),
    "clock set back": (jump_back, ()),
    "hang of a child": (hang_child, NOTHING_TRAINED),
    "lack of memory": (starve_child, NOTHING_TRAINED),
    "full disk": (fill_disk, (2,)),
    "full disk of the cache": (fill_cache, (2,)),
    "deleted cache": (delete_cache, (2,)),
    "shared cache": (share_cache, ()),
    "second driver": (start_another, ()),
    "kill after the test was opened": (kill_after_opening, KILLED),
}
# A run without a limit may take as long as it likes, and a comparison opens no test.
ONLY_WHOLE = ("hang of a child", "kill after the test was opened")


# Damages. Each says whether there was something to damage.


def cut_record(study: Study, found: Round, dice: random.Random) -> bool:
    """Half of a finished run's record is lost: the command names it, and does its run again when it is removed."""
    if not (records := sorted(study.out.glob("runs/*/record.json"))):
        return False
    path = dice.choice(records)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _demand_refusal(study, found, path.parent.name, "remove that run's folder")
    shutil.rmtree(path.parent)
    study.forget(path.parent.name)
    return True


def flip_checkpoint(study: Study, found: Round, dice: random.Random) -> bool:  # noqa: ARG001
    """A bit of a checkpoint is another; its run has to begin anew, or not to mind."""
    checkpoints = list(study.out.glob("runs/*/checkpoint.npz"))
    for path in checkpoints:
        raw = bytearray(path.read_bytes())
        raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        path.write_bytes(raw)
    return bool(checkpoints)


def cut_shard(study: Study, found: Round, dice: random.Random) -> bool:  # noqa: ARG001
    """Half of a shard is lost; the data have to be prepared anew."""
    if shards := sorted(study.cache.glob("data/*/*.tfrecord")):
        path = dice.choice(shards)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return bool(shards)


def flip_shard(study: Study, found: Round, dice: random.Random) -> bool:
    """A bit of a shard is another: whoever trains on it is told its name; it is made anew when it is removed."""
    if shards := sorted(study.cache.glob("data/*/train-*.tfrecord")):
        path = dice.choice(shards)
        raw = bytearray(path.read_bytes())
        raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        path.write_bytes(raw)
        if study.has_runs_left:
            _demand_refusal(study, found, path.name, "damaged")
        shutil.rmtree(path.parent)
    return bool(shards)


def forbid_writing(study: Study, found: Round, dice: random.Random) -> bool:  # noqa: ARG001
    """The folder cannot be written: the command says so."""
    study.disk.forbid_writing()
    _demand_refusal(study, found, "Read-only file system")
    study.disk.allow_writing()
    return True


def _demand_refusal(study: Study, found: Round, *words: str) -> None:
    """The command ends with 2 and says why, in these words."""
    process = study.start()
    _, said = process.communicate(timeout=PATIENCE)
    found.demand(process.returncode == 2, f"exit code {process.returncode}, expected a refusal: {said[-300:]}")
    for word in words:
        found.demand(word in said, f"{word!r} was not said: {said[-300:]}")


DAMAGES: dict[str, Callable[[Study, Round, random.Random], bool]] = {
    "record cut in half": cut_record,
    "bit of a checkpoint flipped": flip_checkpoint,
    "shard cut in half": cut_shard,
    "bit of a shard flipped": flip_shard,
    "folder that cannot be written": forbid_writing,
}


def play(folder: Path, seed: int, only: str = "", keep: Path | None = None) -> Round:
    """One study with random faults at random moments, from an empty cache, and damage between two attempts.

    Args:
        folder: An empty folder for it.
        seed: Draws faults and moments.
        only: Faults with this text in their name; what can only happen to a whole study makes it one.
        keep: A folder for the study, if anything was wrong.
    """
    dice = random.Random(seed)
    if only in packages.KILLED and (only or seed % 10 == 9) and not any(only in name for name in FAULTS if only):
        killed, wrong = packages.disturb_package(folder, dice)
        return Round(+Counter({packages.KILLED: killed}), killed, wrong)
    whole = seed % 4 == 0 or (only and any(only in name for name in ONLY_WHOLE))
    study, found = Study(folder, WHOLE if whole else EQUAL), Round()
    with study.disk, study.cache_disk:
        _disturb(study, found, dice, only)
        if found.failures and keep:
            shutil.copytree(study.out, keep / f"round-{seed}")
    return found


def _disturb(study: Study, found: Round, dice: random.Random, only: str) -> None:
    faults = dice.randint(1, 4)
    codes: tuple[int, ...] = ()
    while found.attempts < ATTEMPTS:
        found.attempts += 1
        if found.attempts > 1 and dice.random() < 0.4:
            name = dice.choice(list(DAMAGES))
            if DAMAGES[name](study, found, dice):
                found.faults[name] += 1
        # A failed run stays failed in the attempts to come.
        codes = tuple(code for code in codes if code in NOTHING_TRAINED)
        process = study.start()
        if found.faults.total() < faults:
            name = dice.choice(study.faults(only))
            # In any stage: the whole job takes as long as its budget.
            _wait(process, dice.uniform(0.5, 100.0 if study.command == WHOLE else 25.0))
            if process.poll() is None:
                disturb, following = FAULTS[name]
                if disturb(Scene(study, process, dice, found)):
                    found.faults[name] += 1
                    codes += following
        try:
            said = hear_end(process)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            found.failures.append(f"hung for {PATIENCE:.0f} s or more after {dict(found.faults)}")
            break
        study.disk.make_room()
        study.cache_disk.make_room()
        lift_limit()
        study.look(found)
        found.demand("Traceback" not in said, f"a traceback: {said[-500:]}")
        code = process.returncode
        found.demand(code in (0, *codes), f"exit code {code} after {dict(found.faults)}: {said[-300:]}")
        if code == 0:
            _judge_end(study, found)
            break
        if code in NOTHING_TRAINED:
            found.demand((study.out / "board.csv").is_file(), "nothing says why no candidate could be trained")
            trained = study.command == EQUAL and any(record["state"] == "COMPLETE" for record in study.records)
            found.demand(not trained, f"exit code {code}, and a candidate was trained")
            break
    else:
        found.failures.append(f"no end in {ATTEMPTS} attempts")


def _judge_end(study: Study, found: Round) -> None:
    """The study ended with what its command promises, and views of the records that are there."""
    records = study.records
    if study.command == WHOLE:
        _judge_shipped(study, found, records)
    else:
        found.demand(len(records) == 2, f"{len(records)} runs, not one for each candidate")
        found.demand(all(record["test"] is None for record in records), "a comparison opened the test")
        for record in records:
            # As undisturbed. A worker that lacks memory twice is over.
            if record["state"] == "COMPLETE":
                found.demand(record["images_seen"] == IMAGES, f"{record['id']} saw {record['images_seen']} images")
            elif not found.faults["lack of memory"]:
                found.failures.append(f"{record['id']} is {record['state']}: {record['reason']}")
    with (study.out / "board.csv").open(newline="") as file:
        ids = {row["id"] for row in csv.DictReader(file)}
    found.demand(ids == {record["id"] for record in records}, "the board is not of these records")
    found.demand((study.out / "report.html").is_file(), "there is no report")
    found.demand(all(record["state"] != "RUNNING" for record in records), "a run was left half done")
    left = list(study.out.rglob(".partial-*"))
    found.demand(not left, f"left behind: {[path.name for path in left]}")
    found.failures += [f"{path.relative_to(study.out)} is torn" for path in find_torn(study.out)]
    for manifest in study.cache.glob("data/*/manifest.json"):
        found.failures += [f"the shard {name} is torn" for name in find_torn_shards(manifest.parent)]


def _judge_shipped(study: Study, found: Round, records: list[dict[str, Any]]) -> None:
    """One run was confirmed. Of what is shipped (it, or its network trained again with the validation images, too),
    the test was opened and every opening counted, and the bundle written; no other run had its test opened."""
    confirmed = [record for record in records if record["stage"] == "confirm" and record["state"] == "COMPLETE"]
    found.demand(len(confirmed) == 1, f"{len(confirmed)} confirmed runs")
    winner = json.loads((study.out / "study.json").read_text())["winner"]
    found.demand(winner is not None, "the study ended without a winner")
    shipped = winner and winner["shipped"]
    for record in records:
        openings = count_openings(study.out / "runs" / record["id"])
        counted = record["test"]["openings"] if record["test"] else 0
        found.demand(counted == openings, f"{counted} openings of the test in {record['id']}, {openings} made")
        # It is opened again for the record that was not written.
        lost = study.uncounted[record["id"]]
        found.demand(openings > lost or not lost, f"{openings} openings of the test in {record['id']}, {lost} cut off")
        found.demand(bool(openings) == (record["id"] == shipped), f"{openings} openings of the test by {record['id']}")
    for name in ("bundle.json", "model.keras"):
        found.demand((study.out / "bundle" / name).is_file(), f"bundle/{name} is missing")


def count_openings(folder: Path) -> int:
    """How often a run has opened the test split."""
    file = folder / "test-openings.txt"
    return len(file.read_text().splitlines()) if file.is_file() else 0


def find_torn(folder: Path) -> list[Path]:
    """The networks and predictions below a folder that are no whole archives. A checkpoint may have been damaged on
    purpose."""
    files = [path for path in folder.rglob("*") if path.suffix in (".keras", ".npz") and path.stem != "checkpoint"]
    return [path for path in files if not _is_whole(path)]


def _is_whole(archive: Path) -> bool:
    try:
        with zipfile.ZipFile(archive) as file:
            return file.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return False


def find_torn_shards(folder: Path) -> list[str]:
    """The names of the shards that are not those of the manifest beside them."""
    files = [file for split in read_manifest(folder).splits.values() for file in split.files]
    paths = [folder / file.name for file in files]
    return [
        path.name
        for path, file in zip(paths, files, strict=True)
        if not path.is_file() or hash_file(path) != file.sha256
    ]


def hear_end(process: subprocess.Popen[str]) -> str:
    """What a command said until its end. Raises TimeoutExpired if its processes have done nothing for PATIENCE seconds,
    or if it has not ended after MOST_PATIENCE times as many."""
    for _ in range(MOST_PATIENCE):
        before = measure_work(process.pid)
        try:
            return process.communicate(timeout=PATIENCE)[1]
        except subprocess.TimeoutExpired:
            if abs(measure_work(process.pid) - before) < 1:
                raise
    raise subprocess.TimeoutExpired(process.args, MOST_PATIENCE * PATIENCE)


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
