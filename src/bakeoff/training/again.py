"""Predictions of a finished run's model, computed again, for a comparison with the stored ones."""

from pathlib import Path

from bakeoff.data.batches import load_split
from bakeoff.runs.folder import SPLITS_SCORED
from bakeoff.runs.predictions import Predictions, has_predictions, write_predictions
from bakeoff.training.inference import full_float32, predict_logits, report_batches
from bakeoff.training.model import open_run

__all__ = ["predict_again"]


@full_float32()
def predict_again(folder: Path, data: Path, target: Path) -> None:
    """Compute the predictions of a run's model on the splits for which the run has stored some.

    The test split is read only if it has been opened for this run; that is no further opening, because nothing is
    chosen or scored.

    Args:
        folder: The run's folder, `OUT/runs/ID`; nothing is written to it.
        data: The folder of shards that it was trained on.
        target: An empty folder for `val-logits.npz` and `test-logits.npz`.

    Raises:
        OutputError: The run has no trained model, another one, or was trained on other data.
    """
    opened = open_run(folder, data)
    config = opened.record.config.train
    for name in SPLITS_SCORED:
        if not has_predictions(folder, name):
            continue
        subset = config.val_images if name == "val" else None
        split = load_split(opened.dataset, name, subset=subset, unlock=True)
        on_batch = report_batches("predicting again", len(split))
        logits = predict_logits(opened.forward, split, flip=config.flip_test, on_batch=on_batch)
        write_predictions(target, Predictions(logits, split.labels, split.ids, name))
