"""Named fields of candidates: the name of one stands wherever the name of a network may stand.

expand_fields([Candidate(name="fast", size=128), Candidate(name="vgg-16")])
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.runs.config import Candidate

__all__ = ["FIELDS", "Field", "expand_fields"]


@dataclass(frozen=True)
class Field:
    """Networks that have a name together."""

    name: str
    about: str
    """What they are, in a few words."""
    networks: tuple[str, ...]


def _field(name: str, about: str, networks: str) -> Field:
    return Field(name, about, tuple(networks.split()))


# fmt: off
FIELDS = {field.name: field for field in (
    _field("study", "the eleven networks of the original study, and three from scratch",
           "lenet cnn-small cnn-custom vgg-16 vgg-19 mobilenet-v2 resnet-50 resnet-152-v2 xception inception-v3"
           " densenet-121 densenet-169 densenet-201 efficientnet-b7"),
    _field("fast", "small networks for a laptop, of four families",
           "mobilenet-v3-small mobilenet-v3-large efficientnet-lite0 efficientnet-b0 efficientnet-v2-b0"),
    _field("best", "accurate networks of moderate size, one of each family",
           "efficientnet-v2-s efficientnet-b4 convnext-tiny xception densenet-201 efficientnet-lite2"),
    _field("all", "every network of the table", " ".join(row.name for row in TABLE)),
)}
# fmt: on
"""The named fields, by name."""


def expand_fields(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates with each named field replaced by its networks, at the input size that was given for the field.

    Raises ConfigError, with the closest names of networks and fields, if there is no network of a name.
    """
    found = []
    for candidate in candidates:
        if field := FIELDS.get(candidate.name):
            found += [Candidate(name=name, size=candidate.size) for name in field.networks]
        else:
            find_network(candidate.name, also=FIELDS)
            found.append(candidate)
    return list(dict.fromkeys(found))
