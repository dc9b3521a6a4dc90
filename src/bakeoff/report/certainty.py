"""How certain the choice is: the winner and its nearest rival, the spread over seeds, and what was not measured."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bakeoff.report.board import (
    DASH,
    HeadToHead,
    Row,
    explain_change,
    find_head_to_head,
    find_metric,
    format_bytes,
    format_count,
    format_difference,
    format_ends,
    format_interval,
    format_range,
    format_score,
    format_seconds,
    measure_lead,
    read_score,
)
from bakeoff.report.winner import explain_no_refit
from bakeoff.runs.config import Metric
from bakeoff.runs.findings import Difference, McNemar, Verdict
from bakeoff.runs.folder import run_dir
from bakeoff.runs.measures import RESAMPLES
from bakeoff.runs.metrics import wilson_interval
from bakeoff.runs.paired import compare, mcnemar
from bakeoff.runs.predictions import has_predictions
from bakeoff.runs.record import RunRecord, Stage, State
from bakeoff.runs.study_file import AnyStudy
from bakeoff.text import counted

__all__ = ["Cell", "Leaders", "Spread", "compare_leaders", "list_doubts", "spread_over_seeds"]

# From here on a number of points is rounded to a whole one. A smaller one could become 0.
_WHOLE = 2


class Cell(NamedTuple):
    """A value as text, and a second line with its interval."""

    text: str
    interval: str = ""


class Leaders(NamedTuple):
    """A table of two columns, the winner and its nearest rival."""

    names: tuple[str, str]
    caption: str
    rows: list[tuple[str, list[Cell]]]
    """A label with the two cells, or with one cell for both columns."""
    significance: str
    """A sentence about the test of the difference; empty if the two runs' predictions are missing."""


class Spread(NamedTuple):
    """The mean, lowest and highest score of runs that differ only in their seed."""

    name: str
    stage: str
    seeds: int
    mean: float
    low: float
    high: float
    metric: Metric


def compare_leaders(out: Path, rows: Sequence[Row]) -> Leaders | None:
    """Compare the winner with its nearest rival in the latest round where it has one.

    With the validation predictions of both runs the difference is paired: top-1 is tested (McNemar), other metrics are
    compared by bootstrap. Without predictions, the interval of the difference is that of independent samples.

    Args:
        out: The study's folder.
        rows: All rows in the order of `rank`.

    Returns:
        The table; None if the winner has no rival.

    Raises:
        OutputError: Predictions are damaged, or the two runs were scored on different images.
    """
    match = find_head_to_head(rows)
    if match is None:
        return None
    winner, rival = pair = match.winner, match.rivals[0]
    metric = winner.metric
    caption = f"The winner and its nearest rival in {match.where}"
    metrics = dict.fromkeys((metric, Metric.TOP1))
    where = "" if any(row.folds for row in pair) else " on validation"
    table = [(f"{each.heading}{where}", [_make_score_cell(row, each) for row in pair]) for each in metrics]
    significance = ""
    if all(has_predictions(run_dir(out, row.id), "val") for row in pair):
        test = mcnemar(out, winner.id, rival.id)
        difference = compare(out, [rival.id], [winner.id], metric)
        p, significance = "", _describe_difference(difference, winner.name, rival.name)
        if metric is Metric.TOP1:
            p = f", p = {test.p:.2g}" if test.p >= 0.001 else ", p < 0.001"
            significance = _describe_test(test, winner.name, rival.name)
        images = f"{test.images:,} {'' if all(row.folds for row in pair) else 'validation '}images"
        shares_all = {row.val_images for row in pair} == {test.images}
        caption += f", on the same {images}" if shares_all else f", compared on the {images} that both were scored on"
        table += [
            (
                "Paired difference",
                [_make_difference_cell(difference.points, difference.low, difference.high, metric, p)],
            ),
            (
                "Right where the other is wrong",
                [_make_count_cell(n, test) for n in (test.first_only, test.second_only)],
            ),
        ]
    else:
        lead = measure_lead(winner, rival)
        heading = "Expected difference after fine-tuning" if lead.is_expected else "Difference"
        table.append((heading, [_make_difference_cell(lead.difference, lead.low, lead.high, metric)]))
    costs = {
        "Peak memory": [format_bytes(row.memory_peak_bytes) for row in pair],
        "Trained parameters": [format_count(row.params_trainable) for row in pair],
        "Training time": [format_seconds(row.seconds_train) for row in pair],
        "Images/s": [f"{row.images_per_second:.0f}" if row.images_per_second else DASH for row in pair],
    }
    table += [(name, [Cell(text) for text in texts]) for name, texts in costs.items() if set(texts) != {DASH}]
    return Leaders((winner.name, rival.name), f"{caption}, with 95 % intervals.", table, significance)


