"""LogME: how well features and labels fit together, without training (You et al. 2021, arXiv 2102.11005).

For each class, a Bayesian linear regression from the features to 0 or 1 is fitted by its evidence. LogME is the mean
log evidence of an image: the larger, the better the network should transfer.

    python benchmarks/logme.py RUN SHARDS     # of a finished probe's training images
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.machine import tensorflow_environment

__all__ = ["log_me", "score_features"]

MAX_ITERATIONS, TOLERANCE = 100, 1e-3


def score_features(run: Path, shards: Path) -> float:
    """The LogME of a finished probe's features, which are in the cache; in a process of its own."""
    command = [sys.executable, __file__, str(run), str(shards)]
    done = subprocess.run(command, env=tensorflow_environment(), check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def log_me(features: NDArray[np.float32], labels: NDArray[np.int32], classes: int) -> float:
    """The LogME of features.

    Args:
        features: (n, d).
        labels: Classes, (n,).
        classes: Number of classes.
    """
    left, singular, _ = np.linalg.svd(features.astype(np.float64), full_matrices=False)
    targets = np.equal(labels[:, None], np.arange(classes)).astype(np.float64)
    return float(np.mean([_log_evidence(left, singular**2, features.shape, target) for target in targets.T]))


def _log_evidence(
    left: NDArray[np.float64], squares: NDArray[np.float64], shape: tuple[int, ...], target: NDArray[np.float64]
) -> float:
    """The largest log evidence of one regression, for each image.

    `alpha` is the precision of the weights, `beta` that of the noise; both are found by a fixed-point iteration.
    """
    n, d = shape
    projected = (left.T @ target) ** 2
    outside = max(float(target @ target - projected.sum()), 0.0)  # what no weights can explain
    alpha = beta = 1.0
    for _ in range(MAX_ITERATIONS):
        ratio = alpha / beta
        shrunk = squares / (squares + ratio)
        weights = float((squares * projected / (squares + ratio) ** 2).sum())
        error = float(((1 - shrunk) ** 2 * projected).sum()) + outside
        effective = float(shrunk.sum())
        alpha, beta = effective / (weights + 1e-12), (n - effective) / (error + 1e-12)
        if abs(alpha / beta - ratio) <= TOLERANCE * ratio:
            break
    determinant = float(np.log(alpha + beta * squares).sum()) + (d - len(squares)) * np.log(alpha)
    evidence = (
        n / 2 * np.log(beta)
        + d / 2 * np.log(alpha)
        - n / 2 * np.log(2 * np.pi)
        - beta / 2 * error
        - alpha / 2 * weights
        - determinant / 2
    )
    return float(evidence / n)


def main() -> None:
    """Print the LogME of a run's training images."""
    from bakeoff.machine import start_keras
    from bakeoff.runs.config import read_run
    from bakeoff.runs.folder import RunFolder
    from bakeoff.training.features import frozen_features
    from bakeoff.training.task import open_task

    folder, shards = Path(sys.argv[1]), Path(sys.argv[2])
    start_keras()
    task = open_task(read_run(RunFolder(folder).config), folder, shards, lambda _: None)
    (features,) = frozen_features(task, task.train)
    sys.stdout.write(f"{log_me(features.values, np.asarray(task.train.labels), task.classes)}\n")


if __name__ == "__main__":
    main()
