"""Predictions computed again: rounding passes, another model does not."""

import numpy as np
import pytest

from bakeoff.runs.agreement import count_differing, describe_difference
from bakeoff.runs.predictions import Predictions, round_logits
from factories import make_record

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 4, (500, 10)).astype(np.float32)
LABELS = LOGITS.argmax(axis=1).astype(np.int32)
IDS = [str(number) for number in range(500)]
STORED = Predictions(round_logits(LOGITS), LABELS, IDS)


def _compare(logits, precision="float32", device="cpu: x86_64, 2 cores", ids=IDS):
    record = make_record("lenet@32").model_copy(update={"precision": precision, "device": device})
    return describe_difference(record, STORED, Predictions(logits, LABELS[: len(logits)], ids))


def _noisy(size):
    return LOGITS * (1 + size * RNG.normal(0, 1, LOGITS.shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("precision", "device", "passes", "fails"),
    [
        ("float32", "cpu: x86_64, 2 cores", 2**-12, 2**-5),
        ("float32", "NVIDIA A100", 2**-9, 0.25),
        ("mixed_float16", "cpu: x86_64, 2 cores", 2**-9, 0.25),
        ("mixed_bfloat16", "cpu: x86_64, 2 cores", 2**-6, 1.0),
    ],
)
def test_rounding_passes_and_more_does_not(precision, device, passes, fails):
    assert _compare(_noisy(passes), precision, device) == ""
    assert "images in another class" in _compare(_noisy(fails), precision, device)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_another_model_never_passes(precision):
    other = RNG.normal(0, 4, LOGITS.shape).astype(np.float32)
    assert "of 500 images in another class" in _compare(other, precision)
    assert _compare(LOGITS[:, :9], precision) == "9 classes instead of 10"
    assert _compare(np.full_like(LOGITS, np.nan), precision) == "probabilities that are not numbers"


def test_either_of_two_classes_that_are_almost_equally_probable_is_the_same():
    """A network of a hundred classes that has hardly learned has many such images."""
    probabilities = np.array([[0.50, 0.49, 0.01], [0.60, 0.30, 0.10], [0.20, 0.40, 0.40]])
    assert count_differing(probabilities, np.array([1, 0, 2]), near_tie=0.02) == 0
    assert count_differing(probabilities, np.array([2, 1, 0]), near_tie=0.02) == 3


def test_images_are_matched_by_their_ids():
    assert _compare(LOGITS[100::-1], ids=IDS[100::-1]) == ""
    assert _compare(LOGITS, ids=[f"x{name}" for name in IDS]) == "predictions of other images"


def test_predictions_without_ids_are_matched_by_their_order():
    record = make_record("lenet@32")
    stored = Predictions(round_logits(LOGITS), LABELS)
    assert describe_difference(record, stored, Predictions(LOGITS, LABELS, IDS)) == ""
    other = Predictions(LOGITS[::-1], LABELS[::-1], IDS)
    assert describe_difference(record, stored, other) == "predictions of other images"
