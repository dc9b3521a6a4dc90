"""`bakeoff verify` names the values that were changed."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from bakeoff.api.audits import verify
from bakeoff.data.batches import load_split
from bakeoff.data.shards import open_dataset, prepare_cached
from bakeoff.errors import InputError, OutputError
from bakeoff.files import write_json
from bakeoff.launch import export_bundle, open_test
from bakeoff.report import write_report
from bakeoff.report.board import rank, write_board
from bakeoff.report.verify import verify_data, verify_models, verify_records, verify_views
from bakeoff.runs.config import Data, Run, run_id
from bakeoff.runs.folder import run_dir
from bakeoff.runs.metrics import TestMetrics, score
from bakeoff.runs.predictions import Predictions, read_predictions, write_predictions
from bakeoff.runs.record import Stage, list_records, read_record, write_record
from bakeoff.study.ablate import Ablation, Level, measure_effects
from factories import make_record

CLASSES = 5


def _add_run(out, top1, **fields):
    """A run with its config and logits, in which all values match."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 200)
    predicted = np.where(rng.random(200) < top1, labels, (labels + 1) % CLASSES)
    logits = (4 * np.eye(CLASSES)[predicted] + rng.normal(0, 0.3, (200, CLASSES))).astype(np.float16)
    data = make_record().data.model_copy(update={"counts": {"train": 900, "val": 200, "test": 200}})
    record = make_record(weights={"origin": "random", "hash": "0" * 64}, data=data, **fields)
    record = record.model_copy(
        update={
            "id": run_id(record.config, record.data.fingerprint, record.weights.hash),
            "val": score(logits.astype(np.float32), labels, None),
        }
    )
    folder = run_dir(out, record.id)
    folder.mkdir(parents=True)
    write_record(folder, record)
    write_json(folder / "config.json", record.config.model_dump(mode="json"))
    ids = np.array([f"{number:03d}" for number in range(200)])
    np.savez_compressed(folder / "val-logits.npz", logits=logits, labels=labels, ids=ids)
    return record


def _make_study(out):
    """Two runs with their logits, a board and a page; all values match."""
    for name, top1 in (("lenet@32", 0.7), ("cnn-small@32", 0.5)):
        _add_run(out, top1, candidate=name, stage=Stage.COMPARE)
    write_board(out, rank(list_records(out)))
    write_report(out)


@pytest.fixture
def study(make_once, tmp_path):
    """A copy of a study of two runs in which all values match."""
    return Path(shutil.copytree(make_once("to-verify", _make_study), tmp_path / "study"))


def _broken(study):
    checks = [*verify_views(study), *verify_records(study, list_records(study))]
    return [check.where for check in checks if not check.matches]


def _edit(path, change):
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def test_an_unchanged_study_matches(study):
    checks = [*verify_views(study), *verify_records(study, list_records(study))]
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
    older = {"macro_f1": scored.macro_f1 * 4 / 5, "balanced_accuracy": None, "absent": (), "auroc": None}
    older |= {f"{name}_ci95": None for name in ("macro_f1", "balanced_accuracy", "log_loss", "auroc")}
    data = record.data.model_copy(update={"counts": {"val": scored.n}})
    older_record = record.model_copy(update={"val": scored.model_copy(update=older), "data": data})
    write_record(run_dir(study, record.id), older_record)
    assert [check for check in verify_records(study, list_records(study)) if not check.matches] == []


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


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda board: board.replace(",", ";"), "columns"),
        (lambda _board: "", "columns"),
        (lambda board: board.replace("\n", ",,\n").replace(",,\n", "\n", 1), "cells beyond the columns of"),
        (lambda board: board + board.splitlines()[-1] + "\n", "rows"),
    ],
    ids=["semicolons", "empty", "wider", "row-twice"],
)
def test_a_board_that_another_program_has_saved_is_named(study, damage, named):
    board = (study / "board.csv").read_text()
    (study / "board.csv").write_text(damage(board))
    broken = [check.where for check in verify_views(study) if not check.matches]
    assert broken
    assert any(where.startswith(f"board.csv: {named}") for where in broken)


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
    broken = [check.where for check in verify_records(study, list_records(study)) if not check.matches]
    assert broken == [f"runs/{record.id}/record.json: val" for record in (first, second)]


