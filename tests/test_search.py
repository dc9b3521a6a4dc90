"""The search for a recipe, with runs whose scores are a function of their config."""

import io
import itertools
import shutil

import numpy as np
import pytest
from rich.console import Console

from bakeoff.console.plans import render_plan
from bakeoff.errors import ConfigError
from bakeoff.runs.config import Run, run_id
from bakeoff.runs.events import RunProgress
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import Stage, State, list_records, write_record
from bakeoff.study import make_search
from bakeoff.study.search import MIN_SEARCH_SECONDS, run_search
from bakeoff.study.space import Parameter, Space
from bakeoff.study.trials import open_trials, suggest_value
from factories import make_forecast, make_record

BASE = Run().revised(optim={"learning_rate": 5e-4}, train={"epochs": None, "seconds": 60.0})
SPACE = Space(
    parameters=(
        Parameter(key="optim.learning_rate", low=1e-5, high=1e-2, log=True),
        Parameter(key="train.batch", choices=(32, 64, 128)),
    )
)
COUNTS = {"train": 1000, "val": 500, "test": 100}
IMAGES = 500


class Trainer:
    """Trains nothing: scores are best at a learning rate of 2e-3 and a batch of 32. Notes the runs requested."""

    def __init__(self, out, *, failing=(), events=False, scores=None):
        self.out, self.failing, self.events = out, failing, events
        self.scores = scores or (lambda top1: {})  # noqa: ARG005
        self.requested, self.trained, self.clock = [], [], 0

    def __call__(self, run, stop_rule, changes):
        self.requested.append((run, dict(changes)))
        identity = run_id(run, "data", "weights")
        self.clock += 1
        top1 = 0.8 - 0.05 * abs(np.log10(run.optim.learning_rate / 2e-3)) - (0.03 if run.train.batch != 32 else 0)
        state, reason = (State.FAILED, "boom") if len(self.requested) - 1 in self.failing else (State.COMPLETE, "")
        if self.events and stop_rule:
            for step in (1, 2, 3):
                event = RunProgress("train", step / 4, evaluations=step, val_score=top1 * step / 4)
                if reason := stop_rule(event) or "":
                    state = State.PRUNED
                    break
        self.trained.append(identity)
        return _record(self.out, run, identity, state, reason, top1, **self.scores(top1))


def _record(out, run, identity, state, reason, top1, **scores):
    hits = round(top1 * IMAGES)
    folder = run_dir(out, identity)
    folder.mkdir(parents=True, exist_ok=True)
    logits = np.stack([np.arange(IMAGES) < hits, np.full(IMAGES, 0.5)], axis=1).astype(np.float16)
    np.savez_compressed(folder / "val-logits.npz", logits=logits, labels=np.zeros(IMAGES, np.int32))
    record = make_record(
        top1=top1 if state is State.COMPLETE else None,
        n=IMAGES,
        id=identity,
        stage=Stage.TUNE,
        state=state,
        reason=reason,
        config=run,
    )
    if record.val:
        record = record.model_copy(update={"val": record.val.model_copy(update=scores)})
    write_record(folder, record)
    return record


def _one_by_one(train):
    """As with one slot: the next request is taken when the last run has ended."""

    def train_each(requests, runs=None):  # noqa: ARG001
        for request in requests:
            record = train(request.run, request.stop_rule, request.changes)
            if request.then:
                request.then(record)

    return train_each


def _search(out, trainer, trials=12):
    plan = make_search(BASE, SPACE, budget=MIN_SEARCH_SECONDS, counts=COUNTS)
    return run_search(
        plan, out, seconds_left=lambda: 1e9 if trainer.clock < trials else 0.0, train_each=_one_by_one(trainer)
    )


def test_the_base_recipe_is_the_first_trial_and_the_best_has_to_win_twice(tmp_path):
    trainer = Trainer(tmp_path)
    found = _search(tmp_path, trainer)
    assert trainer.requested[0][1] == {}
    (before, none), (after, changes) = trainer.requested[-2:]
    assert none == {}
    assert changes == found.changes == found.chosen
    assert {before.seed, after.seed} == {BASE.seed + 1}
    assert before.train.val_images is after.train.val_images is None
    assert found.kept
    assert found.after.top1 > found.before.top1
    assert found.difference.points == pytest.approx(found.after.top1 - found.before.top1)
    assert found.trials == {"COMPLETE": 12}
    assert set(found.importances) == {"optim.learning_rate", "train.batch"}
    assert sum(found.importances.values()) == pytest.approx(1)


