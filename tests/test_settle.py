"""What follows the confirming run, on invented records and predictions: the probe beside it, the choice, the refit."""

from unittest import mock

import numpy as np
import pytest

from bakeoff.errors import BundleError
from bakeoff.profile import Profile
from bakeoff.report.winner import choose_winner, explain_no_refit
from bakeoff.runs.config import Mode
from bakeoff.runs.folder import run_dir
from bakeoff.runs.metrics import TestMetrics
from bakeoff.runs.paired import compare
from bakeoff.runs.predictions import Predictions, write_predictions
from bakeoff.runs.record import DataFacts, Stage, State, read_record, write_record
from bakeoff.study import Forecast, open_state, propose, run_study
from bakeoff.study import context as context_module
from bakeoff.study import loop as loop_module
from bakeoff.study.planning import MAX_VIEWS, count_views, predict_views
from bakeoff.study.settle import make_refit, propose_last
from factories import make_metrics, make_observation, save_bundle
from test_loop import _Silent
from test_plan import FORECAST, LITES, _finish, _plan
from test_study_state import DATA

SMALL = {"train": 500, "val": 72, "test": 240}
IDS = [f"image {number}" for number in range(SMALL["val"])]
LENGTH = 600.0


class _Study:
    """A study of small data whose runs have the results that a test gives them."""

    def __init__(self, out, counts=SMALL, **options):
        self.out, self.counts, self.records = out, counts, []
        self.plan = _plan(LENGTH, LITES[:2], counts=counts, **options)
        self.plan = self.plan.model_copy(update={"finalists": 1, "race_seconds": ()})

    def finish(self, run, stage, right, ids=IDS, **changes):
        """A completed run that is right on so many of the images, the first ones."""
        facts = DataFacts(name="flowers", fingerprint="d", counts=self.counts, classes=2)
        record = _finish(run, stage, right / len(ids), data=facts, epochs=4.0, **changes)
        record = record.model_copy(update={"val": make_metrics(right / len(ids), len(ids))})
        self.predict(record, [place < right for place in range(len(ids))], ids)
        self.records.append(record)
        return record

    def predict(self, record, right, ids=IDS):
        labels = np.zeros(len(ids), np.int32)
        logits = np.eye(2, dtype=np.float32)[[0 if each else 1 for each in right]]
        write_record(run_dir(self.out, record.id), record)
        write_predictions(run_dir(self.out, record.id), Predictions(logits, labels, ids))

    def screen(self, *right, rates=(100.0, 100.0)):
        runs = propose(self.plan, [], LENGTH, FORECAST).runs
        return [
            self.finish(run, Stage.SCREEN, hits, images_per_second=rate)
            for run, hits, rate in zip(runs, right, rates, strict=True)
        ]

    def confirm(self, right, left=400, **changes):
        (run,) = propose(self.plan, self.records, left, FORECAST).runs
        return self.finish(run, Stage.CONFIRM, right, **changes)

    def follow(self, left=300):
        """What comes next."""
        return propose_last(self.plan, self.out, self.records, left, FORECAST)

    @property
    def winner(self):
        return choose_winner(self.out, self.records)


def _with_test(record):
    return record.model_copy(update={"test": TestMetrics(**make_metrics(0.9).model_dump(), openings=1)})


@pytest.fixture
def small(tmp_path):
    return _Study(tmp_path)


@pytest.fixture
def settled(tmp_path):
    """Small data without a refit."""
    return _Study(tmp_path, refit=False)


def test_where_fine_tuning_hurts_the_frozen_probe_is_confirmed_and_chosen(settled):
    _, best = settled.screen(60, 69)
    fitted = settled.confirm(66)
    run = settled.follow()
    assert run.candidate == best.candidate
    assert (run.train.mode, run.train.subset, run.train.val_images) == (Mode.PROBE, None, None)
    # In the screen it was cross-validated, which leaves no model; now it is fitted on the training images.
    assert (best.config.train.folds, run.train.folds) == (10, 0)
    probe = settled.finish(run, Stage.CONFIRM, 69)
    assert settled.winner.shipped == settled.winner.confirmed == probe.id != fitted.id
    assert settled.follow() is None


