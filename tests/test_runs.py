"""Records come back as they went, damage is named, and the interval is Wilson's."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bakeoff.errors import OutputError
from bakeoff.runs.folder import run_dir
from bakeoff.runs.history import HistoryRow, read_history, write_history
from bakeoff.runs.metrics import Metrics, wilson_interval
from bakeoff.runs.record import RunRecord, Stage, State, list_records, read_record, write_record
from bakeoff.runs.shipped import find_run
from factories import make_record


def save(out: Path, **changes: Any) -> RunRecord:
    record = make_record(**changes)
    write_record(run_dir(out, record.id), record)
    return record


def test_a_record_comes_back_as_it_went(tmp_path: Path) -> None:
    record = save(tmp_path, test_top1=0.79, openings=2)
    assert read_record(run_dir(tmp_path, record.id)) == record


def test_a_record_is_plain_json_with_a_schema_number(tmp_path: Path) -> None:
    record = save(tmp_path)
    raw = json.loads((run_dir(tmp_path, record.id) / "record.json").read_text())
    assert raw["schema"] == 1
    assert raw["state"] == "COMPLETE"
    assert raw["test"] is None
    assert raw["val"]["top1_ci95"] == list(wilson_interval(800, 1000))


def test_a_record_names_its_candidate() -> None:
    assert make_record("vgg-16@64").candidate == "vgg-16@64"


def test_numbers_that_are_not_json_never_enter_a_record() -> None:
    with pytest.raises(ValidationError, match="finite"):
        make_record(images_per_second=float("inf"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "remove that run's folder"),
        ("[]", "remove that run's folder"),
        ("{}", "has schema None; this bakeoff reads 1"),
        ('{"schema": 2}', "has schema 2; this bakeoff reads 1"),
        ('{"schema": 1}', "id: Field required"),
    ],
)
def test_a_damaged_record_says_what_is_wrong_on_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(OutputError) as error:
        read_record(tmp_path)
    assert message in str(error.value)
    assert str(tmp_path / "record.json") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_record_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"holds no record\.json; give a run's folder"):
        read_record(tmp_path)


def test_records_are_listed_in_order_of_id(tmp_path: Path) -> None:
    for name in ("b" * 12, "a" * 12, "c" * 12):
        save(tmp_path, id=name)
    (tmp_path / "runs" / "empty").mkdir()
    assert [record.id[0] for record in list_records(tmp_path)] == ["a", "b", "c"]


def test_a_folder_without_runs_lists_none(tmp_path: Path) -> None:
    assert list_records(tmp_path) == []


def test_a_damaged_record_is_an_error_and_not_a_gap(tmp_path: Path) -> None:
    record = save(tmp_path)
    (run_dir(tmp_path, record.id) / "record.json").write_text("{")
    with pytest.raises(OutputError):
        list_records(tmp_path)


def test_a_run_is_found_by_its_own_folder(tmp_path: Path) -> None:
    record = save(tmp_path, stage=Stage.SCREEN)
    assert find_run(str(run_dir(tmp_path, record.id))) == run_dir(tmp_path, record.id)


def test_a_run_that_is_named_from_within_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = save(tmp_path, stage=Stage.CONFIRM)
    folder = run_dir(tmp_path, record.id).resolve()
    for place, name in ((folder, "."), (folder.parent, record.id), (tmp_path, ".")):
        monkeypatch.chdir(place)
        assert find_run(name) == folder


def test_a_study_stands_for_its_one_confirmed_run(tmp_path: Path) -> None:
    save(tmp_path, id="a" * 12)
    save(tmp_path, id="b" * 12, stage=Stage.CONFIRM, state=State.FAILED)
    save(tmp_path, id="c" * 12, stage=Stage.CONFIRM)
    assert find_run(str(tmp_path)) == run_dir(tmp_path, "c" * 12)


@pytest.mark.parametrize("confirmed", [0, 2])
def test_a_study_with_no_or_several_confirmed_runs_stands_for_none(tmp_path: Path, confirmed: int) -> None:
    for number in range(confirmed):
        save(tmp_path, id=str(number) * 12, stage=Stage.CONFIRM)
    with pytest.raises(OutputError, match="neither a run nor a study with one confirmed run; give OUT/runs/ID"):
        find_run(str(tmp_path))


def test_the_history_comes_back_as_it_went(tmp_path: Path) -> None:
    step = {"images_seen": 64, "size": 32, "learning_rate": 0.1, "train_loss": 1 / 3, "val_loss": 1e-9, "val_top1": 0.5}
    rows = [HistoryRow(seconds=second, progress=second / 2, epoch=second, **step) for second in (1.0, 2.0)]
    write_history(tmp_path, rows)
    assert read_history(tmp_path) == rows


def test_a_run_that_has_not_evaluated_has_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"seconds,progress\n1,0.5\n", "epoch: Field required"),
        (b"seconds\n1,2,3\n", "Field required"),
        (b"seconds\n\xff\n", "can't decode"),
    ],
)
def test_a_damaged_history_is_named(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "history.csv").write_bytes(text)
    with pytest.raises(OutputError, match=r"cannot read .*history\.csv") as error:
        read_history(tmp_path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Table I of Newcombe 1998, Statistics in Medicine 17, 857-872 (method 3).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_the_published_one(hits: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_stays_within_0_and_1_and_is_symmetric() -> None:
    assert wilson_interval(20, 20)[1] == 1.0
    low, high = wilson_interval(3, 10)
    assert wilson_interval(7, 10) == pytest.approx((1 - high, 1 - low))


def test_no_images_say_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_metrics_refuse_fields_that_nobody_reads() -> None:
    with pytest.raises(ValidationError, match="extra"):
        Metrics.model_validate({"accuracy": 1.0})
