"""Export of a run's folder, in a worker process."""

from pathlib import Path

from bakeoff.deploy.bundle import Format, Quantize, ThresholdRule
from bakeoff.deploy.export.folder import FinishedRun, write_bundle
from bakeoff.runs.events import RunProgress, write_event
from bakeoff.runs.folder import SPLITS_SCORED
from bakeoff.runs.predictions import has_predictions, read_predictions
from bakeoff.runs.record import read_record
from bakeoff.training.model import OpenedRun

__all__ = ["export_run"]


def export_run(
    run: OpenedRun,
    bundle: Path,
    model_format: Format = Format.KERAS,
    quantize: Quantize | None = None,
    *,
    rule: ThresholdRule | None = None,
    timed: bool,
) -> None:
    """Write the bundle of a finished run into a folder.

    Args:
        run: The run.
        bundle: The folder to write; an earlier bundle in it is replaced.
        model_format: The model's file format.
        quantize: The quantisation, if any.
        rule: From which confidence answers count; None marks no answer as unsure.
        timed: Whether to measure latency and memory of the model in a fresh process.

    Raises:
        OutputError: `bundle` holds something else, or the model does not predict what the run stored.
        BundleError: The format has no such quantisation, the exported model differs from the run, or the rule cannot be
            kept.
    """
    # It may have been scored on the test split since it was opened.
    record = read_record(run.folder)
    # Of a refit, the run whose recipe it repeats has predictions on images that it has not seen.
    sources = {"val": run.folder.parent / record.refit_of if record.refit_of else run.folder, "test": run.folder}
    confirmed = read_record(sources["val"]) if record.refit_of else None
    learned = record.config.train.with_val and not record.refit_of
    predictions = {
        split: read_predictions(sources[split], split)
        for split in SPLITS_SCORED
        if has_predictions(sources[split], split) or (split == "val" and not learned)
    }
    write_bundle(
        FinishedRun(run.model, record, run.dataset, predictions, run.forward, confirmed),
        bundle,
        model_format,
        quantize,
        rule=rule,
        timed=timed,
        on_step=lambda doing, fraction: write_event(RunProgress(doing, fraction)),
    )
