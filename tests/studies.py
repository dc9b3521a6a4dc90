"""Invented studies as a reader meets them: with histories, predictions, pictures and heat maps, and nothing trained.

write_study(out, candidates=20)      one study's folder; `KINDS` has the sizes that a report must look right for
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.runs.config import Mode
from bakeoff.runs.folder import run_dir
from bakeoff.runs.heat_maps import HeatMaps, MapMethod, choose_images, write_heat_maps
from bakeoff.runs.history import CURVE_POINTS, CurvePoint, HistoryRow, write_curve, write_history
from bakeoff.runs.predictions import read_predictions
from bakeoff.runs.record import DataFacts, RunRecord, Stage, State, write_record
from factories import make_record, save_bundle

__all__ = ["KINDS", "write_study"]

KINDS: Mapping[str, Mapping[str, Any]] = {
    "one-candidate": {"candidates": 1},
    "twenty-candidates": {"candidates": 20},
    "two-classes": {"classes": 2},
    "five-hundred-classes": {"classes": 500, "images": 1500},
    "failed-winner": {"confirms": False},
    "nothing-completed": {"completes": False},
}

# Networks with their accuracy after a race, the pace in images a second, and memory in megabytes; longest names first.
_NETWORKS = (
    ("efficientnet-v2-b0@224", 0.861, 61, 2900),
    ("convnext-tiny@160", 0.868, 44, 3600),
    ("mobilenet-v3-large@160", 0.842, 240, 1100),
    ("efficientnet-lite0@160", 0.838, 190, 1300),
    ("resnet-50@128", 0.822, 95, 2100),
    ("densenet-121@128", 0.818, 70, 2600),
    ("mobilenet-v2@128", 0.801, 260, 1000),
    ("mobilenet-v3-small@128", 0.772, 520, 600),
    *((f"network-number-{n}@{96 + 8 * n}", 0.76 - 0.02 * n, 400 - 20 * n, 700 + 90 * n) for n in range(12)),
)


def write_study(
    out: Path,
    candidates: int = 6,
    classes: int = 12,
    images: int = 1200,
    *,
    confirms: bool = True,
    completes: bool = True,
) -> Path:
    """Write the folder of a study.

    Args:
        out: The folder.
        candidates: How many networks are screened; half of them, up to eight, are raced.
        classes: Number of classes.
        images: Validation images, and as many test images.
        confirms: Whether the confirming run completes.
        completes: Whether any run completes.
    """
    counts = {"train": 10 * images, "val": images, "test": images}
    data = DataFacts(name="photos-of-the-harbour", fingerprint="d" * 64, counts=counts, classes=classes)
    field = _NETWORKS[:candidates]
    if not completes:
        lost = [
            make_record(name, None, state=State.FAILED, reason="out of memory: 6.2 GB > 4.0 GB", data=data, seconds=0)
            for name, *_ in field
        ]
        return _write(out, lost, classes, data)
    screen = [
        make_record(
            name, top1 - 0.12, images, 900 / pace, stage=Stage.SCREEN, mode=Mode.PROBE, data=data, **_cost(pace, memory)
        )
        for name, top1, pace, memory in field
    ]
    race = [
        make_record(name, top1 - 0.03, images, 60.0, data=data, **_cost(pace, memory))
        for name, top1, pace, memory in field[: min(8, -(-candidates // 2))]
    ]
    if len(race) > 2:
        race[-1] = race[-1].model_copy(
            update={"state": State.PRUNED, "reason": "12 points behind the leader at half of its time"}
        )
    leader = max(race, key=lambda record: record.val.top1 if record.val else 0.0)
    _, top1, pace, memory = next(network for network in field if network[0] == leader.candidate)
    changes = {"stage": Stage.CONFIRM, "data": data, "id": "c" * 12, **_cost(pace, memory)}
    if confirms:
        last = make_record(leader.candidate, top1, images, 900.0, test_top1=top1 - 0.012, **changes)
    else:
        reason = "the loss became nan after 41,216 images, at rate 0.0011"
        last = make_record(leader.candidate, None, seconds=210.0, state=State.FAILED, reason=reason, **changes)
    return _write(out, [last, *race, *screen], classes, data)


def _cost(pace: int, memory: int) -> dict[str, Any]:
    return {
        "images_per_second": float(pace),
        "memory_peak_bytes": memory * 1_000_000,
        "memory_predicted_bytes": int(memory * 1.08e6),
        "params_total": memory * 4000,
        "params_trainable": memory * 3900,
        "model_bytes": memory * 16000,
    }


def _write(out: Path, records: list[RunRecord], classes: int, data: DataFacts) -> Path:
    for record in records:
        write_record(run_dir(out, record.id), record)
        if record.config.train.mode is Mode.FIT and record.seconds.train:
            _write_curve(out, record)
        if record.val and record.config.train.mode is Mode.FIT and record.state is State.COMPLETE:
            _write_predictions(out, record, classes, "val", record.val.top1)
        if record.test:
            _write_predictions(out, record, classes, "test", record.test.top1)
            _write_pictures(out, record)
    if tested := [record for record in records if record.test]:
        save_bundle(out / "bundle", tested[0], classes=[_name_class(n) for n in range(classes)])
    stages = list(dict.fromkeys(record.stage.value for record in reversed(records)))
    study = {
        "command": "bakeoff run photos-of-the-harbour/ --budget 30m",
        "started": "2026-01-02T03:04:05Z",
        "budget_seconds": 1800,
        "data": data.model_dump(exclude={"fit"}) | {"notes": ["14 images are copies of others; they are in one split"]},
        "seconds": {"prepare": 20.0}
        | {stage: sum(each.seconds.total for each in records if each.stage == stage) for stage in stages},
    }
    (out / "study.json").write_text(json.dumps(study))
    return out


def _name_class(number: int) -> str:
    return f"{('sailing_boat', 'ferry', 'gull', 'crane_at_the_old_quay', 'buoy')[number % 5]}_{number}"


def _write_curve(out: Path, record: RunRecord) -> None:
    """A curve that rises to the record's score. A run of a minute is evaluated once, at its end."""
    end, seconds = record.val.top1 if record.val else 0.4, record.seconds.train
    evaluations = 1 if seconds < 100 else 5
    quick = np.random.default_rng(len(record.candidate)).normal(0, 0.02, CURVE_POINTS)

    def reach(progress: float) -> dict[str, Any]:
        top1 = end * (1 - 0.7 * np.exp(-4 * progress)) / (1 - 0.7 * np.exp(-4.0))
        place = {"seconds": seconds * progress, "progress": progress, "epoch": 3 * progress}
        return place | {"images_seen": int(30_000 * progress), "train_loss": 0.4 + 2 * np.exp(-3 * progress), "t": top1}

    rows, points = [], []
    for step in range(1, evaluations + 1):
        facts = reach(step / evaluations)
        top1 = float(facts.pop("t"))
        last = step == evaluations
        rows.append(
            HistoryRow(
                **facts,
                size=96,
                learning_rate=0.001,
                val_loss=2 - top1,
                val_top1=top1,
                val_images=1200 if last else 1000,
            )
        )
    for step in range(1, CURVE_POINTS + 1):
        facts = reach(step / CURVE_POINTS)
        top1 = min(1.0, float(facts.pop("t") + quick[step - 1]))
        scores = {"val_images": 225, "val_top1": top1, "val_loss": 2 - top1} if step < CURVE_POINTS else {}
        points.append(CurvePoint(**facts, **scores))
    failed = record.state is not State.COMPLETE
    write_history(run_dir(out, record.id), rows[:2] if failed else rows)
    write_curve(run_dir(out, record.id), points[:4] if failed else points)


