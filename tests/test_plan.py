"""The plan of a study, and propose() on invented records: no Keras, no clock, no files."""

import io

import pytest
from rich.console import Console

from bakeoff.console.plans import render_plan
from bakeoff.errors import ConfigError
from bakeoff.profile import Device
from bakeoff.report.board import rank
from bakeoff.runs.config import Candidate, Data, Mode, WeightsChoice, parse_candidate, run_id
from bakeoff.runs.history import CURVE_SHARE
from bakeoff.runs.record import DataFacts, RunRecord, Seconds, Stage, State, WeightsFacts
from bakeoff.study import Forecast, make_plan, propose
from bakeoff.study.planning import predict_screening
from factories import make_forecast, make_metrics

COUNTS = {"train": 9000, "val": 1000, "test": 2000}
LITES = [Candidate(name=f"efficientnet-lite{number}", size=96) for number in range(3)]
SCRATCH = [Candidate(name="lenet", size=32), Candidate(name="cnn-small", size=32)]


FORECAST = make_forecast()


def _plan(budget=1800.0, candidates=(*LITES, *SCRATCH), **options):
    data = Data(source="cifar100", classes="20")
    options = {"forecast": FORECAST, "side": 32, "counts": COUNTS} | options
    return make_plan(budget, data=data, candidates=list(candidates), **options)


def _finish(run, stage, top1, **changes):
    fields = {
        "id": run_id(run, "d", "w"),
        "stage": stage,
        "state": State.COMPLETE,
        "config": run,
        "data": DataFacts(name="cifar100-20", fingerprint="d", counts=COUNTS, classes=20),
        "weights": WeightsFacts(origin="package", hash="w"),
        "val": make_metrics(top1),
        "seconds": Seconds(train=30, total=45),
        "images_per_second": 100.0,
        "model_bytes": 0 if run.train.mode is Mode.PROBE else 10,
    }
    return RunRecord(**(fields | changes))


def _screened(plan, tops, **changes):
    runs = propose(plan, [], plan.budget_seconds, FORECAST).runs
    return [_finish(run, Stage.SCREEN, top1, **changes) for run, top1 in zip(runs, tops, strict=True)]


def test_the_screen_probes_pretrained_networks_and_trains_the_others_briefly():
    proposal = propose(_plan(), [], 600, FORECAST)
    assert proposal.stage is Stage.SCREEN
    modes = {run.model.name: run.train.mode for run in proposal.runs}
    assert modes["efficientnet-lite1"] is Mode.PROBE
    assert modes["lenet"] is Mode.FIT
    assert all(run.train.val_images == proposal.runs[0].train.val_images for run in proposal.runs)


def test_only_runs_without_a_final_record_are_proposed():
    plan = _plan()
    records = _screened(plan, [0.5, 0.6, 0.4, 0.2, 0.3])
    rest = propose(plan, records[:2], 500, FORECAST)
    assert [run.candidate for run in rest.runs] == [record.candidate for record in records[2:]]
    assert rest.of == 5


def test_a_run_whose_record_is_running_is_proposed_again():
    plan = _plan()
    records = _screened(plan, [0.5, 0.6, 0.4, 0.2, 0.3])
    running = records[0].model_copy(update={"state": State.RUNNING})
    assert propose(plan, [running, *records[1:]], 500, FORECAST).runs == (running.config,)


def test_the_race_gives_the_leaders_equal_seconds():
    plan = _plan()
    proposal = propose(plan, _screened(plan, [0.5, 0.6, 0.4, 0.2, 0.3]), 500, FORECAST)
    assert proposal.stage is Stage.RACE
    assert {run.candidate for run in proposal.runs} == {"efficientnet-lite1@96", "efficientnet-lite0@96"}
    assert len({run.train.seconds for run in proposal.runs}) == 1


def test_of_equal_probes_the_faster_network_is_raced():
    plan = _plan()
    records = _screened(plan, [0.5, 0.52, 0.51, 0.1, 0.1])
    records[0] = records[0].model_copy(update={"images_per_second": 200.0})
    first = propose(plan, records, 500, FORECAST).runs[0]
    assert first.candidate == "efficientnet-lite0@96"


