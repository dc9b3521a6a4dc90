"""The default field: the candidates of a study that names none. Pure functions: no clock, no files, no network.

Every network has a few options: an input size each, with the error that is expected of it and with what it costs, in
seconds and in bytes to download. The field is chosen in this order:

1. as many as possible of the families and of the networks from scratch, a network on this machine among them;
2. of each family the option with the least expected error that still lets as many take part, the best family first:
   one that is on this machine, two others, the networks from scratch, then the other families;
3. further networks of these families that are on this machine, if no other family fits.

A faster machine has the same options at lower costs and lower errors. So its field has at least as many families and
networks from scratch, and if it has as many, the best of its networks on this machine is at least as good.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bakeoff.networks.backbone import Backbone
from bakeoff.networks.weights.published import file_size
from bakeoff.runs.config import Candidate, Mode
from bakeoff.runs.default_field import Absent, DefaultField, Entrant
from bakeoff.study.forecast import Forecast
from bakeoff.study.selection import Cost, Groups, Option, count_groups, least_costs, select
from bakeoff.study.sizes import predict_error, sizes_for

__all__ = ["MAX_NETWORKS", "Availability", "Terms", "choose_field"]

# More candidates would each be screened on fewer images.
MAX_NETWORKS = 9
# So many families come before the networks from scratch.
FIRST_FAMILIES = 3
# Bytes per second of a download, before anything was downloaded.
ASSUMED_BANDWIDTH = 2e6


class Availability(StrEnum):
    """Whether a network's pretrained weights can be had."""

    AT_HAND = "at hand"
    """They are on this machine."""
    DOWNLOAD = "download"
    OFFLINE = "offline"
    """They would have to be downloaded, and nothing shall be."""
    UNREACHABLE = "unreachable"
    """They would have to be downloaded, and the host does not answer."""
    NOT_INSTALLED = "not installed"
    """They come with a package that is not installed."""


_CANNOT_BE_HAD = {
    Availability.OFFLINE: "not on this machine, and nothing is downloaded",
    Availability.UNREACHABLE: "not on this machine, and the host does not answer",
    Availability.NOT_INSTALLED: "the package with their weights is not installed",
}
_NO_TIME = "no time for them in this budget"
_FAMILY_TAKES_PART = "another network of the family takes part"
_FULL = f"{MAX_NETWORKS} networks take part already, and less is expected of these"


@dataclass(frozen=True)
class Terms:
    """What a default field is chosen by."""

    available: Mapping[str, Availability]
    """By name of the network."""
    side: int
    """Side of the stored images in pixels."""
    images: int
    """Training images."""
    forecast: Forecast
    seconds: float
    """Wall-clock seconds for all candidates."""
    price: Callable[[Candidate], float]
    """The wall-clock seconds that a candidate takes at least, in one slot."""
    slots: int = 1
    """Runs side by side."""
    training_seconds: float = math.inf
    """Training seconds of the winner's run; infinite: as many as there is use for."""
    sizes: Callable[[Backbone, int], Sequence[int]] = sizes_for
    """The input sizes that are considered for a network and images of a side."""
    download_limit: float = 0
    """Bytes that may be downloaded for the whole field."""
    download_seconds: float = math.inf
    """Wall-clock seconds in which downloads have to end."""
    bandwidth: float = ASSUMED_BANDWIDTH
    """Bytes per second of a download."""
    waits: bool = True
    """Whether networks for which there is no time may take part after all, if the others take less than predicted."""

    @property
    def limits(self) -> Cost:
        """What the whole field may cost."""
        return Cost(self.slots * self.seconds, min(self.download_limit, self.bandwidth * self.download_seconds))

    def find_seconds(self, candidate: Candidate) -> float:
        """Seconds of all slots that a candidate takes: of one slot; where it alone takes too long, of all."""
        alone = self.price(candidate)
        return alone if alone <= self.seconds else self.slots * alone

    def availability(self, network: Backbone) -> Availability:
        """Whether a network can take part; one that no fact is known of cannot."""
        return Availability.AT_HAND if network.from_scratch else self.available.get(network.name, Availability.OFFLINE)


