"""Facts of the report as text: the data, the recipe, the scores, the cost, and the time spent by stage."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bakeoff.data.augment import describe
from bakeoff.report.board import (
    DASH,
    STAGES,
    format_bytes,
    format_count,
    format_interval,
    format_memory_error,
    format_percent,
    format_range,
    format_score,
    format_seconds,
    read_row,
)
from bakeoff.report.class_names import read_classes
from bakeoff.runs.config import Fit, Metric, Mode, Model, Run
from bakeoff.runs.metrics import Metrics, describe_absent
from bakeoff.runs.record import RunRecord
from bakeoff.runs.study_file import AnyStudy, StudyData
from bakeoff.text import counted, printable

__all__ = [
    "Spending",
    "describe_cost",
    "describe_data",
    "describe_missing",
    "describe_recipe",
    "describe_scores",
    "describe_spending",
]


class Spending(NamedTuple):
    """A stage's wall-clock seconds, the ids of its runs in order, and its dropped candidates with the reasons."""

    stage: str
    seconds: float
    runs: tuple[str, ...]
    dropped: list[tuple[str, str]]


def describe_data(study: AnyStudy, records: Sequence[RunRecord]) -> dict[str, Any]:
    """Describe the data: name, counts, number of classes, fingerprint, notes, and number of unreadable images."""
    facts = study.data or StudyData(**records[0].data.model_dump(exclude={"fit"}))
    notes = tuple(map(printable, facts.notes))
    return facts.model_dump() | {"notes": notes, "quarantined": len(facts.quarantined)}


def describe_recipe(run: Run, origin: str = "") -> list[tuple[str, str]]:
    """Describe a run's config.

    Args:
        run: The config.
        origin: The origin of the run's weights, as in its record.

    Returns:
        Pairs of a term and its text; options that are off are left out.
    """
    model, train, optim = run.model, run.train, run.optim
    network = [
        ("Network", model.name),
        ("Input", f"{model.size} by {model.size} pixels{_FITTED.get(run.data.fit, '')}"),
        ("Weights", _describe_weights(model, origin)),
    ]
    learned = [("Images", "those of training and validation together")] if train.with_val else []
    if train.mode is Mode.PROBE:
        folds = f", scored by cross-validation in {counted(train.folds, 'fold')}" if train.folds else ""
        views = f", of {train.probe_views} augmented views of each image too if they help" if train.probe_views else ""
        return [*network, ("Training", f"a linear classifier on frozen features{folds}{views}"), *learned]
    lengths = {"training seconds": train.seconds, "images": train.images, "epochs": train.epochs}
    length = next(f"{value:g} {unit}" for unit, value in lengths.items() if value is not None)
    if train.sizes:
        length += f", growing through {', '.join(map(str, (*train.sizes, model.size)))} pixels"
    rate = f"rate {optim.learning_rate:g} ({optim.warmup * 100:g} % warm-up, then {optim.schedule})"
    damping = {
        "weight decay": optim.weight_decay,
        "label smoothing": optim.label_smoothing,
        "dropout": model.dropout,
        "moving average of weights": optim.ema,
        "gradient clipping": optim.clip_norm,
    }
    return [
        *network,
        ("Trained part", _describe_trained(model)),
        ("Length", length),
        *learned,
        ("Optimiser", f"{optim.name}, batch {train.batch}, {rate}"),
        ("Regularisation", ", ".join(f"{name} {value:g}" for name, value in damping.items() if value) or "none"),
        ("Augmentation", ", ".join(filter(None, (run.augment.policy, describe(run.augment))))),
        ("Precision", train.precision.value),
    ]


def describe_scores(val: Metrics | None, test: Metrics | None, classes: int) -> list[tuple[str, str, str]]:
    """Every score as text: (name, on validation, on test); a missing score is an empty string.

    Top-5 is left out where there are no more classes than that.
    """
    left_out = {"Top-5"} if classes <= 5 else set()
    if not _has_superclasses(val, test):
        left_out.add("Superclass top-1")
    return [
        (name, show(val) if val else "", show(test) if test else "")
        for name, show in _SCORES.items()
        if name not in left_out
    ]


def describe_missing(out: Path, record: RunRecord, val: Metrics | None, test: Metrics | None) -> list[str]:
    """Name the classes that these scores say nothing about: a sentence for each split that lacks some."""
    names = read_classes(out, record, record.data.classes).names
    split = "cross-validation" if record.folds else "validation"
    return [*describe_absent(split, val, names), *describe_absent("test", test, names)]