@pytest.mark.parametrize(("metric", "field"), [("log-loss", "log_loss"), ("macro-f1", "macro_f1")])
def test_the_best_trial_is_the_best_by_the_metric_that_decides(tmp_path, metric, field):
    # A recipe with a better top-1 has a worse log loss here, and a worse macro F1.
    trainer = Trainer(tmp_path, scores=lambda top1: {"log_loss": top1, "macro_f1": 1 - top1})
    base = BASE.revised(train={"metric": metric})
    plan = make_search(base, SPACE, budget=MIN_SEARCH_SECONDS, counts=COUNTS)
    found = run_search(
        plan, tmp_path, seconds_left=lambda: 1e9 if trainer.clock < 12 else 0.0, train_each=_one_by_one(trainer)
    )
    trials = [record for record in list_records(tmp_path) if record.config.seed == base.seed]
    scores = {record.id: getattr(record.val, field) for record in trials}
    better = min if metric == "log-loss" else max
    assert found.best == better(scores, key=scores.__getitem__)
    assert found.difference.metric == found.after.metric == metric
    # The pair that decides is scored by its predictions, in which the better top-1 wins.
    assert not found.kept


def test_all_trials_have_the_same_length(tmp_path):
    trainer = Trainer(tmp_path)
    _search(tmp_path, trainer)
    assert len({run.train.seconds for run, _ in trainer.requested}) == 1


def test_a_higher_and_a_lower_learning_rate_are_tried_next(tmp_path):
    trainer = Trainer(tmp_path)
    _search(tmp_path, trainer, trials=3)
    rates = [run.optim.learning_rate for run, _ in trainer.requested[:3]]
    assert rates == pytest.approx([5e-4, 12.5e-4, 2e-4])


def test_a_best_trial_that_loses_the_second_time_is_not_chosen(tmp_path):
    trainer = Trainer(tmp_path)
    train = trainer.__call__

    def unlucky(run, stop_rule, changes):
        if run.seed == BASE.seed + 1 and changes:
            return _record(tmp_path, run, run_id(run, "data", "weights"), State.COMPLETE, "", 0.5)
        return train(run, stop_rule, changes)

    plan = make_search(BASE, SPACE, budget=MIN_SEARCH_SECONDS, counts=COUNTS)
    found = run_search(
        plan, tmp_path, seconds_left=lambda: 1e9 if trainer.clock < 8 else 0.0, train_each=_one_by_one(unlucky)
    )
    assert found.changes
    assert not found.kept
    assert found.chosen == {}
    assert found.difference.points < 0


def _in_parallel(train, slots):
    """As with several slots: the run that started last ends first, so the base recipe ends after all others."""

    def train_each(requests, runs=None):  # noqa: ARG001
        under_way, waiting = [], iter(requests)
        while True:
            while len(under_way) < slots and (request := next(waiting, None)):
                under_way.append(request)
            if not under_way:
                return
            request = under_way.pop()
            request.then(train(request.run, request.stop_rule, request.changes))

    return train_each


def _all_at_once(train, slots):
    """As with several slots of equal pace: all that have started end before the next ones start."""

    def train_each(requests, runs=None):  # noqa: ARG001
        waiting = iter(requests)
        while under_way := list(itertools.islice(waiting, slots)):
            for request in reversed(under_way):
                request.then(train(request.run, request.stop_rule, request.changes))

    return train_each


def test_several_trials_are_under_way_at_once_and_the_base_recipe_is_never_stopped(tmp_path):
    trainer = Trainer(tmp_path, events=True)
    plan = make_search(BASE, SPACE, budget=MIN_SEARCH_SECONDS, counts=COUNTS)
    options = {"seconds_left": lambda: 1e9 if trainer.clock < 12 else 0.0, "slots": 4}
    found = run_search(plan, tmp_path, train_each=_in_parallel(trainer, 4), **options)
    trials = [run for run, _ in trainer.requested if run.seed == BASE.seed]
    assert len(trials) == len(set(trials)) == sum(found.trials.values()) == 15
    # It came last, and its curve is below those before it.
    assert trials[-1] == plan.base
    assert found.base == run_id(plan.base, "data", "weights")
    assert found.changes


@pytest.mark.parametrize(
    ("budget", "rate", "images"),
    [(600, 300, 2000), (300, 300, 1000), (300, 20, 250), (1800, 20, 500), (7200, 20, 2000)],
)
def test_on_a_slow_machine_trials_are_scored_on_fewer_images_so_that_there_is_time_for_some(budget, rate, images):
    counts, forecast = {"train": 9000, "val": 5000}, make_forecast(rate)
    base = BASE.revised(model={"name": "efficientnet-lite0", "size": 96})
    plan = make_search(base, SPACE, budget=budget, counts=counts, forecast=forecast, head_start=True)
    assert plan.base.train.val_images == images
    assert forecast.whole(plan.base, counts) < budget / 3
    # It is the same search on a machine of another pace.
    fast = make_search(base, SPACE, budget=budget, counts=counts, forecast=make_forecast(3000), head_start=True)
    assert plan.asked == fast.asked


