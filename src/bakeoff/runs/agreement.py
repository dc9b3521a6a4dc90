"""Whether a model's predictions, computed again, are those that its run stored.

The same model gives slightly different probabilities elsewhere: every CPU and GPU adds numbers in an order of its own,
and stored logits have 11 significant bits. With oneDNN and without, and with the instruction sets SSE4.1, AVX2 and
AVX-512, the largest difference of a probability was 1e-4 in the mean over images for float32. For bfloat16, which has 8
bits, it was 0.035 with oneDNN and without. GPUs multiply float32 with 11 bits (TF32), as many as float16 has. The
limits are three to ten times these values, or more. A network of another training differs by more; one of nearly the
same weights is told by its hash.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import Precision
from bakeoff.runs.predictions import Predictions
from bakeoff.runs.record import RunRecord
from bakeoff.text import counted

__all__ = ["Tolerance", "choose_tolerance", "count_differing", "describe_difference"]


class Tolerance(NamedTuple):
    """How far predictions that are computed again may be from the stored ones."""

    mean_gap: float
    """Limit of the mean over images of the largest difference of a probability."""
    near_tie: float
    """A class whose stored probability is below the largest by no more than this counts as the same class."""
    differing: float
    """Limit of the share of images with another class."""


_FLOAT32 = Tolerance(mean_gap=1e-3, near_tie=0.01, differing=0.001)
_ELEVEN_BITS = Tolerance(mean_gap=0.01, near_tie=0.05, differing=0.01)
_BFLOAT16 = Tolerance(mean_gap=0.1, near_tie=0.1, differing=0.1)


def choose_tolerance(record: RunRecord) -> Tolerance:
    """The tolerance for a run, by its precision and the device that its predictions were computed on."""
    if record.precision == Precision.BFLOAT16:
        return _BFLOAT16
    on_cpu = record.device.lower().startswith("cpu")
    return _FLOAT32 if on_cpu and record.precision != Precision.FLOAT16 else _ELEVEN_BITS


def count_differing(probabilities: NDArray[np.floating], predicted: NDArray[np.intp], near_tie: float) -> int:
    """Count the images whose predicted class is not one of those that were as probable as any.

    Args:
        probabilities: The stored ones, (n, classes).
        predicted: The classes that are predicted now, (n,).
        near_tie: A class whose probability is below the largest by no more than this is as probable as any.
    """
    chosen = probabilities[np.arange(len(predicted)), predicted]
    return int((chosen < probabilities.max(axis=1) - near_tie).sum())


def describe_difference(record: RunRecord, stored: Predictions, computed: Predictions) -> str:
    """Compare the stored predictions of a run with those of a model.

    Args:
        record: The run.
        stored: The run's predictions.
        computed: The model's; the images that both have, by their ids, are compared, or all if the run stored no ids.

    Returns:
        How the predictions differ, in a few words; empty if they are the same but for rounding.
    """
    if computed.classes != stored.classes:
        return f"{counted(computed.classes, 'class')} instead of {stored.classes}"
    if stored.ids:
        places = {name: place for place, name in enumerate(computed.ids)}
        shared = [(place, places[name]) for place, name in enumerate(stored.ids) if name in places]
    else:
        # Early versions stored no ids; the order was the same.
        shared = [(place, place) for place in range(len(stored.labels))]
        if not np.array_equal(stored.labels, computed.labels):
            return "predictions of other images"
    if not shared:
        return "predictions of other images"
    kept, again = np.array(shared).T
    expected, found = softmax(stored.logits[kept]), softmax(computed.logits[again])
    if not np.isfinite(found).all():
        return "probabilities that are not numbers"
    tolerance = choose_tolerance(record)
    mean_gap = float(np.abs(expected - found).max(axis=1).mean())
    differing = count_differing(expected, found.argmax(axis=1), tolerance.near_tie)
    if mean_gap <= tolerance.mean_gap and differing <= tolerance.differing * len(shared):
        return ""
    return (
        f"{differing:,} of {counted(len(shared), 'image')} in another class, probabilities off by"
        f" {mean_gap:.2g} in the mean"
    )
