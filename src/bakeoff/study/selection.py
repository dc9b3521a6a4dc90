"""One of each of as many groups as two limits allow, the best first. Pure functions: the default field is chosen by it.

An option has a cost in seconds of the budget and in bytes to download; both are limited for all that are chosen
together. How many groups can take part, and whether an option leaves room for the others, is computed exactly.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bakeoff.networks.backbone import Backbone
from bakeoff.runs.config import Candidate

__all__ = ["Cost", "Groups", "Option", "count_groups", "least_costs", "select"]

# Sums of the same seconds in another order differ by less.
ROUNDING = 1e-6


class Cost(NamedTuple):
    """What something takes of the limits."""

    seconds: float
    bytes: float

    def plus(self, other: "Cost") -> "Cost":
        """Both together."""
        return Cost(self.seconds + other.seconds, self.bytes + other.bytes)

    def minus(self, other: "Cost") -> "Cost":
        """What is left without the other."""
        return Cost(self.seconds - other.seconds, self.bytes - other.bytes)

    def fits(self, limits: "Cost") -> bool:
        """Whether neither is above its limit."""
        return self.seconds <= limits.seconds + ROUNDING and self.bytes <= limits.bytes


class Option(NamedTuple):
    """A network at an input size, with the error that is expected of it."""

    network: Backbone
    size: int
    error: float
    cost: Cost

    @property
    def candidate(self) -> Candidate:
        """The network with its input size."""
        return Candidate(name=self.network.name, size=self.size)

    @property
    def rank(self) -> tuple[Any, ...]:
        """A key by which the least expected error comes first."""
        return self.error, self.cost, self.network.name, self.size


Groups = Mapping[str, Sequence[Option]]
"""Options by a name. Of each group at most one is chosen."""


def select(groups: Groups, count: int, limits: Cost, order: Callable[[Option, int], int]) -> list[Option]:
    """Options of so many groups: at every step the first one that still lets so many groups take part.

    Args:
        groups: The options.
        count: Number of groups, at most `count_groups`.
        limits: What all that are chosen may cost together.
        order: (option, how many were chosen before) to what comes before the expected error in the order.
    """
    chosen: list[Option] = []
    left, groups = limits, dict(groups)
    for ahead in reversed(range(count)):
        options = [(name, option) for name, group in groups.items() for option in group]
        options.sort(key=lambda each: (order(each[1], len(chosen)), each[1].rank))
        others: dict[str, list[Cost]] = {}
        for name, option in options:
            if name not in others:
                rest = [group for other, group in groups.items() if other != name]
                others[name] = least_costs(rest, left, ahead)[ahead]
            if any(option.cost.plus(cost).fits(left) for cost in others[name]):
                break
        chosen.append(option)
        left = left.minus(option.cost)
        del groups[name]
    return chosen


def count_groups(groups: Groups, limits: Cost, most: int) -> int:
    """So many groups, up to a number, can take part."""
    return max(count for count, costs in enumerate(least_costs(groups.values(), limits, most)) if costs)


def least_costs(groups: Iterable[Sequence[Option]], limits: Cost, most: int) -> list[list[Cost]]:
    """What it costs at least to let one option of each of so many groups take part, by their number, up to a number.

    A list has each cost within the limits that is not above another one in both seconds and bytes.
    """
    table = [[Cost(0.0, 0.0)], *([] for _ in range(most))]
    for group in groups:
        cheap = _without_dearer(option.cost for option in group)
        for count in range(most, 0, -1):
            sums = (before.plus(cost) for before in table[count - 1] for cost in cheap)
            table[count] = _without_dearer([*table[count], *(cost for cost in sums if cost.fits(limits))])
    return table


def _without_dearer(costs: Iterable[Cost]) -> list[Cost]:
    kept: list[Cost] = []
    for cost in sorted(costs):
        if not kept or cost.bytes < kept[-1].bytes:
            kept.append(cost)
    return kept