def test_time_is_kept_for_the_pair_that_decides_which_scores_all_validation_images(tmp_path):
    trainer = Trainer(tmp_path)
    plan = make_search(BASE, SPACE, budget=MIN_SEARCH_SECONDS, counts=COUNTS)
    # The trials take no time here, and each of the pair a minute more than a trial.
    found = run_search(
        plan,
        tmp_path,
        seconds_left=lambda: 125.0 if trainer.clock < 3 else 115.0,
        train_each=_one_by_one(trainer),
        predict=lambda run: 40.0 if run.train.val_images else 100.0,
    )
    assert found.trials == {"COMPLETE": 3}


def test_where_nothing_beats_the_base_no_pair_is_trained(tmp_path):
    trainer = Trainer(tmp_path)
    found = _search(tmp_path, trainer, trials=1)
    assert len(trainer.requested) == 1
    assert (found.best, found.changes, found.before, found.kept) == (found.base, {}, None, False)
    assert found.importances == {}


def test_the_trial_of_a_killed_process_is_repeated_and_finished_ones_are_not(tmp_path):
    trainer = Trainer(tmp_path)

    def killed(run, stop_rule, changes):
        if len(trainer.requested) == 5:
            trainer.requested.append((run, dict(changes)))
            raise KeyboardInterrupt
        return trainer(run, stop_rule, changes)

    plan = make_search(BASE, SPACE, budget=MIN_SEARCH_SECONDS, counts=COUNTS)
    with pytest.raises(KeyboardInterrupt):
        run_search(plan, tmp_path, seconds_left=lambda: 1e9, train_each=_one_by_one(killed))
    interrupted = trainer.requested.pop()
    again = Trainer(tmp_path)
    found = _search(tmp_path, again, trials=4)
    assert interrupted in again.requested
    assert len({*trainer.trained, *again.trained}) == len(trainer.trained) + len(again.trained)
    assert found.trials == {"COMPLETE": 9}


def test_a_small_space_is_searched_until_it_is_exhausted(tmp_path):
    trainer = Trainer(tmp_path)
    space = Space(parameters=(Parameter(key="train.batch", choices=(32, 64, 128)),))
    plan = make_search(BASE, space, budget=MIN_SEARCH_SECONDS, counts=COUNTS)
    found = run_search(plan, tmp_path, seconds_left=lambda: 1e9, train_each=_one_by_one(trainer))
    assert {run.train.batch for run, _ in trainer.requested} == {32, 64, 128}
    assert found.chosen == {"train.batch": 32}


@pytest.mark.parametrize(
    ("parameters", "base"),
    [
        # The base recipe has no decay, and its optimiser none in the space.
        (
            [
                Parameter(key="optim.name", choices=("adamw", "adam")),
                Parameter(key="optim.weight_decay", low=1e-3, high=0.2, log=True, when={"optim.name": ("adamw",)}),
            ],
            {"name": "adam", "weight_decay": 0.0},
        ),
        # One key has choices under one condition, and a range under the other.
        (
            [
                Parameter(key="optim.name", choices=("adamw", "sgd")),
                Parameter(key="optim.weight_decay", choices=(0.0, 0.1), when={"optim.name": ("adamw",)}),
                Parameter(key="optim.weight_decay", low=1e-3, high=0.05, log=True, when={"optim.name": ("sgd",)}),
            ],
            {"weight_decay": 0.0},
        ),
        # A parameter sets another one's key to a value that this one does not have.
        (
            [
                Parameter(key="train.patience", choices=(0, 3), also={"train.evaluations": 12}),
                Parameter(key="train.evaluations", low=2, high=6, whole=True, when={"train.patience": (0,)}),
            ],
            {},
        ),
    ],
)
def test_the_importances_of_keys_with_unlike_values_are_estimated(tmp_path, parameters, base):
    space = Space(parameters=(*parameters, *SPACE.parameters))
    plan = make_search(BASE.revised(optim=base), space, budget=MIN_SEARCH_SECONDS, counts=COUNTS)
    trainer = Trainer(tmp_path)
    found = run_search(
        plan, tmp_path, seconds_left=lambda: 1e9 if trainer.clock < 12 else 0.0, train_each=_one_by_one(trainer)
    )
    assert found.importances.keys() == {parameter.key for parameter in space.parameters}
    assert sum(found.importances.values()) == pytest.approx(1)


def test_the_worse_half_is_stopped_early(tmp_path):
    trainer = Trainer(tmp_path, events=True)
    found = _search(tmp_path, trainer, trials=14)
    assert found.trials["PRUNED"] >= 3
    assert found.trials["COMPLETE"] >= 3
    assert sum(found.trials.values()) == 14
    pruned = [record.reason for record in list_records(tmp_path) if record.state is State.PRUNED]
    assert {reason.partition(" of its length")[0] for reason in pruned} <= {"pruned at 25%", "pruned at 50%"}


