"""One model from stored pixels to logits: uint8 RGB -> resizing -> input scaling -> backbone -> pooling -> head.

It has layers of Keras alone, so a saved model can be opened without bakeoff.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from bakeoff.errors import ConfigError, WeightsError
from bakeoff.networks.backbone import Affine, Backbone, Features, Scaling, build_backbone, check_size
from bakeoff.networks.find import check_source
from bakeoff.networks.weights import renew_copies
from bakeoff.runs.config import Model

__all__ = ["Network", "build_network", "count_parameters", "split_resizing"]

# As in `keras.applications`: mean and standard deviation of ImageNet's RGB channels in 0..1, and the means of its BGR
# channels in 0..255.
TORCH_MEAN, TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_BGR_MEAN = (103.939, 116.779, 123.68)
# The name of the layer that resizes the images.
RESIZE = "resize"


@dataclass(frozen=True)
class Network:
    """A backbone and a head, from which models of any input size are made. All these models share their weights.

    A model resizes images from `side` to `size` pixels; the backbone maps float32 (n, size, size, 3) to a map
    (n, h, w, d), to tokens (n, t, d) or to flat features (n, d), and the head maps (n, d) to logits (n, classes).
    """

    spec: Backbone
    backbone: keras.Model
    dropout: keras.layers.Layer
    head: keras.layers.Dense
    side: int
    """Side in pixels of the stored images."""

    def model(self, size: int) -> keras.Model:
        """The whole model: uint8 images (n, side, side, 3) to float32 logits (n, classes)."""
        images = keras.Input((self.side, self.side, 3), dtype="uint8", name="image")
        return keras.Model(images, self.head(self.dropout(self._extract_features(images, size))), name=self._name(size))

    def features(self, size: int) -> keras.Model:
        """The model without dropout and head: uint8 images (n, side, side, 3) to pooled features (n, d)."""
        images = keras.Input((self.side, self.side, 3), dtype="uint8", name="image")
        return keras.Model(images, self._extract_features(images, size), name=f"{self._name(size)}_features")

    def copy_weights(self, other: keras.Model, size: int) -> None:
        """Copy all weights, the head's too, from another model of the same network.

        Raises WeightsError if its weights have other shapes.
        """
        model = self.model(size)
        if [weight.shape for weight in model.weights] != [weight.shape for weight in other.weights]:
            raise WeightsError(
                f"{other.name} is not {self.spec.name} with this head; start from a run of the same network and classes"
            )
        model.set_weights(other.get_weights())
        renew_copies(self.backbone)

    def _extract_features(self, images: Any, size: int) -> Any:
        x = keras.layers.Rescaling(1.0, dtype="float32", name="as_float")(images)
        if size != self.side:
            resize = keras.layers.Resizing(
                size,
                size,
                interpolation=self.spec.interpolation,
                antialias=size < self.side,
                dtype="float32",
                name=RESIZE,
            )
            # Keras' image layers run in training mode by default, and later layers inherit the mode.
            x = resize(x, training=False)
        x = self.backbone(_scale_input(x, self.spec.scaling))
        return _pool(x, self.spec.features)

    def _name(self, size: int) -> str:
        # What is cached by a model's name is not of another source.
        parts = [self.spec.name, *([self.spec.source[:8]] if self.spec.source else []), str(size)]
        return re.sub(r"\W+", "_", "_".join(parts))


def build_network(spec: Backbone, config: Model, *, side: int, classes: int) -> Network:
    """Build a network with random weights.

    Args:
        spec: The network.
        config: The input size and the dropout rate.
        side: Side in pixels of the stored images.
        classes: Number of logits.

    Raises:
        ConfigError: The input size is too small for the network.
    """
    check_size(spec, config.size)
    check_source(spec, config)
    # A network that is trained from scratch ends in dense layers, which fix the input size. Most others end in a map,
    # which is pooled, so they take any size.
    shape = (config.size, config.size, 3) if spec.from_scratch or spec.one_size else (None, None, 3)
    return Network(
        spec=spec,
        backbone=build_backbone(spec, shape),
        dropout=keras.layers.Dropout(config.dropout, name="dropout"),
        # Logits stay float32: in half precision, a softmax over many classes rounds small probabilities to zero.
        head=keras.layers.Dense(classes, dtype="float32", name="head"),
        side=side,
    )


def count_parameters(model: keras.Model) -> tuple[int, int]:
    """The numbers of all and of trainable parameters. All includes the moving averages of batch normalisation."""
    return int(model.count_params()), sum(math.prod(weight.shape) for weight in model.trainable_weights)


def split_resizing(model: keras.Model) -> tuple[Callable[[Any], Any], keras.Model]:
    """What resizes the images of a network's model, and the rest of the model, which XLA can compile.

    XLA has no resizing with antialiasing and no bicubic one, and its bilinear one is wrong on CPUs (TF 2.21).

    Returns:
        A compiled function of uint8 images (n, side, side, 3), which returns them as they are if the model does not
        resize them; and the model of what it returns. They share the layers of the whole model.
    """
    if RESIZE not in [layer.name for layer in model.layers]:
        return lambda images: images, model
    import tensorflow as tf

    resized = model.get_layer(RESIZE).output
    resizing = keras.Model(model.input, resized)
    resize = tf.function(lambda images: resizing(images, training=False), autograph=False)
    return resize, keras.Model(resized, model.output)


def _pool(x: Any, features: Features) -> Any:
    """A network's output as one vector for each image, (n, d)."""
    if len(x.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if len(x.shape) == 3:
        return x[:, 0] if features is Features.CLASS_TOKEN else keras.layers.GlobalAveragePooling1D(name="pool")(x)
    return x


def _scale_input(x: Any, scaling: Scaling | Affine) -> Any:
    def rescale(scale: float | list[float], offset: float | list[float]) -> Any:
        return keras.layers.Rescaling(scale, offset, dtype="float32", name="scale")

    match scaling:
        case Affine():
            return rescale([*scaling.scale], [*scaling.offset])(x)
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