def test_the_reason_has_both_scores_and_the_number_of_images(settled):
    settled.screen(69, 60)
    settled.confirm(66)
    settled.finish(settled.follow(), Stage.CONFIRM, 69)
    assert settled.winner.why == (
        "The frozen probe was kept: fine-tuning had 91.7 % on the same 72 validation images, the probe 95.8 %."
    )


def test_fine_tuning_wins_a_tie(settled):
    settled.screen(69, 60)
    fitted = settled.confirm(69)
    settled.finish(settled.follow(), Stage.CONFIRM, 69)
    assert settled.winner.shipped == fitted.id
    assert settled.winner.why == (
        "Fine-tuning is at least as good as the frozen probe: 95.8 % on the same 72 validation images, against 95.8 %."
    )


def test_where_both_are_of_other_networks_they_are_named(settled):
    settled.screen(68, 69, rates=(900.0, 100.0))
    fitted = settled.confirm(66)
    probe = settled.finish(settled.follow(), Stage.CONFIRM, 69)
    assert fitted.candidate != probe.candidate
    assert settled.winner.why.startswith(
        f"The frozen probe of {probe.candidate} was kept: fine-tuning {fitted.candidate} had 91.7 %"
    )


def test_no_probe_is_made_where_fine_tuning_is_clearly_better(settled):
    settled.screen(40, 42)
    settled.confirm(69)
    assert settled.follow() is None


def test_a_probe_that_was_not_measured_as_better_needs_time(settled):
    settled.screen(69, 60)
    settled.confirm(69)
    assert settled.follow(left=300) is not None
    assert settled.follow(left=10) is None


def test_a_probe_that_was_measured_as_better_is_confirmed_however_late_it_is(tmp_path):
    counts = {"train": 19_000, "val": 8000, "test": 2000}
    ids = [f"image {number}" for number in range(8000)]
    large = _Study(tmp_path, counts, refit=False)
    runs = propose(large.plan, [], LENGTH, FORECAST).runs
    # The screen scores a part of the images: only those count.
    scored = large.plan.screen_val
    assert scored < len(ids)
    for run, right in zip(runs, (0.5, 0.7), strict=True):
        large.finish(run, Stage.SCREEN, round(right * scored), ids[:scored])
    fitted = large.confirm(0, ids=ids)
    right = [place < 0.6 * scored or place >= scored for place in range(len(ids))]
    large.predict(fitted, right, ids)
    late, early = large.follow(left=1), large.follow(left=500)
    # The images of the screen, whose features are in the cache, unless there is time for all.
    assert (late.train.subset, early.train.subset) == (large.plan.screen_images, None)
    assert late.train.val_images is None


def test_the_head_of_a_probe_gets_as_many_views_as_there_is_time_for(small):
    small.screen(69, 60)
    small.confirm(66)
    found = [small.follow(left).train.probe_views for left in (300, 60, 1)]
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1]) == (MAX_VIEWS, 0)


def test_views_end_in_the_budget_with_the_refit_that_follows(small):
    small.screen(69, 60)
    small.confirm(66)
    candidate = LITES[0]
    for left in range(20, 300, 5):
        views = small.follow(left).train.probe_views
        needed = predict_views(small.plan, candidate, FORECAST, views, SMALL["train"]) if views else 0.0
        assert not views or FORECAST.finish(candidate, SMALL["test"]) + needed <= left
    assert predict_views(small.plan, candidate, FORECAST, 2, 500) > FORECAST.scoring(candidate, 2 * 572)


def test_many_images_need_no_views(tmp_path):
    large = _Study(tmp_path, {"train": 19_000, "val": 72, "test": 240}, refit=False)
    assert count_views(large.plan, LITES[0], FORECAST, 1e6, 19_000) == 0
    assert count_views(large.plan, LITES[0], FORECAST, 1e6, 5_000) == 3
    assert count_views(large.plan, LITES[0], FORECAST, 0.0, 500) == 0


