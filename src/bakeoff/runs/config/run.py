"""The config of a run: the reference of every key of a recipe. Configs are immutable and validated on creation."""

import re
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from bakeoff.files import hash_json
from bakeoff.runs.config.data import Data, Section

__all__ = [
    "INTERIM_IMAGES",
    "RECIPE_VERSION",
    "Augment",
    "AugmentStep",
    "BatchNorm",
    "Candidate",
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

# Raise it by hand whenever an unchanged config would train differently: it is part of every run id.
RECIPE_VERSION = 1

# Validation images that an evaluation during training scores, unless `train.patience` is set. The evaluation at the
# end of a run scores all images that the config asks for.
INTERIM_IMAGES = 1000


class Mode(StrEnum):
    """How a run trains."""

    PROBE = "probe"
    """A linear classifier on frozen features."""
    FIT = "fit"
    """Gradient descent through the network."""


class AugmentStep(StrEnum):
    """The steps of an augmentation policy, implemented in `data/augment/`."""

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


class Monitor(StrEnum):
    """The validation metric that early stopping monitors."""

    LOSS = "val_loss"
    TOP1 = "val_top1"


class Precision(StrEnum):
    """The Keras dtype policy of a run: in a mixed policy, variables stay in float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "mixed_bfloat16"
    FLOAT16 = "mixed_float16"


class BatchNorm(StrEnum):
    """How the batch normalisations outside the frozen part behave during training."""

    TRAIN = "train"
    """They learn, normalise with batch statistics, and update their moving averages."""
    FROZEN = "frozen"
    """They stay in inference mode: nothing of them changes."""


# Side, in pixels, of the square input of a network.
Side = Annotated[int, Field(ge=8, le=1024)]


class Model(Section):
    """`[model]`: the network, its input size, its starting weights, and which layers are trained."""

    name: str = "efficientnet-lite0"
    """Name of the network, as `bakeoff models` lists it. The default is small, and its ImageNet weights come from a
    package index."""
    size: Side = 96
    """Side in pixels of the network's square input, 8 to 1024. Images are resized inside the network. Cost grows with
    the square of it. `train.sizes` may start the training at smaller inputs."""
    weights: str = "auto"
    """Starting weights of the backbone: `auto` (ImageNet weights where the network has any, else random), `none`
    (random), or the path of a weights file."""
    partial_weights: bool = False
    """Whether a weights file may hold only some of the backbone's tensors; the others start at random. By default such
    a file is an error, because it is usually a file of another network."""
    start: str = ""
    """Path of the `model.keras` of a finished run of the same network, relative to the study's folder. Training starts
    from it, head included. Empty: start from `weights`."""
    unfreeze: float | str = 1.0
    """Which part of the backbone is trained: a fraction of its layers from 0 to 1, counted from the head (0: the head
    alone, 1: everything), or a block such as `block5`: all layers from the first one of that name on."""
    batch_norm: BatchNorm = BatchNorm.TRAIN
    """`train`: batch normalisations outside the frozen part learn and use batch statistics. `frozen`: all of them stay
    in inference mode, which suits pretrained networks and small batches."""
    dropout: float = Field(0.2, ge=0.0, lt=1.0)
    """Fraction of the pooled features that is dropped before the head in training, from 0 to below 1."""

    @field_validator("unfreeze")
    @classmethod
    def _check_unfreeze(cls, value: float | str) -> float | str:
        if isinstance(value, str) and not re.fullmatch(r"[A-Za-z]\w*", value):
            raise ValueError(f"{value!r} is neither a fraction from 0 to 1 nor the name of a block")
        if isinstance(value, float) and not 0 <= value <= 1:
            raise ValueError(f"the fraction of trained layers is {value:g}; give a number from 0 to 1")
        return value


class Augment(Section):
    """`[augment]`: random changes of each training batch. A strength counts only if its step is in the policy."""

    policy: str = "flip-crop"
    """The steps in their order, joined by dashes, as in `flip-crop-cutout`; or `none`. Steps: `flip`, `crop`,
    `translate`, `rotate`, `zoom`, `contrast`, `brightness`, `randaugment`, `cutout`, `mixup`, `cutmix`."""
    crop: float = Field(0.125, ge=0.0, le=0.5)
    """`crop`: largest shift in whole pixels, as a fraction of the side of the stored image, 0 to 0.5. The default is 4
    pixels of 32, as is usual for CIFAR."""
    translation: float = Field(0.1, ge=0.0, le=0.5)
    """`translate`: largest shift along each axis, as a fraction of the side, 0 to 0.5. Unlike a crop's, the shift need
    not be a whole number of pixels."""
    rotation: float = Field(0.1, ge=0.0, le=0.5)
    """`rotate`: largest rotation in either direction, as a fraction of a full turn, 0 to 0.5 (0.1 is 36 degrees)."""
    zoom: float = Field(0.1, ge=0.0, le=0.5)
    """`zoom`: largest relative change of the side of the visible part, 0 to 0.5. Where the part is smaller than the
    image, its content is enlarged."""
    contrast: float = Field(0.1, ge=0.0, le=1.0)
    """`contrast`: largest relative change of each pixel's distance from its channel's mean, 0 to 1."""
    brightness: float = Field(0.1, ge=0.0, le=1.0)
    """`brightness`: largest value added or subtracted, as a fraction of white (255), 0 to 1."""
    operations: int = Field(2, ge=1, le=8)
    """`randaugment`: number of operations for each image, 1 to 8."""
    magnitude: float = Field(0.3, ge=0.0, le=1.0)
    """`randaugment`: strength of the operations, as a fraction of their strongest setting, 0 to 1."""
    cutout: float = Field(0.25, ge=0.0, le=1.0)
    """`cutout`: side of the blanked square, as a fraction of the image's side, 0 to 1."""
    mixup: float = Field(0.2, gt=0.0, le=10.0)
    """`mixup`: both parameters of the beta distribution that an image's share of the mixture is drawn from, above 0 to
    10. Below 1 most mixtures are close to one of the two images."""
    cutmix: float = Field(1.0, gt=0.0, le=10.0)
    """`cutmix`: the same for the share of the area that stays the image's, above 0 to 10. 1: all shares are equally
    likely."""

    @field_validator("policy")
    @classmethod
    def _check_policy(cls, value: str) -> str:
        names = [] if value == "none" else value.split("-")
        known = [step.value for step in AugmentStep]
        if unknown := [name for name in names if name not in known]:
            raise ValueError(
                f"there is no step {unknown[0]!r}; join steps of {', '.join(known)} by dashes, or give none"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"{value!r} names a step twice; give each step once")
        return value

    @property
    def steps(self) -> tuple[AugmentStep, ...]:
        """The policy's steps in order."""
        return () if self.policy == "none" else tuple(map(AugmentStep, self.policy.split("-")))


class Optim(Section):
    """`[optim]`: the optimiser, its learning rate, and the smoothing of targets and weights."""

    name: Optimizer = Optimizer.ADAMW
    """`adamw`, `adam`, `adamax`, `lion`, `rmsprop` or `sgd` (with Nesterov momentum of 0.9)."""
    learning_rate: float = Field(1e-3, gt=0.0, le=10.0)
    """Peak learning rate, reached at the end of the warm-up; above 0 to 10."""
    first_layer: float = Field(1.0, gt=0.0, le=1.0)
    """Learning-rate multiplier of the backbone's first layer, above 0 to 1. From layer to layer the multiplier rises by
    a constant factor, up to 1 at the head (discriminative fine-tuning: Howard & Ruder 2018, arXiv 1801.06146). The
    default, 1, is the same rate for all layers."""
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


class Train(Section):
    """`[train]`: length, batches, evaluation and early stopping. Give exactly one of seconds, images and epochs."""

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
    """Compile the training step with XLA, for GPUs only: on CPUs its resizing is wrong (TensorFlow 2.21). On a GPU,
    `bakeoff run` tries whether it is faster."""
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
    """The validation metric that early stopping monitors: `val_loss` or `val_top1`."""
    flip_test: bool = False
    """Whether evaluation averages the probabilities of an image and its mirror image. It doubles the time of
    inference, in the exported model too."""
    deterministic: bool = False
    """Use only deterministic operations, which are slower. On the same machine, the same config then gives
    bit-identical weights, even if the run is interrupted. Needs a length in images or epochs."""
    subset: int | None = Field(None, ge=1)
    """Train on a stratified subset of this many images. Not given: all of them."""
    val_images: int | None = Field(None, ge=1)
    """Evaluate on a stratified subset of this many validation images. Not given: all of them."""

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        given = [name for name in ("seconds", "images", "epochs") if getattr(self, name) is not None]
        if self.mode is Mode.PROBE and given:
            raise ValueError(f"a probe has no length: remove {', '.join(given)} (use subset)")
        if self.mode is Mode.FIT and len(given) != 1:
            raise ValueError(f"give exactly one of seconds, images and epochs, not {given or 'none'}")
        if self.deterministic and self.seconds is not None:
            raise ValueError("a deterministic run cannot end by the clock: give images or epochs instead of seconds")
        return self


class Run(Section):
    """The config of a run: everything that its result depends on, apart from the data and the weights themselves."""

    data: Data = Data()
    model: Model = Model()
    augment: Augment = Augment()
    optim: Optim = Optim()
    train: Train = Train(epochs=5)
    seed: int = 0
    """Seed of the initial weights, the order of the data, augmentation and dropout."""

    @property
    def candidate(self) -> str:
        """The network and its input size, as in `mobilenet-v2@96`."""
        return f"{self.model.name}@{self.model.size}"

    def revised(self, **changes: dict[str, Any]) -> Self:
        """A validated copy with some keys replaced, as in `run.revised(train={"epochs": 3})`."""
        raw = self.model_dump()
        for section, values in changes.items():
            raw[section] |= values
        return self.model_validate(raw)


class Candidate(Section):
    """A network by name, and its input size; None: the study chooses the size."""

    name: str
    size: Side | None = None

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name}@{self.size}"


class WeightsChoice(Section):
    """The starting weights of each network of a study: `auto`, `none`, or the path of a weights file."""

    default: str = "auto"
    named: dict[str, str] = {}
    """Choices for single networks, by name; they override the default."""
    partial: bool = False
    """Whether files may hold only some of their network's tensors."""

    def of(self, network: str) -> str:
        """The choice for a network, by name."""
        return self.named.get(network, self.default)


def run_id(run: Run, data_fingerprint: str, weights_fingerprint: str) -> str:
    """The id of a run: 12 hexadecimal digits, a hash of its config, its data, its weights and RECIPE_VERSION.

    Paths (`data.source`, `model.weights`, `model.start`) are left out: the fingerprints identify the contents, wherever
    they are stored. A key that version 0.1.0 did not have is left out unless it is set, so that older ids hold.
    """
    config = run.model_dump(mode="json", exclude={"data": True, "model": {"weights", "start"}})
    if not run.train.xla:
        del config["train"]["xla"]
    parts = [RECIPE_VERSION, config, data_fingerprint, weights_fingerprint]
    return hash_json(parts)[:12]
