"""Invented records for tests: `make_record()` is a plausible one, and every keyword changes one thing."""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bakeoff.deploy.bundle import BundleFacts, write_facts
from bakeoff.files import write_json
from bakeoff.profile import Device, Observation, Profile, find_device
from bakeoff.runs.config import Mode, Model, Run, Train, parse_candidate, run_id
from bakeoff.runs.metrics import Metrics, TestMetrics, wilson_interval
from bakeoff.runs.record import DataFacts, RunRecord, Seconds, Stage, State, WeightsFacts
from bakeoff.study import Forecast

__all__ = [
    "encode_png",
    "fill_profile",
    "make_forecast",
    "make_metrics",
    "make_observation",
    "make_record",
    "save_bundle",
]


def make_metrics(top1: float = 0.8, n: int = 1000, **changes: Any) -> Metrics:
    """Scores that hang together: top-1 is rounded to whole images, and the interval is Wilson's."""
    hits = round(top1 * n)
    fields: dict[str, Any] = {
        "n": n,
        "top1": hits / n,
        "top1_ci95": wilson_interval(hits, n),
        "top5": min(1.0, hits / n + 0.12),
        "superclass_top1": None,
        "macro_f1": hits / n - 0.005,
        "macro_f1_ci95": wilson_interval(hits, n),
        "balanced_accuracy": hits / n,
        "balanced_accuracy_ci95": wilson_interval(hits, n),
        "log_loss": 2 * (1 - hits / n),
        "log_loss_ci95": tuple(2 * (1 - end) for end in reversed(wilson_interval(hits, n))),
        "auroc": 1 - (1 - hits / n) / 10,
        "auroc_ci95": tuple(1 - (1 - end) / 10 for end in wilson_interval(hits, n)),
        "ece": 0.03,
    }
    return Metrics(**(fields | changes))


def make_record(
    candidate: str = "mobilenet-v2@96",
    top1: float | None = 0.8,
    n: int = 1000,
    seconds: float | Seconds = 60.0,
    test_top1: float | None = None,
    openings: int = 1,
    mode: Mode = Mode.FIT,
    **changes: Any,
) -> RunRecord:
    """A record of `candidate` with validation top-1 `top1` (None: never scored) on `n` images after `seconds`
    of training, or as a probe by `mode`.

    `changes` are fields of RunRecord and go over everything else; the id is a hash of what was given.
    """
    network = parse_candidate(candidate)
    if not isinstance(seconds, Seconds):
        seconds = Seconds(train=seconds, compile=4.0, data=1.0, evaluate=2.0, total=seconds + 9)
    train = Train(mode=mode, epochs=None if mode == Mode.PROBE else 3)
    config = Run(model=Model(name=network.name, size=network.size or 96), train=train)
    test = None
    if test_top1 is not None:
        test = TestMetrics(**make_metrics(test_top1, n).model_dump(), openings=openings)
    fields: dict[str, Any] = {
        "stage": Stage.RACE,
        "state": State.COMPLETE,
        "config": config,
        "data": DataFacts(
            name="cifar100", fingerprint="d" * 64, counts={"train": 45000, "val": 5000, "test": 10000}, classes=100
        ),
        "weights": WeightsFacts(origin="package", hash="e" * 64, tensors_matched=260, tensors_total=260),
        "params_total": 2_400_000,
        "params_trainable": 2_300_000,
        "memory_predicted_bytes": 600_000_000,
        "memory_peak_bytes": 640_000_000,
        "model_bytes": 9_600_000,
        "micro_batch": config.train.batch,
        "seconds": seconds,
        "images_seen": 30_000,
        "images_per_second": 500.0,
        "epochs": 3.0,
        "val": None if top1 is None else make_metrics(top1, n),
        "test": test,
        "versions": {"bakeoff": "0.1.0", "keras": "3.15.0", "tensorflow": "2.21.0"},
        "device": "CPU, 2 threads",
        "precision": "float32",
    }
    fields |= changes
    parts = [str(fields[key]) for key in ("stage", "state", "config")]
    return RunRecord(**({"id": run_id(fields["config"], f"{parts}{top1}{seconds.train}", "")} | fields))


def save_bundle(folder: Path, record: RunRecord, *, classes: Sequence[str] = (), **changes: Any) -> None:
    """Write `bundle.json` and `labels.json` of a run's bundle, without a model; `changes` are fields of either."""
    labels = {"classes": list(classes), "superclasses": None, "superclass_of": None}
    labels |= {name: changes.pop(name) for name in list(changes) if name in labels}
    write_json(folder / "labels.json", labels)
    fields = {"run": record.id, "candidate": record.candidate, "side": 32, "bakeoff": "0.1.0", "files": {}}
    write_facts(folder, BundleFacts(**(fields | changes)))


def encode_png(array: np.ndarray) -> bytes:
    """PNG bytes of uint8 (height, width, 3) pixels."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def make_observation(
    network: str = "efficientnet-lite0", size: int = 96, mode: Mode = Mode.PROBE, rate: float = 300.0, **changes: Any
) -> Observation:
    """What a run measured: `rate` images per second, forward or in training by the mode; `changes` are its fields."""
    fields = {"precision": "float32", "threads": 2, "overhead": 7.0, "compile": 5.0 if mode is Mode.FIT else 0.0}
    return Observation(network=network, size=size, mode=mode, images_per_second=rate, **(fields | changes))


def fill_profile(cache_folder: Path) -> None:
    """Put a profile of this machine into a cache, so that a study in it times no network before it plans."""
    key, profile = _invented_profile()
    (cache_folder / "profiles").mkdir(parents=True, exist_ok=True)
    write_json(cache_folder / "profiles" / f"{key}.json", profile)


@cache
def _invented_profile() -> tuple[str, Any]:
    device = find_device()
    forecast = make_forecast(threads=device.cores)
    return device.key, forecast.profile.model_copy(update={"device": device}).model_dump(mode="json")


def make_forecast(rate: float = 300.0, overhead: float = 10.0, threads: int = 2) -> Forecast:
    """The forecast for a machine on which EfficientNet-Lite0 was measured at 96 pixels.

    `rate` is images per second forward, half of it in training; `overhead` are the seconds around each run.
    """
    seen = make_observation(rate=rate, overhead=overhead, threads=threads)
    trained = seen.model_copy(update={"mode": Mode.FIT, "images_per_second": rate / 2, "compile": overhead / 2})
    return Forecast(Profile(device=Device(cpu="a processor", cores=threads), observations=(seen, trained)), threads)
