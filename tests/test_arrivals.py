"""Weights that arrive while others are screened: the plan waits for them as long as there is time, and no longer."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from bakeoff.console.plans import render_plan
from bakeoff.errors import NothingTrainedError
from bakeoff.networks.find import find_network
from bakeoff.networks.weights import hub_path
from bakeoff.runs.config import Candidate
from bakeoff.runs.default_field import DefaultField
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import Stage, write_record
from bakeoff.runs.study_file import read_study
from bakeoff.study import arrivals, open_state, propose, run_screen
from bakeoff.study import context as context_module
from bakeoff.study.arrivals import TOO_LATE, expect_downloads, find_late
from bakeoff.study.planning import SCREEN_SHARE, predict_screening
from test_hub import write_preset
from test_plan import FORECAST, LITES, SCRATCH, _finish, _plan, _screened
from test_study_state import DATA

V2 = Candidate(name="mobilenet-v2", size=96)


class _Watcher:
    def __init__(self):
        self.lines = []

    def plan_revised(self, why):
        self.lines.append(why)

    def stage_began(self, *_):
        pass

    run_began = run_moved = run_ended = stage_began


class _Downloads:
    """Downloads that do what the test says: `script` are functions that are called at one wait after the other."""

    def __init__(self, *script):
        self.pending, self.failed, self.arrived, self.ended = {V2.name: 9_000_000}, {}, set(), {}
        self.script, self.left = list(script), 1.0

    def arrive(self):
        path = hub_path(find_network(V2.name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")
        del self.pending[V2.name]
        self.arrived.add(V2.name)
        self.ended[V2.name] = (9_000_000, 3.5)

    def fail(self, why="the server is away"):
        if self.pending.pop(V2.name, None):
            self.failed[V2.name] = why

    def seconds_left(self, _):
        return self.left

    def give_up(self, _, why):
        self.fail(why)

    def stop(self):
        self.fail("stopped")

    def poll(self):
        pass

    def wait(self, _):
        self.script.pop(0)()


@pytest.fixture(autouse=True)
def _no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture
def screen(tmp_path, monkeypatch):
    """A function that screens a plan with some downloads; returns the candidates in their order, and the lines."""
    order = []

    def launch(run, *, stage, out, **_):
        order.append(run.candidate)
        record = _finish(run, stage, 0.5)
        run_dir(out, record.id).mkdir(parents=True)
        write_record(run_dir(out, record.id), record)
        return record

    monkeypatch.setattr(context_module, "launch", launch)

    def do(plan, downloads, out="study"):
        study, watcher = open_state(tmp_path / out, plan, data=DATA, command=""), _Watcher()
        run_screen(study, tmp_path / out, tmp_path, watcher, downloads=downloads)
        return order, watcher.lines

    return do


def test_others_are_screened_first_and_then_what_has_arrived(screen, tmp_path):
    downloads = _Downloads(lambda: None, lambda: downloads.arrive())
    order, lines = screen(_plan(600, [V2, *LITES], side=0), downloads)
    assert order == [*map(str, LITES), str(V2)]
    assert not [line for line in lines if "mobilenet" in line]
    (fact,) = read_study(tmp_path / "study").downloads
    assert (fact.network, fact.bytes, fact.seconds, fact.why) == (V2.name, 9_000_000, 3.5, "")


def test_a_preset_in_a_folder_of_any_name_is_screened(screen, tmp_path):
    preset = Candidate(name=f"hub:{write_preset(tmp_path / 'My Project @2=x')}", size=32)
    plan = _plan(600, [preset, *LITES], side=0)
    assert plan.asked["candidates"] == sorted([preset.name, *(each.name for each in LITES)])
    downloads = _Downloads()
    downloads.pending.clear()
    order, lines = screen(plan, downloads)
    assert str(preset) in order
    assert not [line for line in lines if "left out" in line]


def test_what_cannot_be_downloaded_is_left_out_and_named(screen, tmp_path):
    downloads = _Downloads(lambda: downloads.fail())
    order, lines = screen(_plan(600, [V2, *LITES], side=0), downloads)
    assert order == [*map(str, LITES)]
    assert "left out mobilenet-v2@96: the server is away" in lines
    study = read_study(tmp_path / "study")
    assert study.plan["unavailable"] == {str(V2): "the server is away"}
    assert [each.why for each in study.downloads] == ["the server is away"]
    assert [each.why for each in study.revisions if each.step == "downloads"] == [lines[0]]


def test_what_would_come_too_late_is_left_out_and_named(screen):
    downloads = _Downloads(lambda: None)
    downloads.left = 500.0
    order, lines = screen(_plan(600, [V2, *LITES], side=0), downloads)
    assert order == [*map(str, LITES)]
    assert f"left out mobilenet-v2@96: {TOO_LATE}" in lines


def test_a_network_on_this_machine_stands_in_for_one_whose_weights_do_not_arrive(screen):
    downloads = _Downloads(lambda: downloads.fail())
    field = DefaultField(entrants=(), stand_ins=(str(LITES[1]), str(LITES[2])))
    plan = _plan(1200, [V2, LITES[0]], side=0).model_copy(update={"field": field})
    order, lines = screen(plan, downloads)
    assert order[:2] == [str(LITES[0]), str(LITES[1])]
    assert str(LITES[2]) not in order
    assert any(f"there is time for {LITES[1]} after all" in line for line in lines)


def test_where_nothing_arrives_the_error_says_why(screen):
    downloads = _Downloads(lambda: downloads.fail())
    with pytest.raises(
        NothingTrainedError, match="no candidate could be screened; mobilenet-v2@96: the server is away"
    ):
        screen(_plan(600, [V2], side=0), downloads)


def test_a_study_that_is_resumed_tries_again_what_it_could_not_download(screen):
    plan = expect_downloads(_plan(600, LITES, side=0), [V2, *LITES], _Failed())
    assert plan.unavailable == {str(V2): "no answer"}
    assert plan.asked == _plan(600, [V2, *LITES], side=0).asked
    downloads = _Downloads(lambda: downloads.arrive())
    order, lines = screen(plan, downloads)
    assert order == [*map(str, LITES), str(V2)]
    assert "mobilenet-v2@96 can take part after all" in lines[0]


class _Failed(_Downloads):
    def __init__(self):
        super().__init__()
        self.fail("no answer")


@pytest.mark.parametrize(("stage", "ends"), [(Stage.CONFIRM, True), (Stage.TRAIN, False)])
def test_after_the_screen_nobody_is_taken_in_and_a_run_of_the_user_does_not_end_it(tmp_path, stage, ends):
    plan = expect_downloads(_plan(600, LITES, side=0), [V2, *LITES], _Failed())
    study = open_state(tmp_path / "study", plan, data=DATA, command="")
    for record in _screened(plan, [0.5, 0.6, 0.4]):
        write_record(run_dir(tmp_path / "study", record.id), record)
    trained = _finish(propose(plan, _screened(plan, [0.5, 0.6, 0.4]), 500, FORECAST).runs[0], stage, 0.7)
    write_record(run_dir(tmp_path / "study", trained.id), trained)
    context = context_module.StudyContext(study, tmp_path / "study", tmp_path, _Watcher(), downloads=_Downloads())
    arrivals.follow_downloads(context)
    assert (study.plan == plan) is ends


def test_as_long_as_all_that_is_left_is_awaited_the_screen_goes_on_without_a_run():
    plan = _plan(600, [V2, *LITES], side=0)
    first = propose(plan, [], 600, FORECAST, awaited=[str(V2)])
    assert [run.candidate for run in first.runs] == [*map(str, LITES)]
    records = [_finish(run, Stage.SCREEN, 0.5) for run in first.runs]
    assert propose(plan, records, 500, FORECAST, awaited=[str(V2)]).runs == ()
    assert [run.candidate for run in propose(plan, records, 500, FORECAST).runs] == [str(V2)]


def test_who_comes_too_late_is_told_by_the_time_that_the_screen_has_left():
    plan = _plan(600, [V2, *LITES], side=0)
    needs = predict_screening(plan, V2, FORECAST)
    left = (1 - SCREEN_SHARE) * 600 + needs + 10
    waits = {str(V2): 9.0}
    assert find_late(plan, waits, SCREEN_SHARE, left, FORECAST) == []
    assert find_late(plan, {str(V2): None}, SCREEN_SHARE, left, FORECAST) == []
    assert find_late(plan, {str(V2): 11.0}, SCREEN_SHARE, left, FORECAST) == [str(V2)]
    assert find_late(plan, waits, SCREEN_SHARE, left - 10, FORECAST) == [str(V2)]


def test_the_plan_says_what_is_downloaded_and_what_is_not():
    plan = expect_downloads(_plan(600, [V2, *LITES, *SCRATCH]), [V2], _Downloads())
    shown = _render(plan)
    assert "mobilenet-v2 (9 MB)" in shown
    assert "download" in shown
    assert "without mobilenet-v2@96: no answer" in _render(expect_downloads(_plan(600, LITES, side=0), [V2], _Failed()))
    assert "download" not in _render(_plan(600))


def test_what_fails_while_the_plan_is_made_is_not_both_in_it_and_left_out(screen):
    downloads = _Failed()
    plan = expect_downloads(_plan(600, [V2, *LITES], side=0), [V2, *LITES], downloads)
    assert str(V2) in plan.candidates
    assert not plan.unavailable
    order, lines = screen(plan, downloads)
    assert str(V2) not in order
    assert "left out mobilenet-v2@96: no answer" in lines


def _render(plan) -> str:
    console = Console(file=io.StringIO(), width=300)
    console.print(render_plan(plan))
    return console.file.getvalue()


def test_a_file_of_the_study_without_downloads_is_read(tmp_path: Path):
    open_state(tmp_path / "study", _plan(600), data=DATA, command="")
    assert read_study(tmp_path / "study").downloads == []