def test_a_candidate_far_behind_the_leader_is_not_raced():
    plan = _plan(1800)
    assert plan.finalists == 2
    near, far = (_screened(plan, [0.8, top1, 0.3, 0.1, 0.1]) for top1 in (0.75, 0.65))
    assert propose(plan, near, 1500, FORECAST).stage is Stage.RACE
    assert propose(plan, far, 1500, FORECAST).stage is Stage.CONFIRM


def test_successive_halving_halves_the_field_and_doubles_the_time():
    plan = _plan(5400)
    records = _screened(plan, [0.5, 0.6, 0.4, 0.2, 0.3])
    first = propose(plan, records, 1500, FORECAST)
    assert (len(first.runs), first.of) == (4, 4)
    left = propose(plan, [*records, _finish(first.runs[0], Stage.RACE, 0.7)], 1500, FORECAST)
    assert (len(left.runs), left.of) == (3, 4)
    records += [_finish(run, Stage.RACE, top1) for run, top1 in zip(first.runs, [0.7, 0.9, 0.8, 0.1], strict=True)]
    second = propose(plan, records, 1200, FORECAST)
    assert [run.candidate for run in second.runs] == [first.runs[1].candidate, first.runs[2].candidate]
    # Twice the time for each, of which each run needs the same part to start.
    assert second.runs[0].train.seconds > 2 * first.runs[0].train.seconds
    assert second.runs[0].model.start == f"runs/{records[6].id}/model.keras"
    records += [_finish(run, Stage.RACE, 0.7) for run in second.runs]
    assert [row.rung for row in rank(records, Stage.RACE)] == [1, 1, 0, 0, 0, 0]


def test_the_race_winner_is_confirmed_with_what_is_left_after_its_overhead():
    plan = _plan()
    records = _screened(plan, [0.5, 0.6, 0.4, 0.2, 0.3])
    race = propose(plan, records, 500, FORECAST)
    records += [_finish(run, Stage.RACE, top1) for run, top1 in zip(race.runs, [0.7, 0.8], strict=True)]
    proposal = propose(plan, records, 300, FORECAST)
    assert proposal.stage is Stage.CONFIRM
    assert [run.candidate for run in proposal.runs] == [race.runs[1].candidate]
    # Around the training, at least: seven tenths of 10 s, 5 s of compiling, and of scoring 1,000 validation images and
    # their mirror images, and as many again four times on the way. Then the end of the study, with 2,000 test images,
    # which takes 1.6 times what is around a probe as long as none was measured.
    pace = FORECAST.rate(LITES[0], Mode.PROBE).value
    expected = 300 - 0.7 * (10 + 5 + 6000 / pace) - (1.6 * 10 + 2.5) - 4000 / pace
    # Of what is left, scoring for the learning curve has its share.
    expected /= 1 + CURVE_SHARE
    assert proposal.runs[0].train.seconds == pytest.approx(expected, abs=0.1)
    assert proposal.runs[0].train.val_images is None
    assert proposal.runs[0].model.start == f"runs/{records[-1].id}/model.keras"
    assert proposal.runs[0].train.probe_images == 0


def test_without_time_to_fine_tune_the_leader_its_probe_is_left():
    plan = _plan(120, LITES[:1])
    records = _screened(plan, [0.5])
    assert propose(plan, records, 60, FORECAST).stage is Stage.CONFIRM
    assert propose(plan, records, 30, FORECAST) is None


@pytest.mark.parametrize(("size", "sizes"), [(96, ()), (128, (96,)), (160, (128,)), (224, (160,))])
def test_the_confirming_run_begins_with_smaller_images(size, sizes):
    plan = _plan(120, [Candidate(name="efficientnet-lite0", size=size)])
    records = _screened(plan, [0.5])
    (final,) = propose(plan, records, 110, FORECAST).runs
    assert final.train.sizes == sizes
    assert final.model.size == size
    assert all(not record.config.train.sizes for record in records)


