"""Loads a located weight file into a network: every tensor, or none and an error."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import WeightsError
from bakeoff.networks.efficientnet_lite import torch_prefixes
from bakeoff.networks.table import NetworkSpec
from bakeoff.networks.weights.keras_file import StoredLayer, StoredModel, count_names, read_models
from bakeoff.networks.weights.locate import WeightsSource
from bakeoff.networks.weights.torch_file import read_state_dict

__all__ = ["LoadReport", "load_weights"]

_IMAGENET_STD = (0.229, 0.224, 0.225)

Tensors = list[NDArray[Any]]


@dataclass(frozen=True)
class LoadReport:
    """How many of the backbone's tensors were loaded (`matched`), out of how many."""

    matched: int
    total: int


def load_weights(backbone: Any, spec: NetworkSpec, source: WeightsSource, *, partial: bool = False) -> LoadReport:
    """Load a located weight file into a backbone.

    Args:
        backbone: A keras.Model from `build_backbone(spec, ...)`, changed in place.
        spec: The network.
        source: The file. It may hold more than the backbone, such as a whole classifier.
        partial: Whether the file may lack tensors of the backbone, which then keep their values.

    Raises:
        WeightsError: The file does not fit. Then nothing was loaded.
    """
    if source.path is None:
        raise WeightsError(f"{spec.name} starts from random weights: there is nothing to load")
    if source.origin == "hub":
        _load_hub(backbone, source.path)
        found = len(backbone.weights)
    else:
        if source.origin == "package":
            stored = _read_torch(backbone, source.path)
        else:
            stored = _find(backbone, read_models(source.path))
        _check(backbone, spec, stored, source.path, partial)
        found = sum(map(len, stored.values()))
        for name, tensors in stored.items():
            layer = backbone.get_layer(name)
            layer.set_weights(tensors)
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()  # A Normalization layer computes with a copy of its weights.
    if spec.family == "efficientnet":
        _correct_input_variance(backbone)
    return LoadReport(found, len(backbone.weights))


def _load_hub(backbone: Any, path: Path) -> None:
    # By position, as Keras does: some of its files have layer names of older versions.
    try:
        backbone.load_weights(path)
    except Exception as error:  # A damaged file can make Keras and h5py raise any exception.
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} does not fit {backbone.name}: {reason}; delete it and fetch it again") from error


def _read_torch(backbone: Any, path: Path) -> dict[str, Tensors]:
    """The tensors of an EfficientNet-Lite checkpoint by the backbone's layers, in the layout of Keras."""
    tensors = read_state_dict(path)
    stored = {}
    for layer, prefix in torch_prefixes(layer.name for layer in backbone.layers).items():
        parts = ("weight", "bias", "running_mean", "running_var") if layer.endswith("_bn") else ("weight",)
        missing = [f"{prefix}.{part}" for part in parts if f"{prefix}.{part}" not in tensors]
        if missing:
            raise WeightsError(f"{path} lacks the tensor {missing[0]}; reinstall its package")
        stored[layer] = [_to_keras_layout(layer, tensors[f"{prefix}.{part}"]) for part in parts]
    return stored


def _to_keras_layout(layer_name: str, value: np.ndarray) -> np.ndarray:
    # PyTorch stores kernels as (out, in / groups, h, w); Keras as (h, w, in, out), or (h, w, in, 1) if depthwise.
    if value.ndim != 4:
        return value
    return value.transpose(2, 3, 0, 1) if layer_name.endswith("depthwise_conv") else value.transpose(2, 3, 1, 0)


def _find(backbone: Any, models: list[StoredModel]) -> dict[str, Tensors]:
    """The tensors, by layer, of the model in a file that matches most tensors of the backbone."""
    fits = [_match(backbone, model) for model in models]
    return max(fits, key=lambda fit: sum(map(len, fit.values())), default={})


def _match(backbone: Any, model: StoredModel) -> dict[str, Tensors]:
    """The stored tensors by layer of the backbone, for the layers whose name and shapes match."""
    if model.is_named:
        names = {layer.name: layer.name for layer in backbone.layers} | _renumber(list(model.layers), backbone)
    else:
        kinds = count_names([type(layer).__name__ for layer in backbone.layers])
        names = {layer.name: kind for layer, kind in zip(backbone.layers, kinds, strict=True)}
    matched = {}
    for layer in backbone.layers:
        stored = model.layers.get(names[layer.name])
        if layer.weights and stored and (tensors := _in_order(layer, stored)) is not None:
            matched[layer.name] = tensors
    return matched


def _in_order(layer: Any, stored: StoredLayer) -> Tensors | None:
    """A stored layer's tensors in the order of `layer.weights`; None if their shapes differ."""
    wanted = [weight.name for weight in layer.weights]
    tensors = stored.tensors
    if sorted(stored.names) == sorted(wanted):
        tensors = [tensors[stored.names.index(name)] for name in wanted]
    shapes = [tuple(weight.shape) for weight in layer.weights]
    return tensors if [tensor.shape for tensor in tensors] == shapes else None


def _renumber(stored: list[str], backbone: Any) -> dict[str, str]:
    """The stored name of each layer that Keras named automatically by class and number (`conv2d_7`).

    The numbers count the layers of a process, so they differ between processes. Their order does not.
    """
    kinds = {re.sub(r"_\d+$", "", layer.name): type(layer).__name__.lower() for layer in backbone.layers}
    automatic = {base for base, kind in kinds.items() if base.replace("_", "") == kind}
    here = _counted([layer.name for layer in backbone.layers if layer.weights], automatic)
    there = _counted(stored, automatic)
    return {name: old for base in here for name, old in zip(here[base], there[base], strict=False)}


def _counted(names: list[str], bases: set[str]) -> dict[str, list[str]]:
    """The names of the form BASE or BASE_N, by base, in order of N."""
    groups: dict[str, list[tuple[int, str]]] = {base: [] for base in bases}
    for name in names:
        match = re.fullmatch(r"(.+?)(?:_(\d+))?", name)
        if match and match[1] in groups:
            groups[match[1]].append((int(match[2] or 0), name))
    return {base: [name for _, name in sorted(group)] for base, group in groups.items()}


def _check(backbone: Any, spec: NetworkSpec, stored: dict[str, Tensors], path: Path, partial: bool) -> None:
    """Raise WeightsError if a file has only a part of the tensors, unless `partial`, or none."""
    missing = [layer for layer in backbone.layers if layer.weights and layer.name not in stored]
    if not missing or (partial and stored):
        return
    found, total = sum(map(len, stored.values())), len(backbone.weights)
    if not stored:
        raise WeightsError(f"{path} holds nothing of {spec.name}; give a file with that network in it")
    shapes = ", ".join(str(tuple(weight.shape)) for weight in missing[0].weights)
    raise WeightsError(
        f"{path} holds {found} of the {total} tensors of {spec.name}: {missing[0].name} with {shapes} is the first one"
        " missing; give a file with all of it, or --partial-weights to leave the rest random"
    )


def _correct_input_variance(backbone: Any) -> None:
    """Square the input variances of EfficientNet B0 to B7, if they are standard deviations as in the published files.

    Keras adds a layer that corrects this only if it loads the weights itself (tensorflow/tensorflow issue 49930).
    """
    for layer in backbone.layers:
        if type(layer).__name__ == "Normalization":
            mean, variance, count = layer.get_weights()
            if np.allclose(variance, _IMAGENET_STD, atol=1e-3):
                layer.set_weights([mean, variance**2, count])
                layer.finalize_state()
