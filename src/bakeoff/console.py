"""What a person sees while a study runs: the plan, a line per finished run, a bar for the one in progress.

Everything here goes to standard error; results go to standard output, by `cli.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from bakeoff.backbones import Backbone, Origin, find_backbone
from bakeoff.board import say_bytes, say_count, say_range, say_seconds
from bakeoff.config import Run
from bakeoff.launch import Event
from bakeoff.runs import RunRecord, State
from bakeoff.study import Comparison, Ledger, Plan
from bakeoff.weights import KitEntry, where_at_hand

__all__ = [
    "StudyConsole",
    "preparing",
    "render_comparison",
    "render_end",
    "render_kit",
    "render_models",
    "render_plan",
    "reporting",
]


def render_plan(plan: Plan) -> Table:
    """The plan of a study as a table: what each stage does, with how much time."""
    table = Table(title=f"Plan for {say_seconds(plan.budget_seconds)}", title_justify="left", box=None)
    table.add_column("stage", style="bold")
    table.add_column("what")
    table.add_row("screen", ", ".join(plan.candidates))
    table.add_row(
        "",
        f"pretrained: a probe on {plan.screen_images:,} images; from scratch: {say_seconds(plan.scratch_seconds)}"
        f" of training; scored on {plan.screen_val:,}",
    )
    _warn_of_random(table, {name: plan.weights.of(name.partition("@")[0]) for name in plan.candidates})
    if plan.cut:
        table.add_row("", f"no time for {', '.join(plan.cut)}")
    for rung, seconds in enumerate(plan.race_seconds):
        table.add_row("race", f"the best {plan.finalists >> rung}, {say_seconds(seconds)} of training each")
    if not plan.race_seconds:
        table.add_row("race", "none: at this budget the screen decides")
    table.add_row("confirm", "the winner, trained with what is left; then the test split is opened once")
    return table


def render_comparison(plan: Comparison) -> Table:
    """What a comparison is about to do: its candidates, and the one length that all of them get."""
    length = plan.runs[0].train
    if plan.budget_seconds is not None:
        title, each = (
            f"Plan for {say_seconds(plan.budget_seconds)}",
            f"{say_seconds(length.seconds or 0.0)} of training",
        )
    else:
        unit, value = next(
            (unit, getattr(length, unit)) for unit in ("seconds", "images", "epochs") if getattr(length, unit)
        )
        title, each = "Plan", f"{value:,g} {unit} of training"
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("stage", style="bold")
    table.add_column("what")
    table.add_row("compare", ", ".join(run.candidate for run in plan.runs))
    table.add_row("", f"{each} for each, on the same data; compiling and scoring are measured apart")
    _warn_of_random(table, {run.candidate: run.model.weights for run in plan.runs})
    table.add_row("", "scored on validation; the test split stays locked")
    return table


def _warn_of_random(table: Table, weights: Mapping[str, str]) -> None:
    """Name the candidates that have pretrained weights and start without them; `weights` are choices by candidate."""
    chosen = [name for name, choice in weights.items() if choice == "none"]
    if random := [name for name in chosen if not find_backbone(name.partition("@")[0]).scratch]:
        table.add_row("", f"[bold red]RANDOM WEIGHTS[/], as asked for: {', '.join(random)}")


class StudyConsole:
    """A study's watcher that draws on a terminal, and prints plain lines where there is none."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._stage = ""
        self._candidate = ""
        self._task: TaskID | None = None

    def stage_began(self, stage: str, runs: int, seconds_left: float | None) -> None:
        """Head the stage's lines."""
        self._stage = stage
        left = "" if seconds_left is None else f", {say_seconds(max(0.0, seconds_left))} of the budget left"
        self._console.print(f"[bold]{stage}[/] [dim]{runs} run{'s' if runs > 1 else ''}{left}[/]")

    def run_began(self, run: Run) -> None:
        """Show a bar for the run."""
        self._candidate = run.candidate
        self._task = self._progress.add_task(f"{run.candidate} starting", total=1.0, note="")

    def run_moved(self, event: Event) -> None:
        """Move the bar."""
        if self._task is None:
            return
        notes = []
        if event["epoch"]:
            notes.append(f"epoch {event['epoch']:.1f}")
        if event["val_top1"] is not None:
            notes.append(f"val {event['val_top1']:.1%}")
        self._progress.update(
            self._task,
            completed=event["fraction"],
            description=f"{self._candidate} {event['doing']}",
            note=", ".join(notes),
        )

    def run_ended(self, record: RunRecord) -> None:
        """Replace the bar by a line."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        self._console.print("  " + _line(record, test=self._stage == "test"), highlight=False, soft_wrap=True)


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
        return f"[red]{record.candidate:<24} {record.state}[/] {escape(record.reason)}"
    parts = [
        f"[cyan]{record.candidate:<24}[/]",
        f"{'test' if test else 'val'} {scores.top1:6.1%} [dim]({say_range(scores.top1_ci95)})[/]",
        f"{record.images_per_second:6.0f} img/s",
        f"{say_bytes(record.memory_peak_bytes):>8}",
        f"{say_seconds(record.seconds.total):>7}",
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
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def move(doing: str, done: int, total: int) -> None:
            if doing not in tasks:
                tasks[doing] = progress.add_task(doing)
            progress.update(tasks[doing], completed=done, total=total or None)

        yield move


def render_models(rows: Sequence[Backbone]) -> Table:
    """The table of networks for the terminal, with where their weights are or would come from."""
    caption = "params with a head of 100 classes; input: smallest/designed side; ImageNet: top-1 %"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    for head in ("network", "params", "input", "ImageNet", "weights", "licence"):
        table.add_column(head, no_wrap=True, justify="right" if head in ("params", "input", "ImageNet") else "left")
    for row in rows:
        elsewhere = "package" if Origin.PACKAGE in row.weight_origins else "download"
        here = where_at_hand(row)
        table.add_row(
            row.name,
            say_count(row.params_total),
            f"{row.min_size}/{row.native_size}",
            "" if row.imagenet_top1 is None else f"{row.imagenet_top1:.1f}",
            "from scratch" if row.scratch else f"{here}, here" if here else f"{elsewhere}, not here",
            row.licence,
        )
    return table


def render_kit(entries: Sequence[KitEntry]) -> Table:
    """What is in a kit of weights."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in ("network", "size", "origin", "SHA-256", "licence"):
        table.add_column(head, justify="right" if head == "size" else "left")
    for entry in entries:
        table.add_row(entry.network, say_bytes(entry.bytes), entry.origin, entry.sha256[:12], entry.licence)
    return table


def render_end(out: Path, winner: RunRecord, ledger: Ledger) -> str:
    """The last lines of a study: the answer, what it took, and where things are."""
    assert winner.test is not None
    spent = f"{say_seconds(ledger.spent)} of {say_seconds(ledger.budget_seconds or 0.0)}"
    return "\n".join(
        [
            f"[bold]{winner.candidate}[/]: test top-1 [bold]{winner.test.top1:.1%}[/]"
            f" (95 % interval {say_range(winner.test.top1_ci95)}; opened {winner.test.openings}x), {spent} spent",
            f"  report   {out / 'report.html'}",
            f"  bundle   {out / 'bundle'}      try: bakeoff predict {out / 'bundle'} IMAGE",
        ]
    )
