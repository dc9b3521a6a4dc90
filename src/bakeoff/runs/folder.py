"""The folder of a run, `OUT/runs/ID`, and the names of its files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["SPLITS_SCORED", "RunFolder", "SplitScored", "run_dir"]

SplitScored = Literal["val", "test"]
"""A split for which a run stores predictions."""
SPLITS_SCORED: tuple[SplitScored, ...] = ("val", "test")


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run's files. A file exists only after the run has reached that point."""

    path: Path

    @property
    def config(self) -> Path:
        """The config with all defaults filled in, as JSON."""
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
    def curve(self) -> Path:
        """One row per point of the learning curve, as CSV."""
        return self.path / "curve.csv"

    @property
    def model(self) -> Path:
        """The trained network; the probes of a screen have none."""
        return self.path / "model.keras"

    @property
    def checkpoint(self) -> Path:
        """The state that training needs to resume; deleted when the run ends."""
        return self.path / "checkpoint.npz"

    @property
    def log(self) -> Path:
        """The output of the run's process."""
        return self.path / "log.txt"

    @property
    def confusion(self) -> Path:
        """The confusion matrix on the test split, as CSV."""
        return self.path / "confusion.csv"

    @property
    def labels(self) -> Path:
        """The names of the classes, as in a bundle; of the runs that a report is about."""
        return self.path / "labels.json"

    @property
    def heat_maps(self) -> Path:
        """Where the model looked on the images that the report shows."""
        return self.path / "heat-maps.npz"

    @property
    def test_openings(self) -> Path:
        """One line, with the time, for each opening of the test split."""
        return self.path / "test-openings.txt"

    def predictions(self, split: SplitScored) -> Path:
        """The logits, labels and image ids of a split."""
        return self.path / f"{split}-logits.npz"


def run_dir(out: Path, run_id: str) -> Path:
    """The folder of a run, inside a study's folder `out`."""
    return out / "runs" / run_id
