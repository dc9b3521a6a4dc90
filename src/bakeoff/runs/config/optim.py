"""`[optim]` of a recipe: the optimiser, its learning rate, and the smoothing of targets and weights."""

from enum import StrEnum

from pydantic import Field

from bakeoff.runs.config.data import Section

__all__ = ["Optim", "Optimizer", "Schedule"]


class Optimizer(StrEnum):
    """The optimisers, built in `training/optimizer.py`."""

    ADAMW = "adamw"
    ADAM = "adam"
    ADAMAX = "adamax"
    LION = "lion"
    RMSPROP = "rmsprop"
    SGD = "sgd"
    """With Nesterov momentum of 0.9."""


class Schedule(StrEnum):
    """How the learning rate changes after the warm-up, up to the end of the run."""

    COSINE = "cosine"
    """From the peak to zero along half a cosine (Loshchilov & Hutter 2017, arXiv 1608.03983), without restarts."""
    LINEAR = "linear"
    """From the peak to zero in a straight line."""
    CONSTANT = "constant"
    """The peak rate until the end."""


class Optim(Section):
    """`[optim]`: the optimiser, its learning rate, and the smoothing of targets and weights."""

    name: Optimizer = Optimizer.ADAMW
    """`adamw`, `adam`, `adamax`, `lion`, `rmsprop` or `sgd` (with Nesterov momentum of 0.9)."""
    learning_rate: float = Field(1e-3, gt=0.0, le=10.0)
    """Peak learning rate, reached at the end of the warm-up; above 0 to 10."""
    first_layer: float = Field(1.0, gt=0.0, le=1.0)
    """Learning-rate multiplier of the backbone's first layer, above 0 to 1. From layer to layer (from block to block of
    a transformer) the multiplier rises by a constant factor, up to 1 at the head (discriminative fine-tuning: Howard &
    Ruder 2018, arXiv 1801.06146). The default, 1, is the same rate for all layers."""
    schedule: Schedule = Schedule.COSINE
    """The learning rate after the warm-up: `cosine` or `linear`, both from the peak to zero, or `constant`."""
    warmup: float = Field(0.1, ge=0.0, lt=1.0)
    """Fraction of the run in which the learning rate rises linearly from zero to its peak, from 0 to below 1."""
    weight_decay: float = Field(0.02, ge=0.0, le=1.0)
    """Decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101), 0 to 1: each step shrinks the weights by
    this times the learning rate. Biases and normalisation parameters are exempt."""
    label_smoothing: float = Field(0.1, ge=0.0, lt=1.0)
    """Share of each target that is spread evenly over all classes, from 0 to below 1."""
    ema: float = Field(0.99, ge=0.0, lt=1.0)
    """Decay per step of the exponential moving average of the weights, from 0 to below 1. The average is what is
    evaluated and saved (Polyak & Juditsky 1992). 0 switches it off."""
    clip_norm: float = Field(0.0, ge=0.0)
    """Largest global norm of the gradient; a larger gradient is scaled down to it. 0 switches clipping off."""