def test_mirror_images_are_scored_where_that_takes_little_of_the_time_that_is_left():
    plan = _plan(120, LITES[:1])
    records = _screened(plan, [0.5])
    for seconds_left, flips in ((60, False), (600, True)):
        (run,) = propose(plan, records, seconds_left, FORECAST).runs
        assert run.train.flip_test is flips
        assert run.train.evaluations >= 1


def _raced(plan):
    screen = _screened(plan, [0.5, 0.6, 0.4, 0.2, 0.3])
    race = [_finish(run, Stage.RACE, 0.7) for run in propose(plan, screen, 1000, FORECAST).runs]
    return [*screen, *race]


def test_the_leaders_recipe_is_searched_between_race_and_confirmation():
    plan = _plan(tune=True)
    records = _raced(plan)
    proposal = propose(plan, records, 1000, FORECAST)
    assert proposal.stage is Stage.TUNE
    (base,) = proposal.runs
    assert base.candidate == "efficientnet-lite0@96"
    assert base.model.start == ""
    assert base.train.probe_images == plan.screen_images


def test_what_the_search_changed_is_in_the_confirming_run():
    plan = _plan(tune=True)
    changes = {"optim.learning_rate": 0.002, "model.size": 128, "augment.policy": "crop"}
    (run,) = propose(plan, _raced(plan), 1000, FORECAST, changes).runs
    assert (run.optim.learning_rate, run.model.size, run.train.sizes) == (0.002, 128, (96,))
    assert run.train.flip_test is False
    assert run.model.start


def test_a_search_that_kept_the_recipe_changes_nothing():
    with_search, without = _plan(tune=True), _plan(tune=False)
    assert (
        propose(with_search, _raced(with_search), 1000, FORECAST, {}).runs
        == propose(without, _raced(without), 1000, FORECAST).runs
    )


def test_a_runner_up_is_confirmed_by_its_own_recipe():
    plan = _plan(tune=True)
    records = _raced(plan)
    (run,) = propose(plan, records, 1000, FORECAST, {"train.batch": 32}).runs
    records.append(_finish(run, Stage.CONFIRM, 0.0, state=State.FAILED))
    (other,) = propose(plan, records, 900, FORECAST, {"train.batch": 32}).runs
    assert other.candidate != run.candidate
    assert (run.train.batch, other.train.batch) == (32, 64)


def _fail(run):
    return _finish(run, Stage.CONFIRM, 0.0, state=State.FAILED, val=None, reason="out of memory")


def test_a_recipe_with_another_input_size_that_fails_is_confirmed_once_then_the_runner_up_then_the_usual_recipe():
    plan = _plan(tune=True)
    records, sizes = _raced(plan), []
    for seconds_left in (600, 300, 5, 5, 5):  # at last there is time for the least training, whose config is always one
        proposal = propose(plan, records, seconds_left, FORECAST, {"model.size": 128})
        if proposal is None:
            break
        (run,) = proposal.runs
        sizes.append(run.candidate)
        records.append(_fail(run))
    assert sizes == ["efficientnet-lite0@128", "efficientnet-lite1@96", "efficientnet-lite0@96"]
    assert proposal is None


def test_a_changed_recipe_that_fails_says_nothing_of_the_candidate_that_has_its_input_size_by_itself():
    both = [Candidate(name="efficientnet-lite0", size=size) for size in (96, 128)]
    plan = _plan(tune=True, candidates=both)
    screen = _screened(plan, [0.5, 0.52] if plan.candidates[0].endswith("@128") else [0.52, 0.5])
    race = propose(plan, screen, 1000, FORECAST).runs
    records = [*screen, *(_finish(run, Stage.RACE, 0.8 - run.model.size / 1000) for run in race)]
    (run,) = propose(plan, records, 1000, FORECAST, {"model.size": 128}).runs
    assert (run.candidate, run.model.start[:5]) == ("efficientnet-lite0@128", "runs/")
    (other,) = propose(plan, [*records, _fail(run)], 600, FORECAST, {"model.size": 128}).runs
    assert other.candidate == "efficientnet-lite0@128"
    assert other.model.start != run.model.start  # it continues its own run of the race


