"""Weights of the criteria: how they are parsed, the scores they give, and which other weight changes the winner.

    criteria = parse_criteria("accuracy=3,memory=1")
    score_rows(rows, criteria)      rows: the scored rows of one round
    find_changes(rows, criteria)

A score is linear in every weight. The weight at which one row overtakes another is therefore a quotient of two numbers.
All arithmetic uses fractions, so it is exact. Rows with equal scores stay in the board's order.

templates/report.js computes the same scores in the browser.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from bakeoff.errors import ConfigError
from bakeoff.report.board.comparing import CRITERIA, is_clearly_less, order_of, read_losses
from bakeoff.report.board.rows import Row

__all__ = ["WeightChange", "check_criteria", "find_changes", "parse_criteria", "score_rows"]

_RULE = f"criteria are {', '.join(CRITERIA)}, weighed as in accuracy=3,memory=1"


class WeightChange(NamedTuple):
    """A change of one weight, with the others fixed, after which `row` wins instead of another candidate."""

    criterion: str
    weight: Fraction
    """The exact weight at which the winner changes."""
    stated: Fraction
    """`weight` with the fewest digits that still make `row` win, rounded away from the present weight."""
    upward: bool
    """Whether the weight has to increase."""
    reached: bool
    """Whether `row` already wins at `stated`; otherwise it wins only beyond it."""
    row: Row


def parse_criteria(text: str) -> dict[str, float]:
    """Parse `accuracy=3,memory=1` into weights by criterion. Raises ConfigError that names the criteria."""
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
    check_criteria(weights)
    return weights


def check_criteria(criteria: Mapping[str, float]) -> None:
    """Raise ConfigError unless all names are criteria, all weights finite and not negative, and one is above 0."""
    if unknown := sorted(set(criteria) - set(CRITERIA)):
        raise ConfigError(f"there is no criterion {unknown[0]!r} to weigh; {_RULE}")
    for name, weight in criteria.items():
        if not 0 <= weight < math.inf:
            raise ConfigError(f"the weight of {name} must be a finite number, not below 0, and not {weight:g}; {_RULE}")
    if not any(criteria.values()):
        raise ConfigError(f"no criterion weighs more than 0; {_RULE}")


def score_rows(rows: Sequence[Row], criteria: Mapping[str, float]) -> list[tuple[Row, Fraction]]:
    """Score the rows of one round: the weighted mean of a row's shares of beaten rivals, one share for each criterion.

    Args:
        rows: The scored rows of one round.
        criteria: Weights by criterion; an absent one weighs 0.

    Returns:
        Each row with its score in [0, 1]; 1 means clearly best on every criterion.
    """
    weights = _to_fractions(criteria)
    total = sum(weights.values())
    return [(entry.row, entry.score(weights) / total) for entry in _make_entries(rows)]


def find_changes(rows: Sequence[Row], criteria: Mapping[str, float]) -> list[WeightChange]:
    """Find for each criterion the smallest increase and decrease of its weight that makes another candidate win.

    Args:
        rows: The scored rows of one round.
        criteria: The present weights by criterion; an absent one weighs 0.

    Returns:
        The changes, the smallest first; empty if no change of a single weight changes the winner.
    """
    weights, entries = _to_fractions(criteria), _make_entries(rows)
    found = [_find_change(entries, weights, name, upward) for name in CRITERIA for upward in (True, False)]
    return sorted(filter(None, found), key=lambda change: abs(change.weight - weights[change.criterion]))


class _Entry(NamedTuple):
    """A row and, by criterion, the share of rivals that it beats, in [0, 1]."""

    row: Row
    shares: dict[str, Fraction]

    def score(self, weights: Mapping[str, Fraction]) -> Fraction:
        return sum((weights[name] * self.shares[name] for name in CRITERIA), Fraction(0))


def _make_entries(rows: Sequence[Row]) -> list[_Entry]:
    """Entries in the board's order: of several with the best score, `max` returns the first."""
    rows = sorted(rows, key=order_of)
    losses = [read_losses(row) for row in rows]
    return [
        _Entry(row, {name: _share_beaten(mine[name], [each[name] for each in losses], name) for name in CRITERIA})
        for row, mine in zip(rows, losses, strict=True)
    ]


def _share_beaten(mine: float, losses: Sequence[float], name: str) -> Fraction:
    """The share of rivals that are clearly worse on a criterion; an equal rival counts half. `losses` holds `mine`."""
    if len(losses) == 1:
        return Fraction(1)
    worse = sum(is_clearly_less(name, mine, loss) for loss in losses)
    better = sum(is_clearly_less(name, loss, mine) for loss in losses)
    return Fraction(len(losses) - 1 + worse - better, 2 * (len(losses) - 1))


def _to_fractions(criteria: Mapping[str, float]) -> dict[str, Fraction]:
    """The weights as decimals: 0.1 becomes exactly one tenth."""
    return {name: Fraction(str(criteria.get(name, 0))) for name in CRITERIA}


def _find_change(
    entries: Sequence[_Entry], weights: Mapping[str, Fraction], name: str, upward: bool
) -> WeightChange | None:
    """Move one weight from crossing to crossing of the best row's score, until another candidate is best."""
    weight, sign = weights[name], 1 if upward else -1
    # If the other weights are all 0, this criterion alone decides at any weight. A weight of 0 cannot decrease.
    if not any(weights[other] for other in CRITERIA if other != name) or not (upward or weight):
        return None
    winner = _find_best(entries, weights).row.name
    while True:
        here = {**weights, name: weight}
        leader = _find_best(entries, here, name, sign if upward or weight else 0)
        if leader.row.name != winner:
            return _make_change(entries, here, name, upward, leader.row)
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


def _find_best(
    entries: Sequence[_Entry], weights: Mapping[str, Fraction], name: str = "accuracy", sign: int = 0
) -> _Entry:
    """The winner; with a sign, the winner after the smallest move of one weight in that direction."""
    return max(entries, key=lambda entry: (entry.score(weights), sign * entry.shares[name]))


def _make_change(
    entries: Sequence[_Entry], here: Mapping[str, Fraction], name: str, upward: bool, row: Row
) -> WeightChange:
    """Round the weight in `here` to the fewest digits at which the statement is still true."""
    weight = here[name]

    def wins(stated: Fraction) -> bool:
        return _find_best(entries, {**here, name: stated}).row.name == row.name

    # The row wins on an interval beyond the exact weight, so a number with enough digits falls into it.
    rounded = (_round_away(weight, digits, upward) for digits in itertools.count(2))
    stated = next(each for each in rounded if each == weight or wins(each))
    return WeightChange(name, weight, stated, upward, wins(stated), row)


def _round_away(weight: Fraction, digits: int, upward: bool) -> Fraction:
    """Round up or down to `digits` significant digits."""
    if not weight:
        return weight
    unit = Fraction(10) ** (math.floor(math.log10(weight)) + 1 - digits)
    return (math.ceil if upward else math.floor)(weight / unit) * unit
