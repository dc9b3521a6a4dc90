"""A trained run as a bundle to ship: the model with its preprocessing and softmax inside, and its card.

bundle/model.keras      uint8 RGB (n, side, side, 3) -> probabilities (n, classes)
bundle/labels.json      class names in the order of the outputs, and their superclasses
bundle/bundle.json      side, hashes, where it came from
bundle/model_card.md    data, scores with intervals, cost, limits
"""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

import bakeoff
from bakeoff.backbones import find_backbone
from bakeoff.errors import BakeoffError
from bakeoff.evaluate import compile_forward, predict_logits, softmax
from bakeoff.files import hash_file, make_dir, replacing, write_json, write_text
from bakeoff.pipeline import Split
from bakeoff.runs import Metrics, RunRecord
from bakeoff.shards import Dataset

__all__ = ["BUNDLE_SCHEMA", "write_bundle"]

BUNDLE_SCHEMA = 1
# Largest difference of a probability between the run's model and the bundle's, reloaded.
TOLERANCE = 1e-4


def write_bundle(model: keras.Model, record: RunRecord, dataset: Dataset, held_out: Split, folder: Path) -> None:
    """Write the bundle of a run. Raises BakeoffError if the written model answers otherwise than the run's own."""
    make_dir(folder)
    # The wrapper pins inference mode: Keras' image layers would otherwise carry training mode into an export.
    images = keras.Input((dataset.side, dataset.side, 3), dtype="uint8", name="image")
    softmax_of = keras.layers.Softmax(dtype="float32", name="probability")
    probabilities = softmax_of(model(images, training=False))
    flip = record.config.train.flip_test
    if flip:
        mirrored = softmax_of(model(keras.ops.flip(images, axis=2), training=False))
        probabilities = keras.layers.Average(dtype="float32", name="mean_of_mirrored")([probabilities, mirrored])
    shipped = keras.Model(images, probabilities, name=model.name)
    with replacing(folder / "model.keras") as temporary:
        shipped.save(temporary)
        expected = softmax(predict_logits(compile_forward(model), held_out, flip=flip))
        _check_parity(expected, keras.models.load_model(temporary, compile=False), held_out)
    write_json(
        folder / "labels.json",
        {
            "classes": dataset.class_names,
            "superclasses": dataset.superclass_names,
            "superclass_of": dataset.superclass_of,
        },
    )
    write_text(folder / "model_card.md", _model_card(record, dataset))
    write_json(
        folder / "bundle.json",
        {
            "schema": BUNDLE_SCHEMA,
            "run": record.id,
            "candidate": record.candidate,
            "side": dataset.side,
            "bakeoff": bakeoff.__version__,
            "files": {name: hash_file(folder / name) for name in ("model.keras", "labels.json", "model_card.md")},
        },
    )


def _check_parity(expected: NDArray[np.float32], shipped: keras.Model, held_out: Split) -> None:
    # As Keras runs it, without the rearrangements of `fuse`, which its users do not have.
    written = shipped.predict(held_out.images, verbose=0)
    gap = float(np.abs(expected - written).max())
    if gap > TOLERANCE or (expected.argmax(1) != written.argmax(1)).any():
        raise BakeoffError(f"the bundle's model answers otherwise than the run's: a probability differs by {gap:.2g}")


def _model_card(record: RunRecord, dataset: Dataset) -> str:
    row = find_backbone(record.config.model.name)
    counts = ", ".join(f"{count:,} {split}" for split, count in record.data.counts.items())
    weights = row.licence if record.weights.origin != "random" else "random start, trained on these data alone"
    lines = [
        f"# {record.candidate} on {record.data.name}",
        "",
        f"An image classifier with {record.data.classes} classes,"
        f" trained by bakeoff {record.versions.get('bakeoff', '')} (run `{record.id}`).",
        "",
        "## Data",
        "",
        f"{record.data.name}, {counts} images; fingerprint `{record.data.fingerprint[:16]}`.",
        "",
        dataset.manifest.licence,
        "",
        "## Scores",
        "",
        "| split | images | top-1 | 95 % interval | top-5 | macro F1 | log loss | calibration error |",
        "|---|---|---|---|---|---|---|---|",
        *(_score_row(name, scores) for name, scores in _splits(record)),
        "",
        "The validation split chose this run; the test split did not."
        + (f" It was opened {record.test.openings} time(s)." if record.test else " It has not been opened."),
        "",
        "## Cost",
        "",
        f"{record.params_total:,} parameters, {record.params_trainable:,} of them trained;"
        f" {record.seconds.train:.0f} s of training on {record.device};"
        f" {record.memory_peak_bytes / 1e6:,.0f} MB at the peak of training above the framework and the images.",
        "",
        "## Weights",
        "",
        f"Start: {record.weights.origin}. Licence: {weights}.",
        "",
        "## Use and limits",
        "",
        f"Input: uint8 RGB of {dataset.side}×{dataset.side} pixels (shorter side resized, centre cut); scaling is"
        " inside the model. Output: one probability a class.",
        "It knows only the classes in `labels.json` and will name one of them for any picture. The scores hold for"
        " images drawn like those above.",
        "",
    ]
    return "\n".join(lines)


def _splits(record: RunRecord) -> list[tuple[str, Metrics]]:
    named = [("validation", record.val), ("test", record.test)]
    return [(name, scores) for name, scores in named if scores is not None]


def _score_row(name: str, scores: Metrics) -> str:
    low, high = scores.top1_ci95
    return (
        f"| {name} | {scores.n:,} | {scores.top1:.2%} | {low:.2%} to {high:.2%} | {scores.top5:.2%}"
        f" | {scores.macro_f1:.3f} | {scores.log_loss:.3f} | {scores.ece:.3f} |"
    )
