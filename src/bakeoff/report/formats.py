"""The formats that runs were exported to: size, prediction time and memory of each bundle in the study's folder."""

from pathlib import Path
from typing import NamedTuple

from bakeoff.deploy.bundle import BundleFacts, Timing, read_facts
from bakeoff.report.board import format_bytes, format_percent
from bakeoff.report.bundled import list_bundles

__all__ = ["FormatRow", "describe_formats"]


class FormatRow(NamedTuple):
    """A bundle's measurements as text: milliseconds for 1 image and for 32, seconds to the first prediction."""

    folder: str
    other_run: str
    """The id of its run, if that is not the winner."""
    kind: str
    size: str
    one: str
    many: str
    first: str
    memory: str
    top1: str
    """Measured for a quantised format; formats with the run's precision predict as the run does."""


def describe_formats(out: Path, winner: str) -> list[FormatRow]:
    """Describe the timed bundles in a study's folder, smallest first.

    Args:
        out: The study's folder.
        winner: The id of the run that the page is about.

    Raises:
        BundleError: A bundle is damaged.
    """
    found = [(folder.name, read_facts(folder)) for folder in list_bundles(out)]
    found.sort(key=lambda each: each[1].model_bytes)
    return [_describe(folder, facts, facts.timing, winner) for folder, facts in found if facts.timing is not None]


def _describe_top1(facts: BundleFacts) -> str:
    if facts.val is None:
        return "as the run"
    learned = " (learned images)" if facts.learned_val else ""
    return f"{format_percent(facts.val.top1)}{learned}"


def _describe(folder: str, facts: BundleFacts, timing: Timing, winner: str) -> FormatRow:
    return FormatRow(
        folder=folder,
        other_run="" if facts.run == winner else facts.run,
        kind=facts.format_label,
        size=format_bytes(facts.model_bytes),
        one=f"{timing.batch1_seconds * 1000:.1f}",
        many=f"{timing.batch32_seconds * 1000:.0f}",
        first=f"{timing.load_seconds:.1f}",
        memory=format_bytes(timing.memory_peak_bytes),
        top1=_describe_top1(facts),
    )
