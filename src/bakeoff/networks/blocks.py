"""Which part of a backbone is trained: its last layers or, in a transformer, its last blocks.

The layers of a transformer lie in one of two ways. To Keras the network may be few layers: an embedding of patches, one
encoder and a normalisation; its blocks (each an attention and an MLP) are then found inside the encoder. Or all layers
lie side by side, and those of a block have names that begin alike (`block3_norm1`, `block3_attention`).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import keras

from bakeoff.errors import ConfigError
from bakeoff.networks.graph import list_inner
from bakeoff.runs.config import BatchNorm

__all__ = ["Part", "freeze", "list_parts"]

Layer: TypeAlias = keras.layers.Layer


@dataclass(frozen=True)
class Part:
    """A layer that is trained or frozen as a whole, with all that is inside it."""

    path: str
    """Its name, after those of the layers that it is inside of: `vit_encoder/transformer_block_1`."""
    layer: Layer
    block: str
    """The block that it is, or is in; empty outside of all blocks, and in networks that have none."""


def list_parts(backbone: keras.Model) -> list[Part]:
    """The parts of a backbone, in order. A network without layers that are made of layers has its layers as parts."""
    found = list(_find_parts(backbone.layers))
    alike = {path for path, _, is_one_of_several in found if is_one_of_several}
    begun = {_begin_block(path) for path in alike} - {""}

    def find_block(path: str) -> str:
        if begun:
            return _begin_block(path) if _begin_block(path) in begun else ""
        return path if path in alike else ""

    return [Part(path, layer, find_block(path)) for path, layer, _ in found]


def freeze(backbone: keras.Model, unfreeze: float | str, batch_norm: BatchNorm) -> None:
    """Set which layers of a backbone are trainable.

    A batch normalisation that is not trainable stays in inference mode.

    Args:
        backbone: The backbone; its layers are changed in place.
        unfreeze: The share of blocks, counted from the output, that are trainable, with all layers after the first of
            them; of a network that has none, the share of layers. 1: everything, embeddings too. Or a block's name: its
            first layer and all layers after it are trainable.
        batch_norm: FROZEN keeps all batch normalisations from training.

    Raises:
        ConfigError: There is no such block.
    """
    parts = list_parts(backbone)
    first = _find_block(backbone, parts, unfreeze) if isinstance(unfreeze, str) else _find_share(parts, unfreeze)
    for layer in (backbone, *list_inner(backbone, all_levels=True)):
        # Twice, because Keras looks no further, at weights and layers inside, if the value is not new.
        layer.trainable = False
        layer.trainable = True
    for part in parts[:first]:
        part.layer.trainable = False
    if first:
        # Weights of the layers around the parts, which belong to none of them.
        inside = {id(weight) for part in parts for weight in part.layer.weights}
        for weight in backbone.weights:
            weight.trainable = weight.trainable and id(weight) in inside
    if batch_norm is BatchNorm.FROZEN:
        for layer in list_inner(backbone, all_levels=True):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False


def _find_parts(layers: Iterable[Layer], path: str = "") -> Iterator[tuple[str, Layer, bool]]:
    """The path and the layer of each part, and whether it is one of several of its kind that are made of layers."""
    layers = list(layers)
    kinds = _count_kinds(layers)
    for layer in layers:
        if _holds_parts(layer):
            yield from _find_parts(list_inner(layer), f"{path}{layer.name}/")
        else:
            yield f"{path}{layer.name}", layer, kinds[type(layer)] > 1


def _holds_parts(layer: Layer) -> bool:
    """Whether a layer is a sequence of blocks, or a model inside the model."""
    if isinstance(layer, keras.Sequential):
        return False  # as in ConvNeXt: a normalisation and a convolution
    return isinstance(layer, keras.Model) or max(_count_kinds(list_inner(layer)).values(), default=0) > 1


def _count_kinds(layers: Iterable[Layer]) -> Counter[type[Layer]]:
    """How many there are of each kind of layer that is made of several layers with weights."""
    return Counter(type(layer) for layer in layers if not isinstance(layer, keras.Model) and _is_made_of_layers(layer))


def _is_made_of_layers(layer: Layer) -> bool:
    return sum(bool(each.weights) for each in list_inner(layer)) > 1


def _begin_block(path: str) -> str:
    """What the layers of a block have in common: `block3` of `block3_attention`. Empty if there is no number."""
    above, slash, name = path.rpartition("/")
    match = re.match(r"([A-Za-z_]*?\d+)_[A-Za-z]", name)
    return f"{above}{slash}{match[1]}" if match else ""


def _find_share(parts: list[Part], unfreeze: float) -> int:
    """Position of the first part that is trained."""
    blocks = _list_blocks(parts)
    if not blocks or unfreeze in (0, 1):
        return len(parts) - round(unfreeze * len(parts))
    first = blocks[-max(1, round(unfreeze * len(blocks)))]
    return next(position for position, part in enumerate(parts) if part.block == first)


def _find_block(backbone: keras.Model, parts: list[Part], block: str) -> int:
    """Position of the first part whose name begins with `block`; block1 does not match block14."""
    for position, part in enumerate(parts):
        if re.search(rf"(?:^|/){re.escape(block)}(?!\d)", part.path):
            return position
    last = ", ".join(_name_blocks(parts)[-8:])
    raise ConfigError(f"{backbone.name} has no block {block!r}; its last ones are {last}")


def _list_blocks(parts: list[Part]) -> list[str]:
    return [*dict.fromkeys(part.block for part in parts if part.block)]


def _name_blocks(parts: list[Part]) -> list[str]:
    """The names by which blocks can be given, in order; with those of the layers around them where they are alike."""
    if paths := _list_blocks(parts):
        short = [path.rpartition("/")[2] for path in paths]
        return short if len(set(short)) == len(short) else paths
    names: dict[str, None] = {}
    for part in parts:
        name = part.layer.name
        is_numbered = re.sub(r"_\d+$", "", name).replace("_", "") == type(part.layer).__name__.lower()
        if not is_numbered and (match := re.match(r"([a-z_]+?_?\d+[a-z]?)(_|$)", name)):
            names[match[1]] = None
    return [*names]
