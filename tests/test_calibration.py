"""Calibration error, and the temperature that reduces it."""

import numpy as np
import pytest

from bakeoff.runs.calibration import calibration_error, cross_fit, fit_temperature, reliability, softmax


@pytest.fixture
def calibrated():
    """Perfectly calibrated logits (n, classes), and labels (n,) drawn from their probabilities."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(20_000, 10)).astype(np.float32)
    cumulative = softmax(logits).cumsum(axis=1)
    labels = (cumulative < rng.random((20_000, 1))).sum(axis=1).astype(np.int32)
    return logits, labels


def _error(logits, labels):
    probabilities = softmax(logits)
    return calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_is_the_factor_that_logits_were_multiplied_by(calibrated, factor):
    logits, labels = calibrated
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.05)


def test_no_other_temperature_has_a_lower_log_loss(calibrated):
    logits, labels = calibrated[0] * 2, calibrated[1]

    def loss(temperature):
        return -np.log(softmax(logits / temperature)[np.arange(len(labels)), labels]).mean()

    best = fit_temperature(logits, labels)
    assert all(loss(best) < loss(best * factor) for factor in (0.9, 0.98, 1.02, 1.1))


def test_the_temperature_of_a_perfect_or_useless_network_is_limited():
    logits = 5 * np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    assert fit_temperature(logits, np.array([0, 1, 2, 0], np.int32)) == pytest.approx(1 / 20)
    assert fit_temperature(logits, np.array([1, 2, 0, 1], np.int32)) == pytest.approx(20)


def test_cross_fitting_uses_no_temperature_that_an_exported_model_would_not_have():
    logits = 5 * np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    assert np.allclose(cross_fit(logits, np.array([0, 1, 2, 0], np.int32)), 5 * logits)


def test_cross_fitting_calibrates_held_out_logits_and_changes_no_prediction(calibrated):
    logits, labels = calibrated[0] * 3, calibrated[1]
    scaled = cross_fit(logits, labels)
    assert _error(scaled, labels) < 0.02 < 0.2 < _error(logits, labels)
    assert (scaled.argmax(axis=1) == logits.argmax(axis=1)).all()
    # The half that is scaled takes no part in fitting its temperature.
    other = labels.copy()
    other[::2] = (other[::2] + 1) % 10
    assert np.array_equal(cross_fit(logits, other)[::2], scaled[::2])


def test_bins_hold_every_image_and_empty_bins_are_nan():
    bins = reliability(np.array([0.999, 1.0, 0.5], np.float32), np.array([True, False, True]))
    assert bins.counts.tolist() == [0] * 7 + [1] + [0] * 6 + [2]
    assert bins.accuracy[[7, 14]].tolist() == [1.0, 0.5]
    assert np.isnan(bins.confidence[0])
    assert calibration_error(np.array([1.0, 1.0], np.float32), np.array([True, False])) == pytest.approx(0.5)