def choose_field(networks: Sequence[Backbone], terms: Terms, required: Iterable[str] = ()) -> DefaultField:
    """Choose the candidates of a study that names none.

    Args:
        networks: All networks that could take part, some of them without a download.
        terms: What they are chosen by.
        required: Names of networks that take part in any case, because the user gave their weights.

    Returns:
        The field: networks with pretrained weights first, then those from scratch, each by number of parameters. It has
        at least one network.
    """
    options = {
        network.name: _list_options(network, terms)
        for network in networks
        if terms.availability(network) not in _CANNOT_BE_HAD
    }
    given = [options.pop(name)[0] for name in required]
    left, most = terms.limits, max(0, MAX_NETWORKS - len(given))
    for option in given:
        left = left.minus(option.cost)
    chosen = given + _choose(options, left, most, {option.network.family for option in given})
    if not chosen:
        fastest = [min(own, key=lambda each: each.cost) for own in options.values() if _is_here(own)]
        chosen = [min(fastest, key=lambda each: (each.network.from_scratch, each.cost, each.rank))]
    chosen.sort(key=lambda each: (each.network.from_scratch, each.network.params_total))
    others = _list_others(options, chosen) if terms.waits else []
    places = max(0, MAX_NETWORKS - len(chosen))
    waiting, downloads = others[:places], sum(option.cost.bytes > 0 for option in chosen)
    known = {option.network.name for option in (*chosen, *waiting)}
    return DefaultField(
        entrants=tuple(_describe(option, terms, given=option in given) for option in chosen),
        absent=_explain([each for each in networks if each.name not in known], options, chosen, terms),
        waiting=tuple(str(option.candidate) for option in waiting),
        stand_ins=tuple(str(option.candidate) for option in others[places : places + downloads]),
    )


def _list_options(network: Backbone, terms: Terms) -> list[Option]:
    """A network at the input sizes that are considered, the least expected error first."""
    size_in_bytes = file_size(network) if terms.availability(network) is Availability.DOWNLOAD else 0
    seconds, images, forecast = terms.training_seconds, terms.images, terms.forecast
    options = []
    for size in terms.sizes(network, terms.side):
        error = predict_error(network, size, side=terms.side, seconds=seconds, images=images, forecast=forecast)
        cost = Cost(terms.find_seconds(Candidate(name=network.name, size=size)), size_in_bytes)
        options.append(Option(network, size, error, cost))
    return sorted(options, key=lambda each: each.rank)


def _is_here(own: Sequence[Option]) -> bool:
    return own[0].cost.bytes == 0


def _choose(options: Groups, limits: Cost, most: int, represented: set[str]) -> list[Option]:
    """At most so many networks: one of each family, except of those that are represented, and further ones.

    Args:
        options: The options of each network.
        limits: What all of them may cost.
        most: Number of networks.
        represented: Families that take part already.
    """
    families: dict[str, list[Option]] = {}
    for option in (option for own in options.values() for option in own):
        network = option.network
        if network.family not in represented:
            families.setdefault(network.name if network.from_scratch else network.family, []).append(option)

    def others(names: Iterable[str]) -> dict[str, Sequence[Option]]:
        """The networks with pretrained weights on this machine, without some."""
        known = {*names, *(name for name, own in options.items() if own[0].network.from_scratch)}
        return {name: own for name, own in options.items() if name not in known and _is_here(own)}

    count, seconds = _count_families(families, limits, most, with_one_here=not represented)
    # Time for further networks is kept first, as if the fastest network of each family took part.
    fastest = [min(group, key=lambda each: each.cost).network.name for group in families.values()]
    spare = limits.seconds - seconds
    kept = 0.0
    for price in sorted(min(each.cost.seconds for each in own) for own in others(fastest).values())[: most - count]:
        if kept + price <= spare:
            kept += price
    chosen = select(families, count, limits.minus(Cost(kept, 0)), _order)
    left = limits
    for option in chosen:
        left = left.minus(option.cost)
    further = others(option.network.name for option in chosen)
    return chosen + select(further, count_groups(further, left, most - count), left, _order)


