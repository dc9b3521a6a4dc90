"""Ranked rows as people read them: why the winner won, a table for the terminal, and numbers with their units.

Files keep the numbers; only views round them. What was not measured (0 or None) is a dash.
"""

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from bakeoff.board.rows import (
    STAGES,
    Row,
    difference_interval,
    dominates,
    is_scored,
    order_of,
    read_estimate,
    read_losses,
)
from bakeoff.runs import State

__all__ = [
    "explain",
    "render_table",
    "say_bytes",
    "say_count",
    "say_percent",
    "say_range",
    "say_seconds",
    "say_top1",
]

# An en dash for what is not there, and the multiplication sign: spelt out, for they look like ASCII.
DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
_COSTS = {"memory": "memory", "params": "trained parameters", "time": "training time"}


def explain(rows: Sequence[Row]) -> str:
    """Say in two plain sentences why the first row won; expects the order of `rank`."""
    scored = [row for row in rows if is_scored(row)]
    if not scored:
        return "No candidate completed, so there is no winner."
    winner = scored[0]
    text = f"{winner.name} won with {say_top1(winner)} % top-1 on validation"
    for stage in STAGES:
        own = next((row for row in scored if row.stage is stage and row.name == winner.name), None)
        rivals = [row for row in scored if row.stage is stage and row.name != winner.name]
        if own and rivals:
            joint = "," if stage is winner.stage else f"; in the {stage} stage it was"
            return f"{text}{joint} {_against(own, rivals[0])}. {_alternatives(own, rivals)}."
    return f"{text}; it was compared with no other candidate."


def render_table(rows: Sequence[Row]) -> Table:
    """A table for the terminal in human units: ★ is on the Pareto front, ≈ ties with the stage's most accurate row."""
    caption = "★ on the Pareto front of accuracy, memory, parameters and time   ≈ too close to the best to tell"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    # On a narrow screen Rich narrows the columns that may wrap first: the speed, then the names.
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("network", overflow="fold", min_width=22)
    table.add_column("stage", no_wrap=True)
    table.add_column("top-1 %", no_wrap=True)
    for head in ("memory", "trained", "time"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("img/s", justify="right", overflow="ellipsis")
    for row in rows:
        complete = row.state is State.COMPLETE
        note = row.reason if complete else f"{row.state}: {row.reason or 'no reason was recorded'}"
        cells = [
            str(row.rank or DASH),
            f"{row.name}\n{note}".rstrip(),
            row.stage.value,
            f"{say_top1(row)} {'★' * row.pareto}{'≈' * row.tie}",
            say_bytes(row.memory_peak_bytes),
            say_count(row.params_trainable),
            say_seconds(row.seconds_train),
            f"{row.images_per_second:.0f}" if row.images_per_second else DASH,
        ]
        # Text, not markup: names and reasons may hold brackets.
        table.add_row(*(Text(cell) for cell in cells), style="" if complete else "dim")
    return table


def say_top1(row: Row) -> str:
    """Validation top-1 and half the width of its 95 % interval, in percent: `84.2 ±1.0`."""
    if row.val_top1 is None:
        return DASH
    top1, low, high = read_estimate(row)
    return f"{top1 * 100:.1f} ±{(high - low) * 50:.1f}"


def say_percent(fraction: float | None) -> str:
    """A fraction of 1: 0.8423 is `84.2 %`."""
    return DASH if fraction is None else f"{fraction * 100:.1f} %"


def say_range(interval: tuple[float, float]) -> str:
    """An interval of fractions of 1: (0.831, 0.852) is `83.1 to 85.2 %`."""
    low, high = interval
    return f"{low * 100:.1f} to {high * 100:.1f} %"


def say_bytes(count: int) -> str:
    """Bytes in decimal megabytes or gigabytes."""
    if not count:
        return DASH
    if count >= 1e9:
        return f"{count / 1e9:.2f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.2f} MB"


def say_count(count: int) -> str:
    """A count in thousands (k) or millions (M)."""
    if not count:
        return DASH
    if count >= 1e6:
        return f"{count / 1e6:.1f} M"
    return f"{count / 1e3:.1f} k" if count >= 1e3 else str(count)


def say_seconds(seconds: float) -> str:
    """Seconds, from two minutes on minutes, from two hours on hours."""
    if not seconds:
        return DASH
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _against(own: Row, rival: Row) -> str:
    low, high = difference_interval(own, rival)
    verdict = "a tie, since chance alone could explain it" if low <= 0 <= high else "more than chance explains"
    text = f"{_say_lead(own, rival)} {rival.name}"
    text += f" ({verdict}: 95 % interval {low * 100:+.1f} to {high * 100:+.1f})"
    mine, its = read_losses(own), read_losses(rival)
    measured = [name for name in _COSTS if mine[name] + its[name] < math.inf]
    ratios = [_compare(mine[name] / its[name], _COSTS[name]) for name in measured]
    return f"{text}, at {', '.join(ratios)}" if ratios else text


def _compare(ratio: float, noun: str) -> str:
    return f"the same {noun}" if 0.95 <= ratio <= 1.05 else f"{ratio:.2g}{TIMES} the {noun}"


def _alternatives(own: Row, rivals: Sequence[Row]) -> str:
    """Whether the winner is on the front, and the most accurate rival that is clearly cheaper, per cost."""
    better = next((rival.name for rival in rivals if dominates(rival, own)), None)
    text = "It is on the Pareto front"
    if better:
        text = f"It is not on the Pareto front, for {better} is no worse on any criterion and better on one"
    choices: dict[str, list[str]] = {}
    for name, noun in _COSTS.items():
        cheaper = (rival for rival in rivals if read_losses(rival)[name] < 0.95 * read_losses(own)[name] < math.inf)
        choice = min(cheaper, key=order_of, default=None)
        if choice:
            choices.setdefault(f"{choice.name} ({_say_lead(choice, own)} it)", []).append(noun)
    if not choices:
        return f"{text}, and no rival was clearly cheaper"
    ifs = (f"{name} would be the choice if {_join(nouns)} counted more" for name, nouns in choices.items())
    return f"{text}; {', '.join(ifs)}"


def _say_lead(own: Row, rival: Row) -> str:
    points = (read_estimate(own)[0] - read_estimate(rival)[0]) * 100
    return f"{abs(points):.1f} points {'ahead of' if points >= 0 else 'behind'}"


def _join(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
