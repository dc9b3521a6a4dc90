"""The written model, through the runtime of its own format, against the run's own evaluation of the same images."""

from typing import NamedTuple

import numpy as np

from bakeoff.bundle import KINDS, Floats, Format, Parity, Quantize, Runtime
from bakeoff.errors import BundleError
from bakeoff.pipeline import Split, eval_batches

__all__ = ["TOLERANCES", "Tolerance", "answer_split", "check_parity"]

BATCH = 64
# Classes whose probabilities are nearer than this are as good an answer as each other.
NEAR_TIE = 1e-4


class Tolerance(NamedTuple):
    """How far a format may be from the run: the share of images with the same class, and gaps of probabilities."""

    agreement: float
    mean_gap: float
    """Mean over images of the largest difference of a probability."""
    worst_gap: float = 1.0


# The same numbers in another order of additions: every image, to float noise.
_EXACT = Tolerance(agreement=1.0, mean_gap=2e-5, worst_gap=1e-4)
# Fewer bits lose something in every network; these bounds tell a loss from a conversion that went wrong.
_QUANTIZED = {
    Quantize.FLOAT16: Tolerance(agreement=0.99, mean_gap=0.005, worst_gap=0.1),
    Quantize.DYNAMIC: Tolerance(agreement=0.97, mean_gap=0.03),
    Quantize.INT8: Tolerance(agreement=0.97, mean_gap=0.05),
}
TOLERANCES: dict[tuple[Format, Quantize | None], Tolerance] = {(form, None): _EXACT for form in Format} | {
    (form, kind): _QUANTIZED[kind] for form, kinds in KINDS.items() for kind in kinds
}


def answer_split(runtime: Runtime, split: Split) -> Floats:
    """Probabilities (n, classes) of a split's images, in its order."""
    return np.concatenate([runtime(images) for images, _ in eval_batches(split, BATCH)])


def check_parity(expected: Floats, written: Floats, tolerance: Tolerance) -> Parity:
    """Compare probabilities (n, classes) of the same images. Raises BundleError if they differ by more than may be."""
    if not np.isfinite(written).all():
        raise BundleError("the exported model gives answers that are not numbers, so it was not written")
    gaps = np.abs(expected - written).max(axis=1)
    chosen = expected[np.arange(len(expected)), written.argmax(axis=1)]
    found = Parity(
        images=len(expected),
        agreement=float((chosen >= expected.max(axis=1) - NEAR_TIE).mean()),
        mean_gap=float(gaps.mean()),
        worst_gap=float(gaps.max()),
    )
    agrees = found.agreement >= tolerance.agreement
    if not agrees or found.mean_gap > tolerance.mean_gap or found.worst_gap > tolerance.worst_gap:
        raise BundleError(
            f"the exported model answers otherwise than the run, so it was not written: the same class for"
            f" {found.agreement:.1%} of {found.images} images (at least {tolerance.agreement:.0%} is asked for),"
            f" probabilities off by {found.mean_gap:.2g} in the mean (at most {tolerance.mean_gap:g})"
            f" and {found.worst_gap:.2g} at worst (at most {tolerance.worst_gap:g}); choose another format"
        )
    return found
