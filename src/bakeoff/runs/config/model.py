"""`[model]` of a recipe: the network, its input size, its starting weights, and which layers are trained."""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator

from bakeoff.files import expand_home
from bakeoff.runs.config.data import Section

__all__ = ["BatchNorm", "Model", "Side", "resolve_name"]

# Side, in pixels, of the square input of a network.
Side = Annotated[int, Field(ge=8, le=1024)]


def resolve_name(name: str) -> str:
    """The name of a network; that of a preset in a folder has its whole path, which other processes find, too."""
    if re.match(r"hub:(?:[.~]|[^/]*/)", name):
        return f"hub:{expand_home(name.removeprefix('hub:')).absolute()}"
    return name


class BatchNorm(StrEnum):
    """How the batch normalisations outside the frozen part behave during training."""

    TRAIN = "train"
    """They learn, normalise with batch statistics, and update their moving averages."""
    FROZEN = "frozen"
    """They stay in inference mode: nothing of them changes."""


class Model(Section):
    """`[model]`: the network, its input size, its starting weights, and which layers are trained."""

    name: str = "efficientnet-lite0"
    """Name of the network, as `bakeoff models` lists it. The default is small, and its ImageNet weights come from a
    package index."""
    source: str = ""
    """SHA-256 of what a network outside the table is built from: its source, or its configuration. Set by bakeoff."""
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
    alone, 1: everything), or a block such as `block5`: all layers from the first one of that name on. Of a transformer
    it is a fraction of its blocks; below 1 its embeddings stay frozen."""
    lora: int = Field(0, ge=0, le=256)
    """Low-rank adaptation (LoRA: Hu et al. 2022, arXiv 2106.09685): instead of the weights of the trained part, train
    two matrices of this rank, 1 to 256, for each kernel of its attention layers. They are merged into the kernels
    before the model is saved. For transformers only. 0: train the weights themselves."""
    batch_norm: BatchNorm = BatchNorm.TRAIN
    """`train`: batch normalisations outside the frozen part learn and use batch statistics. `frozen`: all of them stay
    in inference mode, which suits pretrained networks and small batches."""
    dropout: float = Field(0.2, ge=0.0, lt=1.0)
    """Fraction of the pooled features that is dropped before the head in training, from 0 to below 1."""

    @field_validator("name")
    @classmethod
    def _resolve_name(cls, value: str) -> str:
        return resolve_name(value)

    @field_validator("unfreeze")
    @classmethod
    def _check_unfreeze(cls, value: float | str) -> float | str:
        if isinstance(value, str) and not re.fullmatch(r"[A-Za-z][\w/]*", value):
            raise ValueError(f"{value!r} is neither a fraction from 0 to 1 nor the name of a block")
        if isinstance(value, float) and not 0 <= value <= 1:
            raise ValueError(f"the fraction of trained layers is {value:g}; give a number from 0 to 1")
        return value