def _write_predictions(out: Path, record: RunRecord, classes: int, split: str, top1: float) -> None:
    """So many hits as the score says; the classes with high numbers have more of the misses."""
    random = np.random.default_rng(7)
    n = record.data.counts[split]
    labels = np.arange(n) % classes
    predicted = labels.copy()
    wrong = random.choice(n, n - round(top1 * n), replace=False, p=(1 + labels) / (1 + labels).sum())
    predicted[wrong] = (labels[wrong] + random.choice([1, 1, 1, 2, 5], len(wrong))) % classes
    predicted[wrong] = np.where(predicted[wrong] == labels[wrong], (labels[wrong] + 1) % classes, predicted[wrong])
    logits = random.normal(0, 0.5, (n, classes))
    logits[np.arange(n), predicted] += random.uniform(2, 9, n)
    np.savez_compressed(
        run_dir(out, record.id) / f"{split}-logits.npz",
        logits=logits.astype(np.float16),
        labels=labels.astype(np.int32),
        ids=np.array([f"{split}/image-{place}.jpg" for place in range(n)]),
    )


def _write_pictures(out: Path, record: RunRecord) -> None:
    """Coloured slopes in place of photographs, with a heat map for each but the last."""
    folder = run_dir(out, record.id)
    predictions = read_predictions(folder, "val")
    ids = [predictions.ids[place] for places in choose_images(predictions) for place in places]
    random = np.random.default_rng(3)
    across = np.linspace(0, 1, 96)[:, None, None] * np.linspace(0, 1, 96)[None, :, None]
    pictures = [np.uint8(across * random.uniform(60, 255, 3) + random.uniform(0, 40, (96, 96, 1))) for _ in ids]
    np.savez_compressed(folder / "gallery.npz", ids=np.array(ids), images=np.stack(pictures))
    maps = {key: random.integers(0, 255, (6, 6)).astype(np.uint8) for key in ids[:-1]}
    missing = "1 of 24 maps was not drawn, because that would have taken too long."
    write_heat_maps(folder, HeatMaps(MapMethod.OCCLUSION, maps, missing))