def test_runs_are_compared_on_the_images_that_both_have_scored(settled):
    run = propose(settled.plan, [], LENGTH, FORECAST).runs[0]
    first = settled.finish(run, Stage.SCREEN, 3, ["a", "b", "c", "d"])
    second = settled.finish(run.revised(train={"subset": 9}), Stage.SCREEN, 1, ["d", "x", "b"])
    difference = compare(settled.out, [first.id], [second.id])
    # Of d and b, the first run is right on b, the second on d.
    assert (difference.images, difference.points) == (2, 0.0)


def test_if_nothing_can_be_fine_tuned_the_best_probe_is_shipped(small):
    small.screen(60, 69)
    for _ in range(2):
        small.confirm(0, state=State.FAILED)
    assert propose(small.plan, small.records, 200, FORECAST) is None
    probe = small.finish(small.follow(), Stage.CONFIRM, 69)
    assert small.winner.confirmed == probe.id
    assert small.follow().train.with_val


def test_where_a_few_steps_take_longer_than_there_is_time_the_probe_is_confirmed(small):
    _, best = small.screen(60, 69)
    # Forward it is fast, and each image that it is trained on takes a second.
    seen = [
        make_observation(f"efficientnet-lite{number}", mode=mode, rate=300.0 if mode is Mode.PROBE else 1.0)
        for number in (0, 1)
        for mode in Mode
    ]
    slow = Forecast(Profile(device=FORECAST.profile.device, observations=tuple(seen)), 2)
    assert propose(small.plan, small.records, 200, slow).stage is Stage.CONFIRM
    assert propose(small.plan, small.records, 100, slow) is None
    probe = propose_last(small.plan, small.out, small.records, 100, slow)
    assert (probe.candidate, probe.train.mode) == (best.candidate, Mode.PROBE)


def test_nothing_is_chosen_once_the_test_split_has_been_opened(small):
    small.screen(69, 60)
    fitted = small.confirm(66)
    assert small.follow() is not None
    small.records[-1] = _with_test(fitted)
    assert small.follow() is None


def test_the_winners_recipe_is_refitted_for_as_many_epochs_and_then_shipped(small):
    small.screen(40, 42)
    fitted = small.confirm(69)
    refit = small.follow()
    assert (refit.train.with_val, refit.train.epochs, refit.train.seconds) == (True, 4.0, None)
    changed = {"with_val", "epochs", "seconds", "evaluations"}
    before, after = fitted.config.train.model_dump(exclude=changed), refit.train.model_dump(exclude=changed)
    assert after == before
    assert (refit.model, refit.optim, refit.augment) == (
        fitted.config.model,
        fitted.config.optim,
        fitted.config.augment,
    )
    record = _finish(refit, Stage.REFIT, 0.0, val=None, epochs=4.0, refit_of=fitted.id)
    small.records.append(record)
    assert (small.winner.confirmed, small.winner.shipped) == (fitted.id, record.id)
    assert small.follow() is None


def test_a_refit_that_was_too_short_or_failed_is_not_shipped(small):
    small.screen(40, 42)
    fitted = small.confirm(69)
    short = _finish(small.follow(), Stage.REFIT, 0.0, val=None, epochs=3.0, refit_of=fitted.id)
    small.records.append(short)
    assert small.winner.shipped == fitted.id
    assert explain_no_refit(small.records).startswith("The refit had time for 3.0 of 4.0 epochs and is not used: ")
    assert explain_no_refit(small.records) in small.winner.why
    small.records[-1] = short.model_copy(update={"state": State.FAILED, "reason": "the disk is full"})
    assert small.winner.shipped == fitted.id
    assert explain_no_refit(small.records).startswith("The refit failed (the disk is full), so ")


def test_a_refit_without_time_for_its_epochs_is_not_begun(small):
    small.screen(40, 42)
    small.confirm(69)
    assert small.follow(left=300) is not None
    assert small.follow(left=40) is None
    assert explain_no_refit(small.records).startswith("There was no time for a refit: ")


