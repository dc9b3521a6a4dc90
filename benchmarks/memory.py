"""Predicted and measured peak memory: one short run per network, each in a separate process.

    python benchmarks/memory.py
    python benchmarks/memory.py --networks resnet-50,vgg-16 --batch 64 --batch-norm frozen
    python benchmarks/memory.py --networks efficientnet-lite0 --repeats 3

Each run trains all layers from random weights on CIFAR-100 for six steps (or, with --mode probe, computes frozen
features) and adds a row to the table. The CIFAR-100 archive is searched for in $BAKEOFF_DATA_DIR.
"""

import argparse
import csv
import itertools
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bakeoff.data.shards import prepare_cached
from bakeoff.files import replacing
from bakeoff.launch import launch
from bakeoff.networks.table import TABLE, find_network
from bakeoff.runs.config import BatchNorm, Data, Mode, Run
from bakeoff.runs.record import RunRecord, Stage, State
from hardware import count_cores, name_cpu

STEPS = 6
SCRATCH_SIZE = 32
SIDE, CLASSES = 32, 100
VAL_IMAGES = 100
PROBE_IMAGES = 512


def main() -> int:
    """Measure the requested networks, or only predict again; returns 1 if a run failed."""
    options = _parse()
    if options.repredict:
        _repredict(options.table)
        return 0
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
            _append(options.table, row)
            _say(" ".join(f"{name}={value}" for name, value in itertools.islice(row.items(), 11)))
    return failed


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ",".join(row.name for row in TABLE)
    parser.add_argument("--networks", default=names, help="names separated by commas (default: all of them)")
    parser.add_argument(
        "--size", type=int, default=96, help="input size in pixels; networks that are trained from scratch get 32"
    )
    parser.add_argument("--batch", type=int, default=32, help="images in a training step")
    parser.add_argument("--batch-norm", type=BatchNorm, default=BatchNorm.TRAIN, help="train or frozen")
    parser.add_argument("--unfreeze", type=float, default=1.0, help="fraction of the layers that learn")
    parser.add_argument("--mode", type=Mode, default=Mode.FIT, help="fit, or probe for a forward pass only")
    parser.add_argument("--repeats", type=int, default=1, help="runs per network, each with another seed")
    parser.add_argument("--repredict", action="store_true", help="train nothing: predict the rows of the table again")
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
    predicted, measured = record.memory_predicted_bytes, record.memory_peak_bytes
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
        "tensorflow": record.versions["tensorflow"],
        "keras": record.versions["keras"],
        "bakeoff": record.versions["bakeoff"],
        "cpu": name_cpu(),
        "cores": count_cores(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _repredict(table: Path) -> None:
    import keras

    from bakeoff.networks.model import build_network, freeze
    from bakeoff.training.memory import predict_memory

    with table.open(newline="", encoding="utf-8") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    with replacing(table) as temporary:
        for row in rows:
            settings = [row["network"], int(row["size"]), int(row["batch"]), row["batch_norm"], float(row["unfreeze"])]
            run = _run(*settings, row["mode"], int(row["seed"]))
            with keras.StatelessScope():
                network = build_network(find_network(run.model.name), run.model, side=SIDE, classes=CLASSES)
                freeze(network.backbone, run.model.unfreeze, run.model.batch_norm)
                row["predicted_bytes"] = predict_memory(network, run, training=run.train.mode is Mode.FIT)
            row["error_percent"] = _error(row["predicted_bytes"], int(row["measured_bytes"]))
            _append(temporary, row)


def _error(predicted: int, measured: int) -> float:
    return round(100 * (predicted / measured - 1), 1)


def _append(table: Path, row: dict[str, Any]) -> None:
    is_new = not (table.is_file() and table.stat().st_size)
    with table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
