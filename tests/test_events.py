"""TensorBoard's event files: one point for each row of the history, written during training."""

from pathlib import Path

import tensorflow as tf

from bakeoff.runs.history import HistoryRow, write_history
from bakeoff.training.tensorboard import EventLog


def make_row(number: int) -> HistoryRow:
    return HistoryRow(
        seconds=number,
        progress=number / 4,
        epoch=number,
        images_seen=100 * number,
        size=32,
        learning_rate=0.1 / number,
        train_loss=2 / number,
        val_loss=1 / number,
        val_top1=number / 5,
    )


def read(folder: Path) -> list[tuple[int, str, float]]:
    """(step, tag, value) of every scalar in the folder's event files."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for raw in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(raw)
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found.append((event.step, value.tag, float(tf.make_ndarray(value.tensor))))
    return found


def test_every_new_row_becomes_a_point(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.update(0)
    assert not list(tmp_path.iterdir())
    for rows in (1, 3):
        write_history(tmp_path, [make_row(number) for number in range(1, rows + 1)])
        log.update(rows)
        points = [(step, round(value, 4)) for step, tag, value in read(tmp_path) if tag == "validation/top1"]
        assert points == [(100 * number, number / 5) for number in range(1, rows + 1)]
    log.update()
    assert len(read(tmp_path)) == 3 * 5
    assert {tag for _, tag, _ in read(tmp_path)} >= {"training/loss", "training/learning_rate", "validation/loss"}


def test_a_resumed_run_repeats_no_points(tmp_path: Path) -> None:
    write_history(tmp_path, [make_row(1)])
    first = EventLog(tmp_path)
    write_history(tmp_path, [make_row(1), make_row(2)])
    first.update(2)
    again = EventLog(tmp_path)
    write_history(tmp_path, [make_row(1), make_row(2), make_row(3)])
    again.update(3)
    assert sorted({step for step, _, _ in read(tmp_path)}) == [200, 300]
    assert len(read(tmp_path)) == 2 * 5
