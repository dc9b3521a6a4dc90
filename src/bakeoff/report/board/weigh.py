"""Weights of the criteria: how they are read, the scores they give, and which other weight would change the winner.

    parse_criteria("accuracy=3,memory=1")
    score_rows(field, {"accuracy": 3, "memory": 1})    field: the scored rows of one stage
    find_changes(field, {"accuracy": 3, "memory": 1})

A score is linear in every weight, so the weight at which one row overtakes another is a quotient: all of this is done
in fractions, and exact. Where scores are equal the board's own order decides.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from bakeoff.errors import ConfigError
from bakeoff.report.board.rows import CRITERIA, Row, is_clearly_less, order_of, read_losses

__all__ = ["Change", "check_weights", "find_changes", "parse_criteria", "score_rows"]

_RULE = f"criteria are {', '.join(CRITERIA)}, weighed as in accuracy=3,memory=1"


class Change(NamedTuple):
    """One weight, the others held, beyond which `row` wins instead of another candidate's."""

    criterion: str
    weight: Fraction
    """The weight where it happens, exactly."""
    stated: Fraction
    """The same rounded away from the weight as it is, to as few digits as still make `row` win."""
    upward: bool
    """Whether the weight has to grow to get there."""
    reached: bool
    """Whether `row` wins at `stated` already, and not only beyond it."""
    row: Row


def parse_criteria(text: str) -> dict[str, float]:
    """Read `accuracy=3,memory=1`. Raises ConfigError naming the criteria."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        key, equals, number = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ConfigError(f"--weigh {text!r}: {part.strip()!r} is not CRITERION=NUMBER; {_RULE}")
        if key in weights:
            raise ConfigError(f"--weigh {text!r} weighs {key} twice; {_RULE}")
        try:
            weights[key] = float(number)
        except ValueError as error:
            raise ConfigError(f"--weigh {text!r}: {number!r} is not a number; {_RULE}") from error
    check_weights(weights)
    return weights


def check_weights(weigh: Mapping[str, float]) -> None:
    """Raise ConfigError unless the names are criteria and the weights finite, none negative and one above 0."""
    if unknown := sorted(set(weigh) - set(CRITERIA)):
        raise ConfigError(f"there is no criterion {unknown[0]!r} to weigh; {_RULE}")
    for name, weight in weigh.items():
        if not 0 <= weight < math.inf:
            raise ConfigError(f"the weight of {name} must be a finite number, not below 0, and not {weight:g}; {_RULE}")
    if not any(weigh.values()):
        raise ConfigError(f"no criterion weighs more than 0; {_RULE}")


def score_rows(field: Sequence[Row], weigh: Mapping[str, float]) -> list[tuple[Row, Fraction]]:
    """Each row of one stage with its score: the weighted mean of its ranks, where 1 is best on everything."""
    weights = _exact(weigh)
    total = sum(weights.values())
    return [(entry.row, entry.score(weights) / total) for entry in _enter(field)]


def find_changes(field: Sequence[Row], weigh: Mapping[str, float]) -> list[Change]:
    """For each criterion the least change of its weight, up and down, that makes another candidate win; nearest first.

    `field` are the scored rows of one stage. Empty where no single weight changes the winner.
    """
    weights, entries = _exact(weigh), _enter(field)
    found = [_find_change(entries, weights, name, upward) for name in CRITERIA for upward in (True, False)]
    return sorted(filter(None, found), key=lambda change: abs(change.weight - weights[change.criterion]))


class _Entry(NamedTuple):
    """A row and its ranks as numbers in [0, 1]."""

    row: Row
    shares: dict[str, Fraction]

    def score(self, weights: Mapping[str, Fraction]) -> Fraction:
        return sum((weights[name] * self.shares[name] for name in CRITERIA), Fraction(0))


def _enter(field: Sequence[Row]) -> list[_Entry]:
    """Rows in the board's order, so that the first of those with the best score wins."""
    field = sorted(field, key=order_of)
    losses = [read_losses(row) for row in field]
    return [
        _Entry(row, {name: _share_beaten(own[name], [other[name] for other in losses], name) for name in CRITERIA})
        for row, own in zip(field, losses, strict=True)
    ]


def _share_beaten(own: float, losses: Sequence[float], name: str) -> Fraction:
    """The share of rivals that are clearly worse on a criterion, equals counting half; `losses` holds `own` too."""
    if len(losses) == 1:
        return Fraction(1)
    worse = sum(is_clearly_less(name, own, loss) for loss in losses)
    better = sum(is_clearly_less(name, loss, own) for loss in losses)
    return Fraction(len(losses) - 1 + worse - better, 2 * (len(losses) - 1))


def _exact(weigh: Mapping[str, float]) -> dict[str, Fraction]:
    """The weights as they are written: 0.1 is a tenth."""
    return {name: Fraction(str(weigh.get(name, 0))) for name in CRITERIA}


def _find_change(entries: Sequence[_Entry], weights: Mapping[str, Fraction], name: str, upward: bool) -> Change | None:
    """Follow the best row while one weight moves away from its value, until the best is another candidate's."""
    weight, sign = weights[name], 1 if upward else -1
    # A weight alone decides by its criterion whatever its size, and a weight of 0 cannot fall.
    if not any(weights[other] for other in CRITERIA if other != name) or not (upward or weight):
        return None
    held = _best(entries, weights).row.name
    while True:
        here = {**weights, name: weight}
        leader = _best(entries, here, name, sign if upward or weight else 0)
        if leader.row.name != held:
            return _state(entries, here, name, upward, leader.row)
        crossings = [
            (leader.score(here) - entry.score(here)) / (entry.shares[name] - leader.shares[name])
            for entry in entries
            if sign * (entry.shares[name] - leader.shares[name]) > 0
        ]
        if not crossings or not (upward or weight):
            return None
        weight += min(crossings, key=abs)
        if weight < 0:
            return None


def _best(entries: Sequence[_Entry], weights: Mapping[str, Fraction], name: str = "accuracy", sign: int = 0) -> _Entry:
    """The winner; with a sign, the winner after the smallest move of one weight in that direction."""
    return max(entries, key=lambda entry: (entry.score(weights), sign * entry.shares[name]))


def _state(entries: Sequence[_Entry], here: Mapping[str, Fraction], name: str, upward: bool, row: Row) -> Change:
    """Round the weight `here` so that it still says the truth."""
    weight = here[name]

    def wins(stated: Fraction) -> bool:
        return _best(entries, {**here, name: stated}).row.name == row.name

    # Beyond the exact weight there is a stretch where the row wins, so some number of digits falls into it.
    rounded = (_round_away(weight, digits, upward) for digits in itertools.count(2))
    stated = next(each for each in rounded if each == weight or wins(each))
    return Change(name, weight, stated, upward, wins(stated), row)


def _round_away(weight: Fraction, digits: int, upward: bool) -> Fraction:
    """To so many significant digits, up or down."""
    if not weight:
        return weight
    unit = Fraction(10) ** (math.floor(math.log10(weight)) + 1 - digits)
    return (math.ceil if upward else math.floor)(weight / unit) * unit
