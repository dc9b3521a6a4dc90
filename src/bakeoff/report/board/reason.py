"""Why the winner won, in two short sentences, and which other weights of the criteria would change the winner."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bakeoff.report.board.comparing import (
    COSTS,
    dominates,
    estimate_training_rate,
    is_clearly_less,
    measure_lead,
    order_of,
    read_losses,
)
from bakeoff.report.board.criteria import WeightChange, find_changes, score_rows
from bakeoff.report.board.formatting import format_difference, format_ends, format_estimate, format_where
from bakeoff.report.board.rows import COMPARISONS, Row, is_scored, read_merit, round_of
from bakeoff.runs.config import Candidate, Metric, Mode
from bakeoff.runs.record import Stage, State
from bakeoff.text import counted

__all__ = [
    "HeadToHead",
    "explain",
    "explain_change",
    "explain_exception",
    "explain_win",
    "find_head_to_head",
    "list_reasons",
    "name_other_data",
]

TIMES = "\N{MULTIPLICATION SIGN}"
_NOUNS = {
    "accuracy": "accuracy",
    "memory": "memory",
    "params": "trained parameters",
    "time": "training time",
}
# By cost: the cheaper of two, and the cheapest of several.
_VERBS = {
    "memory": ("needs less memory", "needs the least memory"),
    "params": ("trains fewer parameters", "trains the fewest parameters"),
    "time": ("trains faster", "trains fastest"),
}
_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# The nearest changes of a weight that are mentioned; readers skip a longer list.
_CHANGES = 2


class HeadToHead(NamedTuple):
    """The winner and its rivals in the latest round (`round_of`) in which it was compared with other candidates."""

    winner: Row
    """The winner's best row in that round; its size is another if a search changed it later."""
    rivals: list[Row]
    """The rows of the other candidates, best first; the first is the nearest rival."""
    rows: list[Row]
    """All scored rows of the round, best first."""
    eliminated: list[str]
    """Other candidates of the stage, whose last rung was an earlier one."""

    @property
    def where(self) -> str:
        """The round: `the screen stage`, `rung 2 of the race`."""
        stage, rung = self.winner.stage, self.winner.rung
        return f"rung {rung + 1} of the {stage}" if rung else f"the {stage} stage"


def explain(rows: Sequence[Row], criteria: Mapping[str, float] | None = None) -> str:
    """Explain why the first row won, and which weights would change that.

    Args:
        rows: The order that `rank` returned for the same weights.
        criteria: Weights by criterion; None if accuracy alone decides.

    Returns:
        One line with two or three sentences (`explain_win`), and a second line about the weights (`explain_change`) if
        the winner has rivals.
    """
    return "\n".join(filter(None, (explain_win(rows), explain_change(rows, criteria))))


def explain_win(rows: Sequence[Row]) -> str:
    """Say in two sentences what won and how it compares with its rivals; in a third one that there are other data.

    Expects the order of `rank`.
    """
    return " ".join(list_reasons(rows))


def list_reasons(rows: Sequence[Row]) -> list[str]:
    """The sentences of `explain_win`: what won and by how much, and what it costs. Expects the order of `rank`."""
    own, others = _of_study(rows), filter(None, [name_other_data(rows)])
    winner = next(filter(is_scored, own), None)
    if winner is None:
        trained = next((row for row in own if row.state is State.COMPLETE), None)
        if trained is not None:
            learned = f"{trained.name} has learned the validation images"
            return [f"{learned}, so it was not compared with another candidate.", *others]
        return ["No candidate completed, so there is no winner.", *others]
    score, metric = format_estimate(winner), winner.metric
    named = f"a {metric.label} of {score}" if metric.is_loss else f"{score}{metric.unit} {metric.label}"
    text = f"{winner.name} won with {named} {format_where(winner)}"
    match = find_head_to_head(rows)
    if match is None:
        return [f"{text}.", "It was not compared with another candidate.", *others]
    subject = "it" if match.winner.name == winner.name else match.winner.name
    how = "fine-tuned " if (winner.mode, match.winner.mode) == (Mode.PROBE, Mode.FIT) else ""
    link = "," if round_of(match.winner) == round_of(winner) else f"; {how}in {match.where} {subject} was"
    sentences = [f"{text}{link} {_describe_lead(match.winner, match.rivals[0])}.", _compare_costs(match), *others]
    return [sentence for sentence in sentences if sentence]


