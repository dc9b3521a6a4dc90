"""What happens to a study on two nodes, scene by scene; what was seen is printed as JSON. To be run inside ISOLATED."""

import json
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import bakeoff
from bakeoff.runs.config import Train

from .nodes import HEAD, PORT, RAY, Cluster, Worker

CLUSTER = ["--cluster", f"{HEAD}:{PORT}"]
PATIENCE = 900.0
BATCH = Train(epochs=1).batch


class Play:
    """The scenes, one after the other, on one cluster."""

    def __init__(self, folder: Path, data: str, options: str, images: int) -> None:
        self._folder = folder
        self._cluster = Cluster(folder)
        self._study = ["compare", data, *shlex.split(options)]
        self._images = images
        self.seen: dict[str, Any] = {}

    def all(self) -> None:
        """Play."""
        self._cluster.start_head()
        self._note("head_seconds")
        self._cluster.join()
        self._note("join_seconds")
        self.same_here_and_there()
        self.poison()
        self.driver_killed()
        self.node_lost()
        self.other_version()
        self.node_joins()

    def same_here_and_there(self) -> None:
        """The same study on this machine alone and on both nodes: ids, states, seconds."""
        candidates = ["--candidates", "lenet,cnn-small,cnn-custom,efficientnet-lite0@64"]
        length = ["--images", str(self._images)]
        found = {}
        for place, where in (("local", []), ("cluster", CLUSTER)):
            began = time.monotonic()
            starts: dict[str, float] = {}
            out = self._folder / place
            process = self._start(place, *candidates, *length, *where)
            while process.poll() is None:
                for worker in self._cluster.workers():
                    asked = out / "runs" / worker.run / "config.json"
                    if worker.run not in starts and asked.is_file():
                        starts[worker.run] = time.time() - asked.stat().st_mtime
                time.sleep(0.02)
            self._must(process, place)
            records = self._records(place)
            found[place] = {
                "exit_code": process.returncode,
                "wall_seconds": round(time.monotonic() - began, 1),
                "states": {record["id"]: record["state"] for record in records},
                "images_seen": {record["id"]: record["images_seen"] for record in records},
                "run_seconds": {record["id"]: round(record["seconds"]["total"], 1) for record in records},
                "submit_to_process_seconds": round(statistics.median(starts.values()), 2),
                "request": json.loads((out / "study.json").read_text())["stages"][0]["runs"],
            }
        found["same_ids_and_states"] = found["local"]["states"] == found["cluster"]["states"]
        found["same_order"] = found["local"]["request"] == found["cluster"]["request"]
        self.seen["same"] = found

    def poison(self) -> None:
        """A run whose process is killed each time it starts: FAILED, and the others complete."""
        process = self._start("poison", "--candidates", "lenet,cnn-small", "--images", str(self._images), *CLUSTER)
        victim = self._wait_for(process, lambda _: True).run
        kills = 0
        while process.poll() is None:
            for worker in self._cluster.workers():
                if worker.run == victim:
                    os.kill(worker.pid, signal.SIGKILL)
                    kills += 1
                    while any(other.pid == worker.pid for other in self._cluster.workers()):
                        time.sleep(0.05)
            time.sleep(0.05)
        self._must(process, "poison")
        rows = {record["id"]: (record["state"], record["reason"]) for record in self._records("poison")}
        self.seen["poison"] = {"victim": victim, "kills": kills, "rows": rows}

    def driver_killed(self) -> None:
        """The driver is killed with one run finished and one under way; the same command again."""
        study = ["--candidates", "lenet,cnn-custom", "--images", str(4 * self._images), *CLUSTER]
        process = self._start("driver", *study)
        self._until(process, lambda: self._checkpoints("driver") >= 1)
        began = {record["id"]: record["state"] for record in self._records("driver")}
        process.kill()
        process.wait()
        self._until(None, lambda: not self._cluster.workers())
        process = self._start("driver", *study)
        self._must(process, "driver")
        states = {record["id"]: record["state"] for record in self._records("driver")}
        self.seen["driver"] = {"before": began, "after": states, "workers_left_by_the_dead_driver": 0}
        stamps = {path: path.stat().st_mtime_ns for path in (self._folder / "driver").glob("runs/*/record.json")}
        self._must(self._start("driver", *study), "driver")
        self.seen["driver"]["done_again"] = sum(path.stat().st_mtime_ns != stamp for path, stamp in stamps.items())

    def node_lost(self) -> None:
        """The other node is lost while it trains and a checkpoint has arrived; its run goes on at the head's."""
        study = ["--candidates", "lenet,cnn-custom", "--images", str(8 * self._images), *CLUSTER]
        process = self._start("lost", *study)
        worker = self._wait_for(process, lambda worker: worker.is_far)
        checkpoint = self._folder / "lost" / "runs" / worker.run / "checkpoint.npz"
        self._until(process, lambda: checkpoint.is_file() and _count_images(checkpoint) > self._images)
        began = time.monotonic()
        self._cluster.lose()
        images = _count_images(checkpoint)
        self._wait_for(process, lambda other: other.run == worker.run and not other.is_far)
        again = time.monotonic() - began
        self._must(process, "lost")
        (record,) = (record for record in self._records("lost") if record["id"] == worker.run)
        self.seen["lost"] = {
            "run": worker.run,
            "loss_to_new_process_seconds": round(again, 1),
            "went_on_at_images": images,
            "state": record["state"],
            "images_seen": record["images_seen"],
            "train_seconds": round(record["seconds"]["train"], 1),
            "total_seconds": round(record["seconds"]["total"], 1),
            "all_states": sorted(each["state"] for each in self._records("lost")),
        }

    def other_version(self) -> None:
        """A node whose bakeoff differs by a comment is refused, and the driver says by what."""
        source = self._folder / "source"
        shutil.copytree(Path(bakeoff.__file__).parent, source / "bakeoff")
        with (source / "bakeoff" / "errors.py").open("a") as file:
            file.write("# another one\n")
        self._cluster.join(source)
        self._until(None, lambda: self._count_nodes() == 2)
        process = self._start("refused", "--candidates", "lenet,cnn-small", "--images", str(self._images), *CLUSTER)
        code = process.wait(PATIENCE)
        line = (self._folder / "refused.log").read_text().strip().splitlines()[-1]
        self.seen["refused"] = {"exit_code": code, "line": line}
        self._cluster.lose()

    def node_joins(self) -> None:
        """A study begins on the head alone; the other node comes, and is used."""
        names = [f"{name}@{size}" for size in (32, 48) for name in ("lenet", "cnn-small", "cnn-custom")]
        study = ["--candidates", ",".join(names), "--images", str(16 * self._images), *CLUSTER]
        process = self._start("joined", *study)
        self._wait_for(process, lambda worker: not worker.is_far)
        self._cluster.join()
        began = time.monotonic()
        self._wait_for(process, lambda worker: worker.is_far)
        waited = time.monotonic() - began
        self._must(process, "joined")
        states = [record["state"] for record in self._records("joined")]
        self.seen["joined"] = {"joined_to_process_seconds": round(waited, 1), "states": states}

    def _count_nodes(self) -> int:
        status = [*RAY, "status", f"--address={HEAD}:{PORT}"]
        done = subprocess.run(status, env=self._cluster.environment, capture_output=True, text=True, check=False)
        return done.stdout.count(" node_")

    def _note(self, name: str) -> None:
        before = sum(value for value in self.seen.values() if isinstance(value, float))
        self.seen[name] = round(time.monotonic() - BEGAN - before, 1)

    def _start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        words = [*self._study, *options, "--out", str(self._folder / name)]
        return self._cluster.bakeoff(*words, log=self._folder / f"{name}.log")

    def _must(self, process: subprocess.Popen[bytes], name: str) -> None:
        if process.wait(PATIENCE) != 0:
            raise SystemExit(f"{name}: {(self._folder / f'{name}.log').read_text()[-3000:]}")

    def _records(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted((self._folder / name).glob("runs/*/record.json"))]

    def _checkpoints(self, name: str) -> int:
        return len(list((self._folder / name).glob("runs/*/checkpoint.npz")))

    def _wait_for(self, process: subprocess.Popen[bytes], wanted: Callable[[Worker], bool]) -> Worker:
        found: list[Worker] = []

        def look() -> bool:
            found[:] = filter(wanted, self._cluster.workers())
            return bool(found)

        self._until(process, look)
        return found[0]

    def _until(self, process: subprocess.Popen[bytes] | None, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > end or (process and process.poll() is not None):
                raise SystemExit("what was waited for did not come")
            time.sleep(0.05)


def _count_images(checkpoint: Path) -> int:
    """How far a checkpoint is."""
    with np.load(checkpoint) as kept:
        return int(BATCH * json.loads(str(kept["facts"]))["batches"])


BEGAN = time.monotonic()

if __name__ == "__main__":
    folder, data, options, images = sys.argv[1:]
    play = Play(Path(folder), data, options, int(images))
    try:
        play.all()
    finally:
        (Path(folder) / "seen.json").write_text(json.dumps(play.seen, indent=2))
    sys.stdout.write(json.dumps(play.seen, indent=2) + "\n")
