"""The folder of one run, `OUT/runs/ID`, and the names of the files in it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["SPLITS_SCORED", "RunFolder", "SplitScored", "run_dir"]

SplitScored = Literal["val", "test"]
"""A split that a run leaves predictions of."""
SPLITS_SCORED: tuple[SplitScored, ...] = ("val", "test")


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run's files; a file exists only once the run has come as far."""

    path: Path

    @property
    def config(self) -> Path:
        """The effective config, as JSON."""
        return self.path / "config.json"

    @property
    def record(self) -> Path:
        """The run's `RunRecord`, as JSON."""
        return self.path / "record.json"

    @property
    def history(self) -> Path:
        """One row per evaluation during training, as CSV."""
        return self.path / "history.csv"

    @property
    def model(self) -> Path:
        """The trained network, of training runs that completed."""
        return self.path / "model.keras"

    @property
    def checkpoint(self) -> Path:
        """What training needs to continue after a kill; deleted when the run ends."""
        return self.path / "checkpoint.npz"

    @property
    def log(self) -> Path:
        """Everything that the run's process printed."""
        return self.path / "log.txt"

    @property
    def confusion(self) -> Path:
        """The confusion matrix on the test split, as CSV."""
        return self.path / "confusion.csv"

    @property
    def test_openings(self) -> Path:
        """A line with the time of each opening of the test split."""
        return self.path / "test-openings.txt"

    def predictions(self, split: SplitScored) -> Path:
        """The logits, labels and ids of a split's images."""
        return self.path / f"{split}-logits.npz"


def run_dir(out: Path, run_id: str) -> Path:
    """The folder of one run inside a study's folder."""
    return out / "runs" / run_id