@pytest.mark.parametrize("views", [0, 3])
def test_a_probe_that_won_is_refitted_as_a_probe_with_the_views_that_helped(small, views):
    small.screen(69, 60)
    small.confirm(60)
    probe = small.finish(small.follow(), Stage.CONFIRM, 69, head_views=views)
    refit = small.follow()
    assert refit == probe.config.revised(train={"with_val": True, "evaluations": 1, "probe_views": views})


def test_a_starting_point_that_was_kept_is_refitted_and_not_what_made_it_worse(small):
    small.screen(40, 42)
    fitted = small.confirm(69, start_kept=True)
    assert "its starting point is shipped" in small.winner.why
    refit = make_refit(fitted, small.records)
    assert (refit.train.mode, refit.train.with_val, refit.train.subset) == (Mode.PROBE, True, None)
    assert refit.candidate == fitted.candidate
    raced = small.finish(fitted.config.revised(train={"epochs": 2, "seconds": None}), Stage.RACE, 60)
    onward = fitted.model_copy(
        update={
            "config": fitted.config.revised(model={"start": f"runs/{raced.id}/model.keras"}, train={"probe_images": 0})
        }
    )
    assert make_refit(onward, [*small.records, raced]) == make_refit(raced, small.records)
    # It is scored as the run that kept it was.
    for flips in (True, False):
        kept = onward.model_copy(update={"config": onward.config.revised(train={"flip_test": flips})})
        assert make_refit(kept, [*small.records, raced]).train.flip_test is flips


def test_small_data_keep_time_for_a_probe_and_a_refit_and_large_data_do_not(tmp_path):
    plans = {refit: _Study(tmp_path, refit=refit) for refit in (True, False)}
    lengths = {}
    for refit, study in plans.items():
        study.screen(40, 42)
        proposal = propose(study.plan, study.records, 400, FORECAST)
        lengths[refit] = proposal.runs[0].train.seconds
        assert proposal.follows > 0
    assert lengths[True] < 0.55 * lengths[False]
    large = _plan(LENGTH, LITES[:2])
    records = [
        _finish(run, Stage.SCREEN, top1, images_seen=5000, images_per_second=300.0, seconds_planned=250.0)
        for run, top1 in zip(propose(large, [], LENGTH, FORECAST).runs, (0.5, 0.52), strict=True)
    ]
    assert propose(large, records, 400, FORECAST).follows == 0


def test_everything_that_is_planned_ends_in_the_budget(small):
    small.screen(40, 42)
    proposal = propose(small.plan, small.records, 400, FORECAST)
    seconds = proposal.runs[0].train.seconds
    finish = FORECAST.finish(LITES[0], SMALL["test"])
    assert seconds + proposal.follows + finish <= 400
    # The refit alone takes longer than the run that it repeats.
    assert proposal.follows > seconds * (572 / 500)


def test_a_refit_is_planned_by_the_number_of_validation_images_unless_the_user_decides(tmp_path):
    assert _Study(tmp_path).plan.refit is True
    assert _plan().refit is False
    assert _plan(refit=True).refit is True
    assert _Study(tmp_path, refit=False).plan.asked != _Study(tmp_path).plan.asked


