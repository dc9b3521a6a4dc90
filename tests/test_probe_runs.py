"""Probes as finished runs: saved, scored on test and exported like any other."""

import numpy as np
import pytest

from bakeoff.data.batches import load_split
from bakeoff.deploy.bundle import open_bundle
from bakeoff.deploy.export.run import export_run
from bakeoff.errors import OutputError
from bakeoff.launch import launch
from bakeoff.report.board import rank
from bakeoff.report.verify import verify_bundles
from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import Mode, Run
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.predictions import read_predictions
from bakeoff.runs.record import Stage, list_records
from bakeoff.training.model import open_run
from bakeoff.training.test import open_test
from factories import make_record
from test_board import show

PROBE = Run().revised(model={"name": "lenet", "size": 32}, train={"epochs": None, "mode": "probe"})


@pytest.mark.usefixtures("workers_here")
def test_a_probe_is_saved_unless_it_is_one_of_a_screen(shards, tmp_path):
    for stage in (Stage.SCREEN, Stage.CONFIRM):
        record = launch(PROBE, stage=stage, out=tmp_path / stage, data=shards)
        folder = run_dir(tmp_path / stage, record.id)
        path = RunFolder(folder).model
        assert path.is_file() == (stage is Stage.CONFIRM) == bool(record.model_sha256)
        assert record.model_bytes == (path.stat().st_size if path.is_file() else 0)
        if stage is Stage.SCREEN:
            with pytest.raises(OutputError, match=r"the probes of a screen save none.*bakeoff train --recipe"):
                open_run(folder, shards)


@pytest.mark.usefixtures("workers_here")
@pytest.mark.parametrize("flips", [pytest.param(False, marks=pytest.mark.slow), True])
def test_an_exported_probe_answers_as_its_predictions_say(shards, digits, tmp_path, flips):
    record = launch(PROBE.revised(train={"flip_test": flips}), stage=Stage.TRAIN, out=tmp_path, data=shards)
    folder = run_dir(tmp_path, record.id)
    open_test(open_run(folder, shards))
    export_run(open_run(folder, shards), tmp_path / "bundle", timed=False)
    bundle, stored, val = open_bundle(tmp_path / "bundle"), read_predictions(folder, "val"), load_split(digits, "val")
    expected = softmax(stored.logits / np.float32(bundle.facts.calibration.temperature))
    assert stored.correct.mean() > 0.5
    assert np.abs(bundle.probabilities(val.images) - expected).max() < 0.01
    checks = list(verify_bundles(tmp_path, list_records(tmp_path), {record.id: digits}))
    assert any("predictions on" in check.where for check in checks)
    assert [check for check in checks if not check.matches] == []


def test_a_board_says_which_run_is_a_probe_unless_all_of_the_stage_are():
    confirmed = [
        make_record("a@32", top1, stage=Stage.CONFIRM, mode=mode) for top1, mode in ((0.8, "probe"), (0.7, "fit"))
    ]
    rows = rank([*confirmed, make_record("a@32", 0.8, stage=Stage.SCREEN, mode=Mode.PROBE)])
    assert [row.mode for row in rows] == ["probe", "fit", "probe"]
    assert sum("a probe on frozen features" in line for line in show(rows, 100)) == 1


def test_of_equally_accurate_runs_the_one_that_was_trained_comes_first():
    probe, trained = (
        make_record("a@32", 0.8, stage=Stage.CONFIRM, mode=mode, seconds=9 if mode == "probe" else 90)
        for mode in ("probe", "fit")
    )
    assert [row.mode for row in rank([probe, trained])] == ["fit", "probe"]
