"""How a plan changes by what was measured, and what every plan keeps to on any machine."""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.profile import Variant
from bakeoff.runs.config import Candidate, Data, WeightsChoice, parse_candidate, run_id
from bakeoff.runs.record import Stage, State
from bakeoff.study import make_plan, propose, revise_plan
from bakeoff.study.planning import SCREEN_SHARE, USUAL_TRAINING_SHARE, predict_screening
from bakeoff.study.screening import MIN_PROBE_IMAGES
from bakeoff.study.sizes import choose_size, predict_error, sizes_for
from factories import make_forecast
from test_plan import LITES, SCRATCH, _finish, _plan, _screened

LITE = find_network("efficientnet-lite0")


def _screen(plan, forecast, tops, rate=300.0):
    """The records of a whole screen: top-1 by candidate."""
    runs = propose(plan, [], plan.budget_seconds, forecast).runs
    planned = {"seconds_planned": plan.confirm_seconds}
    return [
        _finish(run, Stage.SCREEN, tops.get(run.candidate, 0.3), images_per_second=rate, images_seen=1000, **planned)
        for run in runs
    ]


def test_what_was_cut_is_screened_after_all_if_the_screen_took_less_time():
    slow, fast = make_forecast(20.0), make_forecast(300.0)
    plan = _plan(300, forecast=slow)
    assert plan.cut
    records = _screen(plan, slow, {})
    revision = revise_plan(plan, records, 280, fast)
    assert revision.step == "candidates"
    assert set(revision.plan.candidates) == {str(each) for each in (*LITES, *SCRATCH)}
    assert revision.plan.cut == ()
    assert all(name in revision.why for name in plan.cut)
    pending = propose(revision.plan, records, 280, fast)
    assert (pending.stage, {run.candidate for run in pending.runs}) == (Stage.SCREEN, set(plan.cut))


def test_what_was_cut_stays_cut_where_the_screen_has_used_its_time():
    slow = make_forecast(20.0)
    plan = _plan(180, forecast=slow)
    revision = revise_plan(plan, _screen(plan, slow, {}), 180 * (1 - SCREEN_SHARE), slow)
    assert revision is None or revision.step != "candidates"


def test_the_leader_is_probed_at_a_larger_input_where_the_machine_is_fast_enough():
    fast, slow = make_forecast(6000.0), make_forecast(100.0)
    for forecast, step in ((fast, "size"), (slow, "race")):
        plan = _plan(1200, LITES, forecast=forecast)
        records = _screen(plan, forecast, {"efficientnet-lite0@96": 0.6}, rate=forecast.rate(LITES[0], "probe").value)
        revision = revise_plan(plan, records, 1100, forecast)
        assert (revision.step if revision else "race") == step
    plan = _plan(1200, LITES, forecast=fast)
    records = _screen(plan, fast, {"efficientnet-lite0@96": 0.6}, rate=6000.0)
    revision = revise_plan(plan, records, 1100, fast)
    (run,) = propose(revision.plan, records, 1100, fast).runs
    assert (run.model.name, run.model.size) == ("efficientnet-lite0", 128)


def test_a_larger_input_that_was_worse_ends_the_search_for_a_size():
    fast = make_forecast(6000.0)
    plan = _plan(1200, LITES, forecast=fast, side=160)
    records = _screen(plan, fast, {"efficientnet-lite0@96": 0.6}, rate=6000.0)
    revised = revise_plan(plan, records, 1100, fast).plan
    (run,) = propose(revised, records, 1100, fast).runs
    assert run.model.size > 96
    for top1, goes_on in ((0.5, False), (0.8, True)):
        known = _finish(
            run, Stage.SCREEN, top1, images_per_second=3000.0, images_seen=1000, seconds_planned=plan.confirm_seconds
        )
        following = revise_plan(revised, [*records, known], 1050, fast, done=["size"])
        assert (following is not None and following.step == "size") == goes_on or run.model.size == 224


