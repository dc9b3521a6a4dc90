"""A run's history for TensorBoard: `tensorboard --logdir OUT/runs` shows runs while they train, and afterwards."""

from pathlib import Path
from typing import Any

from bakeoff.runs.record import read_history

__all__ = ["EventLog"]

_SCALARS = {
    "validation/top1": "val_top1",
    "validation/loss": "val_loss",
    "training/loss": "train_loss",
    "training/learning_rate": "learning_rate",
    "training/input_size": "size",
}


class EventLog:
    """The event file of a run's folder. A step is an image seen, so that runs of different batches can be compared."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # A run that goes on after a kill has its first rows in the file of its first process.
        self._rows = len(read_history(folder))
        self._writer: Any = None

    def follow(self, rows: int | None = None) -> None:
        """Write what is new in `history.csv`; costs nothing where its `rows` are as many as last time."""
        if rows == self._rows:
            return
        history = read_history(self._folder)
        for row in history[self._rows :]:
            self._write({tag: getattr(row, field) for tag, field in _SCALARS.items()}, row.images_seen)
        self._rows = len(history)

    def _write(self, scalars: dict[str, float], step: int) -> None:
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self._folder))
        # tf.summary.scalar is in the tensorboard package, which whoever only trains has no need of.
        metadata = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
        metadata.plugin_data.plugin_name = "scalars"
        with self._writer.as_default():
            for tag, value in scalars.items():
                tf.summary.write(tag, tf.constant(value, tf.float32), step, metadata)
        self._writer.flush()
