"""How two rows of the board compare: scores exactly, costs up to measurement noise.

The criterion `accuracy` means the metric that decides.
"""

import math
from typing import NamedTuple

from bakeoff.profile import FORWARD_PER_TRAINING_STEP
from bakeoff.report.board.rows import STATES, Row, is_scored, read_merit, read_score, round_of
from bakeoff.runs.config import Metric, Mode
from bakeoff.runs.paired import difference_on_shared
from bakeoff.runs.record import Stage

__all__ = [
    "COSTS",
    "CRITERIA",
    "GAIN",
    "MAX_EPOCHS",
    "NOISE",
    "Lead",
    "dominates",
    "estimate_training_rate",
    "expect_error",
    "is_clearly_cheaper",
    "is_clearly_less",
    "measure_lead",
    "order_of",
    "read_losses",
]

COSTS = ("memory", "params", "time")
CRITERIA = ("accuracy", *COSTS)

# Costs within this factor count as equal: repeating a run changes its seconds and bytes by a few percent.
NOISE = 1.05

# Error is assumed to fall with images_seen ** -GAIN; benchmarks/screening.csv shows how well that orders networks.
GAIN = 0.2
# Images beyond this many passes over the training images are assumed to gain nothing: in benchmarks/levers.csv a larger
# input, with fewer images in the same time, became better at about four passes.
MAX_EPOCHS = 5
# A network that guesses has not reached the part of its learning curve where error falls like this (Hestness et al.
# 2017, arXiv 1712.00409, figure 6), so more images are no promise. The promise is whole from a score on that is surely
# so far from guessing, as a share of the way to no error.
LEARNED = 0.25
# By how much fine-tuning misses what is expected of the difference of two probes, in top-1: the standard deviation on
# eight data sets of benchmarks/small_data.csv. benchmarks/judgement_studies.csv tells how well it holds on others.
EXPECTATION_SPREAD = 0.02


class Lead(NamedTuple):
    """How much better one row's score is than another's: a number of which more is better, and its 95 % interval."""

    difference: float
    low: float
    high: float
    is_expected: bool
    """Whether it is what is expected after fine-tuning: of two probes in a screen. Otherwise it was measured."""
    images: int = 0
    """Images that both were scored on, if one of them was scored on others too: it is the difference on these alone."""

    @property
    def is_tie(self) -> bool:
        """Whether chance alone could explain the difference, or turn the one that is expected."""
        return self.low <= 0 <= self.high


def read_losses(row: Row) -> dict[str, float]:
    """The four criteria as losses: less is better. A cost that was not measured is infinite, so it never wins."""
    costs = (row.memory_peak_bytes, row.params_trainable, row.seconds_train)
    return dict(zip(CRITERIA, (-read_merit(row), *(cost or math.inf for cost in costs)), strict=True))


def order_of(row: Row) -> tuple[bool, int, tuple[int, int], float, bool, float, str, str]:
    """Sort key: whether it is of other data than the study, state, round, score (in the screen: expected error),
    training seconds, name, id.

    Of equally good runs outside the screen, one that trained the network comes before a probe.
    """
    losses = read_losses(row)
    screened = row.stage is Stage.SCREEN and is_scored(row)
    loss = expect_error(row) if screened else losses["accuracy"]
    is_probe = row.mode is Mode.PROBE and not screened
    return row.is_other, STATES[row.state], round_of(row), loss, is_probe, losses["time"], row.name, row.id


def expect_error(row: Row) -> float:
    """Expected error of a screened row after the planned training time, up to a constant factor; the order matters.

    A network that trains twice as fast sees twice as many images in that time. Each doubling of the images seen is
    assumed to reduce the error by an eighth, up to MAX_EPOCHS passes over the training images; by less where the score
    is close to that of guessing.
    """
    score = read_score(row)
    return (math.inf if score is None else row.metric.error(score.value)) * _expect_rest(row)


def _expect_rest(row: Row) -> float:
    """The expected error after the planned training time, as a multiple of the measured one."""
    images = max(estimate_training_rate(row), 1e-9)
    if row.seconds_planned:
        images = min(images * row.seconds_planned, MAX_EPOCHS * max(row.train_images, 1))
    more = images / max(row.images_seen, 1)
    return math.pow(more, -GAIN * (_has_learned(row) if more > 1 else 1.0))


def _has_learned(row: Row) -> float:
    """How far a row's score is surely above that of guessing: 0 not at all, 1 from the share LEARNED of the way on.

    It is read from balanced accuracy, which is the same for every guess, also where one class has most of the images.
    """
    score = read_score(row, Metric.BALANCED) or read_score(row, Metric.TOP1)
    if score is None:
        return 0.0
    sure, guess = score.interval[0] if score.interval else score.value, 1 / max(row.classes, 2)
    return min(1.0, max(0.0, sure - guess) / (LEARNED * (1 - guess)))


