"""`[train]` of a recipe: length, batches, evaluation and early stopping."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from bakeoff.runs.config.data import Section
from bakeoff.runs.config.metric import Metric
from bakeoff.runs.config.model import Side

__all__ = ["INTERIM_IMAGES", "Balance", "Mode", "Monitor", "Precision", "Train"]

# Validation images that an evaluation during training scores, unless `train.patience` is set. The evaluation at the
# end of a run scores all images that the config asks for.
INTERIM_IMAGES = 1000


class Mode(StrEnum):
    """How a run trains."""

    PROBE = "probe"
    """A linear classifier on frozen features."""
    FIT = "fit"
    """Gradient descent through the network."""


class Balance(StrEnum):
    """How training makes up for classes of different sizes, implemented in `training/balance.py`."""

    NONE = "none"
    """Every image counts the same."""
    WEIGHTS = "weights"
    """An image's loss is weighted by the inverse of the number of training images of its class."""
    EFFECTIVE = "effective"
    """The same by the effective number of images (Cui et al. 2019), which evens out less."""
    SAMPLER = "sampler"
    """Balanced batches: every class is drawn equally often."""
    LOGITS = "logits"
    """The loss adds the logarithm of each class's share to its logit (Menon et al. 2021)."""


class Monitor(StrEnum):
    """The validation metric that early stopping monitors."""

    LOSS = "val_loss"
    TOP1 = "val_top1"
    METRIC = "metric"
    """The one that `train.metric` names."""


class Precision(StrEnum):
    """The Keras dtype policy of a run: in a mixed policy, variables stay in float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "mixed_bfloat16"
    FLOAT16 = "mixed_float16"


class Train(Section):
    """`[train]`: length, batches, evaluation and early stopping. Give exactly one of seconds, images and epochs; a
    recipe without this section has 5 epochs."""

    mode: Mode = Mode.FIT
    """`fit`: gradient descent through the network. `probe`: a linear classifier on frozen features; it has no
    length."""
    seconds: float | None = Field(None, gt=0.0)
    """Length in seconds of training: steps and the wait for their batches, without compilation and validation."""
    images: int | None = Field(None, gt=0)
    """Length in training images. An image counts each time that it is used."""
    epochs: float | None = Field(None, gt=0.0)
    """Length in passes over the training images; may be a fraction."""
    batch: int = Field(64, ge=1, le=65536)
    """Images per optimiser step, 1 to 65,536. A batch that does not fit into memory is divided into micro-batches
    whose gradients are accumulated."""
    precision: Precision = Precision.FLOAT32
    """Keras dtype policy: `float32`, `mixed_bfloat16` or `mixed_float16`. A mixed policy computes in 16 bits and keeps
    variables in float32. The default runs fast on every processor."""
    xla: bool = False
    """Compile the training step with XLA, for GPUs only: on CPUs steps take longer with it. On a GPU, `bakeoff run`
    tries whether it is faster. A run whose step XLA cannot compile, and one on several GPUs, trains without it and says
    so."""
    probe_images: int = Field(0, ge=0)
    """Number of training images whose frozen features a linear probe is fitted on before training; the head starts
    from the probe (LP-FT: Kumar et al. 2022, arXiv 2202.10054). 0: the head starts at random."""
    count_probe: bool = True
    """Whether `seconds` and `images` include the probe that the head starts from. Its features count with the time
    that they took when they were computed, so a cached file gives a run no extra training time."""
    sizes: tuple[Side, ...] = ()
    """Progressive resizing: the input sizes, in pixels, at which training starts. The run is divided into equal parts,
    one for each of them and the last for `model.size`. Empty: train at `model.size` only."""
    evaluations: int = Field(5, ge=1)
    """Number of evaluations on validation images, evenly spaced over the run; the last is at its end."""
    patience: int = Field(0, ge=0)
    """Early stopping: the run stops after this many evaluations without improvement of `monitor`, and the best weights
    are restored. 0 switches it off."""
    monitor: Monitor = Monitor.LOSS
    """The validation metric that early stopping monitors: `val_loss`, `val_top1`, or `metric`, the one of
    `train.metric`."""
    metric: Metric = Metric.TOP1
    """The validation metric that decides: `top1`, `balanced`, `macro-f1`, `log-loss` or `auroc`. It ranks the run, and
    if training has made it worse than it was at the start, the starting weights are kept. `--metric` sets it."""
    flip_test: bool = False
    """Whether evaluation averages the probabilities of an image and its mirror image. It doubles the time of
    inference, in the exported model too. Where images must not be mirrored, a recipe's value counts only if the recipe
    or a setting names `augment.policy`."""
    deterministic: bool = False
    """Use only deterministic operations, which are slower. On the same machine, the same config then gives
    bit-identical weights, even if the run is interrupted. Needs a length in images or epochs."""
    balance: Balance = Balance.NONE
    """How training makes up for classes of different sizes: `none`; `weights` (the loss of an image is weighted by the
    inverse of its class's number of images); `effective` (by the effective number of images: Cui et al. 2019, arXiv
    1901.05555); `sampler` (batches in which every class is drawn equally often); `logits` (logit adjustment: Menon et
    al. 2021, arXiv 2007.07314). It holds for probes and for the probe that the head starts from, too. The model, its
    scores and its export have no part of it."""
    subset: int | None = Field(None, ge=1)
    """Train on a stratified subset of this many images. Not given: all of them."""
    val_images: int | None = Field(None, ge=1)
    """Evaluate on a stratified subset of this many validation images. Not given: all of them."""
    folds: int = Field(0, ge=0)
    """Probes only: score the images of validation and training together, by cross-validation with this many folds:
    each image by a head fitted on the other folds. Images of a group, and images that are nearly the same, stay in one
    fold. With as many as images, each is left out alone. 0: fit on training images, score validation images."""
    probe_views: int = Field(0, ge=0, le=64)
    """Probes only: fit the head on so many augmented views of each training image, too. The first view is the mirror
    image if `augment.policy` flips images, the others are changed by its steps at random; steps that mix images are
    left out. A head is also fitted on the images alone, and the one that is better on validation is kept. 0: the images
    alone."""
    with_val: bool = False
    """Train on the validation images too: on all of them, beside those of `subset`. Such a run has no validation score,
    so it cannot stop early; it repeats a recipe that was chosen before. `bakeoff run --refit` makes one."""

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        given = [name for name in ("seconds", "images", "epochs") if getattr(self, name) is not None]
        if self.mode is Mode.PROBE and given:
            raise ValueError(f"a probe has no length: remove {', '.join(given)} (use subset)")
        if self.mode is Mode.FIT and len(given) != 1:
            raise ValueError(f"give exactly one of seconds, images and epochs, not {given or 'none'}")
        if self.with_val and self.patience:
            raise ValueError("with_val leaves no image to validate on: remove patience")
        if self.folds == 1:
            raise ValueError("one fold leaves nothing to fit on: give 0 or at least 2 folds")
        if self.folds and self.with_val:
            raise ValueError("folds score the validation images, with_val only learns them: remove one of the two")
        if self.folds and self.mode is not Mode.PROBE:
            raise ValueError("only probes are cross-validated: remove folds, or set mode = probe")
        if self.probe_views and self.mode is not Mode.PROBE:
            raise ValueError("only the head of a probe is fitted on views: remove probe_views, or set mode = probe")
        if self.probe_views and self.folds:
            raise ValueError("a cross-validated probe has no views: remove probe_views or folds")
        if self.deterministic and self.seconds is not None:
            raise ValueError("a deterministic run cannot end by the clock: give images or epochs instead of seconds")
        return self
