"""What a study found, and other tables."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from bakeoff.deploy.contract import ContractCheck
from bakeoff.networks.backbone import Origin
from bakeoff.networks.families import FAMILIES
from bakeoff.networks.weights import ExportedWeights
from bakeoff.profile import ListedNetwork, Pace
from bakeoff.report.board import (
    format_arm,
    format_bytes,
    format_changes,
    format_count,
    format_headline,
    format_seconds,
)
from bakeoff.runs.config import Metric, Mode
from bakeoff.runs.findings import Arm, Effect, Effects, SearchResult, Verdict
from bakeoff.runs.metrics import TestMetrics
from bakeoff.runs.record import RunRecord
from bakeoff.runs.study_file import AnyStudy
from bakeoff.study.fields import FIELDS

__all__ = [
    "render_contract",
    "render_effects",
    "render_end",
    "render_fields",
    "render_models",
    "render_search_result",
    "render_weights",
]


def render_models(rows: Sequence[ListedNetwork]) -> Group | str:
    """The table of networks for the terminal, with where their weights are or how much would be downloaded."""
    if not rows:
        return "no network is left; give fewer filters"
    heads = ["network", "params", "input", "top-1", "weights", "licence"]
    notes = [
        "params: with a head of 100 classes; input: smallest/designed side in pixels",
        "top-1: on ImageNet, percent; weights: where they are, or the size of a download",
    ]
    if any(row.pace for row in rows):
        heads.insert(5, "img/s")
        notes.append("img/s: the last training here, at the side after @; in brackets forward alone")
    families = {row.family for row in rows}
    if len(families) == 1 and (family := FAMILIES.get(families.pop())):
        notes.append(f"{family.title}: {family.about}")
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for head in heads:
        table.add_column(head, no_wrap=True, justify="left" if head in ("network", "weights", "licence") else "right")
    for row in rows:
        cells = [
            row.name,
            "" if row.params_total is None else format_count(row.params_total),
            "" if row.min_size is None else f"{row.min_size}/{row.native_size}",
            "" if row.imagenet_top1 is None else f"{row.imagenet_top1:.1f}",
            _say_where_weights_are(row),
            row.licence or "",
        ]
        if "img/s" in heads:
            cells.insert(5, "" if row.pace is None else _format_pace(row.pace))
        table.add_row(*cells)
    return Group(table, "", *notes)


def _say_where_weights_are(row: ListedNetwork) -> str:
    if row.offered_by:
        return f"with {escape(row.offered_by)}"
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
    return Group("", "--candidates takes names of networks, and of these fields:", table)


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


def render_weights(entries: Sequence[ExportedWeights]) -> Table:
    """The table of exported or imported weights."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in ("network", "size", "origin", "SHA-256", "licence"):
        table.add_column(head, justify="right" if head == "size" else "left")
    for entry in entries:
        table.add_row(entry.network, format_bytes(entry.bytes), entry.origin, entry.sha256[:12], entry.licence)
    return table


def render_end(out: Path, winner: RunRecord, study: AnyStudy) -> str:
    """The last lines of a study: the winner, the time that was used, and the paths of the files."""
    assert winner.test is not None
    spent = f"{format_seconds(sum(study.seconds.values()))} of {format_seconds(study.budget_seconds or 0.0)}"
    return "\n".join(
        [
            *(f"[bold yellow]warning: {escape(warning)}[/]" for warning in (study.data.warnings if study.data else ())),
            f"[bold]{winner.candidate}[/]: test {_describe_test(winner, winner.test)}, {spent} spent",
            *(
                ["  This model was trained once more, on training and validation images together."]
                if winner.refit_of
                else []
            ),
            f"  report   {out / 'report.html'}",
            f"  bundle   {out / 'bundle'}      try: bakeoff predict {out / 'bundle'} IMAGE",
        ]
    )


def _describe_test(winner: RunRecord, test: TestMetrics) -> str:
    shown = format_headline(test, winner.metric)
    text = f"{shown.title} [bold]{shown.value}[/] (95 % interval {shown.interval}; opened {test.openings}x)"
    return f"{text}, top-1 {shown.top1}" if shown.top1 else text


def render_effects(effects: Effects) -> Group:
    """A table for each factor: what each value is worth against the base recipe."""
    base = effects.base
    seeds = f", {len(base.ids)} seeds" if len(base.ids) > 1 else ""
    pace = f"{base.images_per_second:.0f} img/s, {format_seconds(base.seconds)} of training{seeds}"
    name = "" if base.metric is Metric.TOP1 else f" {base.metric.label}"
    first = (
        f"base recipe: val {_format_arm(base)}{base.metric.unit}{name}, {format_bytes(base.memory_peak_bytes)}, {pace}"
    )
    tables = [_tabulate(key, list(group)) for key, group in groupby(effects.effects, key=lambda effect: effect.key)]
    missing = [f"not measured (failed, or no time left): {', '.join(effects.missing)}"] if effects.missing else []
    return Group(first, *tables, *missing)


def render_search_result(found: SearchResult, recipe: Path) -> str:
    """The result of a search, in a few lines."""
    counts = ", ".join(f"{count} {state.lower()}" for state, count in found.trials.items())
    lines = [f"{sum(found.trials.values())} trials: {counts}"]
    if found.difference is None or found.before is None or found.after is None:
        why = "The pair that decides could not be trained" if found.changes else "No trial did better"
        lines.append(f"{why}: the recipe that it began with stays.")
    else:
        before, after, metric = format_arm(found.before), format_arm(found.after), found.difference.metric
        lines += [
            f"  before  {before}",
            f"  after   {after}  {format_changes(found.changes)}",
            f"  both with another seed, {format_seconds(found.after.seconds)} of training, {found.difference.images:,}"
            f" validation images: {found.difference.points_and_interval}{metric.points}"
            f"{'' if metric is Metric.TOP1 else f' of {metric.label}'}, {found.difference.significance}",
        ]
        if not found.kept:
            lines.append("The recipe that it began with stays.")
    if found.importances:
        ranked = sorted(found.importances.items(), key=lambda item: -item[1])[:5]
        lines.append("  mattered most: " + ", ".join(f"{name} {weight:.0%}" for name, weight in ranked))
    lines.append(f"  recipe   {recipe}      try: bakeoff train DATA --recipe {recipe} --set train.seconds=600")
    return "\n".join(lines)


def _tabulate(key: str, effects: Sequence[Effect]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=key, title_justify="left", title_style="bold")
    metric = effects[0].difference.metric
    better = "points" if metric.points else "less"
    for head in ("value", f"val {metric.label}", better, "verdict", "memory", "img/s"):
        left = head in ("value", "verdict")
        table.add_column(
            head,
            justify="left" if left else "right",
            no_wrap=head != "value",
            overflow="fold",
            min_width=14 if left else 0,
        )
    colors = {Verdict.HELPS: "green", Verdict.HURTS: "red", Verdict.NONE: "dim"}
    for effect in effects:
        verdict = effect.difference.verdict
        table.add_row(
            str(effect.value),
            _format_arm(effect.arm),
            effect.difference.points_and_interval,
            f"[{colors[verdict]}]{verdict}[/]",
            format_bytes(effect.arm.memory_peak_bytes),
            f"{effect.arm.images_per_second:.0f}",
        )
    return table


def _format_arm(arm: Arm) -> str:
    (score, (low, high)), metric = arm.estimate, arm.metric
    return f"{score * metric.scale:.{metric.digits}f} ±{(high - low) * metric.scale / 2:.{metric.digits}f}"
