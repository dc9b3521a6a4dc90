"""Accuracy against coverage, and the confidence from which answers are right often enough."""

import numpy as np
import pytest

from bakeoff.deploy.bundle import ThresholdKind, ThresholdRule
from bakeoff.deploy.export.threshold import choose_threshold
from bakeoff.errors import BundleError
from bakeoff.runs.metrics import wilson_interval
from bakeoff.runs.selective import CoverageCurve, trace_coverage, trace_probabilities


def _trace(*pairs: tuple[float, bool]) -> CoverageCurve:
    confidence, correct = zip(*pairs, strict=True)
    return trace_coverage(np.array(confidence, np.float32), np.array(correct))


def _precision(value: float) -> ThresholdRule:
    return ThresholdRule(ThresholdKind.PRECISION, value)


def _by_hand(value: float) -> ThresholdRule:
    return ThresholdRule(ThresholdKind.MIN_CONFIDENCE, value)


@pytest.fixture
def curve() -> CoverageCurve:
    """A thousand answers that are right as often as their confidence says."""
    random = np.random.default_rng(0)
    confidence = random.uniform(0.3, 1.0, 1000).astype(np.float32)
    return trace_coverage(confidence, random.uniform(size=1000) < confidence)


def test_the_curve_is_as_computed_by_hand() -> None:
    curve = _trace((0.5, True), (0.9, True), (0.75, False), (0.6, True))
    assert curve.confidence.tolist() == [pytest.approx(value, abs=2e-6) for value in (0.9, 0.75, 0.6, 0.5)]
    assert curve.answered.tolist() == [1, 2, 3, 4]
    assert curve.correct.tolist() == [1, 1, 2, 3]
    point = curve.at(0.7)
    assert (point.answered, point.correct, point.coverage, point.precision) == (2, 1, 0.5, 0.5)
    assert point.interval == wilson_interval(1, 2)


def test_the_threshold_with_the_most_answers_is_found_although_a_higher_one_fails() -> None:
    curve = _trace((0.9, True), (0.8, False), (0.7, True), (0.6, True), (0.5, False))
    found = curve.find(0.75)
    assert found is not None
    assert (found.answered, found.correct) == (4, 3)
    assert curve.find(1.0) == curve.point(0)
    assert _trace((0.9, False), (0.8, True)).find(0.6) is None


def test_images_of_equal_confidence_are_answered_together() -> None:
    curve = _trace((0.75, True), (0.75, False), (0.75, True), (0.5, True))
    assert curve.answered.tolist() == [3, 4]
    assert curve.find(0.99) is None
    found = curve.find(0.75)
    assert found is not None
    assert found.answered == 4


@pytest.mark.parametrize("precision", [0.7, 0.8, 0.9, 0.95])
def test_answers_from_the_threshold_on_are_right_that_often(curve: CoverageCurve, precision: float) -> None:
    found = curve.find(precision)
    assert found is not None
    assert found.precision >= precision
    assert curve.at(found.confidence) == found
    more = [curve.point(place) for place in range(len(curve.confidence)) if curve.answered[place] > found.answered]
    assert all(point.precision < precision for point in more)


def test_a_higher_precision_never_has_a_lower_threshold(curve: CoverageCurve) -> None:
    found = [curve.find(precision) for precision in np.linspace(0.65, 0.97, 40)]
    limits = [point.confidence for point in found if point]
    assert len(limits) > 20
    assert limits == sorted(limits)


def test_the_cautious_threshold_is_the_smallest_whose_lower_end_has_the_precision(curve: CoverageCurve) -> None:
    found, cautious = curve.find(0.8), curve.find_cautious(0.8)
    assert found is not None
    assert cautious is not None
    assert cautious.confidence > found.confidence
    assert cautious.interval[0] >= 0.8 > found.interval[0]
    assert _trace((0.9, True)).find_cautious(0.8) is None


def test_a_confidence_of_one_is_a_threshold() -> None:
    curve = trace_probabilities(np.array([[1.0, 0.0], [0.4, 0.6]], np.float32), np.array([0, 0], np.int32))
    assert curve.find(0.9) == curve.point(0)
    assert curve.at(1.0).answered == 1


def test_a_threshold_says_what_it_lets_through_on_validation_and_on_test(curve: CoverageCurve) -> None:
    test = _trace((0.99, True), (0.98, False), (0.2, False))
    threshold = choose_threshold(_precision(0.9), curve, test)
    point = curve.find(0.9)
    assert point is not None
    assert threshold.min_confidence == point.confidence
    assert threshold.precision == 0.9
    assert (threshold.val.images, threshold.val.answered) == (1000, point.answered)
    assert threshold.val.precision_ci95 == point.interval
    assert threshold.test is not None
    assert (threshold.test.images, threshold.test.answered, threshold.test.precision) == (3, 2, 0.5)
    text = " ".join(threshold.sentences)
    assert "at least 90 % of the answers were right on validation" in text
    assert f"{point.answered:,} of 1,000 answers reach the limit" in text
    assert "The interval's lower end is not at 90 %" in text
    assert "On test, on which nothing was chosen, 2 of 3 answers reach the limit" in text


def test_a_threshold_by_hand_is_kept_and_counted(curve: CoverageCurve) -> None:
    threshold = choose_threshold(_by_hand(0.5), curve, None)
    assert (threshold.min_confidence, threshold.precision, threshold.test) == (0.5, None, None)
    assert threshold.val.answered == curve.at(0.5).answered
    assert "given by hand" in " ".join(threshold.sentences)
    nothing = choose_threshold(_by_hand(0.5), _trace((0.4, True)), None)
    assert "no answer of 1 reaches the limit" in " ".join(nothing.sentences)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([(0.9, True)] * 29 + [(0.8, False)] * 9, "only for the 29 most confident of 38 images, and fewer than 30"),
        ([(0.9, False), (0.8, True)] * 20, "no confidence is enough: of the 40 most confident of 40 answers 50.0%"),
        ([(0.9, True)] * 12, "only for the 12 most confident of 12 images"),
    ],
    ids=["few", "never", "small"],
)
def test_a_precision_that_validation_cannot_show_is_refused(pairs: list[tuple[float, bool]], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        choose_threshold(_precision(0.95), _trace(*pairs), None)
