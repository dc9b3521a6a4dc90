"""What a GPU does with bakeoff: ten minutes on yours help, because none could be had for the tests.

    pip install '.[gpu]'
    python benchmarks/gpu.py

It times training steps of the networks in the table (float32, mixed_float16 and mixed_bfloat16, with XLA and without),
compares the memory that is predicted with what is measured, checks that XLA computes the same as TensorFlow without it,
and does a study of CIFAR-100's hundred classes in five minutes (of generated pictures where CIFAR-100 cannot be had).
All figures are written to gpu.json, with the names of the hardware and the versions, and nothing else: please send it
with an issue. Without a GPU it does the same on the CPU. `--quick` tries the script itself in about two minutes.

What has the time, comes first: every network in float32; then five of them in the other variants; then the rest.
`--minutes 40` reaches all.
"""

import argparse
import itertools
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bakeoff.files import replacing
from bakeoff.machine import tensorflow_environment
from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.profile import find_device
from bakeoff.runs.config import Precision
from bakeoff.runs.record import read_record
from commanded import Commanded, GivenUpError

HERE = Path(__file__).parent
# The same as in step.py.
FIRST = ("efficientnet-lite0", "mobilenet-v2", "resnet-50", "densenet-121", "vgg-16")
SIZE, SCRATCH_SIZE, BATCH = 128, 32, 64
STUDY_MINUTES, REST_MINUTES = 5.0, 0.5
# Seconds for one network in one variant; XLA can compile for minutes.
PATIENCE = 180.0
# The three precisions, and XLA.
QUICK_TRIALS = 4
# Network, input size and side of the images: they are made larger, and smaller.
XLA_CHECKS = (("cnn-small", 64, 32), ("cnn-small", 96, 32), ("efficientnet-lite0", 96, 160))


@dataclass(frozen=True)
class Trial:
    """A network in one variant."""

    network: str
    precision: str
    xla: bool
    batch: int = BATCH

    @property
    def size(self) -> int:
        """Side of the input in pixels."""
        return SCRATCH_SIZE if find_network(self.network).from_scratch else SIZE


