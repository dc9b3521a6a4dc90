"""`bakeoff verify` names the values that were changed."""

import json

import numpy as np
import pytest

from bakeoff.files import write_json
from bakeoff.report import write_report
from bakeoff.report.board import rank, write_board
from bakeoff.report.verify import verify_records, verify_views
from bakeoff.runs.config import run_id
from bakeoff.runs.folder import run_dir
from bakeoff.runs.metrics import score
from bakeoff.runs.record import Stage, list_records, write_record
from factories import make_record

CLASSES = 5


@pytest.fixture
def study(tmp_path):
    """Two runs with their logits, a board and a page; all values match."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 200)
    for name, top1 in (("lenet@32", 0.7), ("cnn-small@32", 0.5)):
        predicted = np.where(rng.random(200) < top1, labels, (labels + 1) % CLASSES)
        logits = (4 * np.eye(CLASSES)[predicted] + rng.normal(0, 0.3, (200, CLASSES))).astype(np.float16)
        record = make_record(name, stage=Stage.COMPARE, weights={"origin": "random", "hash": "0" * 64})
        record = record.model_copy(
            update={
                "id": run_id(record.config, record.data.fingerprint, record.weights.hash),
                "val": score(logits.astype(np.float32), labels, None),
            }
        )
        folder = run_dir(tmp_path, record.id)
        folder.mkdir(parents=True)
        write_record(folder, record)
        write_json(folder / "config.json", record.config.model_dump(mode="json"))
        ids = np.array([f"{number:03d}" for number in range(200)])
        np.savez_compressed(folder / "val-logits.npz", logits=logits, labels=labels, ids=ids)
    write_board(tmp_path, rank(list_records(tmp_path)))
    write_report(tmp_path)
    return tmp_path


def _broken(study):
    return [check.where for check in (*verify_views(study), *verify_records(study)) if not check.matches]


def _edit(path, change):
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def test_an_unchanged_study_matches(study):
    checks = [*verify_views(study), *verify_records(study)]
    assert len(checks) > 50
    assert [check for check in checks if not check.matches] == []


def test_a_study_that_was_moved_matches(study):
    assert _broken(study.rename(study.with_name("elsewhere"))) == []


def test_an_older_record_that_counted_an_absent_class_as_zero_matches(study):
    record = list_records(study)[0]
    path = run_dir(study, record.id) / "val-logits.npz"
    with np.load(path) as file:
        kept = file["labels"] != 0
        arrays = {name: file[name][kept] for name in file.files}
    np.savez_compressed(path, **arrays)
    scored = score(arrays["logits"].astype(np.float32), arrays["labels"], None)
    assert scored.absent == (0,)
    older = {"macro_f1": scored.macro_f1 * 4 / 5, "balanced_accuracy": None, "absent": ()}
    write_record(run_dir(study, record.id), record.model_copy(update={"val": scored.model_copy(update=older)}))
    assert [check for check in verify_records(study) if not check.matches] == []


def test_a_changed_record_is_named_with_the_views_that_show_it(study):
    record = list_records(study)[0]
    _edit(run_dir(study, record.id) / "record.json", lambda raw: raw["val"].update(top1=0.99))
    broken = _broken(study)
    assert f"runs/{record.id}/record.json: val.top1" in broken
    assert f"board.csv: val_top1 of {record.id}" in broken
    assert any(where.startswith("report.html, after") for where in broken)


def test_a_changed_cell_of_the_board_and_a_changed_word_of_the_page_are_named(study):
    board = (study / "board.csv").read_text()
    record = next(each for each in list_records(study) if f"{each.val.top1}" in board)
    (study / "board.csv").write_text(board.replace(f"{record.val.top1}", "0.999"))
    page = (study / "report.html").read_text()
    (study / "report.html").write_text(page.replace("lenet", "lenin", 1) if "lenet" in page else "")
    broken = _broken(study)
    assert f"board.csv: val_top1 of {record.id}" in broken
    assert sum(where.startswith("report.html") for where in broken) >= 1
    assert not any("record.json" in where for where in broken)


def test_a_changed_config_matches_neither_the_id_nor_config_json(study):
    record = list_records(study)[0]
    _edit(run_dir(study, record.id) / "record.json", lambda raw: raw["config"]["train"].update(batch=999))
    broken = _broken(study)
    assert f"runs/{record.id}/record.json: id" in broken
    assert f"runs/{record.id}/record.json: config" in broken


def test_damaged_and_missing_logits_do_not_match(study):
    first, second = list_records(study)
    path = run_dir(study, first.id) / "val-logits.npz"
    path.write_bytes(path.read_bytes()[:100])
    (run_dir(study, second.id) / "val-logits.npz").unlink()
    broken = [check.where for check in verify_records(study) if not check.matches]
    assert broken == [f"runs/{record.id}/record.json: val" for record in (first, second)]
