"""The plan of a study: what it does with its budget."""

from typing import Any

from bakeoff.runs.config import Candidate, Data, Metric, Precision, WeightsChoice
from bakeoff.runs.default_field import DefaultField
from bakeoff.runs.facts import Facts
from bakeoff.study.small import is_small

__all__ = ["StudyPlan"]


class StudyPlan(Facts):
    """What a study does with its budget; a function of the budget, the data, the candidates and the machine."""

    budget_seconds: float
    """Wall-clock seconds for the whole study."""
    data: Data
    seed: int
    """Seed of the study and of its runs."""
    weights: WeightsChoice
    candidates: tuple[str, ...]
    """Names as `name@size`, in the order in which they are screened."""
    sources: dict[str, str] = {}
    """SHA-256 of what each network outside the table is built from, by name."""
    cut: tuple[str, ...]
    """Candidates for which there is no time."""
    downloads: dict[str, int] = {}
    """Networks whose weights were on their way when the plan was made, and the bytes of their files."""
    unavailable: dict[str, str] = {}
    """Candidates whose weights cannot be had in time, and why."""
    screen_images: int
    """Training images of a probe in the screen."""
    screen_val: int
    """Validation images that a run is scored on in the screen and the race."""
    screen_folds: int = 0
    """Folds by which probes are cross-validated on `screen_images` and `screen_val` together; 0: the training images
    fit them, the validation images score them."""
    scratch_seconds: float
    """Training seconds of a from-scratch network in the screen; pretrained ones are probed."""
    finalists: int
    """Candidates in the first rung of the race."""
    race_seconds: tuple[float, ...]
    """Training seconds of each run, by rung. The better half of a rung continues in the next one."""
    tune_seconds: float
    """Wall-clock seconds for the search of the winner's recipe; 0 for no search."""
    refit: bool | None = None
    """Whether the winner's recipe is trained once more, on training and validation images together. None in studies of
    versions that had no refit."""
    count_val: int
    """Validation images."""
    count_test: int
    """Test images."""
    count_train: int = 0
    """Training images."""
    count_classes: int = 0
    """Number of classes."""
    side: int = 0
    """Side of the stored images in pixels."""
    confirm_seconds: float = 0.0
    """Predicted training seconds of the winner."""
    predicted_seconds: dict[str, float] = {}
    """Predicted wall-clock seconds by stage."""
    precision: Precision = Precision.FLOAT32
    """Precision of all runs: float32, or the fastest one that was tried on a GPU."""
    xla: bool = False
    """Whether XLA compiles training steps: only if that was tried on a GPU, and faster."""
    rests_on: str = ""
    """What the predictions rest on."""
    metric: Metric = Metric.TOP1
    """The validation metric that decides."""
    decides: str = ""
    """A sentence that says so, and why."""
    mirror: bool | None = None
    """Whether images may be mirrored; None in studies of versions that mirrored all but those called `digits`."""
    field: DefaultField | None = None
    """How the candidates were chosen; None if they were named, and in studies of older versions."""

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for, without what the machine has decided: the same study has the same."""
        planned = (*self.candidates, *self.cut, *self.unavailable)
        return {
            "budget_seconds": self.budget_seconds,
            "data": self.data.model_dump(mode="json"),
            "seed": self.seed,
            "weights": self.weights.model_dump(mode="json"),
            "candidates": sorted({Candidate.read(name).name for name in planned}),
            "tune_seconds": self.tune_seconds,
            "metric": self.metric.value,
            "mirror": self.may_mirror,
            **({} if self.refit is None else {"refit": self.refit}),
            **({"sources": self.sources} if self.sources else {}),
        }

    @property
    def may_mirror(self) -> bool:
        """Whether images may be mirrored, in training, in views and in scoring."""
        return self.data.source != "digits" if self.mirror is None else self.mirror

    @property
    def is_small(self) -> bool:
        """Whether the data are small."""
        return is_small(self.count_train, self.count_val)

    @property
    def refit_ratio(self) -> float:
        """How many images a refit trains on, for each image of the training split."""
        return (self.count_train + self.count_val) / max(self.count_train, 1)
