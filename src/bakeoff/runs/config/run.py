"""The parts of a run's config, each frozen and checked before TensorFlow starts."""

import re
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from bakeoff.files import hash_json

__all__ = [
    "INTERIM_IMAGES",
    "RECIPE_VERSION",
    "Augment",
    "AugmentStep",
    "BatchNorm",
    "Candidate",
    "Data",
    "Mode",
    "Model",
    "Monitor",
    "Optim",
    "Optimizer",
    "Precision",
    "Run",
    "Schedule",
    "Train",
    "WeightsChoice",
    "run_id",
]

# Raised by hand whenever the same config would train differently: it is part of every run id.
RECIPE_VERSION = 1

# Validation images scored on the way; the end of a run is scored on all that the config asks for.
INTERIM_IMAGES = 1000


class Mode(StrEnum):
    """How a run learns: a probe on frozen features, or gradient descent through the network."""

    PROBE = "probe"
    FIT = "fit"


class AugmentStep(StrEnum):
    """What an augmentation policy is made of, see `augment.py`."""

    FLIP = "flip"
    CROP = "crop"
    TRANSLATE = "translate"
    ROTATE = "rotate"
    ZOOM = "zoom"
    CONTRAST = "contrast"
    BRIGHTNESS = "brightness"
    RANDAUGMENT = "randaugment"
    CUTOUT = "cutout"
    MIXUP = "mixup"
    CUTMIX = "cutmix"


class Optimizer(StrEnum):
    """Optimisers of `optim.py`."""

    ADAMW = "adamw"
    ADAM = "adam"
    ADAMAX = "adamax"
    LION = "lion"
    RMSPROP = "rmsprop"
    SGD = "sgd"


class Schedule(StrEnum):
    """How the learning rate moves over a run's progress, after the warm-up."""

    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"


class Monitor(StrEnum):
    """What early stopping watches on validation."""

    LOSS = "val_loss"
    TOP1 = "val_top1"


class Precision(StrEnum):
    """The Keras dtype policy of a run."""

    FLOAT32 = "float32"
    BFLOAT16 = "mixed_bfloat16"
    FLOAT16 = "mixed_float16"


class BatchNorm(StrEnum):
    """Whether the unfrozen batch normalisations learn and use batch statistics, or stay in inference mode."""

    TRAIN = "train"
    FROZEN = "frozen"


class _Part(BaseModel):
    # An infinite length or rate has no JSON, so it would have no run id; `classes = 20` is as good as `"20"`.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)


class Data(_Part):
    """Which images and which classes of them."""

    source: str = "digits"
    """`cifar100`, `cifar10`, `digits`, or the path of a folder of images."""
    classes: str = "all"
    """`all`, `coarse` (superclasses), a number (seeded random subset), or names separated by commas."""
    seed: int = 0
    """Draws the subset of classes."""
    exclude: str = ""
    """Path of a CSV by `bakeoff data check`: the images that it lists are left out."""


# Pixels along the side of a square that a network is fed.
Side = Annotated[int, Field(ge=8, le=1024)]


class Model(_Part):
    """The network, the pixels it is fed, and what of it learns."""

    name: str = "efficientnet-lite0"
    size: Side = 96
    """Side in pixels of the square the network is fed at validation and test."""
    weights: str = "auto"
    """`auto` (the network's own ImageNet weights if it has any), `none`, or the path of a weight file."""
    partial_weights: bool = False
    """Take a weight file that holds only a part of the network's tensors; the others stay random."""
    start: str = ""
    """A finished run's `model.keras`, of the same network, to go on from, head and all; relative to the study's folder.
    Empty: start from `weights`."""
    unfreeze: float | str = 1.0
    """How much of the backbone learns: a fraction of its layers, counted from the head (0 is the head alone), or the
    block from whose first layer on everything learns, by the beginning of its layers' names, as in `block5`."""
    batch_norm: BatchNorm = BatchNorm.TRAIN
    dropout: float = Field(0.2, ge=0.0, lt=1.0)
    """Fraction of pooled features dropped before the head."""

    @field_validator("unfreeze")
    @classmethod
    def _fraction_or_block(cls, value: float | str) -> float | str:
        if isinstance(value, str) and not re.fullmatch(r"[A-Za-z]\w*", value):
            raise ValueError(f"{value!r} is neither a fraction from 0 to 1 nor the name of a block")
        if isinstance(value, float) and not 0 <= value <= 1:
            raise ValueError(f"the fraction of layers that learn is {value:g}; it goes from 0 to 1")
        return value


