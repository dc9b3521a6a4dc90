"""Predicted and measured peak memory: one short run per network, each in a separate process.

    python benchmarks/memory.py
    python benchmarks/memory.py --networks resnet-50,vgg-16 --batch 64 --batch-norm frozen
    python benchmarks/memory.py --networks efficientnet-lite0 --repeats 3
    python benchmarks/memory.py --repredict

Each run trains all layers from random weights on CIFAR-100 for six steps (or, with --mode probe, computes frozen
features) and adds a row to the table. The CIFAR-100 archive is searched for in $BAKEOFF_DATA_DIR.

Each row has two predictions: that before any run, and that of a machine that has made all other runs in the table but
this one (`corrected`), of which `family_runs` were of the same family and mode. At the end both are computed again for
all rows, and the errors of each machine are printed. Rows of other machines stay.
"""

import argparse
import csv
import itertools
import os
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bakeoff.data.shards import prepare_cached
from bakeoff.files import replacing
from bakeoff.launch import launch
from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.profile import Observation, Profile, correct_memory, find_device
from bakeoff.runs.config import BatchNorm, Data, Mode, Precision, Run
from bakeoff.runs.record import RunRecord, Stage, State
from hardware import count_cores

STEPS = 6
SCRATCH_SIZE = 32
# Of the default networks. Larger ones take up to 10 GB.
MAX_PARAMS = 70_000_000
SIDE, CLASSES = 32, 100
VAL_IMAGES = 100
PROBE_IMAGES = 512


def main() -> int:
    """Measure the requested networks, or only predict again; returns 1 if a run failed."""
    options = _parse()
    failed = 0 if options.repredict else _measure(options)
    rows = _read(options.table)
    _predict(rows)
    _correct(rows)
    _write(options.table, rows)
    _summarize(rows)
    return failed


def _measure(options: argparse.Namespace) -> int:
    """Add a row for each requested run; returns 1 if one failed."""
    failed = 0
    # A separate cache: a probe would otherwise read the features of an earlier one, and their cost.
    with tempfile.TemporaryDirectory(prefix="bakeoff-memory-") as folder:
        os.environ["BAKEOFF_CACHE_DIR"] = folder
        data = prepare_cached(Data(source="cifar100"))
        for name, seed in itertools.product(options.networks.split(","), range(options.repeats)):
            size = SCRATCH_SIZE if find_network(name).from_scratch else options.size
            run = _run(name, size, options.batch, options.batch_norm, options.unfreeze, options.mode, seed)
            record = launch(run, stage=Stage.TRAIN, out=Path(folder), data=data)
            if record.state is not State.COMPLETE:
                failed = 1
                _say(f"{run.candidate}: {record.reason}")
                continue
            row = _row(record)
            _write(options.table, [*_read(options.table), row])
            _say(" ".join(f"{name}={value}" for name, value in itertools.islice(row.items(), 11)))
    return failed


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ",".join(row.name for row in TABLE if row.params_total <= MAX_PARAMS)
    parser.add_argument(
        "--networks", default=names, help="names separated by commas (default: all of at most 70 M parameters)"
    )
    parser.add_argument(
        "--size", type=int, default=96, help="input size in pixels; networks that are trained from scratch get 32"
    )
    parser.add_argument("--batch", type=int, default=32, help="images in a training step")
    parser.add_argument("--batch-norm", type=BatchNorm, default=BatchNorm.TRAIN, help="train or frozen")
    parser.add_argument("--unfreeze", type=float, default=1.0, help="fraction of the layers that learn")
    parser.add_argument("--mode", type=Mode, default=Mode.FIT, help="fit, or probe for a forward pass only")
    parser.add_argument("--repeats", type=int, default=1, help="runs per network, each with another seed")
    parser.add_argument(
        "--repredict", action="store_true", help="train nothing: only predict the rows of the table again"
    )
    table = Path(__file__).with_suffix(".csv")
    parser.add_argument("--table", type=Path, default=table, help="CSV file (default: next to this script)")
    return parser.parse_args()


def _run(name: str, size: int, batch: int, batch_norm: str, unfreeze: float, mode: str, seed: int) -> Run:
    # Random weights are never frozen, so a partly frozen network starts from its pretrained weights.
    weights = "none" if unfreeze == 1.0 else "auto"
    model = {"name": name, "size": size, "weights": weights, "batch_norm": batch_norm, "unfreeze": unfreeze}
    length = {"images": STEPS * batch} if mode == Mode.FIT else {"subset": PROBE_IMAGES}
    train = {"mode": mode, "epochs": None, "batch": batch, "val_images": VAL_IMAGES} | length
    return Run(seed=seed).revised(model=model, train=train)


