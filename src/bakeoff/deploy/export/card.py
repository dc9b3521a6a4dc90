"""`model_card.md`: the model, its data, scores, calibration, cost, weights and limits."""

from collections.abc import Sequence

from bakeoff.data.pixels import PAD_COLOUR
from bakeoff.data.shards import Dataset
from bakeoff.deploy.bundle import BundleFacts, Format
from bakeoff.networks.find import find_network
from bakeoff.networks.weights import PRESET
from bakeoff.runs.config import Balance, Fit, Metric
from bakeoff.runs.metrics import Metrics, describe_absent
from bakeoff.runs.plugin import Plugin
from bakeoff.runs.record import RunRecord
from bakeoff.text import counted, markdown, times

__all__ = ["write_card"]


def write_card(record: RunRecord, dataset: Dataset, facts: BundleFacts, confirmed: RunRecord | None = None) -> str:
    """Write the model card of a bundle, as Markdown.

    Args:
        record: The run.
        dataset: Its data.
        facts: The bundle.
        confirmed: Of a refit, the run whose recipe it repeats, which has the scores on validation.
    """
    parts = [
        f"# {record.candidate} on {record.data.name}",
        f"An image classifier with {counted(record.data.classes, 'class')}, trained by bakeoff"
        f" {record.versions.get('bakeoff', '')} (run `{record.id}`). This bundle is `{facts.format_label}`.",
        "## Data",
        _data(record),
        dataset.manifest.licence,
        "## Scores",
        _scores(record, dataset, confirmed),
        *_this_model(facts),
        "## Confidence",
        _confidence(facts, record.config.train.balance),
        *_threshold(facts),
        "## Cost",
        _cost(record),
        *_in_use(facts),
        "## Weights",
        _weights(record),
        *_plugin(record.plugin, facts.format),
        "## Use and limits",
        f"Input: any number of uint8 RGB images of {facts.side}×{facts.side} pixels. {_fit(facts)} Scaling of the"
        " pixels is part of the model. Output: one probability for each class, in the order of `labels.json`.",
        *_needs(facts),
        "The model is meant for images like those of its training data. It knows only its classes and predicts one of"
        " them for any image; a low probability is not a reliable sign that an image shows none of them. It has not"
        " been examined for fairness between groups of people, nor for uses where a wrong prediction does harm.",
    ]
    return "\n\n".join(parts) + "\n"


def _fit(facts: BundleFacts) -> str:
    match facts.fit:
        case Fit.PAD:
            rule = f"resize the longer side to {facts.side}, then centre the picture on the colour {PAD_COLOUR}"
        case Fit.SQUASH:
            rule = f"resize both sides to {facts.side}"
        case _:
            rule = f"resize the shorter side to {facts.side}, then crop the centre"
    return f"Fit of pictures that are not square: `{facts.fit}` ({rule}); resizing is Pillow's `BICUBIC`."


def _and_kerashub(facts: BundleFacts) -> str:
    version = facts.versions.get("keras_hub")
    return f", and KerasHub {version} or newer (`pip install --no-deps keras-hub`)" if version else ""


def _needs(facts: BundleFacts) -> list[str]:
    if not facts.versions:
        return []
    tensorflow, keras = facts.versions["tensorflow"], facts.versions["keras"]
    needed = {
        Format.KERAS: f" Opening it needs Keras {keras} or newer{_and_kerashub(facts)}.",
        Format.SAVED_MODEL: f" Running it needs TensorFlow, best {tensorflow} or newer.",
    }
    return [f"The model was written by Keras {keras} and TensorFlow {tensorflow}.{needed.get(facts.format, '')}"]


def _data(record: RunRecord) -> str:
    counts = ", ".join(f"{count:,} {split}" for split, count in record.data.counts.items())
    return f"{record.data.name}, {counts} images; fingerprint `{record.data.fingerprint[:16]}`."


def _scores(record: RunRecord, dataset: Dataset, confirmed: RunRecord | None) -> str:
    splits = [("validation", confirmed.val if confirmed else record.val), ("test", record.test)]
    scored = [(name, scores) for name, scores in splits if scores is not None]
    names = [markdown(name) for name in dataset.class_names]
    decides = record.config.train.metric
    opened = f"It was opened {times(record.test.openings)}." if record.test else "It has not been opened yet."
    return "\n".join(
        [
            "| | " + " | ".join(f"{name}, {counted(scores.n, 'image')}" for name, scores in scored) + " |",
            "|---" * (1 + len(scored)) + "|",
            *(_score_row(metric, [scores for _, scores in scored]) for metric in sorted(Metric, key=decides.__ne__)),
            "| top-5 | " + " | ".join(f"{scores.top5:.2%}" for _, scores in scored) + " |",
            "",
            "In parentheses: 95 % intervals. These are the scores of the run, before export. The run was selected by"
            f" {decides.label} on the validation split, not on the test split. {opened}",
            *_refit(record),
            *_leaks(record),
            *(line for name, scores in scored for line in describe_absent(name, scores, names)),
        ]
    )


def _score_row(metric: Metric, splits: Sequence[Metrics]) -> str:
    def show(scores: Metrics) -> str:
        estimate = scores.read(metric)
        if estimate is None:
            return "not known"
        style = ".3f" if metric.is_loss else ".2%"
        text = f"{estimate.value:{style}}"
        if estimate.interval is None:
            return text
        low, high = estimate.interval
        return f"{text} ({low:{style}} to {high:{style}})"

    return f"| {metric.label} | " + " | ".join(map(show, splits)) + " |"