def spread_over_seeds(records: Sequence[RunRecord]) -> list[Spread]:
    """The spread of each recipe that completed with several seeds in one stage, on the same data."""
    groups: dict[tuple[str, str, str], dict[int, RunRecord]] = {}
    for record in records:
        if record.state is State.COMPLETE and record.val:
            recipe = json.dumps(record.config.model_dump(mode="json", exclude={"seed": True}))
            groups.setdefault((record.stage, record.data.fingerprint, recipe), {})[record.seed] = record
    spreads, metric = [], find_metric(records)
    for group in groups.values():
        estimates = [record.val.read(metric) for record in group.values() if record.val]
        scores = [estimate.value for estimate in estimates if estimate]
        if len(scores) > 1:
            first = next(iter(group.values()))
            mean = sum(scores) / len(scores)
            spreads.append(Spread(first.candidate, first.stage, len(scores), mean, min(scores), max(scores), metric))
    return spreads


def list_doubts(study: AnyStudy, rows: Sequence[Row], records: Sequence[RunRecord]) -> list[str]:
    """List what could change the result and what the study did not measure.

    Args:
        study: The study's file, for the candidates that there was no time for.
        rows: All rows in the order of `rank`.
        records: The records of the rows.

    Returns:
        One or two sentences for each doubt.
    """
    doubts = [text] if (text := explain_change(rows)) else []
    match = find_head_to_head(rows)
    if match is not None:
        doubts += _doubt_ties(match)
        if match.winner.stage is Stage.SCREEN:
            doubts.append(
                "The candidates were compared in the screen only, without fine-tuning. Fine-tuning could change their"
                " order; with a longer budget several of them are fine-tuned."
            )
    winner = study.winner
    if study.plan.get("refit") and winner and winner.shipped == winner.confirmed:
        # If a refit was too short, the choice of the winner has said it.
        why = explain_no_refit(records)
        doubts += [] if why in winner.why else [why]
    if cut := study.plan.get("cut"):
        doubts.append(f"There was no time for {_join(cut)}. Try them with a longer budget or with --candidates.")
    failed = list(dict.fromkeys(row.name for row in rows if row.state is State.FAILED))
    if failed:
        doubts.append(f"Runs of {_join(failed)} failed. The table of candidates gives the reason.")
    seeds = {record.seed for record in records}
    if len(seeds) == 1 and match is not None:
        doubts.append(
            f"All runs used the same seed ({next(iter(seeds))}). The intervals do not include the variation between"
            " seeds."
        )
    return doubts


def _make_score_cell(row: Row, metric: Metric) -> Cell:
    score = read_score(row, metric)
    if score is None:
        return Cell(DASH)
    return Cell(format_score(score.value, metric), format_interval(score.interval, metric) if score.interval else "")


def _doubt_ties(match: HeadToHead) -> list[str]:
    """Which rivals tie with the winner, and what can explain a difference; none if none ties."""
    leads = [(rival.name, measure_lead(match.winner, rival)) for rival in match.rivals]
    tied = list(dict.fromkeys(name for name, lead in leads if lead.is_tie))
    if not tied:
        return []
    (_, lead), metric = leads[0], match.winner.metric
    half = metric.scale * (lead.high - lead.low) / 2
    images = f"On other {'' if match.winner.folds else 'validation '}images"
    where, chance = images, "chance"
    if lead.is_expected:
        where, chance = f"{images}, or after fine-tuning,", "chance and fine-tuning"
    if not math.isfinite(half):
        return [
            f"{where} {_join(tied)} could be first. How large a difference {chance} can explain is not known, because"
            " a score has no interval."
        ]
    size = f"{half:.{'0f' if half >= _WHOLE else '2g'}}"
    return [
        f"{where} {_join(tied)} could be first. With this number of images, {chance} can explain a difference of up to"
        f" about {size}{metric.points}."
    ]


def _make_difference_cell(gain: float, low: float, high: float, metric: Metric, p: str = "") -> Cell:
    text = f"{format_difference(gain, metric)}{metric.points}"
    return Cell(text, f"{format_ends(low, high, metric)}{p}")


def _make_count_cell(count: int, test: McNemar) -> Cell:
    return Cell(f"{count:,} of {test.images:,}", format_range(wilson_interval(count, test.images)))


def _describe_test(test: McNemar, winner: str, rival: str) -> str:
    discordant = test.first_only + test.second_only
    if not discordant:
        return "Both were right on the same images."
    how = f"(McNemar's exact test on the {counted(discordant, 'image')} that only one of them got right)"
    if test.is_chance:
        return f"The difference is not significant at the 5 % level {how}."
    better = winner if test.first_only > test.second_only else rival
    return f"{better} is better; the difference is significant at the 5 % level {how}."


def _describe_difference(difference: Difference, winner: str, rival: str) -> str:
    how = f"(95 % interval of {RESAMPLES:,} draws of the {counted(difference.images, 'image')}, the same for both)"
    if difference.verdict is Verdict.NONE:
        return f"Chance alone could explain the difference {how}."
    better, worse = (winner, rival) if difference.verdict is Verdict.HELPS else (rival, winner)
    return f"{better} is better than {worse} by more than chance explains {how}."


def _join(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
