"""The bundles in a study's folder, and whose models they hold: `export` writes that of any run, in the same place."""

import shlex
from pathlib import Path

from bakeoff.deploy.bundle import read_facts
from bakeoff.errors import BundleError
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import list_records
from bakeoff.runs.shipped import find_shipped
from bakeoff.runs.study_file import read_study

__all__ = ["explain_other", "find_bundled", "list_bundles", "note_other"]


def list_bundles(out: Path) -> list[Path]:
    """The folders in a study's folder that hold a bundle, by name."""
    return sorted(path.parent for path in out.glob("bundle*/bundle.json"))


def find_bundled(bundle: Path) -> str:
    """The id of the run whose model a folder holds as a bundle; empty if it holds none, or a damaged one."""
    try:
        return read_facts(bundle).run
    except BundleError:
        return ""  # whoever opens it is told what is wrong


def explain_other(bundle: Path, run: str) -> str:
    """That a bundle in a study's folder holds the model of another run than this one; empty if it does not.

    Args:
        bundle: The bundle's folder, directly in that of the study.
        run: The id of the run whose model is expected.
    """
    held = find_bundled(bundle)
    if held in ("", run):
        return ""
    return (
        f"{bundle} holds the model of run {held}, not that of the winner, run {run};"
        f" `bakeoff export {shlex.quote(str(run_dir(bundle.parent, run)))}` exports the winner's"
    )


def note_other(bundle: Path) -> str:
    """The same for the run that the study around a bundle ships; also empty if the study has chosen none.

    Raises OutputError if a record or the study's file is damaged.
    """
    out = bundle.parent
    records = list_records(out)
    shipped = find_shipped(read_study(out), records) if records else None
    return explain_other(bundle, shipped.id) if shipped else ""
