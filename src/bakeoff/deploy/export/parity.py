"""Parity: the exported model, in the runtime of its format, against the run's own evaluation of the same images."""

from typing import NamedTuple

import numpy as np

from bakeoff.data.batches import Split, eval_batches
from bakeoff.deploy.bundle import QUANTIZATIONS, Floats, Format, Parity, Quantize, Runtime
from bakeoff.errors import BundleError
from bakeoff.runs.config import Precision
from bakeoff.text import counted

__all__ = ["PRECISIONS", "TOLERANCES", "Tolerance", "check_parity", "predict_split"]

BATCH = 64


class Tolerance(NamedTuple):
    """How far an exported model's probabilities may be from the run's."""

    agreement: float
    """Least share of images with the same predicted class."""
    near_tie: float
    """A class whose probability in the run is below the largest by no more than this counts as the same class."""
    mean_gap: float
    """Limit of the mean over images of the largest difference of a probability."""
    worst_gap: float = 1.0
    """Limit of the largest difference of a probability on any image."""

    def widened(self, other: "Tolerance") -> "Tolerance":
        """The wider limit of both, for a model that differs for two reasons."""
        least, *limits = zip(self, other, strict=True)
        return Tolerance(min(least), *map(max, limits))


# The same computation with another order of additions: every image must agree, up to rounding. Deep networks amplify
# it: with random weights, Keras' own file of ResNet-152 is off by 2e-5 in the mean, its LiteRT file by as much, and
# Inception's by 4e-5. What a converter does wrong is hundreds of times larger.
_EXACT = Tolerance(agreement=1.0, near_tie=5e-4, mean_gap=1e-4, worst_gap=5e-4)
# Fewer bits change the probabilities of every network, most where it is unsure. These limits distinguish such a loss
# from a failed conversion.
_QUANTIZED = {
    Quantize.FLOAT16: Tolerance(agreement=0.99, near_tie=0.01, mean_gap=0.005, worst_gap=0.1),
    Quantize.DYNAMIC: Tolerance(agreement=0.97, near_tie=0.05, mean_gap=0.04),
    Quantize.INT8: Tolerance(agreement=0.97, near_tie=0.1, mean_gap=0.07),
}
TOLERANCES: dict[tuple[Format, Quantize | None], Tolerance] = {
    (model_format, None): _EXACT for model_format in Format
} | {(model_format, kind): _QUANTIZED[kind] for model_format, kinds in QUANTIZATIONS.items() for kind in kinds}

# The shipped model computes in float32 whatever precision the run was scored in. bfloat16 has 8 significant bits, and
# float16 has 11.
PRECISIONS: dict[Precision, Tolerance] = {
    Precision.FLOAT32: _EXACT,
    Precision.FLOAT16: _QUANTIZED[Quantize.FLOAT16],
    Precision.BFLOAT16: _QUANTIZED[Quantize.DYNAMIC],
}
"""How far a run's own evaluation may be from the same weights in float32, by the run's precision."""


def predict_split(runtime: Runtime, split: Split) -> Floats:
    """The probabilities (n, classes) of a split's images, in its order."""
    return np.concatenate([runtime(images) for images, _ in eval_batches(split, BATCH)])


def check_parity(expected: Floats, written: Floats, tolerance: Tolerance) -> Parity:
    """Compare the probabilities of the run and of the exported model.

    Args:
        expected: The run's, (n, classes).
        written: The exported model's, (n, classes), of the same images.
        tolerance: The limits.

    Raises:
        BundleError: A limit is exceeded, or a probability is not a number.
    """
    if not np.isfinite(written).all():
        raise BundleError("the exported model's probabilities are not numbers, so it was not written")
    gaps = np.abs(expected - written).max(axis=1)
    chosen = expected[np.arange(len(expected)), written.argmax(axis=1)]
    found = Parity(
        images=len(expected),
        agreement=float((written.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        near_agreement=float((chosen >= expected.max(axis=1) - tolerance.near_tie).mean()),
        mean_gap=float(gaps.mean()),
        worst_gap=float(gaps.max()),
    )
    exceeded = []
    if found.near_agreement < tolerance.agreement:
        exceeded.append(
            f"the same class, or one within {tolerance.near_tie:g} of it, for {found.near_agreement:.1%} of"
            f" {counted(found.images, 'image')} (at least {tolerance.agreement:.0%} is required)"
        )
    for gap, limit, where in (
        (found.mean_gap, tolerance.mean_gap, "in the mean"),
        (found.worst_gap, tolerance.worst_gap, "at worst"),
    ):
        if gap > limit:
            exceeded.append(f"probabilities off by {gap:.2g} {where} (at most {limit:g})")
    if exceeded:
        raise BundleError(f"the exported model differs from the run, so it was not written: {', '.join(exceeded)}")
    return found
