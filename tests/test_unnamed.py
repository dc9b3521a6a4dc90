"""A study that names no candidates: its default field, in its folder and in its report. Nothing is trained."""

import html
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

import bakeoff
from bakeoff.api.progress import watch_progress
from bakeoff.api.studies import _planner
from bakeoff.errors import ConfigError, NothingTrainedError, OutputError, WeightsError
from bakeoff.launch import time_network
from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import Downloads
from bakeoff.profile import Profile, Variant, find_device, read_profile
from bakeoff.report import read_study, write_report
from bakeoff.runs.config import Candidate, Data, WeightsChoice
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import write_record
from bakeoff.study import begin, entry, make_comparison, make_plan, run_study, unnamed
from bakeoff.study.begin import StudyRequest, open_study, prepare_study
from bakeoff.study.default_field import Availability
from bakeoff.study.defaults import default_run
from bakeoff.study.fields import FIELDS
from factories import make_forecast, make_observation, make_record
from running import run_cli
from test_leaks import Watcher

SIX = {
    "efficientnet-lite0",
    "efficientnet-lite1",
    "efficientnet-lite2",
    *(row.name for row in TABLE if row.from_scratch),
}


@pytest.fixture
def request_(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("BAKEOFF_OFFLINE", "1")
    return StudyRequest(Data(source="digits"), budget=600.0, out=tmp_path / "out")


def _plan(ready):
    return make_plan(
        ready.request.budget,
        data=ready.request.data,
        counts=ready.dataset.counts,
        candidates=ready.candidates,
        forecast=ready.forecast,
        weights=ready.weights,
        side=ready.dataset.largest_side,
        classes=len(ready.dataset.class_names),
        field=ready.field,
    )


def _open(ready, plan):
    with open_study(ready, plan, 1, Watcher()) as study:
        return study


def _find_all_weights(monkeypatch):
    monkeypatch.setattr(unnamed, "is_available_locally", lambda _: True)


def _names(candidates):
    return {candidate.name for candidate in candidates}


def test_a_bare_machine_compares_three_sizes_of_one_family_and_those_from_scratch(request_):
    ready = prepare_study(request_, Watcher())
    plan = _plan(ready)
    assert _names(ready.candidates) == SIX
    assert {name.partition("@")[0] for name in (*plan.candidates, *plan.cut)} == SIX


def test_a_study_keeps_its_field_when_other_weights_have_arrived(request_, monkeypatch):
    ready = prepare_study(request_, Watcher())
    before = _open(ready, _plan(ready))
    _find_all_weights(monkeypatch)
    fresh = prepare_study(replace(request_, out=request_.out.with_name("fresh")), Watcher())
    assert len({entrant.family for entrant in fresh.field.entrants}) > 4
    again = prepare_study(request_, Watcher())
    assert again.field == ready.field
    assert _names(again.candidates) == _names(ready.candidates)
    after = _open(again, _plan(again))
    assert after.plan == before.plan
    named = prepare_study(replace(request_, candidates=(Candidate(name="lenet"),)), Watcher())
    with pytest.raises(OutputError, match="candidates"):
        _open(named, _plan(named))


def test_a_comparison_keeps_its_field_too(request_, monkeypatch):
    request_ = replace(request_, budget=None, shared=600.0)

    def compare(ready):
        plan = make_comparison(
            ready.candidates,
            data=request_.data,
            counts=ready.dataset.counts,
            weights=ready.weights,
            seed=0,
            forecast=ready.forecast,
            budget=600.0,
            field=ready.field,
        )
        return _open(ready, plan).plan

    before = compare(prepare_study(request_, Watcher()))
    assert {run.model.name for run in before.runs} == SIX
    _find_all_weights(monkeypatch)
    assert compare(prepare_study(request_, Watcher())) == before


@pytest.mark.parametrize("named", [(), (Candidate(name="lenet"),)], ids=["default field", "named"])
def test_a_network_whose_timing_takes_too_long_is_told_and_the_paces_are_assumed(request_, monkeypatch, named):
    limits = []
    monkeypatch.setattr(entry, "read_profile", lambda: Profile(device=find_device()))
    monkeypatch.setattr(begin, "read_profile", lambda: Profile(device=find_device()))
    monkeypatch.setattr(entry, "time_network", lambda *arguments: limits.append(arguments[-1]))
    watcher = Watcher()
    ready = prepare_study(replace(request_, budget=300.0, candidates=named), watcher)
    assert limits == [60.0]
    (note,) = (text for kind, text in watcher.told if kind == "noted" and "timed" in text)
    assert note.endswith(
        " was not timed, because that took longer than 60 s: the paces of the plan are assumed until runs have measured"
        " them"
    )
    assert _plan(ready).rests_on == "images per second assumed, because nothing was measured on this machine yet"


@pytest.mark.parametrize(
    ("gpus", "variant", "ends", "says"),
    [
        (("NVIDIA A10",), None, True, "TensorFlow does not find NVIDIA A10, so runs are done on the CPU"),
        (
            ("NVIDIA A10",),
            None,
            False,
            "other precisions and XLA are not used, because trying them took longer than 60 s",
        ),
        (("NVIDIA A10",), Variant(), True, None),
        ((), None, True, None),
    ],
    ids=["no GPU is found", "it takes too long", "they were tried", "without a GPU"],
)
def test_what_a_gpu_computes_fastest_is_tried_though_other_commands_have_measured_paces(
    request_, monkeypatch, gpus, variant, ends, says
):
    device = find_device().model_copy(update={"gpus": gpus})
    profile, timed, kept = Profile(device=device, observations=(make_observation(),), variant=variant), [], []
    monkeypatch.setattr(entry, "read_profile", lambda: profile)
    monkeypatch.setattr(begin, "read_profile", lambda: profile)
    monkeypatch.setattr(entry, "keep_variant", kept.append)
    monkeypatch.setattr(entry, "time_network", lambda run, *_: timed.append(run) or ends)
    watcher = Watcher()
    prepare_study(replace(request_, budget=300.0, candidates=(Candidate(name="lenet"),)), watcher)
    assert len(timed) == (says is not None)
    assert kept == ([] if ends else [Variant()])
    assert [text for kind, text in watcher.told if kind == "noted"] == ([says] if says else [])


def test_timing_that_is_not_done_in_time_is_ended():
    run = default_run(find_network("lenet"), 32, Data(source="digits"), WeightsChoice(), seed=0)
    before = read_profile()
    assert time_network(run, 1, limit=0.0) is False
    assert read_profile() == before


@pytest.mark.parametrize("budget", [600.0, None], ids=["job", "comparison"])
def test_where_the_host_does_not_answer_the_field_is_chosen_again_without_downloads(request_, budget, monkeypatch):
    monkeypatch.delenv("BAKEOFF_OFFLINE", raising=False)
    tried = []

    def refuse(candidates, *_, **__):
        tried.append([candidate.name for candidate in candidates])
        missing = set(tried[-1]) - SIX
        return SimpleNamespace(failed=dict.fromkeys(missing, "no answer"), pending={}, arrived=(), has_begun=True)

    monkeypatch.setattr(entry, "plan_downloads", refuse)
    monkeypatch.setattr(entry, "start_downloads", lambda _: None)
    ready = prepare_study(replace(request_, budget=budget), Watcher())
    assert len(tried) == 1
    assert set(tried[0]) - SIX
    assert _names(ready.candidates) == SIX
    assert {absent.why for absent in ready.field.absent} == {"not on this machine, and the host does not answer"}


def test_of_a_comparison_only_what_could_not_be_downloaded_is_missing(request_, monkeypatch):
    monkeypatch.delenv("BAKEOFF_OFFLINE", raising=False)

    def fetch(candidates, *_, **__):
        (lost, *arrived) = [candidate.name for candidate in candidates if candidate.name not in SIX]
        return SimpleNamespace(failed={lost: "not found"}, pending={}, arrived=arrived, has_begun=True)

    monkeypatch.setattr(entry, "plan_downloads", fetch)
    monkeypatch.setattr(entry, "start_downloads", lambda _: None)
    watcher = Watcher()
    ready = prepare_study(replace(request_, budget=None), watcher)
    lost = {entrant.candidate for entrant in ready.field.entrants} - set(map(str, ready.candidates))
    (note,) = [text for kind, text in watcher.told if kind == "noted"]
    assert len(lost) == 1
    assert note.startswith(f"{lost.pop().partition('@')[0]} does not take part")


def test_a_comparison_takes_no_network_that_would_see_hardly_an_image(digits):
    available = {row.name: Availability.DOWNLOAD for row in TABLE if not row.from_scratch}
    for budget in (600.0, None):
        slow, fast = (
            unnamed.unnamed_for_comparison(
                budget, digits, WeightsChoice(), make_forecast(rate), available, download_limit=5e8
            )
            for rate in (100.0, 100_000.0)
        )
        of_v2 = [
            next((entrant.imagenet_top1 for entrant in field.entrants if entrant.family == "efficientnet-v2"), 0.0)
            for field in (slow, fast)
        ]
        assert of_v2[0] < of_v2[1]


def test_a_weight_file_for_no_network_is_refused(request_):
    with pytest.raises(ConfigError, match="say which network"):
        prepare_study(replace(request_, weights=("mine.h5",)), Watcher())
    with pytest.raises(ConfigError, match="vgg-99"):
        prepare_study(replace(request_, weights=("vgg-99=mine.h5",)), Watcher())


def test_with_random_weights_only_those_from_scratch_take_part(request_):
    ready = prepare_study(replace(request_, weights=("none",)), Watcher())
    assert _names(ready.candidates) == {row.name for row in TABLE if row.from_scratch}


def test_the_report_says_how_the_candidates_were_chosen(request_):
    ready = prepare_study(request_, Watcher())
    _open(ready, _plan(ready))
    assert read_study(request_.out).plan["field"]["entrants"][0]["imagenet_top1"] > 70
    record = make_record("efficientnet-lite0@48")
    write_record(run_dir(request_.out, record.id), record)
    page = write_report(request_.out).read_text(encoding="utf-8")
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
    assert "How the candidates were chosen" in text
    assert "efficientnet-lite0@48: 75.1 % on ImageNet" in text
    assert "from scratch, for comparison" in text
    assert "Left out: vgg-16, vgg-19" in text


@pytest.mark.parametrize("verb", ["run", "screen", "compare"])
def test_a_dry_run_prints_the_plan_and_writes_nothing(verb, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.chdir(here)
    monkeypatch.delenv("BAKEOFF_OFFLINE", raising=False)
    monkeypatch.setattr(entry, "start_downloads", None)
    done = run_cli(verb, "digits", "--budget", "5m", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    families = [entrant["family"] for entrant in plan["field"]["entrants"] if not entrant["from_scratch"]]
    assert len(set(families)) > 2
    loaded = {entrant["candidate"] for entrant in plan["field"]["entrants"] if entrant["download_bytes"]}
    assert loaded
    assert verb == "compare" or {each.partition("@")[0] for each in loaded} == set(plan["downloads"])
    assert list(here.iterdir()) == []
    results = getattr(bakeoff, verb)("digits", budget="5m", dry_run=True, candidates="lenet", progress=False)
    assert results.plan["field"] is None
    assert results.records == []


SMALL, LARGE = Candidate(name="mobilenet-v3-small"), Candidate(name="vgg-16")


@pytest.fixture
def dry(request_, monkeypatch):
    """A function that plans a study of named networks, without `--offline`; nothing is downloaded."""
    monkeypatch.delenv("BAKEOFF_OFFLINE")
    monkeypatch.setattr(Downloads, "start", None)

    def plan(*candidates, watcher=None, **changes):
        asked = replace(request_, download_limit=50e6, candidates=candidates, **changes)
        return prepare_study(asked, watcher or Watcher(), fetch=False)

    return plan


def test_a_dry_run_says_what_would_be_downloaded_and_what_is_over_the_limit(dry):
    downloads = dry(SMALL, LARGE).downloads
    assert list(downloads.pending) == [SMALL.name]
    assert "that --download-limit leaves" in downloads.failed[LARGE.name]
    watcher = Watcher()
    ready = dry(SMALL, Candidate(name="lenet"), watcher=watcher, budget=None, shared=600.0)
    assert _names(ready.candidates) == {SMALL.name, "lenet"}
    (line,) = (text for kind, text in watcher.told if kind == "noted" and "download" in text)
    assert re.fullmatch(r"weights that are downloaded before the first run: mobilenet-v3-small \(\d.* MB\)", line)


@pytest.mark.parametrize("budget", [600.0, None])
def test_a_dry_run_refuses_what_the_study_would_refuse(dry, budget, tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match="that --download-limit leaves"):
        dry(LARGE, budget=budget)
    with pytest.raises(WeightsError, match=r"no weight file .*typo\.h5"):
        dry(LARGE, budget=budget, weights=(f"vgg-16={tmp_path}/typo.h5",))
    monkeypatch.setenv("BAKEOFF_OFFLINE", "1")
    with pytest.raises(WeightsError, match="downloads are off"):
        dry(SMALL, Candidate(name="lenet"), budget=budget)


def test_a_study_of_which_no_weights_can_be_had_ends_with_the_reason(dry):
    ready = dry(SMALL)
    ready.downloads.give_up(SMALL.name, "the host is away")
    plan = _planner()(ready, 1)
    with (
        watch_progress(False) as watcher,
        open_study(ready, plan, 1, watcher) as study,
        pytest.raises(NothingTrainedError, match=r"no candidate .*; mobilenet-v3-small@\d+: the host is away"),
    ):
        run_study(study, ready.out, ready.shards, watcher, downloads=ready.downloads)


def test_of_a_named_field_as_many_are_compared_as_can_be_had(request_):
    watcher = Watcher()
    asked = replace(request_, candidates=(Candidate(name="fast"),), budget=None, shared=600.0)
    ready = prepare_study(asked, watcher)
    assert _names(ready.candidates) == {"efficientnet-lite0"}
    left_out = [text for kind, text in watcher.told if kind == "noted"]
    assert len(left_out) == len(FIELDS["fast"].networks) - 1
    assert (
        "mobilenet-v3-small does not take part: its weights could not be downloaded (downloads are off" in left_out[0]
    )
    with pytest.raises(WeightsError, match=r"cannot download the weights of mobilenet-v3-small"):
        prepare_study(replace(asked, candidates=(*asked.candidates, Candidate(name="mobilenet-v3-small"))), watcher)


def test_a_field_of_which_nothing_can_be_had_is_an_error(request_, monkeypatch):
    monkeypatch.setitem(FIELDS, "fast", replace(FIELDS["fast"], networks=("vgg-16", "vgg-19")))
    for fetch in (True, False):
        with pytest.raises(WeightsError, match=r"cannot download the weights of vgg-16"):
            prepare_study(replace(request_, candidates=(Candidate(name="fast"),), budget=None), Watcher(), fetch=fetch)


def test_a_comparison_keeps_its_networks_when_other_weights_have_arrived(request_, monkeypatch):
    asked = replace(request_, candidates=(Candidate(name="fast"),), budget=None, shared=600.0)

    def begin():
        ready = prepare_study(asked, Watcher())
        plan = make_comparison(
            ready.candidates,
            data=asked.data,
            counts=ready.dataset.counts,
            weights=ready.weights,
            seed=0,
            forecast=ready.forecast,
            budget=600,
        )
        return ready, _open(ready, plan)

    before, _ = begin()
    monkeypatch.setattr(entry, "find_missing", lambda *_: [])
    monkeypatch.setattr("bakeoff.study.provide.find_missing", lambda *_: [])
    after, study = begin()
    assert _names(after.candidates) == _names(before.candidates)
    assert len(study.plan.runs) == 1


def test_a_command_for_a_study_that_was_begun_shows_the_plan_that_holds(request_):
    ready, watcher = prepare_study(replace(request_, candidates=(Candidate(name="lenet"),)), Watcher()), Watcher()
    plan = _plan(ready).model_copy(update={"confirm_seconds": 123.0})
    _open(ready, plan)
    with open_study(ready, _plan(ready), 1, watcher):
        assert watcher.told == [("began", (ready.dataset, plan))]
    again = {"candidates": "lenet", "out": request_.out, "dry_run": True, "progress": False}
    assert bakeoff.run("digits", budget=600, **again).plan == plan.model_dump(mode="json")
    with pytest.raises(OutputError, match=r"holds another study \(its budget_seconds is 600"):
        bakeoff.run("digits", budget=900, **again)
