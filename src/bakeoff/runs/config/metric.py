"""The metrics of which one decides: their names, which direction is better, and how they are shown."""

from enum import StrEnum

__all__ = ["Metric"]


class Metric(StrEnum):
    """The validation metric that decides: which candidate leads, which recipe, and which weights of a run are kept."""

    TOP1 = "top1"
    """The share of images whose class is predicted."""
    BALANCED = "balanced"
    """Balanced accuracy: the mean over classes of that share."""
    MACRO_F1 = "macro-f1"
    """The mean over classes of F1."""
    LOG_LOSS = "log-loss"
    """The mean negative logarithm of the true class's probability, in nats; less is better."""
    AUROC = "auroc"
    """The mean over classes of the area under the ROC curve of one class against the rest."""

    @property
    def label(self) -> str:
        """Its name in a sentence or a table."""
        return _LABELS[self]

    @property
    def heading(self) -> str:
        """The label with a capital letter."""
        return self.label[:1].upper() + self.label[1:]

    @property
    def field(self) -> str:
        """Its field in a record's metrics; with `_ci95` behind it, that of its interval."""
        return _FIELDS[self]

    @property
    def is_loss(self) -> bool:
        """Whether less is better. All others are shares of 1."""
        return self is Metric.LOG_LOSS

    @property
    def scale(self) -> int:
        """A value is shown times this: shares in percent."""
        return 1 if self.is_loss else 100

    @property
    def digits(self) -> int:
        """Decimal places of a value that is shown."""
        return 3 if self.is_loss else 1

    @property
    def unit(self) -> str:
        """What stands behind a value that is shown."""
        return "" if self.is_loss else " %"

    @property
    def points(self) -> str:
        """What stands behind a difference that is shown."""
        return "" if self.is_loss else " points"

    def merit(self, value: float) -> float:
        """The value as a score of which more is better."""
        return -value if self.is_loss else value

    def error(self, value: float) -> float:
        """The value as an error, at least 0, of which less is better; `error` again gives the value back."""
        return value if self.is_loss else 1.0 - value


_LABELS = {
    Metric.TOP1: "top-1",
    Metric.BALANCED: "balanced accuracy",
    Metric.MACRO_F1: "macro F1",
    Metric.LOG_LOSS: "log loss",
    Metric.AUROC: "AUROC",
}
_FIELDS = {
    Metric.TOP1: "top1",
    Metric.BALANCED: "balanced_accuracy",
    Metric.MACRO_F1: "macro_f1",
    Metric.LOG_LOSS: "log_loss",
    Metric.AUROC: "auroc",
}