def _count_families(families: Groups, limits: Cost, most: int, *, with_one_here: bool) -> tuple[int, float]:
    """How many of the groups can take part, and in how many seconds at least.

    Args:
        families: The options of each family, and of each network from scratch.
        limits: What all of them may cost.
        most: Number of groups.
        with_one_here: Whether a network with pretrained weights on this machine has to be among them, if there is one.
    """
    firsts = {
        name: min(option.cost for option in group if not option.cost.bytes)
        for name, group in families.items()
        if with_one_here and not group[0].network.from_scratch and any(not option.cost.bytes for option in group)
    }
    best = (0, 0.0)
    for name, first in firsts.items() or [("", None)]:
        others = [group for other, group in families.items() if other != name]
        left, number = (limits.minus(first), most - 1) if first else (limits, most)
        if min(left.seconds, number) < 0:
            continue
        costs = least_costs(others, left, number)
        count = max(count for count, each in enumerate(costs) if each)
        seconds = min(cost.seconds for cost in costs[count]) + (first.seconds if first else 0.0)
        best = max(best, (count + (1 if first else 0), -seconds))
    return best[0], -best[1]


def _order(option: Option, before: int) -> int:
    """The order of choice: a network that is on this machine, two more families, those from scratch, all others."""
    if option.network.from_scratch:
        return 2
    if before == 0 and not option.cost.bytes:
        return 0
    return 1 if before < FIRST_FAMILIES else 3


def _list_others(options: Groups, chosen: Sequence[Option]) -> list[Option]:
    """The other networks on this machine: those of other families and from scratch first, then the fastest."""
    names, families = {option.network.name for option in chosen}, {option.network.family for option in chosen}
    left = [own for name, own in options.items() if name not in names and _is_here(own)]
    here = [min(own, key=lambda each: each.cost) for own in left]
    here.sort(key=lambda each: (not each.network.from_scratch and each.network.family in families, each.cost))
    return here


def _describe(option: Option, terms: Terms, *, given: bool) -> Entrant:
    network = option.network
    return Entrant(
        candidate=str(option.candidate),
        family=network.family,
        from_scratch=network.from_scratch,
        imagenet_top1=network.imagenet_top1,
        expected_error=None if given or network.from_scratch else round(option.error, 4),
        images_per_second=round(terms.forecast.rate(option.candidate, Mode.PROBE).value, 1),
        download_bytes=int(option.cost.bytes),
    )


def _explain(absent: Sequence[Backbone], options: Groups, chosen: Sequence[Option], terms: Terms) -> tuple[Absent, ...]:
    """Why networks do not take part, by reason."""
    families, used = {option.network.family for option in chosen}, sum(option.cost.bytes for option in chosen)
    is_full = len(chosen) >= MAX_NETWORKS
    too_large = f"more to download than is left of the limit of {terms.download_limit / 1e6:,.0f} MB"

    def reason(network: Backbone) -> str:
        if network.name not in options:
            return _CANNOT_BE_HAD[terms.availability(network)]
        size_in_bytes = options[network.name][0].cost.bytes
        if size_in_bytes > terms.download_limit:
            return too_large
        if network.family in families and not network.from_scratch and (is_full or size_in_bytes):
            return _FAMILY_TAKES_PART
        if is_full:
            return _FULL
        return too_large if used + size_in_bytes > terms.download_limit else _NO_TIME

    reasons: dict[str, list[str]] = {}
    for network in absent:
        reasons.setdefault(reason(network), []).append(network.name)
    return tuple(Absent(why=why, networks=tuple(names)) for why, names in reasons.items())