def test_a_screen_in_which_everything_failed_leaves_the_plan_as_it_is():
    plan = _plan(1200, LITES)
    failed = [record.model_copy(update={"state": State.FAILED, "val": None}) for record in _screened(plan, [0.1] * 3)]
    assert revise_plan(plan, failed, 1000, make_forecast()) is None


def test_the_race_is_planned_anew_by_the_time_that_is_left():
    forecast = make_forecast(300.0)
    plan = _plan(1200, LITES, forecast=forecast, side=0)
    assert plan.finalists == 2
    revision = revise_plan(plan, _screen(plan, forecast, {}), 500, forecast)
    assert (revision.step, revision.plan.finalists) == ("race", 1)
    assert "no race" in revision.why


def test_a_plan_is_not_revised_while_it_is_screened_or_once_it_is_raced():
    forecast = make_forecast()
    plan = _plan(1200, LITES)
    records = _screened(plan, [0.5, 0.6, 0.4])
    assert revise_plan(plan, records[:2], 1000, forecast) is None
    running = records[2].model_copy(update={"state": State.RUNNING})
    assert revise_plan(plan, [*records[:2], running], 1000, forecast) is None
    raced = records[0].model_copy(update={"stage": Stage.RACE})
    assert revise_plan(plan, [*records, raced], 1000, forecast) is None


def test_what_was_fastest_on_a_gpu_is_in_every_run_of_the_plan():
    forecast = make_forecast()
    profile = forecast.profile.model_copy(update={"variant": Variant(precision="mixed_float16", jit_compile=True)})
    plan = _plan(600, LITES, forecast=replace(forecast, profile=profile))
    runs = propose(plan, [], 600, forecast).runs
    assert {(run.train.precision, run.train.xla) for run in runs} == {("mixed_float16", True)}
    plain = propose(_plan(600, LITES), [], 600, forecast).runs
    assert {(run.train.precision, run.train.xla) for run in plain} == {("float32", False)}
    assert len({run_id(run, "d", "w") for run in (*runs, *plain)}) == 6


@pytest.mark.parametrize("spec", TABLE, ids=lambda spec: spec.name)
def test_every_network_has_input_sizes_that_it_can_take(spec):
    for side in (16, 28, 32, 48, 64, 96, 160, 224):
        sizes = sizes_for(spec, side)
        assert sizes
        assert all(size >= spec.min_size for size in sizes)
        assert sizes == tuple(sorted(sizes))


def test_photographs_are_seen_larger_on_a_fast_machine_and_small_images_are_not_enlarged_without_end():
    def size(rate, side):
        return choose_size(LITE, side, seconds=600, images=9000, forecast=make_forecast(rate))

    assert size(20_000.0, 224) == 224
    assert size(20_000.0, 32) == 128
    assert size(30.0, 32) == 96


# Everything a plan may be asked on: from a laptop of ten years ago to a GPU, from ten pictures to ten million.
MACHINES = {
    "rate": st.floats(5.0, 50_000.0),
    "overhead": st.floats(1.0, 30.0),
    "threads": st.sampled_from([1, 2, 4, 16, 96]),
    "budget": st.floats(60.0, 36_000.0),
    "images": st.integers(10, 10_000_000),
    "side": st.sampled_from([28, 32, 64, 96, 160, 224]),
    "number": st.integers(1, 6),
}