def test_rows_that_are_missing_are_named_even_if_every_score_was_computed_anew(study):
    record = list_records(study)[0]
    predictions = read_predictions(run_dir(study, record.id), "val")
    kept = predictions.select([key for key, right in zip(predictions.ids, predictions.correct, strict=True) if right])
    write_predictions(run_dir(study, record.id), kept)
    val = score(kept.logits, kept.labels, None)
    write_record(run_dir(study, record.id), record.model_copy(update={"val": val}))
    (check,) = (check for check in verify_records(study, list_records(study)) if not check.matches)
    assert check == (f"val-logits.npz of {record.id}: images", "200", str(val.n), "")


def test_each_run_is_compared_with_the_images_and_classes_that_it_has_seen(tmp_path):
    """Two runs in one folder: one of all digits, and one of two that were drawn."""
    views = [Data(source="digits"), Data(source="digits", classes="2", seed=1)]
    shards = prepare_cached(views[0])
    for view in views:
        dataset = open_dataset(shards, view.classes, view.seed)
        data = make_record().data.model_copy(update={"fingerprint": dataset.fingerprint, "counts": dataset.counts})
        config = Run(data=view).revised(train={"val_images": 20})
        val = load_split(dataset, "val", subset=20)
        logits = np.eye(len(dataset.class_names), dtype=np.float32)[val.labels]
        scored = score(logits, val.labels, None)
        record = make_record(data=data, config=config, val=scored, id=run_id(config, dataset.fingerprint, "e" * 64))
        write_record(run_dir(tmp_path, record.id), record)
        write_json(run_dir(tmp_path, record.id) / "config.json", config.model_dump(mode="json"))
        write_predictions(run_dir(tmp_path, record.id), Predictions(logits, val.labels, val.ids))
    checks = verify(tmp_path, progress=False)
    assert [check for check in checks if not check.matches] == []
    assert sum(check.where.endswith("labels") for check in checks) == 2
    # An image of the split that is not one of the twenty.
    others = load_split(dataset, "val").ids
    stored = read_predictions(run_dir(tmp_path, record.id), "val")
    stored.ids[0] = next(key for key in others if key not in stored.ids)
    write_predictions(run_dir(tmp_path, record.id), stored)
    (check,) = (check for check in verify(tmp_path, progress=False) if not check.matches)
    assert check.computed == "1 differ from the shards'"


def test_numbers_of_images_that_are_not_those_of_the_shards_are_named(digits):
    data = make_record().data.model_copy(update={"fingerprint": digits.fingerprint, "counts": {"test": 1}})
    record = make_record(data=data)
    checks = list(verify_data([record], {record.id: digits}))
    assert [check.where for check in checks if not check.matches] == [f"runs/{record.id}/record.json: data.counts"]


def test_effects_are_computed_from_the_runs_with_the_same_seed(tmp_path):
    base = tuple(Run(seed=seed) for seed in range(3))
    level = Level(key="optim.ema", value=0.5, runs=tuple(run.revised(optim={"ema": 0.5}) for run in base))
    runs = [*zip(base, (0.5, 0.7, 0.6), strict=True), *zip(level.runs[1:], (0.4, 0.65), strict=True)]
    records = [_add_run(tmp_path, top1, config=run, stage=Stage.TUNE) for run, top1 in runs]
    # The run with the first seed failed.
    plan = Ablation(budget_seconds=60, base=base, levels=(level,))
    effects = measure_effects(plan, tmp_path, records)
    write_json(tmp_path / "study.json", {"plan": {}, "effects": effects.model_dump(mode="json")})
    checks = list(verify_views(tmp_path))
    assert [check.where for check in checks] == ["study.json: effects: optim.ema 0.5"]
    assert checks[0].matches
    shutil.rmtree(run_dir(tmp_path, records[-1].id))
    (check,) = verify_views(tmp_path)
    assert check.computed == "cannot be computed: the records of its runs are missing"


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (Path.unlink, "not known: test-openings.txt is absent"),
        (lambda path: path.write_bytes(b"\xff\n\xfe\n"), "2"),
        (lambda path: (path.unlink(), path.mkdir()), "not known: test-openings.txt cannot be read (Is a directory)"),
    ],
    ids=["absent", "damaged", "a folder"],
)
def test_a_file_of_openings_that_does_not_show_the_number_on_record_is_named(tmp_path, damage, found):
    record = _add_run(tmp_path, 0.7)
    folder = run_dir(tmp_path, record.id)
    shutil.copy(folder / "val-logits.npz", folder / "test-logits.npz")
    test = TestMetrics(**record.val.model_dump(), openings=1)
    write_record(folder, record.model_copy(update={"test": test}))
    (folder / "test-openings.txt").write_text("2026-01-02T03:04:05+00:00\n")
    assert [check for check in verify_records(tmp_path, list_records(tmp_path)) if not check.matches] == []
    damage(folder / "test-openings.txt")
    (check,) = (check for check in verify_records(tmp_path, list_records(tmp_path)) if not check.matches)
    assert (check.where, check.computed) == (f"runs/{record.id}/record.json: test.openings", found)


