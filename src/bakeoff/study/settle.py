"""What follows the confirming run: a frozen probe beside it, the choice between the two, and the refit.

The model that is shipped is the best of what was measured on the same validation images. In the screen probes were
measured too, so the best of them is confirmed as well, unless fine-tuning is clearly better.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from bakeoff.report.board import expect_error, read_row
from bakeoff.report.winner import MIN_REFIT_SHARE, choose_winner, find_complete
from bakeoff.runs.config import Candidate, Mode, Run
from bakeoff.runs.paired import compare
from bakeoff.runs.record import RunRecord, Stage, State
from bakeoff.study.forecast import Forecast
from bakeoff.study.plan import StudyPlan
from bakeoff.study.planning import count_views, predict_probe, predict_refit, predict_views

__all__ = ["find_best_probe", "keep_for_probe", "make_refit", "propose_last"]

# Of the budget of a study of small data, for the augmented views that the head of its probe is fitted on.
VIEWS_SHARE = 0.05


def find_best_probe(records: Sequence[RunRecord]) -> RunRecord | None:
    """The most accurate frozen probe of the screen; None if nothing was probed."""
    probes = find_complete(records, Stage.SCREEN, Mode.PROBE)
    return min(probes, key=lambda record: (_error_of(record), record.seconds.train), default=None)


def keep_for_probe(plan: StudyPlan, leader: RunRecord, records: Sequence[RunRecord], forecast: Forecast) -> float:
    """Wall-clock seconds to keep for a probe beside the confirming run; 0 if that will surely be better than a probe.

    Args:
        plan: The plan of the study.
        leader: The latest record of the candidate that is about to be confirmed.
        records: The records so far.
        forecast: The time that runs take on this machine.
    """
    probe = find_best_probe(records)
    if probe is None:
        return 0.0
    is_trained = leader.config.train.mode is Mode.FIT
    expected = _error_of(leader) if is_trained else expect_error(read_row(leader))
    if not plan.is_small and _error_of(probe) >= expected:
        return 0.0
    candidate = Candidate.of(probe.config)
    seconds = predict_probe(plan, candidate, forecast, whole=plan.is_small)
    if plan.is_small:
        views = count_views(plan, candidate, forecast, VIEWS_SHARE * plan.budget_seconds, plan.count_train)
        seconds += predict_views(plan, candidate, forecast, views, plan.count_train) if views else 0.0
    return seconds


def propose_last(
    plan: StudyPlan, out: Path, records: Sequence[RunRecord], seconds_left: float, forecast: Forecast
) -> Run | None:
    """The next run after the confirming ones have ended: a probe, or the winner's refit (`train.with_val`).

    Args:
        plan: The plan of the study.
        out: The study's folder, for the predictions of its runs.
        records: The records so far.
        seconds_left: Wall-clock seconds that are left of the budget.
        forecast: The time that runs take on this machine, these records included.

    Returns:
        The run; None if there is none, or no time for one.
    """
    if any(record.test for record in records if record.stage in (Stage.CONFIRM, Stage.REFIT)):
        return None  # The test split has been opened, so nothing is chosen any more.
    finished = {record.config for record in records if record.state is not State.RUNNING}
    forecast = forecast.for_stage(1)  # what follows has the whole machine
    probe = _propose_probe(plan, out, records, seconds_left, forecast)
    if probe is not None and probe not in finished:
        return probe
    winner = choose_winner(out, records)
    if winner is None or not plan.refit:
        return None
    chosen = next(record for record in records if record.id == winner.confirmed)
    refit = make_refit(chosen, records)
    if refit in finished or seconds_left < _predict_least(plan, chosen, refit, forecast):
        return None
    return refit


def make_refit(chosen: RunRecord, records: Sequence[RunRecord]) -> Run:
    """The recipe of a run, for the same number of epochs on training and validation images together.

    If the run kept its starting point, that point is made again: the recipe of the run that it continued, or a probe.
    """
    config = chosen.config
    both = {"with_val": True, "val_images": None, "patience": 0, "evaluations": 1}
    if config.train.mode is Mode.PROBE:
        return config.revised(train=both | {"probe_views": chosen.head_views})
    if chosen.start_kept:
        before = Path(config.model.start).parent.name
        for record in records:
            if record.id == before:
                # Its validation scores are those of the run that kept it.
                return make_refit(record, records).revised(train={"flip_test": config.train.flip_test})
        images = config.train.probe_images
        as_probe = {"mode": Mode.PROBE, "seconds": None, "images": None, "epochs": None, "sizes": (), "probe_images": 0}
        subset = images if images < chosen.data.counts["train"] else None
        return config.revised(model={"unfreeze": 0.0, "lora": 0}, train=both | as_probe | {"subset": subset})
    probed = config.train.probe_images if config.train.count_probe else 0
    epochs = round(chosen.epochs - probed / chosen.data.counts["train"], 3)
    return config.revised(train=both | {"seconds": None, "images": None, "epochs": max(epochs, 0.001)})


def _propose_probe(
    plan: StudyPlan, out: Path, records: Sequence[RunRecord], seconds_left: float, forecast: Forecast
) -> Run | None:
    """The probe to confirm beside the fine-tuned network, or instead of it if none could be fine-tuned."""
    probe = find_best_probe(records)
    if probe is None or any(_is_confirmed_probe(record) for record in records):
        return None
    candidate, images = Candidate.of(probe.config), plan.count_test
    fitted = find_complete(records, Stage.CONFIRM, Mode.FIT)
    spare = seconds_left - forecast.finish(candidate, images)
    if fitted:
        difference = compare(out, [probe.id], [fitted[0].id], fitted[0].metric)
        if difference.low > 0:
            return None  # more than chance explains
        if plan.refit:
            spare -= _predict_training(plan, fitted[0], forecast)
        if difference.points >= 0 and spare < predict_probe(plan, candidate, forecast, whole=plan.is_small):
            return None
    whole = spare >= predict_probe(plan, candidate, forecast, whole=True)
    # Where time is short, it is fitted on the images of the screen, whose features are known.
    subset = None if whole or plan.screen_images >= plan.count_train else plan.screen_images
    # What is left is for augmented views of them.
    left = spare - predict_probe(plan, candidate, forecast, whole=subset is None)
    views = count_views(plan, candidate, forecast, left, subset or plan.count_train)
    return probe.config.revised(train={"subset": subset, "val_images": None, "folds": 0, "probe_views": views})


def _error_of(record: RunRecord) -> float:
    """The error on validation by the metric that decides; infinite if it is not known."""
    estimate = record.val.read(record.metric) if record.val else None
    return math.inf if estimate is None else record.metric.error(estimate.value)


def _is_confirmed_probe(record: RunRecord) -> bool:
    is_probe = record.stage is Stage.CONFIRM and record.config.train.mode is Mode.PROBE
    return is_probe and record.state is not State.RUNNING


def _predict_least(plan: StudyPlan, chosen: RunRecord, refit: Run, forecast: Forecast) -> float:
    """Wall-clock seconds that must be left for a refit and what follows it."""
    candidate = Candidate.of(chosen.config)
    finish = forecast.finish(candidate, (1 + refit.train.flip_test) * plan.count_test)
    if refit.train.mode is Mode.PROBE:
        seconds = finish + forecast.overhead(candidate, Mode.PROBE)
        if views := refit.train.probe_views:
            seconds += predict_views(plan, candidate, forecast, views, refit.train.subset or plan.count_train)
        return seconds
    return finish + MIN_REFIT_SHARE * _predict_training(plan, chosen, forecast)


def _predict_training(plan: StudyPlan, chosen: RunRecord, forecast: Forecast) -> float:
    """Wall-clock seconds of the refit of a fine-tuned network."""
    sizes = 1 + len(chosen.config.train.sizes)
    return predict_refit(plan, Candidate.of(chosen.config), chosen.seconds.train, forecast, sizes=sizes)
