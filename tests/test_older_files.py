"""Files of an earlier bakeoff can still be opened. tests/assets/ holds studies of version 0.1.0, without models."""

import json
import shutil
from pathlib import Path

import pytest

from bakeoff.report.board import rank
from bakeoff.runs.config import read_run, run_id
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.history import read_history
from bakeoff.runs.metrics import score
from bakeoff.runs.predictions import has_predictions, read_predictions
from bakeoff.runs.record import State, list_records
from bakeoff.runs.study_file import STUDY_FILE, read_study
from bakeoff.study import StudyState, open_state

STUDIES = [Path(__file__).parent / "assets" / name for name in ("study-0.1", "tune-0.1")]


@pytest.fixture(params=STUDIES, ids=lambda path: path.name)
def out(request, tmp_path):
    return shutil.copytree(request.param, tmp_path / request.param.name)


def test_runs_of_an_older_study_keep_their_ids_scores_and_ranks(out):
    records = list_records(out)
    assert len(rank(records)) == len(records) > 0
    for record in records:
        folder = run_dir(out, record.id)
        assert run_id(record.config, record.data.fingerprint, record.weights.hash) == record.id
        assert read_run(RunFolder(folder).config) == record.config
        if record.state is State.COMPLETE:
            predictions = read_predictions(folder, "val")
            scored = score(predictions.logits, predictions.labels, None)
            lacking = {name: None for name in type(scored).model_fields if getattr(record.val, name) is None}
            assert {"balanced_accuracy", "auroc", "log_loss_ci95"} <= set(lacking)
            assert scored.model_copy(update=lacking) == record.val
            assert len(read_history(folder)) > 0
        assert has_predictions(folder, "val") == (record.state is State.COMPLETE)


def test_an_older_study_is_resumed_with_all_that_it_spent_and_its_file_keeps_its_format(out):
    written = json.loads((out / STUDY_FILE).read_text(encoding="utf-8"))
    state = StudyState.model_validate(written)
    resumed = open_state(out, state.plan, data=state.data, command="again")
    assert resumed.spent == pytest.approx(sum(written["seconds"].values()))
    assert resumed.command == written["command"]
    assert read_study(out).plan == written["plan"]
    resumed.write(out)
    assert _holds(json.loads((out / STUDY_FILE).read_text(encoding="utf-8")), written)


def _holds(new, old):
    """Whether every value of an older file stands in the new one, which may have more fields."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(name in new and _holds(new[name], value) for name, value in old.items())
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(_holds, new, old))
    return type(new) is type(old) and new == old
