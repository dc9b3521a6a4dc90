"""Check that the models of a study are those that its figures were computed from; nothing is written.

Every `model.keras` is hashed. The models that are shipped, or have no hash on record, predict again what is stored;
with `deep` all do.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bakeoff.deploy.bundle import read_facts
from bakeoff.errors import BakeoffError
from bakeoff.launch import predict_again
from bakeoff.report.bundled import list_bundles
from bakeoff.report.verify.check import Check, Datasets, OnCount, find_hash, make_note
from bakeoff.report.winner import find_winner
from bakeoff.runs.agreement import describe_difference
from bakeoff.runs.events import RunProgress
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.predictions import read_predictions
from bakeoff.runs.record import RunRecord, State
from bakeoff.runs.study_file import read_study
from bakeoff.text import counted, name_some

__all__ = ["verify_models"]


def verify_models(
    out: Path,
    records: Sequence[RunRecord],
    *,
    datasets: Datasets | None = None,
    deep: bool = False,
    on_progress: OnCount = lambda _doing, _done, _total: None,
) -> Iterator[Check]:
    """Check the models of all completed runs.

    Args:
        out: The study's folder.
        records: Its runs.
        datasets: The data of each run; without them no model predicts.
        deep: Whether the models of all runs predict, not only those that are shipped or have no hash on record.
        on_progress: Called with a description, how much is done, and how much there is.

    Yields:
        A check for each hash and each split that was predicted, and notes on what could not be checked.
    """
    trained = [record for record in records if record.state is State.COMPLETE and record.model_bytes]
    shipped = _find_shipped(out, records)
    to_predict, no_hash, absent = [], [], []
    for number, record in enumerate(trained):
        path = RunFolder(run_dir(out, record.id)).model
        on_progress("hashing models", number, len(trained))
        is_there = path.is_file()
        if not is_there and not (record.model_sha256 and record.id in shipped):
            absent.append(record.id)
            continue
        if not record.model_sha256:
            no_hash.append(record.id)
        else:
            check = Check(f"{_name(record)}: sha256", record.model_sha256, find_hash(path))
            yield check
            if not check.matches:
                continue
        if deep or record.id in shipped or not record.model_sha256:
            to_predict.append(record)
    if absent:
        yield _note(absent, "there is no model.keras, so the figures rest on the stored predictions alone")
    if no_hash and datasets is None:
        yield _note(no_hash, "the hash of model.keras is not on record, and without the data no model predicts")
    elif no_hash:
        yield _note(no_hash, "the hash of model.keras is not on record, so its predictions are compared instead")
    if datasets is not None:
        for record in to_predict:
            yield from _predict(out, record, datasets[record.id].folder, on_progress)


def _find_shipped(out: Path, records: Sequence[RunRecord]) -> set[str]:
    """The ids of the run that the study ended with, and of the runs of its bundles."""
    winner = find_winner(read_study(out), records)
    bundled = {read_facts(folder).run for folder in list_bundles(out)}
    return bundled | ({winner.id} if winner else set())


def _predict(out: Path, record: RunRecord, shards: Path, on_progress: OnCount) -> Iterator[Check]:
    folder = run_dir(out, record.id)
    doing = f"{record.candidate} predicting again"
    on_progress(doing, 0, 100)

    def report(event: RunProgress) -> None:
        on_progress(doing, round(100 * event.fraction), 100)

    try:
        for name, computed in predict_again(folder, shards, report).items():
            stored = read_predictions(folder, name)
            same = f"those in {RunFolder(folder).predictions(name).name}"
            where = f"{_name(record)}: predictions on {counted(len(stored.labels), f'{stored.split_name} image')}"
            yield Check(where, same, describe_difference(record, stored, computed) or same)
    except BakeoffError as error:
        yield Check(_name(record), "can predict again", str(error))


def _name(record: RunRecord) -> str:
    return f"runs/{record.id}/model.keras"


def _note(ids: Sequence[str], text: str) -> Check:
    runs = "run" if len(ids) == 1 else counted(len(ids), "run")
    return make_note(f"{runs} {name_some(ids)}", text)
