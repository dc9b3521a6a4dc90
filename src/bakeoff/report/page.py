"""The page itself: gathers facts and evidence, and fills the template."""

import shlex
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bakeoff.board import (
    STAGES,
    explain,
    rank,
    say_bytes,
    say_caveats,
    say_count,
    say_memory_error,
    say_percent,
    say_range,
    say_seconds,
    say_top1,
)
from bakeoff.errors import OutputError
from bakeoff.files import write_text
from bakeoff.report.evidence import draw_budget, draw_learning, draw_tradeoffs, read_confusion
from bakeoff.report.facts import (
    describe_data,
    describe_recipe,
    describe_scores,
    describe_spending,
    read_study,
)
from bakeoff.report.tuning import choose_run, describe_tuning, label_trials
from bakeoff.runs import State, list_records, run_dir

__all__ = ["render_report", "write_report"]


def write_report(out: Path) -> Path:
    """Write `out/report.html` and return its path. Raises OutputError if the folder holds no runs, or damaged files."""
    write_text(out / "report.html", render_report(out))
    return out / "report.html"


def render_report(out: Path) -> str:
    """The page of a study's folder. Raises OutputError if it holds no runs, or damaged files."""
    records = list_records(out)
    if not records:
        raise OutputError(f"{out} holds no runs; give the folder of a study, the one with runs/ in it")
    study, rows = read_study(out), rank(records)
    by_id = {record.id: record for record in records}
    best = next((row.id for row in rows if row.state is State.COMPLETE and row.val_top1 is not None), "")
    chosen = choose_run(study, records)
    winner = by_id.get(chosen or best)
    spending = describe_spending(study, records)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            out=shlex.quote(out.resolve().name),
            study=study,
            data=describe_data(study, records),
            winner=winner,
            recipe=describe_recipe(winner.config) if winner else [],
            scores=describe_scores(winner) if winner else [],
            why="" if chosen else explain(rows),
            groups=[(stage, own) for stage in STAGES if (own := [row for row in rows if row.stage is stage])],
            tuning=describe_tuning(study, out, records),
            labels=label_trials(study, records),
            tradeoffs=draw_tradeoffs(rows),
            learning=draw_learning(out, records, rows, winner.id if winner else ""),
            spending=spending,
            budget=draw_budget(spending, study.budget_seconds),
            confusion=read_confusion(run_dir(out, winner.id) / "confusion.csv") if winner else None,
            opened=[record for record in records if record.test],
            seeds=sorted({record.seed for record in records}),
            versions=sorted({f"{name} {version}" for record in records for name, version in record.versions.items()}),
            devices=sorted({record.device for record in records if record.device}),
            precisions=sorted({record.precision for record in records if record.precision}),
            fingerprints=sorted({record.data.fingerprint for record in records}),
        )
    )


def _environment() -> Environment:
    loader = PackageLoader("bakeoff")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "bytes": say_bytes,
        "caveats": say_caveats,
        "count": say_count,
        "memory_error": say_memory_error,
        "percent": say_percent,
        "range": say_range,
        "seconds": say_seconds,
        "top1": say_top1,
    }
    return environment
