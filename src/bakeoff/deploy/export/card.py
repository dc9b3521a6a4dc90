"""`model_card.md`: what the model is, what it learned from, how good it is, what it takes, and its limits."""

from bakeoff.data.shards import Dataset
from bakeoff.deploy.bundle import BundleFacts
from bakeoff.networks.table import find_network
from bakeoff.runs.metrics import Metrics
from bakeoff.runs.record import RunRecord

__all__ = ["write_card"]


def write_card(record: RunRecord, dataset: Dataset, facts: BundleFacts) -> str:
    """The card of a bundle as Markdown."""
    parts = [
        f"# {record.candidate} on {record.data.name}",
        f"An image classifier with {record.data.classes} classes, trained by bakeoff"
        f" {record.versions.get('bakeoff', '')} (run `{record.id}`). This bundle is `{facts.kind}`.",
        "## Data",
        _data(record),
        dataset.manifest.licence,
        "## Scores",
        _scores(record),
        *_this_model(facts),
        "## Confidence",
        _confidence(facts),
        "## Cost",
        _cost(record),
        *_in_use(facts),
        "## Weights",
        _weights(record),
        "## Use and limits",
        f"Input: uint8 RGB of {dataset.side}×{dataset.side} pixels (shorter side resized, centre cut), any number of"
        " images; scaling is inside the model. Output: one probability a class, in the order of `labels.json`.",
        "Meant for pictures like those above. It knows only its classes and will name one of them for any picture; a"
        " low probability is not a reliable sign of a picture that is none of them. It has not been examined for"
        " fairness between groups of people, nor for use where a wrong answer does harm.",
    ]
    return "\n\n".join(parts) + "\n"


def _data(record: RunRecord) -> str:
    counts = ", ".join(f"{count:,} {split}" for split, count in record.data.counts.items())
    return f"{record.data.name}, {counts} images; fingerprint `{record.data.fingerprint[:16]}`."


def _scores(record: RunRecord) -> str:
    named = [("validation", record.val), ("test", record.test)]
    opened = f"It was opened {record.test.openings} time(s)." if record.test else "It has not been opened."
    return "\n".join(
        [
            "| split | images | top-1 | 95 % interval | top-5 | macro F1 | log loss |",
            "|---|---|---|---|---|---|---|",
            *(_score_row(name, scores) for name, scores in named if scores is not None),
            "",
            f"As the run itself was evaluated. The validation split chose this run; the test split did not. {opened}",
        ]
    )


def _score_row(name: str, scores: Metrics) -> str:
    low, high = scores.top1_ci95
    return (
        f"| {name} | {scores.n:,} | {scores.top1:.2%} | {low:.2%} to {high:.2%} | {scores.top5:.2%}"
        f" | {scores.macro_f1:.3f} | {scores.log_loss:.3f} |"
    )


def _this_model(facts: BundleFacts) -> list[str]:
    found, scores = facts.parity, facts.val
    lines = []
    if found is not None:
        lines.append(
            f"This file, run by its own runtime on {found.images:,} validation images, names the same class as the run"
            f" for {found.agreement:.2%} of them ({found.near_agreement:.2%} but for near-ties); a probability differs"
            f" by {found.worst_gap:.1g} at most and by {found.mean_gap:.1g} in the mean."
        )
    if scores is not None:
        low, high = scores.top1_ci95
        lines.append(
            f"Its own top-1 on the {scores.images:,} validation images: {scores.top1:.2%} (95 % interval {low:.2%} to"
            f" {high:.2%}), after {scores.run_top1:.2%} of the run with all its bits."
        )
    return lines


def _confidence(facts: BundleFacts) -> str:
    found = facts.calibration
    if found is None:
        return "Not scaled."
    lines = [
        f"Logits are divided by a temperature of {found.temperature:.3f} before the softmax, inside the model (Guo et"
        f" al., arXiv 1706.04599). It was fitted on {found.images:,} validation images and never changes which class is"
        " likeliest.",
        "",
        "| split | calibration error before | after |",
        "|---|---|---|",
        f"| validation, fitted on it | {found.ece_before:.3f} | {found.ece_after:.3f} |",
    ]
    if found.test_ece_before is not None:
        lines.append(f"| test | {found.test_ece_before:.3f} | {found.test_ece_after:.3f} |")
    return "\n".join(lines)


def _cost(record: RunRecord) -> str:
    return (
        f"{record.params_total:,} parameters, {record.params_trainable:,} of them trained;"
        f" {record.seconds.train:.0f} s of training on {record.device};"
        f" {record.memory_peak_bytes / 1e6:,.0f} MB at the peak of training above the framework and the images."
    )


def _in_use(facts: BundleFacts) -> list[str]:
    timing = facts.timing
    if timing is None:
        return [f"The model takes {facts.model_bytes / 1e6:.1f} MB on disk. `bakeoff export` measures it in use."]
    return [
        f"In use, in a process of its own ({timing.device}; {timing.threads} threads):",
        "| format | on disk | 1 image | 32 images | first answer | memory at the peak |\n|---|---|---|---|---|---|\n"
        f"| {facts.kind} | {facts.model_bytes / 1e6:.1f} MB | {timing.batch1_seconds * 1000:.1f} ms"
        f" | {timing.batch32_seconds * 1000:.0f} ms | {timing.load_seconds:.1f} s"
        f" | {timing.memory_peak_bytes / 1e6:,.0f} MB |",
    ]


def _weights(record: RunRecord) -> str:
    start = record.weights.origin
    row = find_network(record.config.model.name)
    licence = row.licence if start != "random" else "random start, trained on these data alone"
    return f"Start: {start}. Licence: {licence}."