class Augment(_Part):
    """What is done to a training batch before the network sees it."""

    policy: str = "flip-crop"
    """Steps joined by dashes, done in that order, as in `flip-crop-cutout`; or `none`."""
    crop: float = Field(0.125, ge=0.0, le=0.5)
    """Largest shift of a random crop, as a fraction of the stored side (0.125 of 32 is 4 pixels)."""
    translation: float = Field(0.1, ge=0.0, le=0.5)
    """Largest shift along each axis, as a fraction of the side; unlike a crop's, in parts of pixels."""
    rotation: float = Field(0.1, ge=0.0, le=0.5)
    """Largest turn either way, as a fraction of a full circle (0.1 is 36 degrees)."""
    zoom: float = Field(0.1, ge=0.0, le=0.5)
    """Largest change of the side that is shown, as a fraction of it: negative draws enlarge, positive ones shrink."""
    contrast: float = Field(0.1, ge=0.0, le=1.0)
    """Largest change of the distances to an image's mean per channel, as a fraction of them."""
    brightness: float = Field(0.1, ge=0.0, le=1.0)
    """Largest amount added or taken away, as a fraction of white."""
    operations: int = Field(2, ge=1, le=8)
    """Operations that RandAugment draws for each image."""
    magnitude: float = Field(0.3, ge=0.0, le=1.0)
    """Strength of RandAugment's operations, as a fraction of their strongest."""
    cutout: float = Field(0.25, ge=0.0, le=1.0)
    """Side of the square that is blanked, as a fraction of the image's."""
    mixup: float = Field(0.2, gt=0.0, le=10.0)
    """Both parameters of the beta distribution that mixup draws an image's share from."""
    cutmix: float = Field(1.0, gt=0.0, le=10.0)
    """The same for the share of the area that CutMix leaves."""

    @field_validator("policy")
    @classmethod
    def _known_steps(cls, value: str) -> str:
        names = [] if value == "none" else value.split("-")
        known = [step.value for step in AugmentStep]
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"{unknown[0]!r} is no step; join some of {', '.join(known)} by dashes, or say none")
        if len(set(names)) < len(names):
            raise ValueError(f"{value!r} names a step twice")
        return value

    @property
    def steps(self) -> tuple[AugmentStep, ...]:
        """The policy's steps in order."""
        return () if self.policy == "none" else tuple(map(AugmentStep, self.policy.split("-")))


class Optim(_Part):
    """Optimiser, loss smoothing, and how the rate moves."""

    name: Optimizer = Optimizer.ADAMW
    learning_rate: float = Field(1e-3, gt=0.0, le=10.0)
    """Peak rate, reached at the end of the warm-up."""
    first_layer: float = Field(1.0, gt=0.0, le=1.0)
    """The rate of the backbone's first layer as a fraction of the head's; it rises by an equal factor from layer to
    layer (discriminative rates, arXiv 1801.06146). 1 is one rate for all."""
    schedule: Schedule = Schedule.COSINE
    warmup: float = Field(0.1, ge=0.0, lt=1.0)
    """Fraction of the run over which the rate rises linearly from zero."""
    weight_decay: float = Field(0.02, ge=0.0, le=1.0)
    label_smoothing: float = Field(0.1, ge=0.0, lt=1.0)
    ema: float = Field(0.99, ge=0.0, lt=1.0)
    """Decay per step of the moving average of weights that is evaluated and kept; 0 switches it off."""
    clip_norm: float = Field(0.0, ge=0.0)
    """Largest global norm of a gradient; 0 switches clipping off."""


