"""Low-rank adaptation of attention layers (LoRA: Hu et al. 2022, arXiv 2106.09685), by Keras' `enable_lora`.

The kernels of a pretrained network stay as they are. To each kernel of an attention layer the product of two small
matrices is added, its rank matrices, and they alone are trained, with the head. Merged into the kernels, they leave a
plain network: it is saved and exported like any other.

enable_lora(backbone, rank=4)      after the weights have been loaded: Keras would set both matrices to zero, for good
merge_lora(backbone)               after training
"""

import contextlib
import gc
from collections.abc import Iterable, Iterator
from typing import Any

import keras
from keras import layers

from bakeoff.errors import ConfigError
from bakeoff.networks.graph import list_inner

__all__ = ["enable_lora", "list_adapted", "merge_lora", "tried_lora"]

_DENSE = (layers.Dense, layers.EinsumDense)
_ATTENTION = (layers.MultiHeadAttention, layers.GroupQueryAttention)


def enable_lora(backbone: keras.Model, rank: int) -> None:
    """Add rank matrices to the attention layers that are trainable (see `freeze`), and freeze all other weights.

    Args:
        backbone: The backbone, changed in place. Its outputs stay the same, because one of two matrices is zero.
        rank: The rank of the product.

    Raises:
        ConfigError: The backbone has no attention layers, or all of them are frozen.
    """
    found = _find_projections(backbone)
    if not found:
        raise ConfigError(f"model.lora adapts attention layers, and {backbone.name} has none: remove it")
    trained = [layer for layer in found if layer.trainable]
    if not trained:
        raise ConfigError(
            f"model.unfreeze leaves no attention layer of {backbone.name} to train: raise it, or remove model.lora"
        )
    for weight in backbone.weights:
        weight.trainable = False
    for layer in list_inner(backbone, all_levels=True):
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False  # else its moving averages would change
    for layer in trained:
        layer.enable_lora(rank)


def merge_lora(backbone: keras.Model) -> None:
    """Add the products of the rank matrices to the kernels, in float32, and remove the matrices; nothing without any.

    Functions of the model that were traced before still compute with the matrices: trace them again.
    """
    adapted = list_adapted(backbone)
    for layer in adapted:
        # `layer.kernel` is the same sum, rounded to the precision of the computations.
        scale = layer.lora_alpha / layer.lora_rank
        layer._kernel.assign(layer._kernel + scale * keras.ops.matmul(layer.lora_kernel_a, layer.lora_kernel_b))
    _remove(adapted)


def list_adapted(backbone: keras.Model) -> list[Any]:
    """The dense layers that have rank matrices."""
    return [each for each in list_inner(backbone, all_levels=True) if getattr(each, "lora_enabled", False)]


@contextlib.contextmanager
def tried_lora(backbone: keras.Model, rank: int) -> Iterator[None]:
    """A context in which a backbone has rank matrices, for a count of its weights; nothing for rank 0, or if it has."""
    if not rank or list_adapted(backbone):
        yield
        return
    enable_lora(backbone, rank)
    try:
        yield
    finally:
        _remove(list_adapted(backbone))


def _find_projections(backbone: keras.Model) -> list[Any]:
    """The dense layers directly inside attention layers."""
    found: dict[int, Any] = {}
    for layer in list_inner(backbone, all_levels=True):
        if isinstance(layer, _ATTENTION) or "attention" in type(layer).__name__.lower():
            found |= {id(each): each for each in list_inner(layer) if isinstance(each, _DENSE)}
    return list(found.values())


def _remove(adapted: Iterable[Any]) -> None:
    # Keras collects garbage whenever a variable is deleted, which takes a tenth of a second each time, unless all
    # objects are known to be in use.
    gc.freeze()
    try:
        for layer in adapted:
            del layer.lora_kernel_a, layer.lora_kernel_b
            layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None
    finally:
        gc.unfreeze()
