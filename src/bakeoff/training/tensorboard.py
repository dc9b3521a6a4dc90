"""A run's history for TensorBoard: `tensorboard --logdir OUT/runs` shows runs during training and afterwards."""

from pathlib import Path
from typing import Any

from bakeoff.runs.history import read_history

__all__ = ["EventLog"]

_SCALARS = {
    "validation/top1": "val_top1",
    "validation/balanced_accuracy": "val_balanced_accuracy",
    "validation/macro_f1": "val_macro_f1",
    "validation/auroc": "val_auroc",
    "validation/loss": "val_loss",
    "training/loss": "train_loss",
    "training/learning_rate": "learning_rate",
    "training/input_size": "size",
}


class EventLog:
    """Writes a run's event file. Its steps are images seen, so that runs with different batches are comparable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # The first rows of a resumed run are in the file of its first process.
        self._rows = len(read_history(folder))
        self._writer: Any = None

    def update(self, rows: int | None = None) -> None:
        """Write the new rows of `history.csv`.

        Args:
            rows: The current number of rows, if known: with no new row, the file is not read.
        """
        if rows == self._rows:
            return
        history = read_history(self._folder)
        for row in history[self._rows :]:
            scalars = {tag: value for tag, field in _SCALARS.items() if (value := getattr(row, field)) is not None}
            self._write(scalars, row.images_seen)
        self._rows = len(history)

    def _write(self, scalars: dict[str, float], step: int) -> None:
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self._folder))
        # tf.summary.scalar needs the tensorboard package, which training alone does not need.
        metadata = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
        metadata.plugin_data.plugin_name = "scalars"
        with self._writer.as_default():
            for tag, value in scalars.items():
                tf.summary.write(tag, tf.constant(value, tf.float32), step, metadata)
        self._writer.flush()