def describe_cost(record: RunRecord) -> list[tuple[str, str]]:
    """Describe the cost of one run as pairs of a term and its text; what was not measured is left out."""
    row = read_row(record)
    seconds = record.seconds
    at_most = f" and at most {record.memory_predicted_margin:.0%} more" if record.memory_predicted_margin else ""
    predicted = f" ({format_bytes(row.memory_predicted_bytes)}{at_most} predicted, {format_memory_error(row)})"
    terms = [
        ("Training", format_seconds(seconds.train) if seconds.train else ""),
        ("Whole process", format_seconds(seconds.total) if seconds.total else ""),
        ("Images seen", f"{record.images_seen:,} ({record.epochs:.1f} epochs)" if record.images_seen else ""),
        ("Throughput", f"{record.images_per_second:.0f} images/s" if record.images_per_second else ""),
        ("Peak memory", format_bytes(row.memory_peak_bytes) + (predicted if row.memory_predicted_bytes else "")),
        (
            "Parameters",
            f"{format_count(record.params_total)}, {format_count(record.params_trainable)} of them trained",
        ),
        ("Model file", format_bytes(record.model_bytes) if record.model_bytes else ""),
        ("Device", record.device),
    ]
    return [(term, words) for term, words in terms if words and words != DASH]


def _describe_trained(model: Model) -> str:
    unfreeze = model.unfreeze
    part = f"from {unfreeze} on" if isinstance(unfreeze, str) else f"{unfreeze * 100:g} % of the layers"
    if model.lora:
        return f"matrices of rank {model.lora} (LoRA) in the attention layers of {part}, and the head"
    return f"{part}, and the head" if unfreeze else "only the head"


def _describe_weights(model: Model, origin: str) -> str:
    if model.start:
        return f"from run {Path(model.start).parent.name}, which this run continues"
    if model.weights == "auto" and origin in _ORIGINS:
        return _ORIGINS[origin]
    return model.weights if model.weights in ("auto", "none") else f"from {Path(model.weights).name}"


def describe_spending(study: AnyStudy, records: Sequence[RunRecord]) -> list[Spending]:
    """List the time and the runs of each stage: from study.json if it has them, otherwise from the records.

    The time to write the report is left out, because it would change the page each time it is written.
    """
    candidates = {record.id: record.candidate for record in records}
    from_study = {facts.stage.value: facts for facts in study.stages}
    spending = []
    for stage in dict.fromkeys([*study.seconds, *from_study, *(stage.value for stage in reversed(STAGES))]):
        if stage == "report":
            continue
        in_stage = [record for record in records if record.stage == stage]
        facts = from_study.get(stage)
        seconds = study.seconds.get(stage, facts.seconds if facts else sum(record.seconds.total for record in in_stage))
        dropped = [(candidates.get(drop.id, drop.id), drop.why) for drop in facts.dropped] if facts else []
        if in_stage or seconds:
            ids = facts.runs if facts and facts.runs else [record.id for record in in_stage]
            spending.append(Spending(stage, seconds, tuple(ids), dropped))
    return spending


def _format_with_interval(metrics: Metrics, metric: Metric) -> str:
    estimate = metrics.read(metric)
    text = format_score(estimate and estimate.value, metric)
    if estimate is None or estimate.interval is None:
        return text
    return f"{text} ({format_interval(estimate.interval, metric)})"


def _has_superclasses(*scores: Metrics | None) -> bool:
    return any(metrics and metrics.superclass_top1 is not None for metrics in scores)


# What is said of pictures that are not only cropped.
_FITTED = {Fit.PAD: ", pictures padded to a square", Fit.SQUASH: ", pictures squashed to a square"}

_ORIGINS = {
    "package": "pretrained on ImageNet, from an installed package",
    "hub": "pretrained on ImageNet, downloaded by Keras",
    "preset": "pretrained, from the network's preset",
    "plugin": "pretrained, with the network's own weights",
    "file": "pretrained, from a weights file",
    "random": "random",
}

_SCORES: dict[str, Callable[[Metrics], str]] = {
    "Top-1": lambda metrics: format_percent(metrics.top1),
    "Top-1, 95 % interval": lambda metrics: format_range(metrics.top1_ci95),
    "Top-5": lambda metrics: format_percent(metrics.top5),
    "Superclass top-1": lambda metrics: format_percent(metrics.superclass_top1),
    "Balanced accuracy": lambda metrics: _format_with_interval(metrics, Metric.BALANCED),
    "Macro F1": lambda metrics: _format_with_interval(metrics, Metric.MACRO_F1),
    "Log loss (nats)": lambda metrics: _format_with_interval(metrics, Metric.LOG_LOSS),
    "AUROC": lambda metrics: _format_with_interval(metrics, Metric.AUROC),
    "Calibration error": lambda metrics: format_percent(metrics.ece),
    "Images": lambda metrics: f"{metrics.n:,}",
}
