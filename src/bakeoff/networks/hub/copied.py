"""The weights of KerasHub's vision transformers, by the layers of `transformer.py`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.networks.hub.transformer import Design

__all__ = ["copy_weights"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class _Block:
    """The layers of a block, whatever a family calls them."""

    norm1: Any
    attention: Any
    norm2: Any
    dense1: Any
    dense2: Any
    scale1: Any = None
    """Variables that the outputs of attention and of the second dense layer are multiplied by."""
    scale2: Any = None


def copy_weights(model: Any, kind: str, design: Design, backbone: Any) -> None:
    """Copy the weights of a network of KerasHub.

    Args:
        model: KerasHub's network, with the weights of its preset.
        kind: The class of its backbone.
        design: What it is made of.
        backbone: From `build_transformer(design, ...)`, for any size that its patches allow; changed in place.
    """
    grid = int(backbone.input_shape[1]) // design.patch
    kernel, bias = _embedding(model, kind, design, grid)
    values = {"embedding": [kernel, bias], **dict(_parts(model, kind, design))}
    for layer in backbone.layers:
        if layer.weights:
            layer.set_weights(values.pop(layer.name))
    assert not values, f"{kind} has {', '.join(values)} too much"


def _embedding(model: Any, kind: str, design: Design, grid: int) -> tuple[Array, Array]:
    """The dense layer of patches (3 * patch², width), and its bias for each token (tokens, width)."""
    tokens: list[Array]
    if kind == "ViTBackbone":
        part = model.layers[1]
        patches, positions = part.patch_embedding, _array(part.position_embedding.embeddings)
        tokens = [_array(part.class_token)] if design.tokens else []
    elif kind == "DeiTBackbone":
        part = model.layers[1]
        patches, positions = part.patch_embedding, _array(part.position_embedding)
        tokens = [_array(part.class_token), _array(part.distillation_token)]
    elif kind == "DINOV2Backbone":
        part = model.embeddings
        patches, positions = part.patch_embeddings.projection, _array(part.position_embeddings)
        tokens = [_array(part.cls_token)]
    else:
        part = model.embedding
        patches, positions = part.patch_embedding, _array(part.position_embedding.embeddings)
        tokens = []
    positions = positions.reshape(-1, design.width)
    first = [token.reshape(1, -1) + positions[place] for place, token in enumerate(tokens)]
    if kind == "DINOV2Backbone" and design.tokens > 1:
        first.append(_array(part.register_tokens)[0])  # they have no positions
    rest = _resize(positions[len(tokens) :], grid, design)
    if patches.bias is not None:
        rest = rest + _array(patches.bias)
    return _array(patches.kernel).reshape(-1, design.width), np.concatenate([*first, rest])


def _resize(positions: Array, grid: int, design: Design) -> Array:
    """The positions (n, width) of a square grid of patches, for one of `grid` x `grid` patches (Keras' bicubic)."""
    import keras

    native = round(len(positions) ** 0.5)
    if native == grid:
        return positions
    resized = keras.ops.image.resize(
        positions.reshape(1, native, native, -1),
        (grid, grid),
        interpolation="bicubic",
        antialias=design.antialias,
        data_format="channels_last",
    )
    return _array(resized).reshape(grid * grid, -1)


def _parts(model: Any, kind: str, design: Design) -> Iterator[tuple[str, list[Array]]]:
    """The weights of each layer after the embedding, by its name."""
    blocks, norm = _find_blocks(model, kind)
    yield "norm", _weights(norm)
    for number, block in enumerate(blocks, 1):
        name = f"block{number}"
        yield f"{name}_norm1", _weights(block.norm1)
        yield f"{name}_attention", _scaled(block.attention, block.scale1)
        yield f"{name}_norm2", _weights(block.norm2)
        yield from _dense(block.dense1, name, design)
        yield f"{name}_dense2", _scaled(block.dense2, block.scale2)
    if design.pools:
        head = model.head
        query = _array(head.probe).reshape(-1)
        yield "pool_query", [np.zeros((1, design.width), np.float32), query]
        yield "pool_attention", _weights(head.attention)
        yield "pool_norm", _weights(head.layer_norm)
        yield "pool_dense1", _weights(head.mlp.fc1)
        yield "pool_dense2", _weights(head.mlp.fc2)


def _find_blocks(model: Any, kind: str) -> tuple[list[_Block], Any]:
    if kind == "ViTBackbone":
        encoder = model.layers[2]
        return [
            _Block(each.layer_norm_1, each.mha, each.layer_norm_2, each.mlp.dense_1, each.mlp.dense_2)
            for each in encoder.encoder_layers
        ], encoder.layer_norm
    if kind == "DeiTBackbone":
        encoder = model.layers[2]
        return [
            _Block(each.layer_norm_1, each.mha, each.layer_norm_2, each.mlp.dense, each.output_layer.dense)
            for each in encoder.encoder_layers
        ], encoder.layer_norm
    if kind == "DINOV2Backbone":
        return [
            _Block(
                each.norm1,
                each.attention.attention,
                each.norm2,
                getattr(each.mlp, "fc1", None) or each.mlp.weights_in,
                getattr(each.mlp, "fc2", None) or each.mlp.weights_out,
                each.layer_scale1.lambda1,
                each.layer_scale2.lambda1,
            )
            for each in model.encoder.layers
        ], model.layernorm
    return [
        _Block(each.layer_norm1, each.self_attn, each.layer_norm2, each.mlp.fc1, each.mlp.fc2)
        for each in model.encoder_layers
    ], model.post_layer_norm


def _dense(layer: Any, name: str, design: Design) -> Iterator[tuple[str, list[Array]]]:
    """The first dense layer of a block; of SwiGLU its two halves."""
    weights = _weights(layer)
    if not design.gated:
        yield f"{name}_dense1", weights
        return
    halves = [np.split(weight, 2, axis=-1) for weight in weights]
    yield f"{name}_gate", [gate for gate, _ in halves]
    yield f"{name}_dense1", [value for _, value in halves]


def _scaled(layer: Any, scale: Any) -> list[Array]:
    """The weights of a layer whose output is multiplied by `scale`: its last kernel and its last bias are."""
    weights = _weights(layer)
    if scale is None:
        return weights
    factor = _array(scale)
    last = 2 if getattr(layer, "use_bias", True) else 1
    return [*weights[:-last], *(weight * factor for weight in weights[-last:])]


def _weights(layer: Any) -> list[Array]:
    return [_array(weight) for weight in layer.weights]


def _array(value: Any) -> Array:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(value), np.float32)
