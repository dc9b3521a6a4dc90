"""The written model, through the runtime of its own format, against the run's own evaluation of the same images."""

from typing import NamedTuple

import numpy as np

from bakeoff.data.batches import Split, eval_batches
from bakeoff.deploy.bundle import KINDS, Floats, Format, Parity, Quantize, Runtime
from bakeoff.errors import BundleError

__all__ = ["TOLERANCES", "Tolerance", "answer_split", "check_parity"]

BATCH = 64


class Tolerance(NamedTuple):
    """How far a format may be from the run: the share of images with the same class, and gaps of probabilities."""

    agreement: float
    near_tie: float
    """A class that the run held less likely than its own by no more than this counts as the same."""
    mean_gap: float
    """Mean over images of the largest difference of a probability."""
    worst_gap: float = 1.0


# The same numbers in another order of additions: every image, to float noise.
_EXACT = Tolerance(agreement=1.0, near_tie=1e-4, mean_gap=2e-5, worst_gap=1e-4)
# Fewer bits lose something in every network, more where it is unsure; these bounds tell a loss from a conversion that
# went wrong.
_QUANTIZED = {
    Quantize.FLOAT16: Tolerance(agreement=0.99, near_tie=0.01, mean_gap=0.005, worst_gap=0.1),
    Quantize.DYNAMIC: Tolerance(agreement=0.97, near_tie=0.05, mean_gap=0.04),
    Quantize.INT8: Tolerance(agreement=0.97, near_tie=0.1, mean_gap=0.07),
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
        agreement=float((written.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        near_agreement=float((chosen >= expected.max(axis=1) - tolerance.near_tie).mean()),
        mean_gap=float(gaps.mean()),
        worst_gap=float(gaps.max()),
    )
    agrees = found.near_agreement >= tolerance.agreement
    if not agrees or found.mean_gap > tolerance.mean_gap or found.worst_gap > tolerance.worst_gap:
        raise BundleError(
            f"the exported model answers otherwise than the run, so it was not written: the same class, or one within"
            f" {tolerance.near_tie:g} of it, for {found.near_agreement:.1%} of {found.images} images (at least"
            f" {tolerance.agreement:.0%} is asked for), probabilities off by {found.mean_gap:.2g} in the mean"
            f" (at most {tolerance.mean_gap:g}) and {found.worst_gap:.2g} at worst (at most {tolerance.worst_gap:g});"
            " choose another format"
        )
    return found
