"""What a run is: one frozen config, read from TOML or JSON, checked before TensorFlow starts.

A run is a pure function of its config, the data's fingerprint and the weights' fingerprint; `run_id` is the
hash of the three and of `RECIPE_VERSION`, so a finished id never needs to be trained again.

    Run.model_validate(...)            from a mapping
    read_run(Path("recipe.toml"))      from a file
    override(run, ["optim.learning_rate=0.001"])
"""

import json
import math
import re
import tomllib
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bakeoff.errors import ConfigError
from bakeoff.files import hash_json

__all__ = [
    "RECIPE_VERSION",
    "Augment",
    "BatchNorm",
    "Candidate",
    "Data",
    "Mode",
    "Model",
    "Optim",
    "Optimizer",
    "Policy",
    "Precision",
    "Run",
    "Schedule",
    "Train",
    "WeightsChoice",
    "override",
    "parse_candidate",
    "parse_duration",
    "parse_weights",
    "read_comparison",
    "read_run",
    "run_id",
]

_LENGTHS = (["train", "seconds"], ["train", "images"], ["train", "epochs"])

# Raised by hand whenever the same config would train differently: it is part of every run id.
RECIPE_VERSION = 1


class Mode(StrEnum):
    """How a run learns: a probe on frozen features, or gradient descent through the network."""

    PROBE = "probe"
    FIT = "fit"


class Policy(StrEnum):
    """Names of the augmentation policies in `augment.py`."""

    NONE = "none"
    FLIP = "flip"
    CROP = "crop"
    ROTATE = "rotate"
    ZOOM = "zoom"
    CONTRAST = "contrast"
    FLIP_CROP = "flip-crop"
    FLIP_ROTATE_ZOOM_CONTRAST = "flip-rotate-zoom-contrast"


class Optimizer(StrEnum):
    """Optimisers of `optim.py`."""

    ADAMW = "adamw"
    ADAM = "adam"
    SGD = "sgd"


class Schedule(StrEnum):
    """How the learning rate moves over a run's progress, after the warm-up."""

    COSINE = "cosine"
    CONSTANT = "constant"


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

    policy: Policy = Policy.FLIP_CROP
    crop: float = Field(0.125, ge=0.0, le=0.5)
    """Largest shift of a random crop, as a fraction of the stored side (0.125 of 32 is 4 pixels)."""
    rotation: float = Field(0.1, ge=0.0, le=0.5)
    """Largest turn either way, as a fraction of a full circle (0.1 is 36 degrees)."""
    zoom: float = Field(0.1, ge=0.0, le=0.5)
    """Largest change of the side that is shown, as a fraction of it: negative draws enlarge, positive ones shrink."""
    contrast: float = Field(0.1, ge=0.0, le=1.0)
    """Largest change of the distances to an image's mean per channel, as a fraction of them."""


class Optim(_Part):
    """Optimiser, loss smoothing, and how the rate moves."""

    name: Optimizer = Optimizer.ADAMW
    learning_rate: float = Field(1e-3, gt=0.0, le=10.0)
    """Peak rate, reached at the end of the warm-up."""
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
    """Evaluations without a better validation loss before the run stops; 0 never stops it."""
    flip_test: bool = False
    """Average the probabilities of an image and its mirror image in evaluation."""
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


def read_run(path: Path) -> Run:
    """Read a run from a TOML or JSON file. Raises ConfigError naming the file and the field."""
    return _validated(_read_recipe(path), str(path))


def read_comparison(path: Path) -> tuple[Run, list[Candidate]]:
    """Read a recipe for several networks: a run, and its key `candidates`, which may be absent. Raises ConfigError."""
    raw = _read_recipe(path)
    names = raw.pop("candidates", []) if isinstance(raw, dict) else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f'{path}: candidates must be a list of names, as in candidates = ["vgg-16@78"]')
    return _validated(raw, str(path)), [parse_candidate(name) for name in names]


def _read_recipe(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the recipe {path}: {error}; give the path of a TOML file") from error
    try:
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path} is not valid {path.suffix.lstrip('.') or 'toml'}: {error}") from error


def override(run: Run, settings: Iterable[str]) -> Run:
    """Apply `section.key=value` settings, values read as TOML where they can be, else as text.

    Choosing one of train.seconds, train.images, train.epochs clears the other two, and `train.mode=probe` clears
    all three, for a probe has no length. Raises ConfigError.
    """
    raw = run.model_dump(mode="json")
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise ConfigError(f"--set {setting!r} is not KEY=VALUE, as in --set optim.learning_rate=0.001")
        place = raw
        for part in path[:-1]:
            if not isinstance(place.get(part), dict):
                raise ConfigError(f"--set {setting!r}: there is no section {part!r}; sections are {_sections()}")
            place = place[part]
        value = _toml_value(text.strip())
        if path in _LENGTHS or (path == ["train", "mode"] and value == Mode.PROBE):
            place |= {name: None for _, name in _LENGTHS}
        place[path[-1]] = value
    return _validated(raw, "--set")


def parse_candidate(text: str) -> Candidate:
    """Read `name` or `name@size`. Raises ConfigError; whether the name exists is the table's to say."""
    match = re.fullmatch(r"([a-z][a-z0-9-]*)(?:@(\d{1,4}))?", text.strip().lower())
    if not match:
        raise ConfigError(f"candidate {text!r} is not NAME or NAME@SIZE, as in efficientnet-lite0@96")
    name, size = match.groups()
    try:
        return Candidate(name=name, size=int(size) if size else None)
    except ValidationError as error:
        raise ConfigError(f"candidate {text!r}: {_first_message(error)}; sizes are pixels along the side") from error


def parse_weights(texts: Iterable[str], *, partial: bool = False) -> WeightsChoice:
    """Read `auto`, `none` or PATH, for all networks or, as NAME=PATH, for one. Raises ConfigError."""
    default, named = "auto", {}
    for text in texts:
        match = re.fullmatch(r"([a-z][a-z0-9-]*)=(.+)", text.strip())
        value = match[2] if match else text.strip()
        if not value:
            raise ConfigError("--weights is empty; give auto, none, PATH, or NAME=PATH for one network")
        if value not in ("auto", "none"):
            value = str(Path(value).expanduser().absolute())
        if match:
            named[match[1]] = value
        else:
            default = value
    return WeightsChoice(default=default, named=named, partial=partial)


def parse_duration(text: str) -> float:
    """Seconds of `90`, `90s`, `10m`, `1.5h` or `1h30m`. Raises ConfigError."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower())
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0.0, 0.0, 0.0)
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total < math.inf:
        raise ConfigError(f"{text!r} is not a duration; write seconds, minutes or hours, as in 90s, 10m, 1h30m")
    return total


def _validated(raw: Any, where: str) -> Run:
    try:
        return Run.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the recipe"
        message = _first_message(error)
        if first["type"] == "extra_forbidden":
            message = f"there is no such key; keys here are {_keys(first['loc'])}"
        raise ConfigError(f"{where}: {place}: {message}") from error


def _first_message(error: ValidationError) -> str:
    return error.errors()[0]["msg"].removeprefix("Value error, ")


def _sections() -> str:
    return ", ".join(name for name, field in Run.model_fields.items() if field.annotation is not int)


def _keys(place: tuple[int | str, ...]) -> str:
    part: Any = Run
    for name in place[:-1]:
        part = part.model_fields[name].annotation
    return ", ".join(part.model_fields)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
