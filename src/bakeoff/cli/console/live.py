"""A study as it goes: a line per finished run, a bar for each one in progress."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bakeoff.report.board import format_bytes, format_changes, format_range, format_seconds
from bakeoff.runs.config import Run
from bakeoff.runs.events import RunProgress
from bakeoff.runs.record import RunRecord, State

__all__ = ["StudyConsole", "preparing", "reporting"]


class StudyConsole:
    """A study's watcher that draws on a terminal, and prints plain lines where there is none."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._stage = ""
        self._tasks: dict[Run, TaskID] = {}

    def stage_began(self, stage: str, runs: int | None, seconds_left: float | None) -> None:
        """Head the stage's lines."""
        self._stage = stage
        left = "" if seconds_left is None else f", {format_seconds(max(0.0, seconds_left))} of the budget left"
        count = "" if runs is None else f"{runs} run{'s' if runs > 1 else ''}"
        self._console.print(f"[bold]{stage}[/] [dim]{count or 'runs until the time is up'}{left}[/]")

    def run_began(self, run: Run) -> None:
        """Show a bar for the run."""
        if run not in self._tasks:
            self._tasks[run] = self._progress.add_task(f"{run.candidate} starting", total=1.0, note="")

    def run_moved(self, run: Run, event: RunProgress) -> None:
        """Move its bar."""
        notes = []
        if event.epoch:
            notes.append(f"epoch {event.epoch:.1f}")
        if event.val_top1 is not None:
            notes.append(f"val {event.val_top1:.1%}")
        self._progress.update(
            self._tasks[run],
            completed=event.fraction,
            description=f"{run.candidate} {event.doing}",
            note=", ".join(notes),
        )

    def run_ended(self, record: RunRecord, changes: Mapping[str, Any]) -> None:
        """Replace the bar by a line."""
        if (task := self._tasks.pop(record.config, None)) is not None:
            self._progress.remove_task(task)
        line = "  " + _line(record, test=self._stage == "test")
        if changes:
            line += f"  [dim]{escape(format_changes(changes))}[/]"
        self._console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def reporting(console: Console) -> Iterator[StudyConsole]:
    """A StudyConsole with its live display switched on."""
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield StudyConsole(console, progress)


def _line(record: RunRecord, *, test: bool) -> str:
    scores = record.test if test else record.val
    if record.state is not State.COMPLETE or scores is None:
        style = "dim" if record.state is State.PRUNED else "red"
        return f"[{style}]{record.candidate:<24} {record.state}[/] {escape(record.reason)}"
    parts = [
        f"[cyan]{record.candidate:<24}[/]",
        f"{'test' if test else 'val'} {scores.top1:6.1%} [dim]({format_range(scores.top1_ci95)})[/]",
        f"{record.images_per_second:6.0f} img/s",
        f"{format_bytes(record.memory_peak_bytes):>8}",
        f"{format_seconds(record.seconds.total):>7}",
    ]
    if record.weights.origin == "file":
        found, total = record.weights.tensors_matched, record.weights.tensors_total
        weights = record.config.model.weights
        file = "a kit" if weights == "auto" else Path(weights).name
        parts.append(f"[dim]{found} of {total} tensors from {escape(file)}[/]")
    if record.reason:
        parts.append(f"[dim]{escape(record.reason)}[/]")
    return "  ".join(parts)


@contextmanager
def preparing(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function (doing, done, total) that moves a bar; total 0 means unknown."""
    columns = (TextColumn("  {task.description}"), BarColumn(bar_width=24), TimeRemainingColumn())
    bar = Progress(
        *columns,
        console=console,
        transient=True,
        # What is printed meanwhile goes where it was meant to go: results may be on their way to a file.
        redirect_stdout=False,
        disable=not console.is_terminal,
    )
    with bar as progress:
        tasks: dict[str, TaskID] = {}

        def move(doing: str, done: int, total: int) -> None:
            if doing not in tasks:
                tasks[doing] = progress.add_task(doing)
            progress.update(tasks[doing], completed=done, total=total or None)

        yield move
