"""What a study found, and other tables."""

import shlex
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bakeoff.deploy.contract import ContractCheck
from bakeoff.networks.backbone import Origin
from bakeoff.networks.families import FAMILIES
from bakeoff.networks.weights import ExportedWeights
from bakeoff.profile import ListedNetwork, Pace
from bakeoff.report.board import (
    Column,
    FittingTable,
    format_arm,
    format_bytes,
    format_changes,
    format_count,
    format_headline,
    format_seconds,
)
from bakeoff.runs.config import Metric, Mode
from bakeoff.runs.findings import Arm, Effect, Effects, SearchResult, Verdict
from bakeoff.runs.record import RunRecord
from bakeoff.runs.study_file import AnyStudy
from bakeoff.study.fields import FIELDS
from bakeoff.text import counted, times

__all__ = [
    "render_contract",
    "render_effects",
    "render_end",
    "render_fields",
    "render_models",
    "render_place",
    "render_search_result",
    "render_weights",
]


def render_models(rows: Sequence[ListedNetwork]) -> FittingTable | str:
    """The table of networks for the terminal, with where their weights are or how much would be downloaded."""
    if not rows:
        return "no network is left; give fewer filters"
    columns = [
        Column("network", left=True, wraps=True),
        Column("params", "with a head of 100 classes"),
        Column("input", "smallest/designed side in pixels"),
        Column("top-1", "on ImageNet, percent"),
        Column("compute", "multiply-adds for one image of the designed side", goes=2),
        Column("weights", "where they are, or the size of a download", left=True, wraps=True),
        Column("img/s", "the last training here, at the side after @; in brackets forward alone"),
        Column("licence", left=True, wraps=True),
        Column("fields", left=True, goes=1),
    ]
    hidden = () if any(row.pace for row in rows) else ("img/s",)
    families = {row.family for row in rows}
    family = FAMILIES.get(families.pop()) if len(families) == 1 else None
    notes = [f"{family.title}: {family.about}"] if family else []
    cells = [_describe_network(row) for row in rows]
    shown = [place for place, column in enumerate(columns) if column.head not in hidden]
    return FittingTable(
        [columns[place] for place in shown],
        [([row[place] for place in shown], "") for row in cells],
        notes,
        "--json has them",
    )


def _describe_network(row: ListedNetwork) -> list[str]:
    return [
        row.name,
        "" if row.params_total is None else format_count(row.params_total),
        "" if row.min_size is None else f"{row.min_size}/{row.native_size}",
        "" if row.imagenet_top1 is None else f"{row.imagenet_top1:.1f}",
        "" if row.multiply_adds is None else format_count(row.multiply_adds),
        _say_where_weights_are(row),
        "" if row.pace is None else _format_pace(row.pace),
        row.licence or "",
        ", ".join(field for field in row.fields if field != "all"),
    ]


def _say_where_weights_are(row: ListedNetwork) -> str:
    if row.offered_by:
        return f"with {row.offered_by}"
    if row.weights_here:
        return f"here: {row.weights_here}"
    if row.weights_at_hand:
        return "from scratch"
    if Origin.PACKAGE in row.weights:
        return "package, not here"
    return format_bytes(row.download_bytes) if row.download_bytes else "download"


def _format_pace(pace: Pace) -> str:
    text = f"{pace.images_per_second:.{0 if pace.images_per_second >= 10 else 1}f} @{pace.size}"
    return text if pace.mode is Mode.FIT else f"({text})"


def render_fields() -> Group:
    """The named fields of candidates, one line each."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for field in FIELDS.values():
        table.add_row(field.name, f"{field.about} ({len(field.networks)})")
    return Group(
        "",
        "--candidates takes names of networks, and of these fields:",
        table,
        "and presets of hubs: hub:NAME, hf://OWNER/NAME, kaggle://OWNER/MODEL/keras/NAME, hub:./FOLDER",
    )


def render_contract(checks: Sequence[ContractCheck]) -> Table:
    """The table of what a network must do, and what came of each."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("found", overflow="fold")
    words = {True: "[green]passed[/]", False: "[red]failed[/]", None: "[dim]not tried[/]"}
    for check in checks:
        table.add_row(check.name, words[check.passed], escape(check.detail))
    return table


def render_weights(entries: Sequence[ExportedWeights]) -> FittingTable:
    """The table of exported or imported weights."""
    columns = [
        Column("network", left=True, wraps=True),
        Column("size"),
        Column("origin", left=True, goes=1),
        Column("SHA-256", "its first 12 digits", left=True, goes=2),
        Column("licence", left=True, wraps=True),
    ]
    rows = [
        ([entry.network, format_bytes(entry.bytes), entry.origin, entry.sha256[:12], entry.licence], "")
        for entry in entries
    ]
    return FittingTable(columns, rows, elsewhere="--json has them")


