"""How the recipe was found: a search's trials, or what each value of each factor is worth."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from bakeoff.report.board import format_changes, format_percent, format_range, format_seconds
from bakeoff.report.evidence import Drawing
from bakeoff.report.figures import Trial, Worth, draw_shares, draw_trials, draw_worths
from bakeoff.runs.config import Run, differences, look_up
from bakeoff.runs.findings import Effect, Effects, SearchResult, Verdict
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import RunRecord, Stage, State, read_history
from bakeoff.runs.study_file import AnyStudy

__all__ = ["Tuning", "describe_tuning", "label_trials"]


class Tuning(NamedTuple):
    """What the page says of a recipe: a paragraph, figures, and a table for each factor."""

    account: str
    drawings: list[Drawing]
    factors: list[tuple[str, list[Effect]]]


def describe_tuning(study: AnyStudy, out: Path, records: Sequence[RunRecord]) -> Tuning | None:
    """The section on the recipe; None where none was tuned."""
    if study.effects is not None:
        return _describe_effects(study.effects)
    if study.found is not None:
        return _describe_search(study.found, study, out, records)
    return None


def label_trials(study: AnyStudy, records: Sequence[RunRecord]) -> dict[str, str]:
    """By the id of a tuning run: in what it differs from the recipe that the tuning began with."""
    base_id = study.found.base if study.found else study.effects.base.ids[0] if study.effects else ""
    base = next((record for record in records if record.id == base_id), None)
    if base is None:
        return {}
    own = [record for record in records if record.stage is Stage.TUNE]
    return {
        record.id: format_changes(_telling(differences(base.config, record.config))) or "as it began" for record in own
    }


def _telling(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in changes.items() if key not in ("train.val_images", "train.evaluations")}


def _describe_search(found: SearchResult, study: AnyStudy, out: Path, records: Sequence[RunRecord]) -> Tuning:
    by_id = {record.id: record for record in records}
    order = next((stage.runs for stage in study.stages if stage.stage == Stage.TUNE), ())
    pair = {run for arm in (found.before, found.after) if arm for run in arm.ids}
    trials, taken = [], None
    for number, run in enumerate(run for run in order if run in by_id and run not in pair):
        record = by_id[run]
        history = read_history(run_dir(out, run))
        if record.state is State.COMPLETE and record.val:
            trials.append(Trial(number, record.val.top1, stopped=False))
        elif history:
            trials.append(Trial(number, history[-1].val_top1, stopped=True))
        if run == found.best and found.kept:
            taken = number
    drawings = []
    if trials:
        caption = f"{len(trials)} trials in the order in which they ran, by validation accuracy; a cross was stopped"
        caption += " on its way, and stands at the accuracy that it had reached."
        drawings.append(Drawing(draw_trials(trials, taken, caption), caption))
    if found.importances:
        ranked = dict(sorted(found.importances.items(), key=lambda item: -item[1])[:10])
        caption = "The share of the differences between trials that each knob explains (fANOVA)."
        drawings.append(Drawing(draw_shares(ranked, caption), caption))
    return Tuning(_account_of(found, by_id[found.base].config), drawings, [])


def _account_of(found: SearchResult, base: Run) -> str:
    counts = ", ".join(f"{count} {state.lower()}" for state, count in found.trials.items())
    text = f"{sum(found.trials.values())} recipes were tried at equal training time ({counts})."
    if found.before is None or found.after is None or found.difference is None:
        why = "The pair that decides could not be trained" if found.changes else "None did better"
        return f"{text} {why}; the one that the search began with was kept."
    text += f" The best one changed this: {'; '.join(_say_change(found, base, key) for key in found.changes)}."
    text += " Since the best of many is also the luckiest, it was trained again beside the recipe that the search began"
    text += (
        f" with, both with another seed for {format_seconds(found.after.seconds)}: {format_percent(found.after.top1)}"
    )
    text += f" ({format_range(found.after.top1_ci95)}) against {format_percent(found.before.top1)}"
    text += (
        f" ({format_range(found.before.top1_ci95)}) on {found.difference.images:,} validation images, a difference of"
    )
    text += f" {found.difference.words} points, {found.difference.chance}."
    return f"{text} {'It was taken.' if found.kept else 'The recipe that the search began with was kept.'}"


def _say_change(found: SearchResult, base: Run, key: str) -> str:
    """A key's value after and before, and how much of the differences between trials it explains."""
    _, _, before = format_changes({key: look_up(base, key)}).rpartition(" ")
    text = f"{format_changes({key: found.changes[key]})} instead of {before}"
    share = found.importances.get(key)
    return text if share is None else f"{text} ({share:.0%} of what the trials differed by)"


def _describe_effects(effects: Effects) -> Tuning:
    helping = [effect for effect in effects.effects if effect.difference.verdict is Verdict.HELPS]
    hurting = [effect for effect in effects.effects if effect.difference.verdict is Verdict.HURTS]
    seeds = len(effects.base.ids)
    text = f"One factor at a time was changed from a base recipe with {format_percent(effects.base.top1)}"
    text += f" ({format_range(effects.base.top1_ci95)}) on validation, at equal training time"
    text += f" ({format_seconds(effects.base.seconds)}), with {seeds} seed{'s' if seeds > 1 else ''}."
    text += f" {_list(helping, 'Better')} {_list(hurting, 'Worse')}"
    text += " The others made no difference that this many images and seeds can show."
    if seeds == 1:
        text += " With one seed the intervals leave out the luck of training: repeat what matters with more seeds."
    if effects.missing:
        text += f" Not measured, for their runs failed or there was no time left: {', '.join(effects.missing)}."
    worths = [
        Worth(effect.key, str(effect.value), effect.difference.points, (effect.difference.low, effect.difference.high))
        for effect in effects.effects
    ]
    caption = "What each value is worth against the base recipe, with 95 % intervals of the paired difference."
    drawings = [Drawing(draw_worths(worths, caption), caption)] if worths else []
    factors = [(key, list(group)) for key, group in groupby(effects.effects, key=lambda effect: effect.key)]
    return Tuning(text, drawings, factors)


def _list(effects: Sequence[Effect], word: str) -> str:
    named = [
        f"{format_changes({effect.key: effect.value})} ({effect.difference.points * 100:+.1f})" for effect in effects
    ]
    return f"{word}: {', '.join(named)}." if named else f"{word} beyond chance: nothing."