def name_other_data(rows: Sequence[Row]) -> str:
    """Say which runs are of other data than the study, or else than the first scored row, and so are not compared.

    Empty if none are. A study has one set of data, but `bakeoff train` takes any into a folder.
    """
    others, why = [row.name for row in rows if row.is_other], "no part of the study"
    if not others:
        scored, why = [row for row in rows if is_scored(row)], "not compared with it"
        others = [row.name for row in scored if row.fingerprint != scored[0].fingerprint]
    if not others:
        return ""
    number, names = counted(len(others), "run"), _join(list(dict.fromkeys(others)))
    verb = "is" if len(others) == 1 else "are"
    return f"{number} of other images, labels, classes or fit ({names}) {verb} {why}."


def _of_study(rows: Sequence[Row]) -> list[Row]:
    """The rows without those of other data than the study's."""
    return [row for row in rows if not row.is_other]


def explain_change(rows: Sequence[Row], criteria: Mapping[str, float] | None = None) -> str:
    """Say which other weights would make another candidate win.

    Args:
        rows: The order that `rank` returned for the same weights.
        criteria: Weights by criterion; None if accuracy alone decides.

    Returns:
        One or two sentences; empty if the winner has no rivals.
    """
    match = find_head_to_head(rows)
    if match is None:
        return ""
    winner, rival = match.winner, match.rivals[0]
    weights = criteria or {"accuracy": 1}
    scores = score_rows(match.rows, weights)
    leader = max(scores, key=lambda pair: pair[1])[0]
    given = _join([f"{name} {weight:g}" for name, weight in weights.items()])
    if leader.name != winner.name:
        rule = f"the weights {given}" if criteria else "accuracy"
        return f"In {match.where}, {leader.name} is first by {rule}."
    would = _list_changes(find_changes(match.rows, weights)[:_CHANGES])
    if not criteria:
        return f"With accuracy weighing 1, {would}." if would else "No weight of a cost would change the winner."
    by_id = {row.id: float(score) for row, score in scores}
    text = f"With the weights {given}, it scores {by_id[winner.id]:.2f} and {rival.name} {by_id[rival.id]:.2f}."
    return f"{text} {would or 'No other value of a single weight would change the winner'}."


def explain_exception(match: HeadToHead) -> str:
    """Say why the winner is first though a rival looks better: one sentence, empty if none does."""
    return _explain_screen(match) or _name_dominating(match)


def find_head_to_head(rows: Sequence[Row]) -> HeadToHead | None:
    """The latest round in which the first scored row has rivals of the same data; None if it has none.

    Expects the order of `rank`. The trials of a search are recipes for one candidate, so they are rivals only where no
    stage compares candidates.
    """
    scored = [row for row in _of_study(rows) if is_scored(row)]
    if not scored:
        return None
    of_same_data = [row for row in scored if row.fingerprint == scored[0].fingerprint]
    compared = [row for row in of_same_data if row.stage in COMPARISONS] or of_same_data
    names = _name_entries(scored[0], compared)
    for each in sorted(set(map(round_of, compared))):
        together = [row for row in compared if round_of(row) == each]
        winner = next((row for row in together if row.name in names), None)
        rivals = [row for row in together if row.name not in names]
        if winner and rivals:
            known = names.union(row.name for row in together)
            others = [row.name for row in compared if row.stage is winner.stage and row.name not in known]
            return HeadToHead(winner, rivals, together, eliminated=list(dict.fromkeys(others)))
    return None


def _name_entries(winner: Row, compared: Sequence[Row]) -> set[str]:
    """The name of the winner, with the one under which its network was compared if a search changed its size."""
    entries = [row.name for row in compared]
    if winner.name in entries:
        return {winner.name}
    network = Candidate.read(winner.name).name
    # The search was for the leader's recipe, so of several sizes it is the best one.
    return {winner.name, *[name for name in entries if Candidate.read(name).name == network][:1]}


def _describe_lead(winner: Row, rival: Row) -> str:
    metric, lead = winner.metric, measure_lead(winner, rival)
    size = f"{format_difference(abs(lead.difference), metric)[1:]}{metric.points}"
    equal = "as accurate as" if metric is Metric.TOP1 else "as good as"
    text = f"{size} {'ahead of' if lead.difference > 0 else 'behind'}" if lead.difference else equal
    text = f"{text} {rival.name}{f' on the {lead.images:,} images that both were scored on' if lead.images else ''}"
    if lead.is_expected:
        text = f"expected to end {text} after fine-tuning"
    return f"{text} ({'a tie, ' if lead.is_tie else ''}95 % interval {format_ends(lead.low, lead.high, metric)})"