def estimate_training_rate(row: Row) -> float:
    """Images per second in training; a probe has measured forward passes only."""
    return row.images_per_second / (FORWARD_PER_TRAINING_STEP if row.mode is Mode.PROBE else 1)


def is_clearly_less(name: str, first: float, second: float) -> bool:
    """Whether the first loss on a criterion is less than the second; a cost must be less by more than NOISE.

    Args:
        name: One of CRITERIA.
        first: A loss on this criterion, as `read_losses` returns it.
        second: The loss to compare it with.
    """
    return first < second if name == "accuracy" else is_clearly_cheaper(first, second)


def is_clearly_cheaper(first: float, second: float) -> bool:
    """Whether the first cost is less than the second by more than measurement noise (NOISE)."""
    return first * NOISE < second


def dominates(first: Row, second: Row) -> bool:
    """Whether the first row is at least as accurate, clearly more expensive on no cost, and better on one criterion.

    If the accuracies are equal, the product of its costs must be less, too. Without this rule three rows could dominate
    each other in a circle: each clearly cheaper than the next on one cost and slightly more expensive on another.
    """
    mine, its = read_losses(first), read_losses(second)
    if mine["accuracy"] > its["accuracy"] or any(is_clearly_less(name, its[name], mine[name]) for name in COSTS):
        return False
    if mine["accuracy"] < its["accuracy"]:
        return True
    cheaper = any(is_clearly_less(name, mine[name], its[name]) for name in COSTS)
    return cheaper and _multiply_costs(mine) < _multiply_costs(its)


def measure_lead(first: Row, second: Row) -> Lead:
    """How much better first's score is than second's, with the hybrid score interval.

    The interval combines those of the two scores (Newcombe 1998, method 10, for proportions; Zou & Donner 2008) and
    assumes independent samples. Scores on the same images are usually positively correlated, so it is too wide rather
    than too narrow: in doubt the result is a tie. If a row is cross-validated, or if another metric than top-1 decides,
    difference and interval are the paired ones on the images that both were scored on, where those are known.

    Probes in a screen are compared by the errors that are expected after fine-tuning (`expect_error`), because that is
    what the screen decides about. Their interval also allows for EXPECTATION_SPREAD. A loss is compared as measured.
    """
    lead = _measure(first, second)
    are_probes = all(row.mode is Mode.PROBE and row.stage is Stage.SCREEN for row in (first, second))
    return lead if first.metric.is_loss or not are_probes else _expect_lead(first, second, (lead.high - lead.low) / 2)


def _measure(first: Row, second: Row) -> Lead:
    (p1, low1, high1), (p2, low2, high2) = _read_range(first), _read_range(second)
    if first.out and (first.folds or second.folds or first.metric is not Metric.TOP1):
        paired = difference_on_shared(first.out, first.id, second.id, first.metric)
        if paired is not None:
            images = paired.images if paired.images < max(first.val_images, second.val_images) else 0
            return Lead(paired.points, paired.low, paired.high, is_expected=False, images=images)
    difference = p1 - p2
    less, more = math.hypot(p1 - low1, high2 - p2), math.hypot(high1 - p1, p2 - low2)
    return Lead(difference, difference - less, difference + more, is_expected=False)


def _expect_lead(first: Row, second: Row, half: float) -> Lead:
    """What is expected of a difference that was measured to `half` on either side."""
    rests = [_expect_rest(row) for row in (first, second)]
    if not (first.seconds_planned and second.seconds_planned):
        # Only the ratio of the two is known. The slower network is taken as it is.
        rests = [rest / max(rests) for rest in rests]
    errors = [rest * (1 - read_merit(row)) for row, rest in zip((first, second), rests, strict=True)]
    difference, half = errors[1] - errors[0], math.hypot(half * max(rests), 1.96 * EXPECTATION_SPREAD)
    return Lead(difference, difference - half, difference + half, is_expected=True)


def _read_range(row: Row) -> tuple[float, float, float]:
    """The score and the ends of its interval, as numbers of which more is better; without an interval it is endless."""
    score = read_score(row)
    if score is None or score.interval is None:
        return read_merit(row), -math.inf, math.inf
    low, high = sorted(map(row.metric.merit, score.interval))
    return row.metric.merit(score.value), low, high


def _multiply_costs(losses: dict[str, float]) -> tuple[int, float]:
    """The number of costs that were not measured, and the product of the measured ones."""
    measured = [losses[name] for name in COSTS if losses[name] < math.inf]
    return len(COSTS) - len(measured), math.prod(measured)
