"""The loop of a study, with invented results instead of training."""

import contextlib
import io

import pytest
from rich.console import Console

from bakeoff.console.watch import watch_study
from bakeoff.errors import NothingTrainedError
from bakeoff.launch import Local
from bakeoff.machine import count_cores
from bakeoff.profile import add_observation
from bakeoff.report.tuning import describe_tuning
from bakeoff.runs.config import Candidate, Data, Mode, Model, Run, Train, WeightsChoice
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import Stage, State, write_record
from bakeoff.runs.study_file import read_study
from bakeoff.study import context as context_module
from bakeoff.study import loop, make_comparison, open_state, run_comparison, run_screen, run_study
from bakeoff.study.context import StudyContext
from factories import make_metrics, make_observation, make_record
from test_plan import COUNTS, FORECAST, LITES, _finish, _plan
from test_study_state import DATA


class _Silent:
    def stage_began(self, *_):
        pass

    run_began = run_moved = run_ended = plan_revised = noted = stage_began


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study, and a function that screens it: `outcomes` are the seconds, images per second and top-1 of each run."""
    # A machine on which no probe is expected to need a longer limit than the least.
    for network in LITES:
        add_observation(make_observation(network.name, rate=3000.0, overhead=5.0, threads=count_cores()))
    study = open_state(tmp_path, _plan(600, LITES, side=0), data=DATA, command="")
    limits = []

    def screen(outcomes):
        remaining = iter(outcomes)

        def launch(run, *, stage, out, limit, **_):
            seconds, rate, top1 = next(remaining)
            limits.append(limit)
            study.stage(stage).seconds += seconds
            record = _finish(run, stage, top1, images_per_second=rate)
            run_dir(out, record.id).mkdir(parents=True)
            write_record(run_dir(out, record.id), record)
            return record

        monkeypatch.setattr(context_module, "launch", launch)
        run_screen(study, tmp_path, tmp_path, _Silent())
        return limits

    return study, screen


def test_slow_networks_together_cannot_take_more_than_half_the_budget(study):
    _, screen = study
    assert screen([(20, 300, 0.5), (270, 10, 0.5), (60, 10, 0.5)]) == [60, 60, pytest.approx(10, abs=1)]


def test_only_the_confirming_run_has_to_end_in_time_for_what_follows_it(study, tmp_path):
    study, _ = study
    study = study.model_copy(update={"data": study.data.model_copy(update={"counts": {"test": 2000}})})
    context = StudyContext(study, tmp_path, tmp_path, _Silent())
    run = Run(train=Train(seconds=60.0, flip_test=True))
    study.spend("screen", 100)
    assert context.allowance(Stage.RACE, run) is None
    # Each test image and its mirror image.
    follows = context.forecast.finish(Candidate(name=run.model.name, size=run.model.size), 4000)
    assert context.allowance(Stage.CONFIRM, run) == 500 - follows < 500
    assert context.limit(Stage.CONFIRM, run) > context.allowance(Stage.CONFIRM, run)
    study.spend("race", 499)
    assert context.allowance(Stage.CONFIRM, run) == 1.0


@pytest.mark.parametrize(
    ("train", "seconds"),
    [
        # Of 2,000 validation images 1,000 are scored at the start, 1,000 three times on the way, and 3,000 at the end.
        ({"seconds": 90.0, "evaluations": 4, "probe_images": 500}, 90 + 7000 / 20),
        ({"seconds": 90.0, "evaluations": 1}, 90 + 2000 / 20),
        ({"images": 3000, "evaluations": 1}, 3000 / 10 + 2000 / 20),
        ({"epochs": 2.0, "evaluations": 1}, 2 * 9000 / 10 + 2000 / 20),
        ({"epochs": 2.0, "evaluations": 1, "with_val": True}, 2 * 11000 / 10),
        ({"epochs": 2.0, "evaluations": 1, "subset": 600, "val_images": 100}, 2 * 600 / 10 + 100 / 20),
    ],
)
def test_a_run_with_the_pace_that_was_predicted_is_never_ended(tmp_path, monkeypatch, train, seconds):
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "cache"))
    for mode, rate in ((Mode.PROBE, 20.0), (Mode.FIT, 10.0)):
        add_observation(make_observation(mode=mode, rate=rate, overhead=5.0, compile=5.0, threads=count_cores()))
    counts = {"train": 9000, "val": 2000, "test": 2000}
    study = open_state(tmp_path / "out", _plan(600), data=DATA.model_copy(update={"counts": counts}), command="")
    run = Run(model=Model(name="efficientnet-lite0", size=96), train=Train(**train))
    limit = StudyContext(study, tmp_path / "out", tmp_path, _Silent()).limit(Stage.COMPARE, run)
    assert limit == pytest.approx(60 + 1.5 * seconds)


def test_the_reason_for_dropping_names_accuracy_and_speed(study):
    study, screen = study
    screen([(20, 300, 0.5), (20, 100, 0.55), (20, 300, 0.3)])
    whys = [dropped.why for dropped in study.stage(Stage.SCREEN).dropped]
    assert whys == [
        "55.0 % on validation at 100 images/s, against 50.0 % on validation at 300 images/s of efficientnet-lite0@96",
        "30.0 % on validation at 300 images/s, against 50.0 % on validation at 300 images/s of efficientnet-lite0@96",
    ]


def test_a_screen_leaves_a_report_that_says_how_to_go_on_and_a_watched_board_ends_with_it(study, tmp_path):
    study, screen = study
    study.command = "bakeoff screen digits --budget 10m"
    study.write(tmp_path)
    screen([(20, 300, 0.5), (20, 100, 0.55), (20, 300, 0.3)])
    page = (tmp_path / "report.html").read_text()
    assert "Next, fine-tune it:" in page
    assert "bakeoff run digits --budget 10m" in page
    assert all(str(candidate) in page for candidate in LITES)
    watch_study(Console(file=io.StringIO()), tmp_path, every=1e9)


def test_a_screen_does_not_decide_how_the_study_goes_on(study, tmp_path):
    study, screen = study
    study.plan = study.plan.model_copy(update={"finalists": 1, "race_seconds": ()})
    screen([(20, 300, 0.5), (20, 100, 0.55), (20, 300, 0.3)])
    assert (read_study(tmp_path).confirm, study.confirm) == ([], [])
    proposal = loop._next_proposal(StudyContext(study, tmp_path, tmp_path, _Silent()))
    assert proposal.stage is Stage.CONFIRM


@pytest.mark.parametrize("work", [run_study, run_screen])
def test_a_study_in_which_nothing_could_be_trained_leaves_a_report_that_says_why(tmp_path, monkeypatch, work):
    def launch(run, *, stage, out, **_):
        record = _finish(run, stage, 0.0, state=State.FAILED, val=None, reason="out of memory: 9 GB")
        write_record(run_dir(out, record.id), record)
        return record

    monkeypatch.setattr(context_module, "launch", launch)
    study = open_state(tmp_path, _plan(), data=DATA, command="bakeoff run")
    other = make_record("vgg-16@64", 0.9, stage=Stage.TRAIN)  # by `bakeoff train` of other data
    write_record(run_dir(tmp_path, other.id), other)
    with pytest.raises(NothingTrainedError, match="no candidate could be"):
        work(study, tmp_path, tmp_path, _Silent())
    page = (tmp_path / "report.html").read_text()
    assert "out of memory: 9 GB" in page
    assert "1 run of other images, labels, classes or fit (vgg-16@64) is no part of the study." in page
    assert "out of memory: 9 GB" in (tmp_path / "board.csv").read_text()


def test_a_candidate_that_goes_on_as_a_frozen_probe_is_not_dropped(study):
    study, screen = study
    study.spend("prepare", 598)
    screen([(1, 300, 0.5), (1, 300, 0.4), (1, 300, 0.3)])
    assert [dropped.why.partition(" on ")[0] for dropped in study.stage(Stage.SCREEN).dropped] == ["40.0 %", "30.0 %"]


@pytest.mark.parametrize("state", [State.COMPLETE, State.FAILED])
def test_a_command_that_finds_everything_done_spends_nothing(tmp_path, monkeypatch, state):
    def launch(run, *, stage, out, **_):
        record = _finish(run, stage, 0.5, state=state, val=make_metrics(0.5) if state is State.COMPLETE else None)
        write_record(run_dir(out, record.id), record)
        return record

    monkeypatch.setattr(context_module, "launch", launch)
    plan = make_comparison(
        LITES, data=Data(source="digits"), counts=COUNTS, weights=WeightsChoice(), seed=0, forecast=FORECAST, budget=600
    )
    spent = []
    for _ in range(3):
        study = open_state(tmp_path, plan, data=DATA, command="bakeoff compare")
        study.note_preparation(10.0)
        with contextlib.suppress(NothingTrainedError):
            run_comparison(study, tmp_path, tmp_path, _Silent())
        spent.append(read_study(tmp_path).seconds)
    assert spent[0] == spent[1] == spent[2]
    assert spent[0].keys() == {"prepare", "compare", "report"}


def test_where_no_run_is_left_to_train_preparing_is_not_charged(tmp_path):
    study = open_state(tmp_path, _plan(600), data=DATA, command="")
    study.note_preparation(10.0)
    StudyContext(study, tmp_path, tmp_path, _Silent()).train_each(iter([]), Stage.TUNE, Local())
    assert not study.has_worked


def test_a_study_whose_search_cannot_begin_confirms_the_leader_as_it_is_and_says_so(tmp_path, monkeypatch):
    def launch(run, *, stage, out, **_):
        lost = {"state": State.FAILED, "val": None, "reason": "out of memory"} if stage is Stage.TUNE else {}
        record = _finish(run, stage, 0.5, **lost)
        write_record(run_dir(out, record.id), record)
        return record

    said = []
    watcher = _Silent()
    watcher.plan_revised = said.append
    monkeypatch.setattr(context_module, "launch", launch)
    study = open_state(tmp_path, _plan(tune=True), data=DATA.model_copy(update={"counts": COUNTS}), command="")
    context = StudyContext(study, tmp_path, tmp_path, watcher)
    while (proposal := loop._next_proposal(context)).stage is not Stage.CONFIRM:
        loop._train_proposal(proposal, context)
    assert study.found.failed == "out of memory"
    assert study.found.chosen == {}
    assert said[-1].endswith("a trial of it failed: out of memory")
    assert [revision.why for revision in read_study(tmp_path).revisions][-1] == said[-1]
    assert (
        "could not be trained (out of memory)"
        in describe_tuning(read_study(tmp_path), tmp_path, context.records).summary
    )
