"""Why the winner won, in a few plain sentences, and what would have to weigh more or less for another to win."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bakeoff.report.board.formatting import format_top1
from bakeoff.report.board.rows import (
    COSTS,
    STAGES,
    Row,
    are_tied,
    difference_interval,
    dominates,
    is_clearly_less,
    is_scored,
    read_estimate,
    read_losses,
)
from bakeoff.report.board.weigh import Change, find_changes, score_rows
from bakeoff.runs.record import Stage

__all__ = ["HeadToHead", "explain", "explain_change", "explain_win", "find_head_to_head"]

# Spelt out, for it looks like ASCII.
TIMES = "\N{MULTIPLICATION SIGN}"
_NOUNS = {
    "accuracy": "accuracy",
    "memory": "memory",
    "params": "trained parameters",
    "time": "training time",
}
# More would not be read.
_CHANGES, _NAMES = 2, 4


class HeadToHead(NamedTuple):
    """The latest stage in which the winner met others: its best row there, theirs, and all rows, best first."""

    own: Row
    rivals: list[Row]
    field: list[Row]


def explain(rows: Sequence[Row], weigh: Mapping[str, float] | None = None) -> str:
    """Say in at most five plain sentences why the first row won; expects the order of `rank` with the same weights.

    Without weights accuracy alone decides. The winner is compared with the others of the latest stage where it met any.
    """
    return " ".join(filter(None, (explain_win(rows), explain_change(rows, weigh))))


def explain_win(rows: Sequence[Row]) -> str:
    """The part of `explain` that says why."""
    winner = next(filter(is_scored, rows), None)
    if winner is None:
        return "No candidate completed, so there is no winner."
    text = f"{winner.name} won with {format_top1(winner)} % top-1 on validation"
    meeting = find_head_to_head(rows)
    if meeting is None:
        return f"{text}; it was compared with no other candidate."
    own, rivals, field = meeting
    joint = "," if own.stage is winner.stage else f"; in the {own.stage} stage it was"
    costs = _telling_costs(field)
    sentences = [
        f"{text}{joint} {_against(own, rivals[0], costs)}",
        *_faster_than_better(own, rivals),
        *_cheapest_of_tied(own, rivals, costs),
        _front(own, rivals),
    ]
    return " ".join(f"{sentence}." for sentence in sentences)


def explain_change(rows: Sequence[Row], weigh: Mapping[str, float] | None = None) -> str:
    """The part of `explain` that says which weights would make another candidate win; empty where there is none."""
    meeting = find_head_to_head(rows)
    return f"{_weighing(meeting.own, meeting.rivals[0], meeting.field, weigh)}." if meeting else ""


def find_head_to_head(rows: Sequence[Row]) -> HeadToHead | None:
    """Where the first scored row met others; None where it met nobody. Expects the order of `rank`."""
    scored = [row for row in rows if is_scored(row)]
    for stage in STAGES if scored else ():
        field = [row for row in scored if row.stage is stage]
        own = next((row for row in field if row.name == scored[0].name), None)
        rivals = [row for row in field if row.name != scored[0].name]
        if own and rivals:
            return HeadToHead(own, rivals, field)
    return None


def _telling_costs(field: Sequence[Row]) -> Sequence[str]:
    """The costs worth a word: after equal seconds each, the time of a stage says nothing."""
    seconds = [read_losses(row)["time"] for row in field]
    return COSTS if is_clearly_less("time", min(seconds), max(seconds)) else [name for name in COSTS if name != "time"]


def _against(own: Row, rival: Row, costs: Sequence[str]) -> str:
    low, high = difference_interval(own, rival)
    verdict = "a tie, since chance alone could explain it" if are_tied(own, rival) else "more than chance explains"
    text = f"{_say_lead(own, rival)} {rival.name}"
    text += f" ({verdict}: 95 % interval {low * 100:+.1f} to {high * 100:+.1f})"
    mine, its = read_losses(own), read_losses(rival)
    ratios = [_compare(name, mine[name], its[name]) for name in costs if mine[name] + its[name] < math.inf]
    return f"{text}, at {_join(ratios, 'and')}" if ratios else text


def _faster_than_better(own: Row, rivals: Sequence[Row]) -> list[str]:
    """One sentence if a rival's probe was better and yet it comes later, for training it is slower."""
    best = max(rivals, key=lambda rival: read_estimate(rival)[0])
    if own.stage is not Stage.SCREEN or read_estimate(best)[0] <= read_estimate(own)[0]:
        return []
    ratio = own.images_per_second / best.images_per_second
    return [f"It comes before {best.name}, for it goes through {ratio:.2g}{TIMES} the images in the same time"]