def _row(record: RunRecord) -> dict[str, Any]:
    run = record.config
    predicted, measured = record.memory_modelled_bytes, record.memory_peak_bytes
    return {
        "network": run.model.name,
        "mode": run.train.mode,
        "size": run.model.size,
        "batch": run.train.batch,
        "batch_norm": run.model.batch_norm,
        "unfreeze": run.model.unfreeze,
        "seed": run.seed,
        "params": record.params_total,
        "predicted_bytes": predicted,
        "measured_bytes": measured,
        "error_percent": _error(predicted, measured),
        "corrected_bytes": "",
        "corrected_error_percent": "",
        "family_runs": "",
        "tensorflow": record.versions["tensorflow"],
        "keras": record.versions["keras"],
        "bakeoff": record.versions["bakeoff"],
        "cpu": find_device().cpu,
        "cores": count_cores(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _predict(rows: list[dict[str, Any]]) -> None:
    """Set the prediction before any run."""
    import keras

    from bakeoff.networks.blocks import freeze
    from bakeoff.networks.model import build_network
    from bakeoff.training.memory import predict_memory

    for row in rows:
        settings = [row["network"], int(row["size"]), int(row["batch"]), row["batch_norm"], float(row["unfreeze"])]
        run = _run(*settings, row["mode"], int(row["seed"]))
        training = run.train.mode is Mode.FIT
        with keras.StatelessScope():
            network = build_network(find_network(run.model.name), run.model, side=SIDE, classes=CLASSES)
            freeze(network.backbone, run.model.unfreeze, run.model.batch_norm)
            probed = 0 if training else PROBE_IMAGES
            row["predicted_bytes"] = predict_memory(network, run, training=training, probed=probed)
        row["error_percent"] = _error(row["predicted_bytes"], int(row["measured_bytes"]))


def _correct(rows: list[dict[str, Any]]) -> None:
    """Set the prediction that the other rows of the same machine make."""
    for row in rows:
        others = [each for each in rows if each is not row and _machine(each) == _machine(row)]
        profile = Profile(device=find_device(), observations=tuple(map(_observe, others)))
        spec = find_network(row["network"])
        mode = Mode(row["mode"])
        estimate = correct_memory(profile, spec, mode, Precision.FLOAT32, int(row["predicted_bytes"]))
        row["corrected_bytes"] = estimate.value
        row["corrected_error_percent"] = _error(estimate.value, int(row["measured_bytes"]))
        kin = [each for each in others if find_network(each["network"]).family == spec.family]
        row["family_runs"] = sum(each["mode"] == mode for each in kin)


def _observe(row: dict[str, Any]) -> Observation:
    return Observation(
        network=row["network"],
        size=int(row["size"]),
        mode=Mode(row["mode"]),
        precision=Precision.FLOAT32,
        threads=int(row["cores"]),
        images_per_second=0.0,
        overhead=0.0,
        memory_modelled=int(row["predicted_bytes"]),
        memory_measured=int(row["measured_bytes"]),
    )


def _machine(row: dict[str, Any]) -> tuple[str, ...]:
    return row["cpu"], str(row["cores"]), row["tensorflow"], row["keras"]


def _summarize(rows: list[dict[str, Any]]) -> None:
    """Print the errors of each machine: before any run, and where a run of the same family was made."""
    for machine in dict.fromkeys(map(_machine, rows)):
        known = [row for row in rows if _machine(row) == machine]
        after = [row for row in known if row["family_runs"]]
        _say(", ".join(machine))
        _say(f"  before any run:           {_spread(known, 'error_percent')}")
        _say(f"  after one of the family:  {_spread(after, 'corrected_error_percent')}")


def _spread(rows: list[dict[str, Any]], column: str) -> str:
    errors = [abs(float(row[column])) for row in rows]
    if not errors:
        return "no runs"
    return f"median {statistics.median(errors):.1f} %, at most {max(errors):.1f} %, {len(errors)} runs"


def _error(predicted: int, measured: int) -> float:
    return round(100 * (predicted / measured - 1), 1)


def _read(table: Path) -> list[dict[str, Any]]:
    if not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write(table: Path, rows: list[dict[str, Any]]) -> None:
    """Write all rows, with the columns of the newest."""
    with replacing(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[-1], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
