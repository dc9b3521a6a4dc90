"""The run that a study ended with, and how it is chosen from those that were confirmed."""

from collections.abc import Sequence
from pathlib import Path

from bakeoff.report.board import format_score, is_scored, rank
from bakeoff.runs.config import Metric, Mode
from bakeoff.runs.paired import compare
from bakeoff.runs.record import RunRecord, Stage, State
from bakeoff.runs.study_file import AnyStudy, Winner
from bakeoff.text import counted

__all__ = ["MIN_REFIT_SHARE", "choose_run", "choose_winner", "explain_no_refit", "find_complete", "find_winner"]

# A refit that reaches a smaller share of its epochs is not made, or not shipped: it would be another recipe.
MIN_REFIT_SHARE = 0.9


def find_winner(study: AnyStudy, records: Sequence[RunRecord]) -> RunRecord | None:
    """Find the run to report as the winner.

    Args:
        study: The study's file.
        records: All runs of the study.

    Returns:
        The run that the study shipped; the run with the chosen recipe for a study of one recipe, otherwise the first
        row of the board; None if no run of the study's data completed.
    """
    own = study.own(records)
    rows = [row for row in rank(own) if row.state is State.COMPLETE]
    best = next((row.id for row in (*filter(is_scored, rows), *rows)), "")
    shipped = study.winner.shipped if study.winner else ""
    return {record.id: record for record in own}.get(shipped or choose_run(study, own) or best)


def choose_run(study: AnyStudy, records: Sequence[RunRecord]) -> str:
    """The id of the run that a search or an ablation ended with: the best recipe found, or the one it started from.

    Empty for a study that compares several networks.

    Args:
        study: The study's file.
        records: The runs of its data.
    """
    if any(record.stage is not Stage.TUNE for record in records):
        return ""
    if study.effects is not None:
        return study.effects.base.ids[0]
    if study.found is None:
        return ""
    arm = study.found.after if study.found.kept else study.found.before
    return arm.ids[0] if arm else study.found.base


def choose_winner(out: Path, records: Sequence[RunRecord]) -> Winner | None:
    """What the study ends with; None if nothing was confirmed.

    A probe is chosen only if it is better than the fine-tuned network on the same validation images, by the metric that
    decides. Its refit is shipped, if there is one of the same length.

    Args:
        out: The study's folder, for the predictions of its runs.
        records: The records of its runs.
    """
    fitted, probes = (find_complete(records, Stage.CONFIRM, mode) for mode in (Mode.FIT, Mode.PROBE))
    if not fitted and not probes:
        return None
    chosen, why = (fitted or probes)[0], []
    if fitted and probes:
        difference = compare(out, [probes[0].id], [fitted[0].id], fitted[0].metric)
        chosen = fitted[0] if difference.points >= 0 else probes[0]
        why.append(_compare(fitted[0], probes[0], difference.images, chosen))
    elif not fitted:
        failed = any(record.stage is Stage.CONFIRM and record.state is State.FAILED for record in records)
        reason = "No network could be fine-tuned" if failed else "There was no time to fine-tune a network"
        why.append(f"{reason}, so a frozen probe is shipped.")
    if chosen.start_kept and not chosen.config.model.start:
        why.append(
            "Training made it worse on validation, so its starting point is shipped: a linear classifier on frozen"
            " features."
        )
    refits = [record for record in records if record.refit_of == chosen.id and record.state is State.COMPLETE]
    shipped = next(filter(_is_whole, refits), chosen)
    if refits and shipped is chosen:
        why.append(explain_no_refit(refits))
    return Winner(confirmed=chosen.id, shipped=shipped.id, why=" ".join(why))


def explain_no_refit(records: Sequence[RunRecord]) -> str:
    """Why the model that is shipped is not a refit, in one or two sentences, for a plan that has one."""
    refit = next((record for record in records if record.stage is Stage.REFIT), None)
    alone = "the model that is shipped has learned the training images alone"
    if refit is not None and refit.state is State.FAILED:
        return f"The refit failed ({refit.reason}), so {alone}."
    if refit is None:
        return f"There was no time for a refit: {alone}. A longer budget has time for one."
    wanted = refit.config.train.epochs or 0.0
    return f"The refit had time for {refit.epochs:.1f} of {wanted:.1f} epochs and is not used: {alone}."


def find_complete(records: Sequence[RunRecord], stage: Stage, mode: Mode) -> list[RunRecord]:
    """The completed runs of a stage and a mode."""
    return [
        record
        for record in records
        if record.stage is stage and record.state is State.COMPLETE and record.config.train.mode is mode
    ]


def _is_whole(refit: RunRecord) -> bool:
    """Whether a refit has reached its length."""
    return refit.epochs >= MIN_REFIT_SHARE * (refit.config.train.epochs or 0.0)


def _compare(fitted: RunRecord, probe: RunRecord, images: int, chosen: RunRecord) -> str:
    """Why one of both was chosen, as a sentence."""
    others = fitted.candidate != probe.candidate
    fine_tuning = f"fine-tuning {fitted.candidate}" if others else "fine-tuning"
    frozen = f"the frozen probe of {probe.candidate}" if others else "the frozen probe"
    right, probed = (_format(record) for record in (fitted, probe))
    if chosen is fitted:
        return (
            f"{fine_tuning.capitalize()} is at least as good as {frozen}: {right} on the same {images:,} validation"
            f" images, against {probed}."
        )
    return (
        f"{frozen.capitalize()} was kept: {fine_tuning} had {right} on the same"
        f" {counted(images, 'validation image')}, the"
        f" probe {probed}."
    )


def _format(record: RunRecord) -> str:
    """The score of a run on validation by the metric that decides, which is named unless it is top-1."""
    estimate = record.val.read(record.metric) if record.val else None
    score = format_score(estimate and estimate.value, record.metric)
    return score if record.metric is Metric.TOP1 else f"{score} {record.metric.label}"
