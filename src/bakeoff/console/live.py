"""A study under way: a line for each finished run, a bar for each run in progress."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import Progress, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bakeoff.console.bars import CountBars, is_file, is_wide, make_bar, make_console, make_progress
from bakeoff.console.data import print_data, print_note, print_warning
from bakeoff.console.plans import render_plan
from bakeoff.data.shards import Dataset
from bakeoff.report.board import DASH, format_bytes, format_changes, format_interval, format_score, format_seconds
from bakeoff.runs.config import Metric, Run
from bakeoff.runs.events import RunProgress
from bakeoff.runs.metrics import Metrics
from bakeoff.runs.record import RunRecord, State
from bakeoff.study import AnyPlan
from bakeoff.text import counted

__all__ = ["StudyConsole", "draw_study"]


class StudyConsole:
    """A StudyWatcher that draws on a terminal or in a notebook, and prints plain lines elsewhere."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._counts = CountBars(progress)
        self._stage = ""
        self._tasks: dict[Run, TaskID] = {}

    def counted(self, doing: str, done: int, total: int) -> None:
        """Move the bar of a step of the preparation."""
        self._counts.move(doing, done, total)

    def noted(self, text: str) -> None:
        """Print a note."""
        print_note(self._console, text)

    def warned(self, text: str) -> None:
        """Print a warning."""
        self._counts.clear()
        print_warning(self._console, text)

    def data_read(self, dataset: Dataset) -> None:
        """Print the data."""
        self._counts.clear()
        print_data(self._console, dataset)

    def study_began(self, dataset: Dataset, plan: AnyPlan) -> None:
        """Print the data and the plan."""
        self.data_read(dataset)
        # A file gets a line for each row, which programs can search.
        self._console.print(render_plan(plan), highlight=False, soft_wrap=is_file(self._console))

    def stage_began(self, stage: str, runs: int | None, seconds_left: float | None) -> None:
        """Print the head of the stage's lines."""
        self._stage = stage
        left = ""
        if seconds_left is not None:
            left = (
                f", {format_seconds(seconds_left)} of the budget left"
                if seconds_left > 0
                else ", the budget is used up"
            )
        length = "runs until the time is up" if runs is None else counted(runs, "run")
        self._console.print(f"[bold]{stage}[/] [dim]{length}{left}[/]", highlight=False)

    def plan_revised(self, why: str) -> None:
        """Print how the plan has changed."""
        text = f"[bold]plan[/] {escape(why)}"
        if is_file(self._console):
            self._console.print(f"  {text}", highlight=False, soft_wrap=True)
        else:
            self._console.print(Padding(text, (0, 0, 0, 2)), highlight=False)

    def run_began(self, run: Run) -> None:
        """Add a bar for the run."""
        self._counts.clear()
        if run not in self._tasks:
            self._tasks[run] = self._progress.add_task(f"{run.candidate} starting", total=1.0, note="")

    def run_moved(self, run: Run, event: RunProgress) -> None:
        """Move its bar."""
        notes = []
        if event.epoch:
            notes.append(f"epoch {event.epoch:.1f}")
        if event.val_score is not None:
            notes.append(f"val {format_score(event.val_score, run.train.metric)}")
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
        first, *others = _describe(record, test=self._stage == "test", wide=is_wide(self._console))
        if changes:
            others.append(f"[dim]{escape(format_changes(changes))}[/]")
        if is_file(self._console):
            # One line for each run, which programs can search.
            self._console.print("  " + "  ".join([first, *others]), highlight=False, soft_wrap=True)
            return
        self._console.print("  " + first, highlight=False, no_wrap=True)
        for other in others:
            self._console.print(Padding(other, (0, 0, 0, 4)), highlight=False)


@contextmanager
def draw_study(console: Console | None = None) -> Iterator[StudyConsole]:
    """Yield a StudyConsole on standard error whose bars are gone at the end."""
    console = console or make_console()
    columns: list[ProgressColumn] = [
        TextColumn("  {task.description}"),
        make_bar(console),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    ]
    if is_wide(console):
        columns.insert(3, TimeElapsedColumn())
    with make_progress(console, *columns) as progress:
        yield StudyConsole(console, progress)


def _format_estimate(scores: Metrics, metric: Metric, *, wide: bool) -> str:
    estimate = scores.read(metric)
    if estimate is None:
        return f"{DASH:>7}"
    value = f"{format_score(estimate.value, metric):>7}"
    if estimate.interval is None or not wide:
        return value
    return f"{value} [dim]{f'({format_interval(estimate.interval, metric)})':<18}[/]"


def _describe(record: RunRecord, *, test: bool, wide: bool) -> list[str]:
    """The line of a run, and what is told below it where there is no room beside it."""
    scores = record.test if test else record.val
    if record.state is not State.COMPLETE:
        style = "dim" if record.state is State.PRUNED else "red"
        return [f"[{style}]{record.candidate:<24} {record.state}[/]", escape(record.reason)]
    parts = [
        f"[cyan]{record.candidate:<24}[/]",
        f"{'test' if test else 'val'} {_format_estimate(scores, record.metric, wide=wide)}"
        if scores
        else "[dim]not scored[/]",
        f"{record.images_per_second:6.0f} img/s",
        f"{format_bytes(record.memory_peak_bytes):>8}",
        f"{format_seconds(record.seconds.total):>7}",
    ]
    below = [] if scores else ["[dim]the validation images were learned, so none score it[/]"]
    if record.weights.origin == "file":
        found, total = record.weights.tensors_matched, record.weights.tensors_total
        weights = record.config.model.weights
        file = "imported weights" if weights == "auto" else Path(weights).name
        below.append(f"[dim]{found} of {counted(total, 'tensor')} from {escape(file)}[/]")
    if record.reason and not test:  # it was told when the run ended
        below.append(f"[dim]{escape(record.reason)}[/]")
    return ["  ".join(parts), *below]
