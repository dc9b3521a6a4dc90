"""The board of a study that runs in another process, drawn anew as its files change."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bakeoff.errors import OutputError
from bakeoff.locks import is_free
from bakeoff.report.answer import find_whole_job
from bakeoff.report.board import format_score, format_seconds, rank, render_table
from bakeoff.runs.config import Metric
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.history import read_history
from bakeoff.runs.record import RunRecord, Stage, State, list_records
from bakeoff.runs.study_file import read_study

__all__ = ["watch_study"]


def watch_study(console: Console, out: Path, weigh: Mapping[str, float] | None = None, every: float = 1.0) -> None:
    """Show a study's board until its report is written, and read its files again after `every` seconds.

    Raises OutputError if there is neither a study nor a run in the folder.
    """
    if not ((out / "study.json").is_file() or (out / "runs").is_dir()):
        raise OutputError(f"{out} holds no study; give the folder that `bakeoff run` is writing to")
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            is_left = is_free(out)  # before the records: those of a study that has ended are final then
            records = list_records(out)
            running = [record for record in records if record.state is State.RUNNING]
            settled = [record for record in records if record.state is not State.RUNNING]
            lines = _list_lines(out, running, is_left=is_left) if running else [f"waiting for a run in {out}"]
            board = [render_table(rank(settled, criteria=weigh, out=out))] if settled else []
            live.update(Group(*board, *map(Text, lines)), refresh=True)
            if not running and _is_over(out, records):
                return
            time.sleep(every)


def _list_lines(out: Path, running: Sequence[RunRecord], *, is_left: bool) -> list[str]:
    """Where each run under way is; or if the folder is left, that it was interrupted, and the command that goes on."""
    if not is_left:
        return [_say_where(out, record, "is running") for record in running]
    lines = [_say_where(out, record, "was interrupted") for record in running]
    stages, command = {record.stage for record in running}, read_study(out).command
    if not command or stages == {Stage.TRAIN}:
        return [*lines, "the same command goes on from there"]
    if Stage.SCREEN not in stages:
        # A screen that was continued to the whole job still has its own command.
        command = find_whole_job(command) or command
    return [*lines, f"continue with: {command}"]


def _say_where(out: Path, record: RunRecord, state: str) -> str:
    """The run, its state, and how far it has come."""
    history = read_history(run_dir(out, record.id))
    text = f"{record.stage}: {record.candidate} {state}"
    if history:
        last = history[-1]
        name = "" if record.metric is Metric.TOP1 else f" {record.metric.label}"
        text += f"; scored at {last.progress:.0%} of its length, after {format_seconds(last.seconds)} of training:"
        score = last.read(record.metric)
        text += f" {format_score(score, record.metric)}{name} on validation"
    return text


def _is_over(out: Path, records: Sequence[RunRecord]) -> bool:
    """Whether there is a report that is younger than every record."""
    report = out / "report.html"
    if not records or not report.is_file():
        return False
    written = report.stat().st_mtime_ns
    return all(RunFolder(run_dir(out, record.id)).record.stat().st_mtime_ns <= written for record in records)
