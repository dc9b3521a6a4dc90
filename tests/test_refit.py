"""A refit as a finished run: scored on test, exported, shown and verified like any other."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from bakeoff.api.results import load
from bakeoff.deploy.bundle import Format, Quantize, ThresholdKind, ThresholdRule, read_facts
from bakeoff.deploy.export.run import export_run
from bakeoff.errors import BundleError
from bakeoff.files import write_json
from bakeoff.launch import launch
from bakeoff.report import find_winner, write_report
from bakeoff.report.board import explain, rank, write_board
from bakeoff.report.verify import verify_bundles, verify_models, verify_records, verify_views
from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import Mode, Run
from bakeoff.runs.folder import run_dir
from bakeoff.runs.predictions import has_predictions, read_predictions
from bakeoff.runs.record import Stage, list_records
from bakeoff.runs.study_file import AnyStudy, Winner, read_study
from bakeoff.training.model import open_run
from bakeoff.training.test import open_test
from running import work_here

PROBE = Run().revised(model={"name": "lenet", "size": 32}, train={"epochs": None, "mode": "probe"})


@pytest.fixture(scope="module")
def study(make_once, shards):
    """A study in which a probe was confirmed, and refitted; the refit was scored on test and exported."""

    def make(out):
        with pytest.MonkeyPatch.context() as patch:
            work_here(patch)
            options = {"out": out, "data": shards}
            launch(PROBE.revised(train={"val_images": 100}), stage=Stage.SCREEN, **options)
            confirmed = launch(PROBE, stage=Stage.CONFIRM, **options)
            refit = launch(PROBE.revised(train={"with_val": True}), stage=Stage.REFIT, refit_of=confirmed.id, **options)
            open_test(open_run(run_dir(out, refit.id), shards))
            export_run(open_run(run_dir(out, refit.id), shards), out / "bundle", timed=False)
            winner = Winner(
                confirmed=confirmed.id,
                shipped=refit.id,
                why="There was no time to fine-tune a network, so a frozen probe is shipped.",
            )
            write_json(out / "study.json", AnyStudy(winner=winner).model_dump(mode="json", by_alias=True))
            write_board(out, rank(list_records(out)))
            write_report(out)

    out = make_once("refitted", make)
    records = {record.stage: record for record in list_records(out)}
    return SimpleNamespace(
        out=out, screened=records[Stage.SCREEN], confirmed=records[Stage.CONFIRM], refit=records[Stage.REFIT]
    )


def test_the_board_marks_a_probe_and_the_report_does_not_call_it_fine_tuned(study):
    row = next(row for row in rank(list_records(study.out)) if row.id == study.confirmed.id)
    assert row.mode is Mode.PROBE
    page = (study.out / "report.html").read_text()
    assert "a probe on frozen features" in page
    assert "<strong>lenet</strong>, frozen, with a linear classifier" in page
    assert "Fine-tune" not in page


def test_a_refit_has_no_score_on_validation_and_one_on_test(study):
    assert study.refit.val is None
    assert not has_predictions(run_dir(study.out, study.refit.id), "val")
    assert (study.refit.test.openings, study.confirmed.test) == (1, None)


def test_the_shipped_model_is_the_refit_and_the_board_begins_with_it(study):
    assert find_winner(read_study(study.out), list_records(study.out)).id == study.refit.id
    rows = rank(list_records(study.out))
    assert [row.stage for row in rows] == [Stage.REFIT, Stage.CONFIRM, Stage.SCREEN]
    assert explain(rows).startswith("lenet@32 won with")
    results = load(study.out)
    assert (results.best.id, results.confirmed.id) == (study.refit.id, study.confirmed.id)


def test_the_report_says_which_figure_is_of_which_model(study):
    page = (study.out / "report.html").read_text()
    test, val = (f"{100 * top1:.1f} %" for top1 in (study.refit.test.top1, study.confirmed.val.top1))
    assert f'<span class="score">{test}</span>' in page
    assert val in page
    assert f"This model (run <code>{study.refit.id}</code>) was trained on training and validation images" in page
    assert f"on validation on this page are those of run <code>{study.confirmed.id}</code>" in page
    assert "There was no time to fine-tune a network, so a frozen probe is shipped." in page


def test_the_temperature_of_a_refit_is_fitted_on_images_that_the_model_behind_it_has_not_seen(study):
    facts, card = read_facts(study.out / "bundle"), (study.out / "bundle" / "model_card.md").read_text()
    assert facts.run == study.refit.id
    assert facts.learned_val
    assert facts.calibration.run == study.confirmed.id
    assert facts.calibration.images == study.confirmed.val.n
    assert f"{study.confirmed.val.top1:.2%}" in card
    assert f"{study.refit.test.top1:.2%}" in card
    assert f"are those of run `{study.confirmed.id}`" in card
    assert f"the temperature is that of run `{study.confirmed.id}`" in card


def test_the_confidence_from_which_a_refit_answers_is_chosen_on_images_that_the_run_behind_it_has_not_seen(
    study, shards, tmp_path
):
    rule = ThresholdRule(ThresholdKind.MIN_CONFIDENCE, 0.5)
    export_run(open_run(run_dir(study.out, study.refit.id), shards), tmp_path / "bundle", rule=rule, timed=False)
    facts = read_facts(tmp_path / "bundle")
    stored = read_predictions(run_dir(study.out, study.confirmed.id), "val")
    confident = softmax(stored.logits / np.float32(facts.calibration.temperature)).max(axis=1) >= 0.5
    assert facts.threshold.val.answered == confident.sum()
    assert facts.threshold.val.precision == pytest.approx(stored.correct[confident].mean())
    assert f"are those of run `{study.confirmed.id}`, which has not" in (tmp_path / "bundle/model_card.md").read_text()


def test_a_quantised_refit_is_compared_and_not_scored_on_images_that_it_has_learned(study, shards, tmp_path):
    export_run(
        open_run(run_dir(study.out, study.refit.id), shards),
        tmp_path / "bundle-onnx",
        Format.ONNX,
        Quantize.FLOAT16,
        timed=False,
    )
    assert (
        "It has learned these images, so only the difference counts."
        in (tmp_path / "bundle-onnx" / "model_card.md").read_text()
    )


@pytest.mark.usefixtures("workers_here")
def test_a_run_with_validation_of_its_own_is_exported_without_a_temperature(shards, tmp_path):
    record = launch(PROBE.revised(train={"with_val": True}), stage=Stage.TRAIN, out=tmp_path, data=shards)
    export_run(open_run(run_dir(tmp_path, record.id), shards), tmp_path / "bundle", timed=False)
    assert read_facts(tmp_path / "bundle").calibration is None
    rule = ThresholdRule(ThresholdKind.PRECISION, 0.9)
    with pytest.raises(BundleError, match="no confidence can be judged on them"):
        export_run(open_run(run_dir(tmp_path, record.id), shards), tmp_path / "other", rule=rule, timed=False)
    assert "has learned the validation images" in (tmp_path / "bundle" / "model_card.md").read_text()
    rows = rank(list_records(tmp_path))
    assert "has learned the validation images" in explain(rows)
    write_report(tmp_path)


@pytest.mark.usefixtures("workers_here")
def test_a_refitted_study_is_verified(study, digits):
    records = list_records(study.out)
    datasets = {record.id: digits for record in records}
    checks = [
        *verify_records(study.out, records, datasets),
        *verify_views(study.out),
        *verify_bundles(study.out, records, datasets),
        *verify_models(study.out, records, datasets=datasets),
    ]
    assert [check for check in checks if not check.matches] == []
    assert any(check.where.endswith("test images") for check in checks)


def test_a_study_that_names_another_winner_than_its_runs_is_found_out(study, tmp_path):
    out = shutil.copytree(study.out, tmp_path / "copy")
    facts = json.loads((out / "study.json").read_text())
    facts["winner"]["shipped"] = study.confirmed.id
    (out / "study.json").write_text(json.dumps(facts))
    assert "study.json: winner.shipped" in [check.where for check in verify_views(out) if not check.matches]