def test_a_probe_that_failed_too_does_not_keep_the_runner_up_from_being_confirmed():
    plan = _plan(120)
    records = _screened(plan, [0.5, 0.6])
    records += [_fail(run) for run in propose(plan, records, 60, FORECAST).runs]
    records.append(_fail(records[1].config.revised(train={"val_images": None})))
    (run,) = propose(plan, records, 40, FORECAST).runs
    assert run.candidate == "efficientnet-lite0@96"


@pytest.mark.parametrize("seconds_left", [5, 400])
def test_a_run_that_failed_is_never_proposed_again_however_short_the_time_is(seconds_left):
    plan = _plan(120, LITES[:1], tune=False)
    records = [record.model_copy(update={"state": State.COMPLETE}) for record in _screened(plan, [0.5])]
    for left in (400, 350, seconds_left):
        proposal = propose(plan, records, left, FORECAST)
        if proposal is not None:
            records += map(_fail, proposal.runs)
    assert sum(record.stage is Stage.CONFIRM for record in records) == 1


def test_whether_there_is_a_search_depends_on_the_budget_unless_the_user_decides():
    assert _plan(1800).tune_seconds == 0
    assert _plan(10_000).tune_seconds == 3500
    assert _plan(10_000, tune=False).tune_seconds == 0
    assert _plan(1800, tune=True).tune_seconds == 630
    with pytest.raises(ConfigError, match="too little for a search"):
        _plan(600, tune=True)


def test_nothing_is_proposed_once_a_run_is_confirmed():
    plan = _plan(120)
    records = _screened(plan, [0.5, 0.6])
    final = propose(plan, records, 60, FORECAST)
    assert final.stage is Stage.CONFIRM
    assert propose(plan, [*records, _finish(final.runs[0], Stage.CONFIRM, 0.8)], 10, FORECAST) is None


def test_random_weights_are_trained_in_the_screen_since_there_is_nothing_to_probe():
    data = Data(source="cifar100")
    weights = WeightsChoice(default="none")
    plan = make_plan(600, data=data, counts=COUNTS, candidates=LITES[:1], weights=weights, forecast=FORECAST)
    (run,) = propose(plan, [], 600, FORECAST).runs
    assert run.train.mode is Mode.FIT
    assert run.model.weights == "none"


def test_if_the_winner_fails_the_runner_up_is_confirmed():
    plan = _plan(120)
    records = _screened(plan, [0.5, 0.6])
    first = propose(plan, records, 60, FORECAST)
    records.append(_finish(first.runs[0], Stage.CONFIRM, 0.0, state=State.FAILED, val=None, reason="nan"))
    second = propose(plan, records, 40, FORECAST)
    assert [run.candidate for run in second.runs] == ["efficientnet-lite0@96"]


def test_a_failed_candidate_is_not_raced():
    plan = _plan()
    records = _screened(plan, [0.5, 0.6, 0.4, 0.1, 0.1])
    records[1] = records[1].model_copy(update={"state": State.FAILED, "val": None})
    raced = {run.candidate for run in propose(plan, records, 500, FORECAST).runs}
    assert raced == {"efficientnet-lite0@96", "efficientnet-lite2@96"}


def test_when_all_failed_nothing_is_proposed():
    plan = _plan()
    assert propose(plan, _screened(plan, [0.0] * 5, state=State.FAILED, val=None), 500, FORECAST) is None


def test_candidates_without_time_are_cut_and_named():
    plan = _plan(60)
    assert plan.cut
    assert {*plan.candidates, *plan.cut} == {str(candidate) for candidate in (*LITES, *SCRATCH)}


def test_each_network_is_screened_once_before_another_size_of_one_and_at_its_most_promising_size():
    several = [Candidate(name=f"efficientnet-lite{number}", size=size) for number in range(3) for size in (64, 96, 128)]
    plan = _plan(90, several)
    assert [name.partition("@")[0] for name in plan.candidates] == ["efficientnet-lite0", "efficientnet-lite1"]
    assert not any(name.endswith("@64") for name in plan.candidates)
    # What is cut is in the order in which it is screened if there is time after all.
    assert plan.cut[0].startswith("efficientnet-lite2@")
    assert {name.partition("@")[2] for name in plan.cut[-2:]} == {"64"}


