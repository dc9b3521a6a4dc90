"""The default field: which networks take part in a study that names none, and why. A part of `study.json`."""

from bakeoff.runs.facts import Facts

__all__ = ["Absent", "DefaultField", "Entrant"]


class Entrant(Facts):
    """A network that takes part, and what was known of it when it was chosen."""

    candidate: str
    """As `name@size`."""
    family: str
    """The family that the network is of."""
    from_scratch: bool = False
    """Whether it has no pretrained weights."""
    imagenet_top1: float | None = None
    """Percent; None without ImageNet weights."""
    expected_error: float | None = None
    """What networks were compared by: a smaller number is better, and only the order has a meaning. None for networks
    from scratch, and for those that take part because the user gave their weights."""
    images_per_second: float = 0.0
    """Predicted, forward."""
    download_bytes: int = 0
    """Size of the weights that have to be downloaded; 0: they are on this machine, or there are none."""


class Absent(Facts):
    """Networks that do not take part, and why."""

    why: str
    """The reason, in a sentence."""
    networks: tuple[str, ...]
    """Their names."""


class DefaultField(Facts):
    """Who takes part by default, and who does not."""

    entrants: tuple[Entrant, ...]
    """Those that take part, in the order in which they are screened."""
    absent: tuple[Absent, ...] = ()
    """Those that do not, by reason."""
    waiting: tuple[str, ...] = ()
    """Candidates on this machine, as `name@size`, for which there is no time as far as is known. A study screens them
    after all if its screen takes less time than predicted."""
    stand_ins: tuple[str, ...] = ()
    """Candidates on this machine, as `name@size`, that may be screened in place of what does not arrive."""