def render_end(out: Path, winner: RunRecord, study: AnyStudy) -> str:
    """The last lines of a study: the answer in one line, where things are, and the time that was used."""
    assert winner.test is not None
    shown = format_headline(winner.test, winner.metric)
    also = f", top-1 {shown.top1}" if shown.top1 else ""
    spent = f"{format_seconds(sum(study.seconds.values()))} of {format_seconds(study.budget_seconds or 0.0)}"
    opened = f"the test split was opened {times(winner.test.openings)}"
    return "\n".join(
        [
            f"Answer: [bold]{winner.candidate}[/], test {shown.title} [bold]{shown.value}[/] ({shown.interval}){also}",
            render_place("model", out / "bundle"),
            *(
                [render_place("trained", "once more, on training and validation images together")]
                if winner.refit_of
                else []
            ),
            render_place("try", f"bakeoff predict {shlex.quote(str(out / 'bundle'))} IMAGE"),
            render_place("report", out / "report.html"),
            render_place("spent", f"{spent}; {opened}"),
        ]
    )


def render_place(name: str, place: str | Path) -> str:
    """A line that says where something is."""
    return f"  {name:<8} {escape(str(place))}"


def render_effects(effects: Effects) -> Group:
    """A table for each factor: what each value is worth against the base recipe."""
    base = effects.base
    seeds = f", {counted(len(base.ids), 'seed')}" if len(base.ids) > 1 else ""
    pace = f"{base.images_per_second:.0f} img/s, {format_seconds(base.seconds)} of training{seeds}"
    name = "" if base.metric is Metric.TOP1 else f" {base.metric.label}"
    first = (
        f"base recipe: val {_format_arm(base)}{base.metric.unit}{name}, {format_bytes(base.memory_peak_bytes)}, {pace}"
    )
    tables = [_tabulate(key, list(group)) for key, group in groupby(effects.effects, key=lambda effect: effect.key)]
    missing = [f"not measured (failed, or no time left): {', '.join(effects.missing)}"] if effects.missing else []
    return Group(first, *tables, *missing)


def render_search_result(found: SearchResult, recipe: Path, data_dir: Path | None = None) -> str:
    """The result of a search, in a few lines, with the command that trains by its recipe.

    Args:
        found: The result.
        recipe: The file of the recipe, which says which data it is for.
        data_dir: Where the archives of these are, if that was given.
    """
    counts = ", ".join(f"{count} {state.lower()}" for state, count in found.trials.items())
    trials = sum(found.trials.values())
    lines = [f"{counted(trials, 'trial')}: {counts}"]
    if trials == 1:
        lines.append("There was time for the recipe that it began with and for no other; give a longer --budget.")
    elif found.difference is None or found.before is None or found.after is None:
        why = "The pair that decides could not be trained" if found.changes else "No trial did better"
        lines.append(f"{why}: the recipe that it began with stays.")
    else:
        before, after, metric = format_arm(found.before), format_arm(found.after), found.difference.metric
        lines += [
            f"  before  {before}",
            f"  after   {after}",
            f"  changed {format_changes(found.changes)}",
            f"  both with another seed, {format_seconds(found.after.seconds)} of training,"
            f" {counted(found.difference.images, 'validation image')}:",
            f"  {found.difference.points_and_interval}{metric.points}"
            f"{'' if metric is Metric.TOP1 else f' of {metric.label}'}, {found.difference.significance}",
        ]
        if not found.kept:
            lines.append("The recipe that it began with stays.")
    if found.importances:
        ranked = sorted(found.importances.items(), key=lambda item: -item[1])[:5]
        lines.append("  mattered most: " + ", ".join(f"{name} {weight:.0%}" for name, weight in ranked))
    place = ["--data-dir", str(data_dir)] if data_dir else []
    command = ["bakeoff", "train", "--recipe", str(recipe), "--set", "train.seconds=600", *place]
    return "\n".join([*lines, render_place("recipe", recipe), render_place("try", shlex.join(command))])


def _tabulate(key: str, effects: Sequence[Effect]) -> Group:
    metric = effects[0].difference.metric
    columns = [
        Column("value", left=True, wraps=True),
        Column(f"val {metric.label}"),
        Column("points" if metric.points else "less"),
        Column("verdict", left=True),
        Column("memory", goes=1),
        Column("img/s", goes=2),
    ]
    colors = {Verdict.HELPS: "green", Verdict.HURTS: "red", Verdict.NONE: "dim"}
    rows: list[tuple[list[str | Text], str]] = [
        (
            [
                str(effect.value),
                _format_arm(effect.arm),
                effect.difference.points_and_interval,
                Text(effect.difference.verdict, style=colors[effect.difference.verdict]),
                format_bytes(effect.arm.memory_peak_bytes),
                f"{effect.arm.images_per_second:.0f}",
            ],
            "",
        )
        for effect in effects
    ]
    return Group("", Text(key, style="bold"), FittingTable(columns, rows, elsewhere="--json has them"))


def _format_arm(arm: Arm) -> str:
    (score, (low, high)), metric = arm.estimate, arm.metric
    return f"{score * metric.scale:.{metric.digits}f} ±{(high - low) * metric.scale / 2:.{metric.digits}f}"
