"""Frozen features: what a backbone says of each image, computed once and kept on disk by content.

The key is the network, its weights, its input size, the precision and the records: screening, probes and the
head that fine-tuning starts from all read the same file.
"""

import numpy as np
from numpy.typing import NDArray

from bakeoff.evaluate import compile_forward, predict_logits
from bakeoff.files import cache_dir, hash_json, replacing
from bakeoff.pipeline import Split
from bakeoff.task import Progress, Task

__all__ = ["frozen_features"]


def frozen_features(task: Task, split: Split) -> NDArray[np.float32]:
    """Pooled features (n, d), float32, of a split in its order, by the task's network as it stands at the start."""
    run = task.run
    key = [run.model.name, run.model.size, task.source.hash, run.train.precision, task.dataset.fingerprint, split.ids]
    if task.source.path is None:
        key.append(run.seed)  # random weights are their seed's
    path = cache_dir() / "features" / f"{hash_json(key)[:32]}.npy"
    if not path.is_file():
        done = 0

        def count(images: int) -> None:
            nonlocal done
            done += images
            task.tell(Progress("features", done / len(split)))

        features = predict_logits(compile_forward(task.network.features(run.model.size)), split, on_batch=count)
        with replacing(path) as temporary:
            np.save(temporary, features)
    cached: NDArray[np.float32] = np.load(path)
    return cached