def test_a_folder_without_records_has_nothing_to_verify(tmp_path):
    (tmp_path / "runs").mkdir()
    with pytest.raises(OutputError, match="holds no runs; give"):
        verify(tmp_path)


@pytest.fixture
def trained(finished, tmp_path):
    """A copy of a study with one run that was trained, and the folder of that run."""
    out = Path(shutil.copytree(finished.out, tmp_path / "trained"))
    return SimpleNamespace(out=out, record=finished.record, folder=run_dir(out, finished.record.id))


def _check_models(trained, shards=None, **settings):
    records = list_records(trained.out)
    datasets = {record.id: open_dataset(shards) for record in records} if shards else None
    return list(verify_models(trained.out, records, datasets=datasets, **settings))


def _forget_hash(trained):
    """Make the record one of version 0.1.0."""
    write_record(trained.folder, trained.record.model_copy(update={"model_sha256": ""}))


def _scale_weights(path, factor):
    model = keras.models.load_model(path, compile=False)
    model.set_weights([weight * factor for weight in model.get_weights()])
    model.save(path)


@pytest.mark.usefixtures("workers_here")
def test_the_shipped_model_has_its_hash_and_predicts_what_is_stored(trained, shards, monkeypatch):
    before = sorted(trained.folder.iterdir())
    checks = _check_models(trained, shards=shards)
    assert [check.matches for check in checks] == [True, True]
    assert "sha256" in checks[0].where
    assert "179 validation images" in checks[1].where
    assert sorted(trained.folder.iterdir()) == before
    monkeypatch.setattr("bakeoff.report.verify.models.find_winner", lambda *_: None)
    assert len(_check_models(trained, shards=shards)) == 1
    assert len(_check_models(trained, shards=shards, deep=True)) == 2


@pytest.mark.parametrize("damage", ["swapped", "cut off", "absent"])
def test_a_model_that_is_not_the_runs_is_named(trained, shards, damage):
    path = trained.folder / "model.keras"
    match damage:
        case "swapped":
            _scale_weights(path, 1.01)
        case "cut off":
            path.write_bytes(path.read_bytes()[:-100])
        case "absent":
            path.unlink()
    (check,) = _check_models(trained, shards=shards)
    assert check.where == f"runs/{trained.record.id}/model.keras: sha256"
    assert check.written == trained.record.model_sha256
    assert not check.matches


@pytest.mark.usefixtures("workers_here")
@pytest.mark.parametrize(("factor", "holds"), [(1.0, True), (1.02, False)], ids=["the run's own", "another"])
def test_a_model_without_a_hash_on_record_predicts_again(trained, shards, factor, holds):
    _forget_hash(trained)
    _scale_weights(trained.folder / "model.keras", factor)
    note, check = _check_models(trained, shards=shards)
    assert "hash of model.keras is not on record, so its predictions are compared instead" in note.note
    assert check.matches == holds
    (note,) = _check_models(trained)
    assert "without the data no model predicts" in note.note


@pytest.mark.usefixtures("workers_here")
def test_a_damaged_model_without_a_hash_on_record_is_named(trained, shards):
    _forget_hash(trained)
    path = trained.folder / "model.keras"
    path.write_bytes(path.read_bytes()[:-100])
    _, check = _check_models(trained, shards=shards)
    assert "model.keras cannot be opened" in check.computed


def test_an_older_study_without_models_says_so():
    out = Path(__file__).parent / "assets" / "study-0.1"
    (note,) = _check_models(SimpleNamespace(out=out))
    assert "there is no model.keras" in note.note
    assert note.matches


@pytest.mark.usefixtures("workers_here")
def test_a_swapped_model_is_neither_exported_nor_scored(trained, shards, tmp_path):
    _scale_weights(trained.folder / "model.keras", 1.02)
    with pytest.raises(InputError, match="is not the model that this run wrote"):
        export_bundle(trained.folder, shards, tmp_path / "bundle")
    with pytest.raises(InputError, match="is not the model that this run wrote"):
        open_test(trained.folder, shards)
    _forget_hash(trained)
    with pytest.raises(InputError, match="does not predict what the run stored"):
        export_bundle(trained.folder, shards, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    assert read_record(trained.folder).test is None
