"""What a run said of its images, and the temperature that makes its confidence mean what it says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.bundle import Calibration
from bakeoff.calibration import fit_temperature
from bakeoff.errors import OutputError
from bakeoff.evaluate import score
from bakeoff.files import read_arrays

__all__ = ["Logits", "calibrate", "read_logits"]

# Where nearly every image is right, the likeliest temperature goes to 0 and every answer to certainty.
_LEAST = 0.2


@dataclass(frozen=True)
class Logits:
    """What a run said of a split: float32 logits (n, classes), int32 labels (n,)."""

    values: NDArray[np.float32]
    labels: NDArray[np.int32]


def read_logits(run: Path) -> dict[str, Logits]:
    """The logits that a run's folder holds, by split: `val`, and `test` where it was opened. Raises OutputError."""
    found = {}
    for split in ("val", "test"):
        path = run / f"{split}-logits.npz"
        if split == "test" and not path.is_file():
            continue
        try:
            file = read_arrays(path)
            found[split] = Logits(file["logits"].astype(np.float32), file["labels"])
        except (OSError, ValueError, KeyError) as error:
            raise OutputError(f"cannot read {path}: {error}; name a completed training run") from error
    return found


def calibrate(logits: Mapping[str, Logits]) -> Calibration:
    """Fit the temperature on validation, and the calibration error of each split before and after."""
    val, test = logits["val"], logits.get("test")
    temperature = max(_LEAST, fit_temperature(val.values, val.labels))
    return Calibration(
        temperature=temperature,
        images=len(val.labels),
        ece_before=_error(val, 1.0),
        ece_after=_error(val, temperature),
        test_ece_before=None if test is None else _error(test, 1.0),
        test_ece_after=None if test is None else _error(test, temperature),
    )


def _error(logits: Logits, temperature: float) -> float:
    return score(logits.values / np.float32(temperature), logits.labels, None).ece
