"""The temperature that makes its confidence mean what it says."""

from collections.abc import Mapping

import numpy as np

from bakeoff.deploy.bundle import Calibration
from bakeoff.runs.calibration import fit_temperature
from bakeoff.runs.folder import SplitScored
from bakeoff.runs.metrics import score
from bakeoff.runs.predictions import Predictions

__all__ = ["calibrate"]

# Where nearly every image is right, the likeliest temperature goes to 0 and every answer to certainty.
_LEAST = 0.2


def calibrate(predictions: Mapping[SplitScored, Predictions]) -> Calibration:
    """Fit the temperature on validation, and the calibration error of each split before and after."""
    val, test = predictions["val"], predictions.get("test")
    temperature = max(_LEAST, fit_temperature(val.logits, val.labels))
    return Calibration(
        temperature=temperature,
        images=len(val.labels),
        ece_before=_error(val, 1.0),
        ece_after=_error(val, temperature),
        test_ece_before=None if test is None else _error(test, 1.0),
        test_ece_after=None if test is None else _error(test, temperature),
    )


def _error(predictions: Predictions, temperature: float) -> float:
    return score(predictions.logits / np.float32(temperature), predictions.labels, None).ece
