"""study.json: written, read again, and refused where it belongs to another study."""

import json

import pytest

from bakeoff.api.results import load
from bakeoff.errors import OutputError
from bakeoff.files import PARTIAL
from bakeoff.locks import LOCK
from bakeoff.runs.config import Data, Fit, FolderLayout, Run
from bakeoff.runs.folder import run_dir
from bakeoff.runs.metrics import TestMetrics
from bakeoff.runs.record import Stage, write_record
from bakeoff.runs.study_file import LeftOut, StudyData, read_study
from bakeoff.study import make_search, open_state, planned_slots
from bakeoff.study.space import Parameter, Space
from bakeoff.study.state import check_place, networks_left
from factories import make_metrics
from test_plan import _plan, _screened

DATA = StudyData(name="cifar100-20", fingerprint="d")


def test_a_study_is_written_and_read_again(tmp_path):
    out = tmp_path / "study"
    study = open_state(out, _plan(), data=DATA, command="bakeoff run")
    study.spend("screen", 12.5)
    study.write(out)
    assert open_state(out, _plan(), data=DATA, command="again").spent == 12.5


def test_the_preparation_is_charged_with_the_first_work_and_counts_from_the_beginning(tmp_path):
    study = open_state(tmp_path / "study", _plan(600), data=DATA, command="")
    study.note_preparation(12.0)
    assert study.seconds_left == 588
    assert read_study(tmp_path / "study").seconds == {}
    with study.timed(tmp_path / "study", "screen"):
        # A process that is killed now has spent it.
        assert read_study(tmp_path / "study").seconds == {"prepare": 12.0}
    assert study.seconds_left == pytest.approx(588, abs=1)
    with study.timed(tmp_path / "study", "race"):
        pass
    assert study.seconds["prepare"] == 12.0


def test_a_study_of_the_same_images_goes_on_if_it_is_said_now_what_its_folders_are(tmp_path):
    plan = _plan()
    open_state(tmp_path, plan, data=DATA, command="")
    said = plan.model_copy(update={"data": plan.data.model_copy(update={"layout": FolderLayout.CLASSES})})
    assert said.asked != plan.asked
    assert open_state(tmp_path, said, data=DATA, command="").plan == plan


def test_another_study_in_the_folder_is_refused_and_not_changed(tmp_path):
    open_state(tmp_path / "study", _plan(600), data=DATA, command="")
    before = (tmp_path / "study" / "study.json").read_bytes()
    with pytest.raises(OutputError, match=r"budget_seconds is 600.*--out"):
        open_state(tmp_path / "study", _plan(900), data=DATA, command="")
    with pytest.raises(OutputError, match="other images"):
        open_state(tmp_path / "study", _plan(600), data=DATA.model_copy(update={"fingerprint": "e"}), command="")
    padded = _plan(600).model_copy(update={"data": Data(source="cifar100", classes="20", fit=Fit.PAD)})
    with pytest.raises(OutputError, match=r"data\.fit is 'auto', not 'pad'"):
        open_state(tmp_path / "study", padded, data=DATA, command="")
    assert (tmp_path / "study" / "study.json").read_bytes() == before


def test_a_study_whose_splits_were_drawn_without_the_excluded_images_is_refused_and_says_so(tmp_path):
    excluded = DATA.model_copy(update={"quarantined": (LeftOut(key="cat/1.png", reason="excluded: listed"),)})
    open_state(tmp_path / "study", _plan(), data=excluded, command="")
    with pytest.raises(OutputError, match=r"other images, splits, .*; if they are the same, an older bakeoff drew"):
        open_state(tmp_path / "study", _plan(), data=excluded.model_copy(update={"fingerprint": "e"}), command="")


def test_a_search_that_drew_fractions_of_a_whole_number_is_refused_and_says_so(tmp_path):
    space = Space(parameters=(Parameter(key="train.batch", low=16, high=200),))
    now = make_search(Run(), space, budget=600, counts={"train": 100, "val": 50})
    before = now.model_copy(update={"space": space})
    open_state(tmp_path / "study", before, data=DATA, command="")
    with pytest.raises(OutputError, match=r"it draws fractions of train.batch, which takes whole numbers only"):
        open_state(tmp_path / "study", now, data=DATA, command="")


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(OutputError, match="not empty"):
        open_state(tmp_path, _plan(), data=DATA, command="")


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", f"{PARTIAL}study.json", LOCK])
def test_a_study_begins_in_a_folder_with_what_systems_and_other_commands_leave(tmp_path, name):
    (tmp_path / name).write_text("left")
    assert open_state(tmp_path, _plan(), data=DATA, command="").spent == 0


def test_a_folder_that_cannot_be_looked_into_is_one_line(tmp_path):
    out = tmp_path / ("long" * 100)
    with pytest.raises(OutputError, match=r"cannot write .*: File name too long; .* choose another folder"):
        check_place(out)
    with pytest.raises(OutputError, match=r"cannot read .*: File name too long; give the folder of a study"):
        load(out)


def test_the_error_for_a_damaged_study_file_names_it(tmp_path):
    open_state(tmp_path / "study", _plan(), data=DATA, command="")
    path = tmp_path / "study" / "study.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(OutputError, match=r"study\.json"):
        open_state(tmp_path / "study", _plan(), data=DATA, command="")


def test_the_error_for_a_study_of_another_version_names_the_field_that_is_unknown(tmp_path):
    open_state(tmp_path, _plan(), data=DATA, command="")
    raw = json.loads((tmp_path / "study.json").read_text())
    raw["plan"]["memory"] = None
    (tmp_path / "study.json").write_text(json.dumps(raw))
    with pytest.raises(OutputError, match=r"plan\.StudyPlan\.memory: Extra inputs .*another version of bakeoff"):
        open_state(tmp_path, _plan(), data=DATA, command="")


def test_a_study_that_is_resumed_with_other_slots_keeps_its_plan(tmp_path):
    out = tmp_path / "study"
    assert planned_slots(out, 8) == 8
    open_state(out, _plan(slots=8), data=DATA, command="", slots=8)
    assert planned_slots(out, 1) == 8
    assert open_state(out, _plan(slots=planned_slots(out, 1)), data=DATA, command="", slots=1).slots == 8


def test_a_whole_job_needs_the_weights_of_its_networks_until_it_has_a_score_on_test(tmp_path):
    assert networks_left(tmp_path / "study", 1) is None
    plan = _plan()
    open_state(tmp_path, plan, data=DATA, command="")
    scored = TestMetrics(**make_metrics(0.9).model_dump(), openings=1)
    records = _screened(plan, [0.5, 0.6, 0.4, 0.2, 0.3])
    by_train = records[0].model_copy(update={"stage": Stage.TRAIN, "id": "t", "test": scored})  # and `evaluate`
    confirmed = records[0].model_copy(update={"stage": Stage.CONFIRM, "id": "c"})
    for record in (*records, by_train, confirmed):
        write_record(run_dir(tmp_path, record.id), record)
        assert networks_left(tmp_path, 1) is None
    write_record(run_dir(tmp_path, "c"), confirmed.model_copy(update={"test": scored}))
    assert networks_left(tmp_path, 1) == set()