def _refit(record: RunRecord) -> list[str]:
    if not record.config.train.with_val:
        return []
    text = "This model was trained on training and validation images together, so none of the latter can score it."
    if record.refit_of:
        text += (
            f" The scores on validation are those of run `{record.refit_of}`: the same recipe, trained on the training"
            " images alone. Those on test are of this model."
        )
    return [text]


def _leaks(record: RunRecord) -> list[str]:
    test = record.test
    if test is None:
        return []
    left_out = test.near_duplicates_unsearched
    unsearched = [f"Test images were not compared with {left_out}."] if left_out else []
    if not test.near_duplicates:
        return unsearched
    return [
        f"{test.near_duplicates:,} of the {counted(test.n, 'test image')} have a near-duplicate among the training"
        " images, which"
        " makes the score on test too high for new images.",
        *unsearched,
    ]


def _this_model(facts: BundleFacts) -> list[str]:
    found, scores = facts.parity, facts.val
    lines = []
    if found is not None:
        lines.append(
            f"On {counted(found.images, 'validation image')} this exported model, in its runtime, predicts the"
            " same class as the"
            f" run for {found.agreement:.2%} of them ({found.near_agreement:.2%} if near-ties count as the same)."
            f" Probabilities differ by {found.worst_gap:.1g} at most; the mean of the largest difference per image is"
            f" {found.mean_gap:.1g}."
        )
    if scores is not None:
        low, high = scores.top1_ci95
        lines.append(
            f"Its top-1 on the {counted(scores.images, 'validation image')} is {scores.top1:.2%} (95 % interval"
            f" {low:.2%} to"
            f" {high:.2%}); without quantisation it is {scores.run_top1:.2%}."
            f"{' It has learned these images, so only the difference counts.' if facts.learned_val else ''}"
        )
    return lines


def _confidence(facts: BundleFacts, balance: Balance) -> str:
    found = facts.calibration
    if found is None:
        why = (
            ": the model has learned the validation images, on which a temperature is fitted"
            if facts.learned_val
            else ""
        )
        return f"The probabilities are not calibrated{why}."
    lines = [
        f"The model divides its logits by a temperature of {found.temperature:.3f} before the softmax (Guo et al. 2017,"
        f" arXiv 1706.04599). The temperature was fitted on {counted(found.images, 'validation image')}. It changes the"
        f" probabilities, never the predicted class.{_of_another(found.run)}",
        "",
        "| split | expected calibration error before | after |",
        "|---|---|---|",
        f"| validation (fitted on it) | {found.ece_before:.3f} | {found.ece_after:.3f} |",
    ]
    if found.test_ece_before is not None:
        lines.append(f"| test | {found.test_ece_before:.3f} | {found.test_ece_after:.3f} |")
    if balance is not Balance.NONE:
        lines += [
            "",
            f"It was trained with `train.balance = {balance}`, as if all classes were equally frequent. The confidence"
            " is right on average for images whose classes are as frequent as in validation. Where a rare class is"
            " predicted it is too high, and where a frequent one is, too low.",
        ]
    return "\n".join(lines)


def _threshold(facts: BundleFacts) -> list[str]:
    if facts.threshold is None:
        return []
    of = facts.calibration.run if facts.calibration else ""
    learned = [f"The figures on validation are those of run `{of}`, which has not learned these images."] if of else []
    return [" ".join([*facts.threshold.sentences, *learned])]


def _of_another(run: str) -> str:
    if not run:
        return ""
    return (
        f" This model has learned these images, so the temperature is that of run `{run}`, the same recipe trained"
        " without them. The errors on validation are of that run, those on test of this model."
    )


def _cost(record: RunRecord) -> str:
    return (
        f"{counted(record.params_total, 'parameter')}, {record.params_trainable:,} of them trained;"
        f" {record.seconds.train:.0f} s of training on {record.device};"
        f" {record.memory_peak_bytes / 1e6:,.0f} MB of peak memory in training, above the framework and the images."
    )


def _in_use(facts: BundleFacts) -> list[str]:
    timing = facts.timing
    if timing is None:
        return [
            f"The model takes {facts.model_bytes / 1e6:.1f} MB on disk. `bakeoff export` measures its latency and"
            " memory."
        ]
    return [
        f"Measured in a fresh process ({timing.device}; {counted(timing.threads, 'thread')}):",
        "| format | on disk | 1 image | 32 images | first prediction | peak memory |\n|---|---|---|---|---|---|\n"
        f"| {facts.format_label} | {facts.model_bytes / 1e6:.1f} MB | {timing.batch1_seconds * 1000:.1f} ms"
        f" | {timing.batch32_seconds * 1000:.0f} ms | {timing.load_seconds:.1f} s"
        f" | {timing.memory_peak_bytes / 1e6:,.0f} MB |",
    ]


def _weights(record: RunRecord) -> str:
    origin = record.weights.origin
    if origin == "random":
        return "Starting weights: random. Licence: no third-party weights, trained on this data only."
    licence = record.weights.licence or find_network(record.config.model.name).licence
    named = f"{origin} ({record.config.model.name})" if origin == PRESET else origin
    return f"Starting weights: {named}. Licence: {licence}."


def _plugin(plugin: Plugin | None, model_format: Format) -> list[str]:
    if plugin is None:
        return []
    package = f", which {markdown(plugin.package)} installs" if plugin.package else ""
    lines = [f"The network is `{plugin.target}`{package}; SHA-256 of its source: `{plugin.source}`."]
    if plugin.objects:
        needs = (
            f"Opening the model needs them: keep `{plugin.module}` where Python finds it, with this source."
            if model_format is Format.KERAS
            else "This format needs none of them."
        )
        names = ", ".join(f"`{name}`" for name in plugin.objects)
        lines.append(f"It has layers or functions that are not Keras' own: {names}. {needs}")
    return [" ".join(lines)]
