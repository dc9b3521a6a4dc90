"""The threshold of a bundle: the confidence below which its answers are marked as unsure."""

from bakeoff.deploy.bundle import Coverage, Threshold, ThresholdKind, ThresholdRule
from bakeoff.errors import BundleError
from bakeoff.runs.selective import LEAST_ANSWERS, CoverageCurve, CoveragePoint
from bakeoff.text import counted

__all__ = ["choose_threshold"]


def choose_threshold(rule: ThresholdRule, val: CoverageCurve, test: CoverageCurve | None) -> Threshold:
    """Choose the threshold on validation, and count what it lets through.

    Args:
        rule: How it is chosen.
        val: The curve of the exported model on validation.
        test: That on test, on which nothing is chosen; None if there is none.

    Raises:
        BundleError: Answers are not right that often from any confidence on, or only so few that they are no evidence.
    """
    asked = rule.value if rule.kind is ThresholdKind.PRECISION else None
    point = val.at(rule.value) if asked is None else _find(val, asked)
    cautious = None if asked is None else val.find_cautious(asked)
    return Threshold(
        min_confidence=point.confidence,
        precision=asked,
        cautious_confidence=cautious.confidence if cautious else None,
        val=_describe(point),
        test=_describe(test.at(point.confidence)) if test else None,
    )


def _find(val: CoverageCurve, precision: float) -> CoveragePoint:
    found = val.find(precision)
    if found is not None and found.answered >= LEAST_ANSWERS:
        return found
    if found is not None:
        few = f"only for the {found.answered} most confident of {counted(found.images, 'image')}"
        reason = f"that holds {few}, and fewer than {LEAST_ANSWERS} are no evidence"
    else:
        points = map(val.point, range(len(val.confidence)))
        best = max(points, key=lambda point: (point.answered >= LEAST_ANSWERS, point.precision))
        reason = (
            f"no confidence is enough: of the {best.answered:,} most confident of {best.images:,} answers"
            f" {best.precision:.1%} are right"
        )
    raise BundleError(
        f"--precision {precision:g} cannot be had on validation: {reason}; ask for less, or choose a confidence by"
        " --min-confidence"
    )


def _describe(point: CoveragePoint) -> Coverage:
    return Coverage(
        images=point.images,
        answered=point.answered,
        coverage=point.coverage,
        precision=point.precision,
        precision_ci95=point.interval,
    )
