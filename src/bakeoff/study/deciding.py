"""The metric that decides in a study: what was asked for, or what suits the classes."""

from typing import NamedTuple

from bakeoff.data.shards import Dataset
from bakeoff.errors import ConfigError
from bakeoff.runs.config import Metric, Monitor, Run
from bakeoff.text import counted

__all__ = ["BY_TOP1", "UNEVEN", "Decision", "choose_metric", "decide_by"]

# Where the largest class has this many times the training images of the smallest, accuracy hides small classes,
# and networks learn to prefer large ones.
UNEVEN = 5


class Decision(NamedTuple):
    """The metric that decides, and a sentence that says so and why."""

    metric: Metric
    sentence: str


BY_TOP1 = Decision(Metric.TOP1, f"{Metric.TOP1.label} decides (--metric to change)")


def choose_metric(asked: Metric | None, dataset: Dataset, planned: Metric | None = None) -> Decision:
    """Choose the metric of a study.

    Args:
        asked: What was asked for; None: balanced accuracy for uneven classes, top-1 for others.
        dataset: The data, for the images of each class.
        planned: The metric of the study if it was begun before: it stays unless another was asked for.

    Raises:
        ConfigError: The validation images cannot be scored by it.
    """
    if asked is Metric.AUROC and (dataset.class_counts("val") > 0).sum() < 2:
        raise ConfigError("--metric auroc: all validation images are of one class; choose another metric")
    if asked is not None:
        return Decision(asked, f"{asked.label} decides, as asked for")
    counts = dataset.class_counts("train")
    largest, smallest = int(counts.max()), int(counts.min())
    usual = Metric.TOP1 if largest < UNEVEN * smallest else Metric.BALANCED
    if planned is not None and planned is not usual:
        return Decision(planned, f"{planned.label} decides, as it did when the study was begun")
    if usual is Metric.TOP1:
        return BY_TOP1
    if smallest:
        times = largest / smallest
        why = f"has {times:{'.0f' if times >= 10 else '.2g'}} times the training images of the smallest"
    else:
        why = f"has {counted(largest, 'training image')} and the smallest has none"
    return Decision(usual, f"{usual.label} decides, because the largest class {why} (--metric to change)")


def decide_by(run: Run, metric: Metric) -> Run:
    """The run with the metric that decides in its study. With top-1, early stopping follows what its config says."""
    if metric is Metric.TOP1:
        return run.revised(train={"metric": metric})
    return run.revised(train={"metric": metric, "monitor": Monitor.METRIC})
