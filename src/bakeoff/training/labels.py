"""Scores the images of all splits, each by a linear head on frozen features that has not seen it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import load_split
from bakeoff.data.checks import HeldOut, keep_together
from bakeoff.data.folds import assign_folds, count_folds
from bakeoff.errors import DataError
from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import read_run
from bakeoff.runs.events import RunProgress, write_event
from bakeoff.runs.folder import RunFolder
from bakeoff.training.features import frozen_features
from bakeoff.training.folds import cross_fit
from bakeoff.training.head import fit_head
from bakeoff.training.task import open_task

__all__ = ["score_held_out"]


def score_held_out(folder: Path, data: Path, target: Path) -> None:
    """Score the images of all splits and write them as HeldOut.

    Those of train and validation are scored in folds, in which images of a group and near-duplicates stay together;
    those of test by a head that is fitted on train and validation. Labels of test are copied and not used. An image is
    left out if all images of its class are in its fold: no head could know the class. So are test images of the class.

    Args:
        folder: A folder with the recipe of a probe as `config.json`.
        data: The folder of shards.
        target: The file to write.

    Raises:
        DataError: All images of train and validation are of one group.
    """
    run = read_run(RunFolder(folder).config)
    task = open_task(run, folder, data, write_event)
    splits = {"train": task.train, "val": task.val, "test": load_split(task.dataset, "test", unlock=True)}
    labels = np.concatenate([split.labels for split in splits.values()])
    learned = np.arange(len(labels)) < len(task.train) + len(task.val)
    groups, _ = keep_together(task.dataset, task.train, task.val)
    if groups and len(set(groups)) == 1:
        raise DataError(
            f"all training images of {task.dataset.name} are in one group, so none can be held out to check"
            " labels; use --no-labels"
        )
    features = np.concatenate([each.values for each in frozen_features(task, *splits.values(), timed=False)])
    folds = assign_folds(labels[learned], groups, count_folds(int(learned.sum())), run.seed)

    def report(done: int, total: int) -> None:
        task.report(RunProgress("fitting heads", done / (total + 1)))

    logits = np.concatenate(
        [
            cross_fit(features[learned], labels[learned], task.classes, folds, report),
            fit_head(features[learned], labels[learned], task.classes).logits(features[~learned]),
        ]
    )
    known = _is_known(labels[learned], folds)
    kept = np.concatenate([known, np.isin(splits["test"].labels, labels[learned][known])])
    HeldOut(
        ids=np.concatenate([split.ids for split in splits.values()])[kept],
        splits=np.repeat(list(splits), [len(split) for split in splits.values()])[kept],
        labels=labels[kept],
        probabilities=softmax(logits)[kept],
    ).write(target)


def _is_known(labels: NDArray[np.int32], folds: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether there are images of the class of each image outside its fold, (n,)."""
    inside = np.zeros((folds.max() + 1, labels.max() + 1), np.intp)
    np.add.at(inside, (folds, labels), 1)
    known: NDArray[np.bool_] = inside.sum(axis=0)[labels] > inside[folds, labels]
    return known
