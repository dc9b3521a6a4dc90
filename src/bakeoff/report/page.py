"""The page: collects facts and figures, and fills the template."""

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bakeoff.errors import OutputError
from bakeoff.files import write_text
from bakeoff.report.answer import describe_answer, describe_failure, describe_losses, describe_next, find_data_dir
from bakeoff.report.board import (
    COMPARISONS,
    NOISE,
    STAGES,
    STATES,
    field_of,
    find_metric,
    name_other_data,
    rank,
    round_of,
)
from bakeoff.report.bundled import find_bundled
from bakeoff.report.certainty import compare_leaders, list_doubts, spread_over_seeds
from bakeoff.report.class_names import keep_classes
from bakeoff.report.coverage import describe_coverage
from bakeoff.report.default_field import describe_absent, describe_entrants, read_default_field
from bakeoff.report.evidence import draw_budget, draw_memory, draw_screen_order, draw_tradeoffs
from bakeoff.report.facts import (
    describe_cost,
    describe_data,
    describe_missing,
    describe_recipe,
    describe_scores,
    describe_spending,
)
from bakeoff.report.failures import describe_failures
from bakeoff.report.formats import describe_formats
from bakeoff.report.gallery import show_images
from bakeoff.report.learning import draw_learning
from bakeoff.report.template import make_environment, read_source
from bakeoff.report.tuning import describe_tuning, label_trials
from bakeoff.report.why import explain_in_table
from bakeoff.report.winner import choose_run, find_winner
from bakeoff.runs.config import Metric
from bakeoff.runs.record import RunRecord, list_records
from bakeoff.runs.shipped import find_confirmed
from bakeoff.runs.study_file import read_study

__all__ = ["render_report", "write_report"]


def write_report(out: Path) -> Path:
    """Write `out/report.html` and return its path. Raises OutputError if the folder holds no runs or damaged files."""
    write_text(out / "report.html", render_report(out, keep=True))
    return out / "report.html"


def render_report(out: Path, *, keep: bool = False) -> str:
    """Render the page of a study's folder.

    Args:
        out: The study's folder.
        keep: Save the images of the gallery and the names of the classes in the run's folder, so that later reports do
            not need the shards.

    Returns:
        The page as HTML.

    Raises:
        OutputError: The folder holds no runs, or damaged files.
    """
    records = list_records(out)
    if not records:
        raise OutputError(f"{out} holds no runs; give the folder of a study, the one with runs/ in it")
    environment = make_environment()
    css, script = (read_source(environment, name) for name in ("report.css", "report.js"))
    facts = _collect(out, records, keep)
    sections = _list_sections(facts)
    return environment.get_template("report.html.j2").render(
        **facts,
        titles={name: title for name, title, _ in sections},
        contents=[(name, title) for name, title, present in sections if present],
        css=css,
        script=script,
        # The page's Content-Security-Policy allows this script only.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _collect(out: Path, all_records: Sequence[RunRecord], keep: bool) -> dict[str, Any]:
    """All values that the templates use. Runs of other data than the study's are named, and nothing else."""
    study = read_study(out)
    records = study.own(all_records)
    rows, metric = rank(records, out=out), find_metric(records)
    chosen, winner = choose_run(study, records), find_winner(study, records)
    # A refit has no validation score; the run whose recipe it repeats has.
    confirmed = find_confirmed(winner, records) if winner else None
    if keep and winner and confirmed:
        keep_classes(out, winner)
        keep_classes(out, confirmed)
    spending = describe_spending(study, records)
    field, field_unread = read_default_field(study)
    facts: dict[str, Any] = {
        "out": shlex.quote(out.resolve().name),
        "data_dir": find_data_dir(study.command),
        "model_file": json.dumps(f"{out.resolve().name}/bundle/model.keras", ensure_ascii=False),
        "study": study,
        "data": describe_data(study, [winner, *records] if winner else records),
        "winner": winner,
        "metric": metric,
        "metrics": (metric, *(each for each in Metric if each is not metric)),
        "confirmed": confirmed,
        # A search for one network's recipe compares no networks; the section on the recipe describes its result.
        "leaders": None if chosen else compare_leaders(out, rows),
        "why": None if chosen else explain_in_table(rows),
        "other_data": name_other_data(rank(all_records, out=out)) if len(records) < len(all_records) else "",
        "doubts": [] if chosen else list_doubts(study, rows, records),
        "spreads": spread_over_seeds(records),
        "groups": [(stage, group) for stage in STAGES if (group := [row for row in rows if row.stage is stage])],
        "states": STATES,
        "comparisons": COMPARISONS,
        "rounds": sorted(set(map(round_of, rows))),
        "fields": sorted(set(map(field_of, rows))),
        "noise": NOISE,
        "tuning": describe_tuning(study, out, records),
        "labels": label_trials(study, records),
        "tradeoffs": draw_tradeoffs(rows),
        "learning": draw_learning(out, records, rows, confirmed.id if confirmed else ""),
        "orders": draw_screen_order(rows),
        "memory": draw_memory(rows),
        "spending": spending,
        "entrants": list(describe_entrants(field)) if field else [],
        "absent_networks": list(describe_absent(field)) if field else [],
        "field_unread": field_unread,
        "budget": draw_budget(spending, records, study.budget_seconds),
        "failures": describe_failures(out, winner) if winner else None,
        "coverage": describe_coverage(out, winner) if winner else None,
        "gallery": show_images(out, confirmed, keep=keep) if confirmed else None,
        "formats": describe_formats(out, winner.id) if winner else [],
        "bundle_run": find_bundled(out / "bundle"),
        "losses": "" if winner else describe_losses(records),
        "next_step": describe_next(out, study, winner),
        "opened": [record for record in records if record.test],
        "seeds": sorted({record.seed for record in records}),
        "versions": sorted({f"{name} {version}" for record in records for name, version in record.versions.items()}),
        "devices": sorted({record.device for record in records if record.device}),
        "precisions": sorted({record.precision for record in records if record.precision}),
        "fingerprints": sorted({record.data.fingerprint for record in records}),
    }
    if winner and confirmed:
        config, val, test = winner.config, confirmed.val, winner.test
        facts |= {
            "answer": describe_answer(winner, confirmed, metric),
            "failure": describe_failure(winner, records),
            "recipe": describe_recipe(config.model_copy(update={"data": winner.view}), winner.weights.origin),
            "scores": describe_scores(val, test, winner.data.classes),
            "absent": describe_missing(out, winner, val, test),
            "cost": describe_cost(winner),
            "source": shlex.quote(config.data.source),
        }
    return facts


def _list_sections(facts: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Every section in order: id, title, and whether the page has it."""
    winner = bool(facts["winner"])
    return [
        ("answer", "The answer", True),
        ("certainty", "Accuracy and its uncertainty", winner),
        ("cost", "What it cost", True),
        ("why", "Why it won" if facts["why"] and facts["why"].rows else "The candidates", True),
        ("recipe", "Tuning the recipe", bool(facts["tuning"])),
        ("doubts", "What could change the result", bool(facts["doubts"])),
        ("failures", "Where it fails", bool(facts["failures"])),
        ("use", "How to use it", winner),
        ("measured", "How to check the results", True),
    ]
