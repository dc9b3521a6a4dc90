"""The temperature of an exported model, and the calibration errors before and after."""

from collections.abc import Mapping

import numpy as np

from bakeoff.deploy.bundle import Calibration
from bakeoff.runs.calibration import choose_temperature
from bakeoff.runs.folder import SplitScored
from bakeoff.runs.metrics import score
from bakeoff.runs.predictions import Predictions

__all__ = ["calibrate"]


def calibrate(predictions: Mapping[SplitScored, Predictions], run: str = "") -> Calibration | None:
    """Fit the temperature on validation (Guo et al. 2017), and compute each split's calibration error before and after.

    Args:
        predictions: By split; both are optional.
        run: Id of the run that made the predictions on validation, if it is not the one that is exported.

    Returns:
        The temperature; None without predictions on validation.
    """
    val, test = predictions.get("val"), predictions.get("test")
    if val is None:
        return None
    temperature = choose_temperature(val.logits, val.labels)
    return Calibration(
        temperature=temperature,
        images=len(val.labels),
        run=run,
        ece_before=_error(val, 1.0),
        ece_after=_error(val, temperature),
        test_ece_before=None if test is None else _error(test, 1.0),
        test_ece_after=None if test is None else _error(test, temperature),
    )


def _error(predictions: Predictions, temperature: float) -> float:
    return score(predictions.logits / np.float32(temperature), predictions.labels, None).ece
