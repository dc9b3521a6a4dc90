"""How the recipe was found: the trials of a search, or the effect of each value of each factor."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from bakeoff.errors import OutputError
from bakeoff.report.board import format_arm, format_changes, format_difference, format_seconds
from bakeoff.report.evidence import Drawing
from bakeoff.report.figures import Trial, ValueEffect, draw_shares, draw_trials, draw_value_effects
from bakeoff.runs.config import Metric, Run, differences, look_up
from bakeoff.runs.findings import Effect, Effects, SearchResult, Verdict
from bakeoff.runs.folder import run_dir
from bakeoff.runs.history import read_history
from bakeoff.runs.record import RunRecord, Stage, State
from bakeoff.runs.study_file import STUDY_FILE, AnyStudy
from bakeoff.text import counted

__all__ = ["Tuning", "describe_tuning", "label_trials"]


class Tuning(NamedTuple):
    """The section on the recipe: a paragraph, figures, and a table of effects for each factor."""

    summary: str
    drawings: list[Drawing]
    factors: list[tuple[str, list[Effect]]]


def describe_tuning(study: AnyStudy, out: Path, records: Sequence[RunRecord]) -> Tuning | None:
    """Describe the search or the ablation of a study.

    Args:
        study: The study's file.
        out: The study's folder.
        records: All runs of the study.

    Returns:
        The section on the recipe; None if the study tuned no recipe.

    Raises:
        OutputError: The run that the search started from is missing, or a history is damaged.
    """
    if study.effects is not None:
        return _describe_effects(study.effects)
    if study.found is not None:
        return _describe_search(study.found, study, out, records)
    return None


def label_trials(study: AnyStudy, records: Sequence[RunRecord]) -> dict[str, str]:
    """Label each tuning run, by id, with its differences from the recipe that the tuning started from."""
    base_id = study.found.base if study.found else study.effects.base.ids[0] if study.effects else ""
    base = next((record for record in records if record.id == base_id), None)
    if base is None:
        return {}
    return {
        record.id: format_changes(_select(differences(base.config, record.config))) or "the recipe at the start"
        for record in records
        if record.stage is Stage.TUNE
    }


def _select(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes of the recipe itself, without how often and on how many images it was validated."""
    return {key: value for key, value in changes.items() if key not in ("train.val_images", "train.evaluations")}


def _describe_search(found: SearchResult, study: AnyStudy, out: Path, records: Sequence[RunRecord]) -> Tuning:
    by_id = {record.id: record for record in records}
    if found.base not in by_id:
        raise OutputError(f"{out / STUDY_FILE} names run {found.base}, which has no record; run the study again")
    order = next((stage.runs for stage in study.stages if stage.stage == Stage.TUNE), ())
    pair = {run for arm in (found.before, found.after) if arm for run in arm.ids}
    trials, chosen, metric = [], None, by_id[found.base].metric
    for number, run in enumerate(run for run in order if run in by_id and run not in pair):
        record = by_id[run]
        history = read_history(run_dir(out, run))
        estimate = record.val.read(metric) if record.val else None
        last = history[-1].read(metric) if history else None
        if record.state is State.COMPLETE and estimate:
            trials.append(Trial(number, estimate.value, stopped=False))
        elif last is not None:
            trials.append(Trial(number, last, stopped=True))
        if run == found.best and found.kept:
            chosen = number
    drawings = []
    if trials:
        score = "accuracy" if metric is Metric.TOP1 else metric.label
        caption = f"Validation {score} of {counted(len(trials), 'trial')}, in the order in which they ran."
        caption += f" A cross is a trial that was stopped early, with the {score} at that moment."
        drawings.append(Drawing(draw_trials(trials, chosen, caption, metric), caption))
    if found.importances:
        ranked = dict(sorted(found.importances.items(), key=lambda item: -item[1])[:10])
        caption = "The share of the variance between trials that each parameter explains (fANOVA)."
        drawings.append(Drawing(draw_shares(ranked, caption), caption))
    return Tuning(_summarise_search(found, by_id[found.base].config), drawings, [])


def _summarise_search(found: SearchResult, base: Run) -> str:
    counts = ", ".join(f"{count} {state.lower()}" for state, count in found.trials.items())
    text = f"The search tried {counted(sum(found.trials.values()), 'recipe')} with equal training time ({counts})."
    if found.failed:
        return f"{text} The recipe at the start could not be trained ({found.failed}), so nothing was compared with it."
    if found.before is None or found.after is None or found.difference is None:
        why = "The confirming pair of runs could not be trained" if found.changes else "None was better"
        return f"{text} {why}, so the recipe at the start was kept."
    after, before, difference = found.after, found.before, found.difference
    text += (
        f" The best trial changed: {'; '.join(_describe_change(found, base, key) for key in found.changes)}."
        " The best of many trials was partly lucky. Therefore its recipe and the recipe at the start were trained"
        f" again, with another seed and for {format_seconds(after.seconds)} each. They reached"
        f" {format_arm(after)} and {format_arm(before)}{_name_metric(difference.metric)} on"
        f" {counted(difference.images, 'validation image')}, a difference of"
        f" {difference.points_and_interval}{difference.metric.points},"
        f" {difference.significance}."
    )
    return f"{text} {'The new recipe was chosen.' if found.kept else 'The recipe at the start was kept.'}"


def _describe_change(found: SearchResult, base: Run, key: str) -> str:
    """A key's new and old value, and the share of the variance between trials that it explains."""
    _, _, before = format_changes({key: look_up(base, key)}).rpartition(" ")
    text = f"{format_changes({key: found.changes[key]})} instead of {before}"
    share = found.importances.get(key)
    return text if share is None else f"{text} ({share:.0%} of the variance between trials)"


def _describe_effects(effects: Effects) -> Tuning:
    helping = [effect for effect in effects.effects if effect.difference.verdict is Verdict.HELPS]
    hurting = [effect for effect in effects.effects if effect.difference.verdict is Verdict.HURTS]
    text = (
        f"The study changed one factor of the base recipe at a time, with equal training time"
        f" ({format_seconds(effects.base.seconds)}) and {counted(len(effects.base.ids), 'seed')}. The base recipe"
        " reached"
        f" {format_arm(effects.base)}{_name_metric(effects.base.metric)} on validation."
        f" {_list(helping, 'Better')} {_list(hurting, 'Worse')} The other values made no significant difference."
    )
    if len(effects.base.ids) == 1:
        text += " With one seed, the intervals do not include the variation between seeds: repeat with more seeds."
    if effects.missing:
        text += f" Not measured because the runs failed or there was no time left: {', '.join(effects.missing)}."
    values = [
        ValueEffect(
            effect.key, str(effect.value), effect.difference.points, (effect.difference.low, effect.difference.high)
        )
        for effect in effects.effects
    ]
    caption = "The difference of each value from the base recipe, with 95 % intervals of the paired difference."
    drawings = [Drawing(draw_value_effects(values, caption, effects.base.metric), caption)] if values else []
    factors = [(key, list(group)) for key, group in groupby(effects.effects, key=lambda effect: effect.key)]
    return Tuning(text, drawings, factors)


def _name_metric(metric: Metric) -> str:
    return "" if metric is Metric.TOP1 else f" {metric.label}"


def _list(effects: Sequence[Effect], word: str) -> str:
    named = [
        f"{format_changes({effect.key: effect.value})}"
        f" ({format_difference(effect.difference.points, effect.difference.metric)})"
        for effect in effects
    ]
    return f"{word}: {', '.join(named)}." if named else f"{word}: none significantly."
