"""The forms that a run was exported in: size on disk and time in use of every bundle beside the report."""

from pathlib import Path
from typing import NamedTuple

from bakeoff.deploy.bundle import BundleFacts, Timing, read_facts
from bakeoff.report.board import format_bytes, format_percent

__all__ = ["FormatRow", "describe_formats"]


class FormatRow(NamedTuple):
    """A bundle as the table has it; times are milliseconds for 1 and for 32 images, and seconds to the first answer."""

    folder: str
    kind: str
    size: str
    one: str
    many: str
    first: str
    memory: str
    top1: str
    """Its own; a format with all the run's bits answers as the run does."""


def describe_formats(out: Path) -> list[FormatRow]:
    """The bundles in a study's folder that were timed, smallest first. Raises BundleError for a damaged one."""
    found = [(path.parent.name, read_facts(path.parent)) for path in sorted(out.glob("bundle*/bundle.json"))]
    found.sort(key=lambda each: each[1].model_bytes)
    return [_describe(folder, facts, facts.timing) for folder, facts in found if facts.timing is not None]


def _describe(folder: str, facts: BundleFacts, timing: Timing) -> FormatRow:
    return FormatRow(
        folder=folder,
        kind=facts.kind,
        size=format_bytes(facts.model_bytes),
        one=f"{timing.batch1_seconds * 1000:.1f}",
        many=f"{timing.batch32_seconds * 1000:.0f}",
        first=f"{timing.load_seconds:.1f}",
        memory=format_bytes(timing.memory_peak_bytes),
        top1="as the run" if facts.val is None else format_percent(facts.val.top1),
    )
