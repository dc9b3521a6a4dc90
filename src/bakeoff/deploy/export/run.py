"""A finished run's bundle, written in a process of its own."""

from pathlib import Path

from bakeoff.data.shards import open_dataset
from bakeoff.deploy.bundle import Format, Quantize
from bakeoff.deploy.export.folder import Trained, write_bundle
from bakeoff.runs.events import RunProgress, write_event
from bakeoff.runs.folder import SPLITS_SCORED
from bakeoff.runs.predictions import has_predictions, read_predictions
from bakeoff.runs.record import read_record
from bakeoff.training.run import load_model

__all__ = ["export_run"]


def export_run(
    folder: Path,
    data: Path,
    bundle: Path,
    form: Format = Format.KERAS,
    quantize: Quantize | None = None,
    *,
    timed: bool,
) -> None:
    """Write a finished run's bundle into the folder `bundle`; `timed` measures the written model as well.

    Args:
        folder: The run's folder, `OUT/runs/ID`.
        data: The folder of the shards that it was trained on.
        bundle: The folder to write; what it holds of an earlier bundle is replaced.
        form: The model's file format.
        quantize: How the model is quantised, if it is.
        timed: Whether time and memory of the model are measured in a fresh process.

    Raises:
        OutputError: The run has no trained model, or `bundle` holds something else.
        BundleError: The format cannot be quantised so, or the written model's answers differ from the run's.
    """
    record = read_record(folder)
    dataset = open_dataset(data, record.config.data.classes, record.config.data.seed)
    predictions = {
        split: read_predictions(folder, split)
        for split in SPLITS_SCORED
        if split == "val" or has_predictions(folder, split)
    }
    write_bundle(
        Trained(load_model(folder, record), record, dataset, predictions),
        bundle,
        form,
        quantize,
        timed=timed,
        on_step=lambda doing, fraction: write_event(RunProgress(doing, fraction)),
    )