def _make(rate, overhead, threads, budget, images, side, number):
    forecast = make_forecast(rate, overhead, threads)
    candidates = [*LITES, *SCRATCH, Candidate(name="vgg-16", size=96)][:number]
    counts = {"train": images, "val": max(1, images // 9), "test": max(1, images // 5)}
    plan = make_plan(
        budget, data=Data(), counts=counts, candidates=candidates, forecast=forecast, side=side, weights=WeightsChoice()
    )
    return plan, forecast


@settings(max_examples=300, deadline=None)
@given(**MACHINES)
def test_no_plan_is_longer_than_its_budget(**machine):
    plan, forecast = _make(**machine)
    shortest = _shortest(plan, forecast)
    assert sum(plan.predicted_seconds.values()) <= plan.budget_seconds + shortest
    raced = sum(seconds * (plan.finalists >> rung) for rung, seconds in enumerate(plan.race_seconds))
    assert raced <= plan.budget_seconds * 0.15 + 1
    assert all(seconds > 0 for seconds in plan.race_seconds)
    assert MIN_PROBE_IMAGES <= plan.screen_images <= 5000 or plan.screen_images == machine["images"]


def _shortest(plan, forecast):
    """What even one candidate takes on this machine beyond its share: its screen, and the end of the study."""
    candidates = map(parse_candidate, plan.candidates)
    screen = max(predict_screening(plan, each, forecast) for each in candidates)
    return max(0.0, screen - SCREEN_SHARE * plan.budget_seconds) + plan.predicted_seconds["finish"]


@settings(max_examples=300, deadline=None)
@given(**MACHINES)
def test_nobody_is_cut_while_there_is_time_for_one_more(**machine):
    plan, forecast = _make(**machine)
    used = sum(
        predict_screening(plan.model_copy(update=_LEAST), parse_candidate(name), forecast) for name in plan.candidates
    )
    for name in plan.cut:
        more = predict_screening(plan.model_copy(update=_LEAST), parse_candidate(name), forecast)
        assert used + more > SCREEN_SHARE * plan.budget_seconds


def _best(plan, forecast):
    """The least error that is expected of a pretrained candidate of a plan."""
    known = {"side": plan.side, "seconds": USUAL_TRAINING_SHARE * plan.budget_seconds, "images": plan.count_train}
    candidates = [(find_network(each.name), each.size) for each in map(parse_candidate, plan.candidates)]
    return min(predict_error(*each, **known, forecast=forecast) for each in candidates if not each[0].from_scratch)


def _scored(plan):
    """The images that a probe is scored on."""
    return plan.screen_val + (plan.screen_images if plan.screen_folds else 0)


_LEAST = {"screen_images": MIN_PROBE_IMAGES, "screen_val": MIN_PROBE_IMAGES}


def _refits(plan):
    return plan.predicted_seconds["refit"] > 0


def _train(plan):
    """The seconds of all that follows the screen and trains: a race or a refit takes its time from the confirming
    run."""
    return sum(plan.predicted_seconds[stage] for stage in ("race", "confirm", "refit"))


# With a refit twice as fast is not twice as long a confirming run; the second one screens more images.
_TINY = {"budget": 60.0, "images": 10, "rate": 5.0, "threads": 1, "side": 28, "number": 2, "faster": 2.0}


@settings(max_examples=300, deadline=None)
@given(**MACHINES, faster=st.floats(1.0, 50.0))
@example(**_TINY, overhead=2.0)
@example(**_TINY, overhead=1.0)
def test_a_faster_machine_never_gets_a_poorer_plan(faster, **machine):
    slow, _ = _make(**machine)
    fast, forecast = _make(**machine | {"rate": faster * machine["rate"]})
    assert _best(fast, forecast) <= _best(slow, forecast)
    if set(fast.candidates) == set(slow.candidates):
        assert _scored(fast) >= _scored(slow)
        if fast.screen_folds == slow.screen_folds:
            assert (fast.screen_images, fast.screen_val) >= (slow.screen_images, slow.screen_val)
        assert fast.finalists >= slow.finalists
        assert _refits(fast) >= _refits(slow)
        if (fast.finalists, _refits(fast)) == (slow.finalists, _refits(slow)):
            assert fast.confirm_seconds * faster >= 0.95 * slow.confirm_seconds
        assert faster * _train(fast) >= 0.95 * _train(slow)


@settings(max_examples=300, deadline=None)
@given(rate=MACHINES["rate"], faster=st.floats(1.0, 50.0), seconds=st.floats(10.0, 36_000.0), images=MACHINES["images"])
def test_a_faster_machine_never_gets_a_smaller_input(rate, faster, seconds, images):
    for side in (32, 64, 160, 224):
        for spec in (LITE, find_network("vgg-16"), find_network("xception")):
            slow, fast = (
                choose_size(spec, side, seconds=seconds, images=images, forecast=make_forecast(each))
                for each in (rate, faster * rate)
            )
            assert fast >= slow
