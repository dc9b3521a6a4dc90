"""From stored pixels to logits in one model: uint8 RGB -> resize -> the network's own scaling -> backbone -> head.

Only Keras' own layers are used, so a saved model opens without bakeoff.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import keras

from bakeoff.errors import ConfigError, WeightsError
from bakeoff.networks.table import NetworkSpec, Scaling, build_backbone, check_size
from bakeoff.runs.config import BatchNorm, Model

__all__ = ["Network", "build_network", "count_parameters", "freeze"]

# Mean and standard deviation of ImageNet's RGB on 0..1, and its BGR means on 0..255 (keras.applications).
TORCH_MEAN, TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_BGR_MEAN = (103.939, 116.779, 123.68)


@dataclass(frozen=True)
class Network:
    """A backbone and a head that can be asked for at any input size; all the models share their weights."""

    row: NetworkSpec
    backbone: keras.Model
    dropout: keras.layers.Layer
    head: keras.layers.Dense
    side: int

    def model(self, size: int) -> keras.Model:
        """uint8 images (n, side, side, 3) -> float32 logits (n, classes), the network seeing `size` pixels."""
        images = keras.Input((self.side, self.side, 3), dtype="uint8", name="image")
        return keras.Model(images, self.head(self.dropout(self._pooled(images, size))), name=self._name(size))

    def features(self, size: int) -> keras.Model:
        """uint8 images (n, side, side, 3) -> pooled features (n, d), as the head receives them."""
        images = keras.Input((self.side, self.side, 3), dtype="uint8", name="image")
        return keras.Model(images, self._pooled(images, size), name=f"{self._name(size)}_features")

    def adopt(self, other: keras.Model, size: int) -> None:
        """Take the weights of another model of this network, head and all. Raises WeightsError if it is not one."""
        own = self.model(size)
        if [weight.shape for weight in own.weights] != [weight.shape for weight in other.weights]:
            raise WeightsError(
                f"{other.name} is not {self.row.name} with this head; go on from a run of the same network"
            )
        own.set_weights(other.get_weights())

    def _pooled(self, images: Any, size: int) -> Any:
        x = keras.layers.Rescaling(1.0, dtype="float32", name="as_float")(images)
        if size != self.side:
            resize = keras.layers.Resizing(
                size, size, interpolation="bilinear", antialias=size < self.side, dtype="float32", name="resize"
            )
            # Keras' image layers run in training mode by default and pass that on to every later layer.
            x = resize(x, training=False)
        x = self.backbone(_scaled(x, self.row.scaling))
        return keras.layers.GlobalAveragePooling2D(name="pool")(x) if len(x.shape) == 4 else x

    def _name(self, size: int) -> str:
        return f"{self.row.name}_{size}".replace("-", "_")


def build_network(row: NetworkSpec, config: Model, *, side: int, classes: int) -> Network:
    """A network with random weights. Raises ConfigError for an input size that it cannot take."""
    check_size(row, config.size)
    # A from-scratch net ends in dense layers, which fix its size; the others pool and take any.
    shape = (config.size, config.size, 3) if row.from_scratch else (None, None, 3)
    return Network(
        row=row,
        backbone=build_backbone(row, shape),
        dropout=keras.layers.Dropout(config.dropout, name="dropout"),
        # Logits stay float32: a half-precision softmax over many classes loses the small ones.
        head=keras.layers.Dense(classes, dtype="float32", name="head"),
        side=side,
    )


def freeze(backbone: keras.Model, unfreeze: float | str, batch_norm: BatchNorm) -> None:
    """Let the last `unfreeze` of the layers learn, or all from a block's first layer on.

    A frozen batch normalisation stays in inference mode. Raises ConfigError if there is no such block.
    """
    layers = backbone.layers
    if isinstance(unfreeze, str):
        first_trainable = _find_block(backbone, unfreeze)
    else:
        first_trainable = len(layers) - round(unfreeze * len(layers))
    for position, layer in enumerate(layers):
        is_frozen_norm = batch_norm is BatchNorm.FROZEN and isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = position >= first_trainable and not is_frozen_norm


def _find_block(backbone: keras.Model, block: str) -> int:
    """Place of the first layer whose name begins with `block`; block1 does not begin block14."""
    blocks: dict[str, None] = {}
    for position, layer in enumerate(backbone.layers):
        if re.match(rf"{re.escape(block)}(?!\d)", layer.name):
            return position
        is_numbered = re.sub(r"_\d+$", "", layer.name).replace("_", "") == type(layer).__name__.lower()
        if not is_numbered and (match := re.match(r"([a-z_]+?_?\d+[a-z]?)(_|$)", layer.name)):
            blocks[match[1]] = None
    raise ConfigError(f"{backbone.name} has no block {block!r}; its last ones are {', '.join([*blocks][-8:])}")


def count_parameters(model: keras.Model) -> tuple[int, int]:
    """Total and trainable numbers of weights, batch statistics counted in the total."""
    return int(model.count_params()), sum(math.prod(weight.shape) for weight in model.trainable_weights)


def _scaled(x: Any, scaling: Scaling) -> Any:
    def rescale(scale: float | list[float], offset: float | list[float]) -> Any:
        return keras.layers.Rescaling(scale, offset, dtype="float32", name="scale")

    match scaling:
        case Scaling.NONE:
            return x
        case Scaling.UNIT:
            return rescale(1 / 255, 0.0)(x)
        case Scaling.SYMMETRIC:
            return rescale(1 / 127.5, -1.0)(x)
        case Scaling.TORCH:
            scales = [1 / (255 * std) for std in TORCH_STD]
            return rescale(scales, [-mean / std for mean, std in zip(TORCH_MEAN, TORCH_STD, strict=True)])(x)
        case Scaling.CAFFE:
            return rescale(1.0, [-mean for mean in CAFFE_BGR_MEAN])(keras.ops.flip(x, axis=-1))
    raise ConfigError(f"there is no input scaling {scaling!r}")
