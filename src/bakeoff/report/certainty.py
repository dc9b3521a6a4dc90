"""How sure the choice is, in words that follow from numbers: two leaders, seeds, and what the study could not see."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bakeoff.report.board import Row, are_tied, difference_interval, explain_change, find_head_to_head, format_percent
from bakeoff.runs.findings import McNemar
from bakeoff.runs.folder import run_dir
from bakeoff.runs.metrics import wilson_interval
from bakeoff.runs.paired import compare, mcnemar
from bakeoff.runs.predictions import has_predictions
from bakeoff.runs.record import RunRecord, Stage, State
from bakeoff.runs.study_file import AnyStudy

__all__ = ["Leaders", "Spread", "compare_leaders", "list_doubts", "spread_over_seeds"]


class Leaders(NamedTuple):
    """The winner and the runner-up where they met: in words, and as shares of the images with their intervals."""

    words: str
    cells: list[tuple[str, int, float, tuple[float, float]]]
    images: int


class Spread(NamedTuple):
    """Runs of one recipe that differ in their seeds alone: mean, least and greatest accuracy."""

    name: str
    stage: str
    seeds: int
    mean: float
    low: float
    high: float


def compare_leaders(out: Path, rows: Sequence[Row]) -> Leaders | None:
    """McNemar's test between the winner and its nearest rival; None where there is none, or not on the same images.

    Raises OutputError for answers that are damaged, or missing of one of them.
    """
    meeting = find_head_to_head(rows)
    if meeting is None:
        return None
    own, rival = meeting.own, meeting.rivals[0]
    if not all(has_predictions(run_dir(out, row.id), "val") for row in (own, rival)):
        return None
    test = mcnemar(out, own.id, rival.id)
    difference = compare(out, [rival.id], [own.id])
    words = f"{own.name} and {rival.name} met in the {own.stage} stage, on the same {test.images:,} validation images:"
    words += f" {format_percent(own.val_top1)} against {format_percent(rival.val_top1)}, a paired difference of"
    words += f" {difference.words} points. {_say_test(test, own.name, rival.name)}"
    counts = {f"only {own.name} was right": test.first_only, f"only {rival.name} was right": test.second_only}
    cells = [(text, count, count / test.images, wilson_interval(count, test.images)) for text, count in counts.items()]
    return Leaders(words, cells, test.images)


def spread_over_seeds(records: Sequence[RunRecord]) -> list[Spread]:
    """For each recipe that completed with several seeds in one stage: how far the seeds lie apart."""
    groups: dict[tuple[str, str], dict[int, RunRecord]] = {}
    for record in records:
        if record.state is State.COMPLETE and record.val:
            recipe = record.config.model_dump(mode="json", exclude={"seed": True})
            groups.setdefault((record.stage, json.dumps(recipe)), {})[record.seed] = record
    spreads = []
    for group in groups.values():
        scores = [record.val.top1 for record in group.values() if record.val]
        if len(scores) > 1:
            first = next(iter(group.values()))
            mean = sum(scores) / len(scores)
            spreads.append(Spread(first.candidate, first.stage, len(scores), mean, min(scores), max(scores)))
    return spreads


def list_doubts(study: AnyStudy, rows: Sequence[Row], records: Sequence[RunRecord]) -> list[str]:
    """What would change the verdict, and what this study could not see; a sentence each."""
    doubts = [text] if (text := explain_change(rows)) else []
    meeting = find_head_to_head(rows)
    if meeting is not None:
        tied = list(dict.fromkeys(rival.name for rival in meeting.rivals if are_tied(meeting.own, rival)))
        if tied:
            low, high = difference_interval(meeting.own, meeting.rivals[0])
            reach = f"differences of less than about {50 * (high - low):.0f} points cannot be told from chance"
            doubts.append(f"Other validation images could put {_list(tied)} first: on as many as there were, {reach}.")
        if meeting.own.stage is Stage.SCREEN:
            doubts.append(
                "The candidates met in the screen alone, frozen: fine-tuning could have ordered them otherwise."
                " A longer budget races them."
            )
    if cut := study.plan.get("cut"):
        doubts.append(f"There was no time for {_list(cut)}; a longer budget, or --candidates, tries them.")
    failed = list(dict.fromkeys(row.name for row in rows if row.state is State.FAILED))
    if failed:
        doubts.append(f"{_list(failed)} failed and could not compete; the table says why.")
    seeds = {record.seed for record in records}
    if len(seeds) == 1 and meeting is not None:
        doubts.append(
            f"Everything was trained with one seed ({next(iter(seeds))}): the luck of training is in no figure here."
        )
    return doubts


def _say_test(test: McNemar, own: str, rival: str) -> str:
    p = f"p = {test.p:.2g}" if test.p >= 0.001 else "p < 0.001"
    apart = test.first_only + test.second_only
    if not apart:
        return "They were right on the very same images."
    if test.is_chance:
        return (
            f"That is no difference at this sample size (McNemar's exact test on the {apart} that only one got, {p})."
        )
    ahead = own if test.first_only > test.second_only else rival
    return (
        f"That is more than chance explains, for {ahead} (McNemar's exact test on the {apart} that only one got, {p})."
    )


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
