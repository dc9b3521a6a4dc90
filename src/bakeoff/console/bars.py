"""Bars on standard error, for steps that count how far they are."""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["CountBars", "draw_bars", "is_file", "is_wide", "make_bar", "make_console", "make_progress"]

# The width of a terminal from which on there is room for more than the main thing.
_WIDE = 100


class CountBars:
    """A bar for each step; a step is identified by its description."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def move(self, doing: str, done: int, total: int) -> None:
        """Move the bar of a step, or add it; a total of 0 means unknown."""
        if doing not in self._tasks:
            self._tasks[doing] = self._progress.add_task(doing, note="")
        self._progress.update(self._tasks[doing], completed=done, total=total or None)

    def clear(self) -> None:
        """Remove all bars."""
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks.clear()


def make_console() -> Console:
    """A console on standard error."""
    return Console(stderr=True)


def is_file(console: Console) -> bool:
    """Whether lines go to where programs read them, so that each row is one: neither a terminal nor a notebook."""
    return not (console.is_terminal or console.is_jupyter)


def is_wide(console: Console) -> bool:
    """Whether there is room for details in a line; a file has it always."""
    return is_file(console) or console.width >= _WIDE


def make_bar(console: Console) -> BarColumn:
    """A bar that leaves room for the words beside it."""
    return BarColumn(bar_width=24 if is_wide(console) else 8)


def make_progress(console: Console, *columns: ProgressColumn) -> Progress:
    """A display of bars that is gone at its end; it shows nothing where bars cannot be drawn."""
    # Without ipywidgets a notebook cannot redraw its output.
    can_draw = console.is_terminal or (console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None)
    # Standard output is left alone: results may go to a file meanwhile.
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, disable=not can_draw)


@contextmanager
def draw_bars(console: Console | None = None) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function (doing, done, total) that moves a bar; a total of 0 means unknown."""
    console = console or make_console()
    columns = (TextColumn("  {task.description}"), make_bar(console), TimeRemainingColumn())
    with make_progress(console, *columns) as progress:
        yield CountBars(progress).move