def main() -> None:
    """Measure what there is time for, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="for everything; five of them are the study's")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="the file that is written")
    parser.add_argument("--data-dir", type=Path, help="folder with the CIFAR-100 archive; else it is downloaded")
    parser.add_argument("--quick", action="store_true", help="two small networks and a short study, to try the script")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bakeoff-gpu-") as folder:
        if arguments.quick:
            found = measure_steps(order_trials(["lenet"], batch=4)[:QUICK_TRIALS], math.inf, XLA_CHECKS[:1])
        else:
            found = measure_steps(
                order_trials(), started + 60 * (arguments.minutes - STUDY_MINUTES - REST_MINUTES), XLA_CHECKS
            )
        _say("the study")
        found["study"] = do_study(Path(folder), arguments.data_dir, quick=arguments.quick)
    found |= {
        "hardware": find_device().model_dump(mode="json"),
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(time.monotonic() - started),
    }
    with replacing(arguments.out) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if found["not_reached"]:
        _say(f"{len(found['not_reached'])} steps were not reached; --minutes 40 gives them the time")
    _say(f"{arguments.out} has all figures")


def order_trials(networks: Sequence[str] = (), batch: int = BATCH) -> list[Trial]:
    """Every network in every variant, what tells most first."""
    networks = networks or [*FIRST, *(spec.name for spec in TABLE if spec.name not in FIRST)]
    plain = [(Precision.FLOAT32.value, False)]
    others = [(each.value, xla) for xla, each in itertools.product((False, True), Precision)][1:]
    first = [name for name in networks if name in FIRST]
    rest = [name for name in networks if name not in FIRST]
    parts = ((networks, plain), (first, others), (rest, others))
    return [Trial(name, *variant, batch) for names, variants in parts for variant in variants for name in names]


def measure_steps(trials: Sequence[Trial], deadline: float, checks: Sequence[tuple[str, int, int]]) -> dict[str, Any]:
    """Do trials until the deadline, in a process that is started again if one of them ends it."""
    side = Commanded([sys.executable, str(HERE / "gpu_side.py")])
    found: dict[str, Any] = dict(side.greeting)
    _say(", ".join(gpu.get("device_name", gpu["name"]) for gpu in found["gpus"]) or "no GPU is seen: this is the CPU")
    found["xla"] = []
    for name, size, stored in checks:
        answer = _ask(side, f"xla {name} {size} {stored}")
        found["xla"].append({"network": name, "size": size, "stored": stored} | answer)
    found["steps"], found["not_reached"] = [], []
    for trial in trials:
        facts = {"network": trial.network, "size": trial.size, "batch": trial.batch}
        facts |= {"precision": trial.precision, "xla": trial.xla}
        if time.monotonic() > deadline and found["steps"]:
            found["not_reached"].append(facts)
            continue
        began = time.monotonic()
        command = f"step {trial.network} {trial.size} {trial.batch} {trial.precision} {'xla' if trial.xla else 'plain'}"
        facts |= _ask(side, command) | {"seconds": round(time.monotonic() - began, 1)}
        found["steps"].append(facts)
        _say(_describe(facts))
    side.close()
    return found


def do_study(folder: Path, data_dir: Path | None, *, quick: bool) -> dict[str, Any]:
    """Do a study as a user does; returns its facts, or why there is none."""
    data, command = "cifar100", [sys.executable, "-m", "bakeoff"]
    place = ["--data-dir", str(data_dir)] if data_dir else []
    if quick or _call([*command, "data", "prepare", data, *place]):
        data, place = str(generate_pictures(folder / "pictures", 8 if quick else 60)), []
    options = ["--candidates", "lenet", "--budget", "60s"] if quick else ["--budget", f"{STUDY_MINUTES:g}m"]
    out = folder / "study"
    began = time.monotonic()
    if error := _call([*command, "run", data, *place, *options, "--out", str(out)]):
        return {"error": error}
    return {
        "data": Path(data).name,
        "options": options,
        "seconds": round(time.monotonic() - began, 1),
        "study": json.loads((out / "study.json").read_text(encoding="utf-8")),
        "records": [
            read_record(path.parent).model_dump(mode="json") for path in sorted(out.glob("runs/*/record.json"))
        ],
    }


def generate_pictures(folder: Path, images: int, side: int = 32) -> Path:
    """Write pictures of a hundred classes: stripes of ten colours in ten directions, under noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    for label in range(100):
        place = folder / f"class-{label:02}"
        place.mkdir(parents=True)
        angle, hue = np.pi * (label // 10) / 10, 2 * np.pi * (label % 10) / 10
        colour = 127 + 100 * np.cos(hue + np.array([0, 2, 4]) * np.pi / 3)
        for number in range(images):
            wave = np.sin(12 * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 2 * np.pi))
            pixels = colour * (0.6 + 0.4 * wave[..., None]) + rng.normal(0, 30, (side, side, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place / f"{number}.png")
    return folder


def _ask(side: Commanded, command: str) -> dict[str, Any]:
    try:
        return side.ask(command, PATIENCE)
    except GivenUpError as error:
        return {"reason": str(error)}


def _call(command: Sequence[str]) -> str:
    """Run a command, whose messages are shown; returns the last one if it fails, else nothing."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=tensorflow_environment())
    assert process.stderr is not None
    last = ""
    for line in process.stderr:
        sys.stderr.write(line)
        last = line.strip() or last
    return last or "it failed" if process.wait() else ""


def _describe(facts: dict[str, Any]) -> str:
    variant = f"{facts['network']}@{facts['size']} {facts['precision']}{' XLA' if facts['xla'] else ''}"
    if not facts.get("images_per_second"):
        return f"{variant}: {facts['reason']}"
    predicted, measured = facts["memory_predicted_bytes"] / 1e6, facts["memory_measured_bytes"] / 1e6
    return (
        f"{variant}: {facts['images_per_second']:.0f} images/s, {predicted:.0f} MB predicted, {measured:.0f} measured"
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