def test_a_network_that_takes_too_long_alone_is_cut_whatever_is_expected_of_it():
    plan = _plan(60, [Candidate(name="efficientnet-b7", size=600), *LITES])
    assert plan.candidates
    assert "efficientnet-b7@600" in plan.cut


def test_from_scratch_networks_are_cut_first_and_only_where_there_is_no_time():
    assert {str(candidate) for candidate in SCRATCH} & set(_plan(180).cut)
    assert not {str(candidate) for candidate in LITES} & set(_plan(180).cut)
    assert not _plan(300).cut


def test_more_candidates_are_screened_on_fewer_images():
    several = [Candidate(name=f"efficientnet-lite{number}", size=size) for number in range(3) for size in (64, 96, 128)]
    few, many = _plan(600, several[:2]), _plan(600, several)
    assert all(not _plan(600, several[:number]).cut for number in range(1, 10))
    assert 500 <= many.screen_images < few.screen_images
    assert 500 <= many.screen_val <= few.screen_val


def test_a_probe_of_many_classes_has_an_image_of_each():
    slow = make_forecast(20)
    assert _plan(120, LITES[:1], classes=20, forecast=slow).screen_images == 500
    assert _plan(120, LITES[:1], classes=1200, forecast=slow).screen_images == 1200


def test_a_budget_that_is_too_short_is_refused():
    with pytest.raises(ConfigError, match="30s"):
        _plan(10)


@pytest.mark.parametrize("budget", [30, 60, 300, 600, 3600, 36000])
def test_screen_and_race_leave_most_of_any_budget_to_the_winner(budget):
    plan = _plan(float(budget))
    raced = sum(seconds * (plan.finalists >> rung) for rung, seconds in enumerate(plan.race_seconds))
    assert raced <= 0.2 * budget


def test_with_more_slots_more_candidates_are_screened_and_races_are_longer():
    one, four = (_plan(1200, slots=slots) for slots in (1, 4))
    assert one == _plan(1200)
    assert len(four.candidates) >= len(one.candidates)
    assert four.screen_images >= one.screen_images
    assert (four.finalists, four.race_seconds[0]) > (one.finalists, one.race_seconds[0])
    # A run that alone takes longer than the screen may is left out, however many slots there are.
    slow = Candidate(name="efficientnet-lite2", size=512)
    assert str(slow) in _plan(3600, candidates=[LITES[0], slow]).candidates
    assert str(slow) not in _plan(300, candidates=[LITES[0], slow], slots=16).candidates
    crowded = [Candidate(name=lite.name, size=size) for size in range(64, 129, 4) for lite in LITES]
    assert len(_plan(300, candidates=crowded, slots=4).candidates) > len(_plan(300, candidates=crowded).candidates)


def test_with_more_slots_the_winner_is_planned_with_all_threads_of_the_machine():
    def forecast(threads):
        device = Device(cpu="a processor", cores=16)
        return Forecast(FORECAST.profile.model_copy(update={"device": device}), threads)

    shared, whole = forecast(2), forecast(16)
    plan = _plan(1800, forecast=shared, slots=8)
    leader = parse_candidate(plan.candidates[0])
    assert plan.predicted_seconds["finish"] == round(whole.finish(leader, 2 * COUNTS["test"]), 1)
    records = _screened(plan, [0.5, *(0.1 for _ in plan.candidates[1:])])
    confirmed = propose(plan, records, 600, shared)
    assert confirmed.stage is Stage.CONFIRM
    assert confirmed == propose(plan, records, 600, whole)


# cross-validation

SMALL = {"train": 576, "val": 72, "test": 240}


def _plan_small(counts=SMALL, budget=120.0, candidates=(*LITES, *SCRATCH), classes=12, **options):
    data = Data(source="photos")
    options = {"forecast": FORECAST} | options
    return make_plan(budget, data=data, counts=counts, candidates=list(candidates), classes=classes, **options)