def _compare_costs(match: HeadToHead) -> str:
    """The sentence about costs: the first of these that applies."""
    return (
        explain_exception(match)
        or _name_cheapest(match)
        or _compare_with_rival(match.winner, match.rivals[0], _find_costs(match))
    )


def _find_costs(match: HeadToHead) -> list[str]:
    """The costs to compare, without training time if all rows of the round trained equally long."""
    seconds = [read_losses(row)["time"] for row in match.rows]
    same_time = not is_clearly_less("time", min(seconds), max(seconds))
    return [name for name in COSTS if name != "time" or not same_time]


def _name_dominating(match: HeadToHead) -> str:
    """Why the winner is not on the Pareto front; empty if it is."""
    better = next((rival.name for rival in match.rivals if dominates(rival, match.winner)), None)
    if better is None:
        return ""
    return f"It is not on the Pareto front: {better} is no worse on any criterion and better on one."


def _explain_screen(match: HeadToHead) -> str:
    """Why the screen ranks the winner before a rival with a better probe; empty if there is no such rival."""
    winner, best = match.winner, max(match.rivals, key=read_merit)
    if winner.stage is not Stage.SCREEN or read_merit(best) <= read_merit(winner):
        return ""
    rates = [estimate_training_rate(row) for row in (winner, best)]
    if not all(rates):  # one was not measured
        return ""
    ratio = rates[0] / rates[1]
    # A winner by weights may be slower than a rival with a better probe.
    if order_of(winner) > order_of(best) or ratio <= 1:
        return ""
    return f"It ranks before {best.name} because it trains on {ratio:.2g}{TIMES} as many images in the same time."


def _name_cheapest(match: HeadToHead) -> str:
    """Which of the candidates that tie with the winner costs least; empty if none ties."""
    tied = {match.winner.name: match.winner}
    for rival in match.rivals:
        if measure_lead(match.winner, rival).is_tie:
            tied.setdefault(rival.name, rival)
    if len(tied) == 1:
        return ""
    pair = list(tied) == [match.winner.name, match.rivals[0].name]
    number = _NUMBERS[len(tied) - 2] if len(tied) - 2 < len(_NUMBERS) else str(len(tied))
    best: dict[str, list[str]] = {}
    for cost in _find_costs(match):
        losses = sorted((read_losses(row)[cost], name) for name, row in tied.items())
        (least, cheapest), (second, _) = losses[:2]
        # Without a measurement of every candidate, none can be called the cheapest.
        if losses[-1][0] < math.inf and is_clearly_less(cost, least, second):
            best.setdefault(cheapest, []).append(_VERBS[cost][0 if len(tied) == 2 else 1])
    if not best:
        return "Neither is clearly cheaper." if pair else f"None of the {number} that tie is clearly the cheapest."
    clauses = [f"{name} {_join(verbs)}" for name, verbs in best.items()]
    simple = all(len(verbs) == 1 for verbs in best.values())
    return f"{'' if pair else f'Among the {number} that tie, '}{_join(clauses) if simple else '; '.join(clauses)}."


def _compare_with_rival(winner: Row, rival: Row, costs: Sequence[str]) -> str:
    """The winner's costs as multiples of its rival's; empty if none was measured."""
    mine, its = read_losses(winner), read_losses(rival)
    ratios = [_describe_ratio(name, mine[name], its[name]) for name in costs if mine[name] + its[name] < math.inf]
    return f"Compared with {rival.name}, it uses {_join(ratios)}." if ratios else ""


def _describe_ratio(name: str, mine: float, its: float) -> str:
    if not (is_clearly_less(name, mine, its) or is_clearly_less(name, its, mine)):
        return f"the same {_NOUNS[name]}"
    ratio = mine / its
    return f"{ratio:{'.0f' if ratio >= 10 else '.2g'}}{TIMES} the {_NOUNS[name]}"


def _list_changes(changes: Sequence[WeightChange]) -> str:
    """Who would win with which weight: `b would win if memory weighed 2 or more`."""
    conditions: dict[str, list[str]] = {}
    for change in changes:
        verb = "" if change.row.name in conditions else " weighed"
        condition = f"{_NOUNS[change.criterion]}{verb} {_describe_bound(change)}"
        conditions.setdefault(change.row.name, []).append(condition)
    return "; ".join(f"{name} would win if {', or '.join(each)}" for name, each in conditions.items())


def _describe_bound(change: WeightChange) -> str:
    number = f"{float(change.stated):.12g}"
    if not change.reached:
        return f"more than {number}" if change.upward else f"less than {number}"
    if not change.stated:
        return number
    return f"{number} or {'more' if change.upward else 'less'}"


def _join(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