@pytest.fixture
def invented(tmp_path, monkeypatch):
    """A whole study on small data whose runs are invented: fine-tuning hurts. Its launches, in order."""
    world = _Study(tmp_path)
    study = open_state(tmp_path, world.plan, data=DATA.model_copy(update={"counts": SMALL}), command="")
    launched, scored = [], []

    def launch(run, *, stage, out, refit_of, **_):
        launched.append((stage, run.train.mode))
        if world.killed_at == launched[-1]:
            raise KeyboardInterrupt
        record = world.finish(run, stage, 69 if run.train.mode is Mode.PROBE else 66, refit_of=refit_of)
        if stage is Stage.REFIT:
            record = record.model_copy(update={"val": None})
            write_record(run_dir(out, record.id), record)
        return record

    def open_test(folder, *_, **__):
        scored.append(folder.name)
        record = next(record for record in context_module.list_records(tmp_path) if record.id == folder.name)
        record = _with_test(record)
        write_record(folder, record)
        return record

    monkeypatch.setattr(context_module, "launch", launch)
    monkeypatch.setattr(loop_module, "open_test", open_test)
    monkeypatch.setattr(loop_module, "export_bundle", lambda *_: None)
    monkeypatch.setattr(loop_module, "add_finish", lambda _: None)
    monkeypatch.setattr(context_module, "write_report", lambda _: None)
    world.killed_at, world.launched, world.scored, world.study = None, launched, scored, study
    return world


LAST = [
    (Stage.CONFIRM, Mode.FIT),
    (Stage.CONFIRM, Mode.PROBE),
    (Stage.REFIT, Mode.PROBE),
]


def test_a_study_ends_with_the_refit_of_its_best_run_whose_test_split_is_opened_once(invented):
    winner = run_study(invented.study, invented.out, invented.out, _Silent())
    assert invented.launched[-3:] == LAST
    assert (winner.stage, winner.config.train.mode) == (Stage.REFIT, Mode.PROBE)
    assert invented.scored == [winner.id]
    assert invented.study.winner.shipped == winner.id
    assert invented.study.winner.confirmed == winner.refit_of


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_study_that_is_interrupted_at_its_end_repeats_nothing(invented, place):
    invented.killed_at = LAST[place]
    with pytest.raises(KeyboardInterrupt):
        run_study(invented.study, invented.out, invented.out, _Silent())
    invented.killed_at = None
    study = open_state(invented.out, invented.plan, data=invented.study.data, command="")
    winner = run_study(study, invented.out, invented.out, _Silent())
    last = [launched for launched in invented.launched if launched[0] in (Stage.CONFIRM, Stage.REFIT)]
    assert last == [*LAST[: place + 1], *LAST[place:]]
    assert invented.scored == [winner.id]
    done = len(invented.launched)
    assert run_study(study, invented.out, invented.out, _Silent()).id == winner.id
    assert len(invented.launched) == done


def test_a_study_whose_bundle_cannot_be_written_has_its_report_and_says_why(invented, monkeypatch):
    reports, told = [], []
    watcher = _Silent()
    watcher.noted = told.append
    monkeypatch.setattr(context_module, "write_report", reports.append)
    refuse = mock.Mock(side_effect=BundleError("the exported model answers otherwise"))
    monkeypatch.setattr(loop_module, "export_bundle", refuse)
    for times in (1, 2):
        with pytest.raises(BundleError, match="answers otherwise"):
            run_study(invented.study, invented.out, invented.out, watcher)
        assert reports == times * [invented.out]
    assert len(invented.scored) == 1
    assert set(told) == {f"the results are in {invented.out / 'report.html'}; the same command writes what is missing"}
    monkeypatch.setattr(loop_module, "open_test", refuse)
    refuse.side_effect = None
    assert run_study(invented.study, invented.out, invented.out, watcher).test


def test_a_bundle_of_another_run_that_was_exported_over_the_winners_is_written_again(invented, monkeypatch):
    bundle, written, told = invented.out / "bundle", [], []

    def export_bundle(folder, _data, target):
        written.append(folder.name)
        save_bundle(target, read_record(folder))

    monkeypatch.setattr(loop_module, "export_bundle", export_bundle)
    watcher = _Silent()
    watcher.noted = told.append
    winner = run_study(invented.study, invented.out, invented.out, watcher)
    run_study(invented.study, invented.out, invented.out, watcher)
    assert (written, told) == ([winner.id], [])
    save_bundle(bundle, winner, run="another")
    run_study(invented.study, invented.out, invented.out, watcher)
    assert written == [winner.id, winner.id]
    assert told == [f"{bundle} held the model of run another; now it is that of the winner again"]
