"""The outcome of a check, as `bakeoff models --check` shows it."""

from bakeoff.runs.facts import Facts

__all__ = ["ContractCheck"]


class ContractCheck(Facts):
    """What came of one thing that every network must do."""

    name: str
    """What the network must do."""
    passed: bool | None
    """None: it could not be tried, because something is not installed."""
    detail: str = ""
    """What was found, or what is wrong."""