@pytest.mark.parametrize(
    ("evaluations", "says"), [(4, "at 25 % and 50 % of its length"), (2, "at 50 % of its length"), (1, "")]
)
def test_the_plan_says_when_trials_are_stopped(evaluations, says):
    settings = [f"train.evaluations={evaluations}"]
    plan = make_search(BASE, SPACE, budget=MIN_SEARCH_SECONDS, counts=COUNTS, settings=settings)
    console = Console(width=300, file=io.StringIO())
    console.print(render_plan(plan))
    text = console.file.getvalue()
    assert says in text
    assert ("is stopped" in text) == bool(says)


def test_a_parameter_that_is_there_twice_is_refused():
    twice = Space(parameters=(*SPACE.parameters, Parameter(key="train.batch", choices=(16, 64))))
    with pytest.raises(ConfigError, match=r"the space has train\.batch twice; give its values in one table"):
        make_search(BASE, twice, budget=600.0, counts=COUNTS)


def test_a_failed_trial_does_not_end_the_search_and_a_failed_base_recipe_does(tmp_path):
    found = _search(tmp_path / "a", _made(tmp_path / "a", failing={2}), trials=6)
    assert (found.trials, found.failed) == ({"COMPLETE": 5, "FAIL": 1}, "")
    trainer = _made(tmp_path / "b", failing={0})
    found = _search(tmp_path / "b", trainer)
    assert (found.failed, found.trials, found.changes) == ("boom", {"FAIL": 1}, {})
    assert len(trainer.requested) == 1


def test_a_search_whose_base_recipe_has_failed_ends_again_for_the_same_reason(tmp_path):
    found = _search(tmp_path, Trainer(tmp_path, failing={0}))
    again = Trainer(tmp_path)
    assert _search(tmp_path, again) == found
    assert again.requested == []


def test_a_search_whose_failed_run_was_deleted_tries_its_base_recipe_again(tmp_path):
    found = _search(tmp_path, Trainer(tmp_path, failing={0}))
    shutil.rmtree(run_dir(tmp_path, found.base))
    again = Trainer(tmp_path)
    assert _search(tmp_path, again, trials=6).failed == ""
    assert {} in [changes for _, changes in again.requested]


def test_a_base_recipe_that_fails_lets_the_trials_beside_it_end_and_begins_no_others(tmp_path):
    trainer = Trainer(tmp_path, failing={3})  # it is the last of the first four to end
    plan = make_search(BASE, SPACE, budget=MIN_SEARCH_SECONDS, counts=COUNTS)
    found = run_search(plan, tmp_path, seconds_left=lambda: 1e9, train_each=_all_at_once(trainer, 4), slots=4)
    assert (found.failed, found.trials) == ("boom", {"COMPLETE": 3, "FAIL": 1})


@pytest.mark.parametrize("drawn", [0, 1])
def test_a_base_recipe_that_was_drawn_in_part_when_the_process_was_killed_is_tried_again(tmp_path, drawn):
    trial = open_trials(tmp_path, base=BASE, space=SPACE, parallel=False).ask()
    for parameter in SPACE.parameters[:drawn]:
        suggest_value(trial, parameter)
    again = Trainer(tmp_path)
    found = _search(tmp_path, again, trials=6)
    assert found.base == run_id(
        make_search(BASE, SPACE, budget=MIN_SEARCH_SECONDS, counts=COUNTS).base, "data", "weights"
    )
    assert [changes for _, changes in again.requested].count({}) == 2  # the trial, and its part of the pair


def _made(out, **settings):
    out.mkdir()
    return Trainer(out, **settings)


def test_if_the_deciding_pair_fails_the_base_recipe_is_kept(tmp_path):
    found = _search(tmp_path, Trainer(tmp_path, failing={7}), trials=6)
    assert found.changes
    assert not found.kept


def test_a_budget_that_is_too_short_is_refused():
    with pytest.raises(ConfigError, match="give at least"):
        make_search(BASE, SPACE, budget=MIN_SEARCH_SECONDS - 1, counts=COUNTS)


def test_a_damaged_database_is_named(tmp_path):
    (tmp_path / "tune.db").write_text("this is no database")
    with pytest.raises(Exception, match=r"tune\.db.*delete it"):
        _search(tmp_path, Trainer(tmp_path))


@pytest.mark.parametrize("name", ["a?b", "x%20y", "c#d", "e f.", "g[1]*", "h;i&j=k", "{l}"])
def test_the_trials_lie_in_the_folder_of_the_study_whatever_it_is_called(tmp_path, name):
    out = tmp_path / name
    out.mkdir()
    open_trials(out, base=BASE, space=SPACE, parallel=False)
    assert [path.name for path in out.iterdir()] == ["tune.db"]
    assert list(tmp_path.iterdir()) == [out]