def _compare(name: str, mine: float, its: float) -> str:
    if not (is_clearly_less(name, mine, its) or is_clearly_less(name, its, mine)):
        return f"the same {_NOUNS[name]}"
    ratio = mine / its
    return f"{ratio:{'.0f' if ratio >= 10 else '.2g'}}{TIMES} the {_NOUNS[name]}"


def _cheapest_of_tied(own: Row, rivals: Sequence[Row], costs: Sequence[str]) -> list[str]:
    """One sentence, or none where nobody ties: which of the tied is clearly the cheapest in what."""
    tied = {own.name: own}
    for rival in rivals:
        if are_tied(own, rival):
            tied.setdefault(rival.name, rival)
    if len(tied) == 1:
        return []
    ahead: dict[str, list[str]] = {}
    for name in costs:
        losses = sorted((read_losses(row)[name], whom) for whom, row in tied.items())
        (least, cheapest), (second, _) = losses[:2]
        # Against what was not measured nothing can be called cheap.
        if losses[-1][0] < math.inf and is_clearly_less(name, least, second):
            ahead.setdefault(cheapest, []).append(_NOUNS[name])
    whom = list(tied)
    if len(whom) > _NAMES:
        whom = [*whom[: _NAMES - 1], f"{len(whom) - _NAMES + 1} more"]
    text = "Of the two, " if whom == [own.name, rivals[0].name] else f"Of the tied, {_join(whom, 'and')}, "
    if not ahead:
        return [f"{text}none is clearly cheaper than all others"]
    best = "cheaper" if len(tied) == 2 else "cheapest"
    return [text + _join([f"{name} is {best} in {_join(nouns, 'and')}" for name, nouns in ahead.items()], "and")]


def _front(own: Row, rivals: Sequence[Row]) -> str:
    better = next((rival.name for rival in rivals if dominates(rival, own)), None)
    if better:
        return f"It is not on the Pareto front, for {better} is no worse on any criterion and better on one"
    return "It is on the Pareto front"


def _weighing(own: Row, rival: Row, field: Sequence[Row], weigh: Mapping[str, float] | None) -> str:
    """What the weights make of the stage, and which single weight would have to differ for another to win."""
    scores = score_rows(field, weigh or {"accuracy": 1})
    leader = max(scores, key=lambda pair: pair[1])[0]
    given = "By accuracy"
    if weigh:
        given = f"Weighing {_join([f'{name} {weight:g}' for name, weight in weigh.items()], 'and')}"
    if leader.name != own.name:
        return f"{given}, the {own.stage} stage alone would choose {leader.name}"
    ifs: dict[str, list[str]] = {}
    for change in find_changes(field, weigh or {"accuracy": 1})[:_CHANGES]:
        instead = f" instead of {weigh.get(change.criterion, 0):g}" if weigh else ""
        verb = "" if change.row.name in ifs else " weighed"
        condition = f"{_NOUNS[change.criterion]}{verb} {_bound(change)}{instead}"
        ifs.setdefault(change.row.name, []).append(condition)
    would = _join([f"{name} if {_join(conditions, 'or')}" for name, conditions in ifs.items()], "or")
    if weigh:
        of = {row.id: float(score) for row, score in scores}
        given += f", it scores {of[own.id]:.2f} of 1 and {rival.name} {of[rival.id]:.2f}"
        return f"{given}; it would be {would}" if ifs else f"{given}; no other value of one weight would change that"
    return f"With accuracy weighing 1, it would be {would}" if ifs else "No cost, however it weighed, would change that"


def _bound(change: Change) -> str:
    number = f"{float(change.stated):.12g}"
    if not change.reached:
        return f"more than {number}" if change.upward else f"less than {number}"
    if not change.stated:
        return "nothing"
    return f"{number} or {'more' if change.upward else 'less'}"


def _say_lead(own: Row, rival: Row) -> str:
    points = (read_estimate(own)[0] - read_estimate(rival)[0]) * 100
    return f"{abs(points):.1f} points {'ahead of' if points >= 0 else 'behind'}"


def _join(words: Sequence[str], last: str) -> str:
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
