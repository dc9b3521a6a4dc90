"""A study in a few lines of HTML, for notebooks."""

from pathlib import Path

from bakeoff.report.board import explain, find_metric, rank
from bakeoff.report.template import make_environment
from bakeoff.report.winner import choose_run, find_winner
from bakeoff.runs.record import list_records
from bakeoff.runs.shipped import find_confirmed
from bakeoff.runs.study_file import read_study

__all__ = ["render_summary"]


def render_summary(out: Path) -> str:
    """The winner, why it won, and the board, as HTML. Raises OutputError for damaged files."""
    study, records = read_study(out), list_records(out)
    own, rows, winner = study.own(records), rank(records, out=out), find_winner(study, records)
    return (
        make_environment()
        .get_template("summary.html.j2")
        .render(
            winner=winner,
            confirmed=find_confirmed(winner, records) if winner else None,
            decided=study.winner.why if study.winner else "",
            metric=find_metric(own),
            why="" if choose_run(study, own) else explain(rows),
            rows=rows,
            out=str(out),
            warnings=study.data.warnings if study.data else (),
        )
    )