def test_few_validation_images_make_the_screen_cross_validate_its_probes():
    plan = _plan_small(candidates=[*LITES[:1], *SCRATCH], budget=600.0)
    assert (plan.screen_folds, plan.screen_images, plan.screen_val) == (10, 576, 72)
    runs = {run.model.name: run for run in propose(plan, [], 600, FORECAST).runs}
    assert runs["efficientnet-lite0"].train.folds == 10
    assert runs["lenet"].train.folds == 0
    assert runs["lenet"].train.val_images == 72


def test_the_head_of_a_later_run_starts_from_training_images_alone():
    plan = _plan_small(candidates=LITES[:1])
    (probe,) = propose(plan, [], 100, FORECAST).runs
    record = _finish(probe, Stage.SCREEN, 0.9, folds=10)
    (final,) = propose(plan, [record], 90, FORECAST).runs
    assert (final.train.folds, final.train.probe_images) == (0, 576)


def test_enough_validation_images_are_not_cross_validated():
    counts = {"train": 9000, "val": 1064, "test": 2000}
    assert _plan_small(counts, 1800.0).screen_folds == 0
    assert _plan_small(counts | {"val": 1063}, 1800.0).screen_folds == 5


def test_of_the_fewest_images_each_is_left_out_alone():
    counts = {"train": 50, "val": 10, "test": 20}
    assert _plan_small(counts, candidates=LITES[:1], classes=2).screen_folds == 60


def test_networks_from_scratch_alone_have_nothing_to_cross_validate():
    assert _plan_small(candidates=SCRATCH).screen_folds == 0


def test_the_fits_of_a_cross_validation_count_in_the_plan():
    one, many = (_plan_small(candidates=LITES[:1], classes=classes) for classes in (2, 100))
    assert many.predicted_seconds["screen"] > one.predicted_seconds["screen"]
    assert many.confirm_seconds < one.confirm_seconds
    probe = parse_candidate(many.candidates[0])
    assert predict_screening(many, probe, FORECAST) > predict_screening(one, probe, FORECAST)


@pytest.mark.parametrize(("budget", "folds"), [(60.0, 5), (90.0, 0), (150.0, 0), (600.0, 5), (3600.0, 10)])
def test_a_cross_validation_cuts_no_candidate_and_has_fewer_folds_where_time_is_short(budget, folds):
    counts = {"train": 1500, "val": 160, "test": 300}
    plan = _plan_small(counts, budget, LITES, classes=300)
    assert plan.screen_folds == folds
    assert plan.cut == _plan_small(counts | {"val": 1064}, budget, LITES, classes=300).cut
    assert plan.predicted_seconds["screen"] <= 0.35 * budget


def test_the_plan_says_why_probes_are_cross_validated():
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_plan(_plan_small(budget=600.0)))
    text = " ".join(console.export_text().split())
    assert "10-fold cross-validation on 648 images, because 72 validation images tell only within ±11 points" in text
    assert "from scratch: 9.0 s of training, scored on 72 validation images" in text
    console.print(render_plan(_plan_small(candidates=LITES[:1])))
    assert "from scratch" not in console.export_text()
    console.print(render_plan(_plan_small({"train": 9000, "val": 2000, "test": 2000}, 1800.0)))
    assert "cross-validation" not in console.export_text()


@pytest.mark.parametrize(
    ("candidates", "why"),
    [(LITES[:1], "there is only one candidate"), (LITES[:2], "there is no time for one, the screen decides")],
    ids=["one", "two"],
)
def test_the_plan_says_why_there_is_no_race(candidates, why):
    console = Console(width=200, record=True, file=io.StringIO())
    plan = _plan(86_400.0 if len(candidates) == 1 else 120.0, candidates)
    assert not plan.race_seconds
    console.print(render_plan(plan))
    assert f"none: {why}" in console.export_text()


@pytest.mark.parametrize(
    ("candidates", "says", "says_not"),
    [(LITES[:1], "pretrained: a probe on", "from scratch"), (SCRATCH[:1], "from scratch: ", "pretrained")],
    ids=["pretrained", "scratch"],
)
def test_the_plan_describes_only_the_kinds_of_runs_that_it_has(candidates, says, says_not):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_plan(_plan_small({"train": 9000, "val": 2000, "test": 2000}, 1800.0, candidates)))
    text = console.export_text()
    assert says in text
    assert says_not not in text