class Train(_Part):
    """How long, in what batches, and what stops it. Exactly one of seconds, images and epochs is given."""

    mode: Mode = Mode.FIT
    seconds: float | None = Field(None, gt=0.0)
    """Training seconds: steps and their data, without compiling and without validation."""
    images: int | None = Field(None, gt=0)
    """Training images seen, repeats counted."""
    epochs: float | None = Field(None, gt=0.0)
    batch: int = Field(64, ge=1, le=65536)
    precision: Precision = Precision.FLOAT32
    probe_images: int = Field(0, ge=0)
    """Start the head at the solution of a probe on this many images' frozen features (LP-FT, arXiv 2202.10054);
    0 starts it at random."""
    count_probe: bool = True
    """Whether `seconds` or `images` include the probe that the head starts from: at what its features cost when they
    were computed, so that a cache is no head start."""
    sizes: tuple[Side, ...] = ()
    """Input sizes of the run's equal parts before the last, smaller first (progressive resizing)."""
    evaluations: int = Field(5, ge=1)
    """How often validation is scored over the run, evenly spaced; the last is at its end."""
    patience: int = Field(0, ge=0)
    """Evaluations without a better score on validation before the run stops and takes its best weights; 0 never stops
    it."""
    monitor: Monitor = Monitor.LOSS
    """The score that `patience` waits for."""
    flip_test: bool = False
    """Average the probabilities of an image and its mirror image in evaluation."""
    deterministic: bool = False
    """Only operations that give the same bits every time, which are slower: the same config then has the same weights,
    interrupted or not, on the same machine. Needs a length in images or epochs."""
    subset: int | None = Field(None, ge=1)
    """Train on a stratified subset of this many images; all of them if not given."""
    val_images: int | None = Field(None, ge=1)
    """Score on a stratified subset of this many validation images; all of them if not given."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        given = [name for name in ("seconds", "images", "epochs") if getattr(self, name) is not None]
        if self.mode is Mode.PROBE and given:
            raise ValueError(f"a probe has no length: remove {', '.join(given)} (use subset)")
        if self.mode is Mode.FIT and len(given) != 1:
            raise ValueError(f"give exactly one of seconds, images and epochs, not {given or 'none'}")
        if self.deterministic and self.seconds is not None:
            raise ValueError("a deterministic run cannot end by the clock: give images or epochs instead of seconds")
        return self


class Run(_Part):
    """Everything that decides what a run does; equal configs are the same run."""

    data: Data = Data()
    model: Model = Model()
    augment: Augment = Augment()
    optim: Optim = Optim()
    train: Train = Train(epochs=5)
    seed: int = 0
    """Draws initial weights, data order, augmentation and dropout."""

    @property
    def candidate(self) -> str:
        """The network at its input size, as in `mobilenet-v2@96`."""
        return f"{self.model.name}@{self.model.size}"

    def revised(self, **changes: dict[str, Any]) -> Self:
        """A copy with fields of its parts replaced, as in `run.revised(train={"epochs": 3})`, checked anew."""
        raw = self.model_dump()
        for part, fields in changes.items():
            raw[part] |= fields
        return self.model_validate(raw)


class Candidate(_Part):
    """A network by name, at an input size or (None) at the size that the study chooses."""

    name: str
    size: Side | None = None

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name}@{self.size}"


class WeightsChoice(_Part):
    """What each network of a study starts from: `auto`, `none`, or the path of a weight file."""

    default: str = "auto"
    named: dict[str, str] = {}
    """By network, over the default."""
    partial: bool = False
    """Whether files may hold only a part of their network's tensors."""

    def of(self, network: str) -> str:
        """What this network starts from."""
        return self.named.get(network, self.default)


def run_id(run: Run, data_fingerprint: str, weights_fingerprint: str) -> str:
    """Twelve hexadecimal digits naming a run. Where the data lie (`data.source`) does not count, what they are does."""
    config = run.model_dump(mode="json", exclude={"data": True, "model": {"weights", "start"}})
    parts = [RECIPE_VERSION, config, data_fingerprint, weights_fingerprint]
    return hash_json(parts)[:12]
