"""A located file into a network: every tensor, or a refusal that leaves the network as it was."""

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

_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

Tensors = list[NDArray[Any]]


@dataclass(frozen=True)
class LoadReport:
    """How many of the network's tensors were set; all of them, unless a part was asked for, or nothing was loaded."""

    matched: int
    total: int


def load_weights(backbone: Any, row: NetworkSpec, source: WeightsSource, *, partial: bool = False) -> LoadReport:
    """Set the tensors of `backbone` (a keras.Model from `build_backbone(row, ...)`) from a located file.

    A Keras file may hold more than the backbone, such as a whole classifier. With `partial` it may hold less: what it
    lacks stays as it was. Raises WeightsError if the file does not fit, and then changes nothing.
    """
    if source.path is None:
        raise WeightsError(f"{row.name} starts from random weights: there is nothing to load")
    if source.origin == "hub":
        _load_hub(backbone, source.path)
        found = len(backbone.weights)
    else:
        if source.origin == "package":
            stored = _read_torch(backbone, source.path)
        else:
            stored = _find(backbone, read_models(source.path))
        _check(backbone, row, stored, source.path, partial)
        found = sum(map(len, stored.values()))
        for name, tensors in stored.items():
            layer = backbone.get_layer(name)
            layer.set_weights(tensors)
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()  # an input normalisation computes with a copy of its weights
    if row.family == "efficientnet":
        _mend_normalization(backbone)
    return LoadReport(found, len(backbone.weights))


def _load_hub(backbone: Any, path: Path) -> None:
    # By position, as Keras itself does it: some of its files are older than its present layer names.
    try:
        backbone.load_weights(path)
    except Exception as error:  # Keras and h5py raise whatever the damage leads them to
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} does not fit {backbone.name}: {reason}; delete it and fetch it again") from error


def _read_torch(backbone: Any, path: Path) -> dict[str, Tensors]:
    """The tensors of an EfficientNet-Lite checkpoint by layer of the network, laid out as Keras wants them."""
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
    # PyTorch keeps kernels as (out, in / groups, h, w); Keras as (h, w, in, out), or (h, w, in, 1) if depthwise.
    if value.ndim != 4:
        return value
    return value.transpose(2, 3, 0, 1) if layer_name.endswith("depthwise_conv") else value.transpose(2, 3, 1, 0)


def _find(backbone: Any, models: list[StoredModel]) -> dict[str, Tensors]:
    """What fits the backbone in that model of a file which fits it best: tensors in the layers' own order."""
    fits = [_match(backbone, model) for model in models]
    return max(fits, key=lambda fit: sum(map(len, fit.values())), default={})


def _match(backbone: Any, model: StoredModel) -> dict[str, Tensors]:
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
    """A stored layer's tensors in the order of `layer.weights`; None if they are not these."""
    wanted = [weight.name for weight in layer.weights]
    tensors = stored.tensors
    if sorted(stored.names) == sorted(wanted):
        tensors = [tensors[stored.names.index(name)] for name in wanted]
    shapes = [tuple(weight.shape) for weight in layer.weights]
    return tensors if [tensor.shape for tensor in tensors] == shapes else None


def _renumber(stored: list[str], backbone: Any) -> dict[str, str]:
    """The stored name of every layer that Keras named by class and count (`conv2d_7`).

    The count runs through a process, so it differs from one to the next; the order does not.
    """
    kinds = {re.sub(r"_\d+$", "", layer.name): type(layer).__name__.lower() for layer in backbone.layers}
    automatic = {base for base, kind in kinds.items() if base.replace("_", "") == kind}
    here = _counted([layer.name for layer in backbone.layers if layer.weights], automatic)
    there = _counted(stored, automatic)
    return {name: old for base in here for name, old in zip(here[base], there[base], strict=False)}


def _counted(names: list[str], bases: set[str]) -> dict[str, list[str]]:
    """Names of the form BASE or BASE_N by base, in order of N."""
    groups: dict[str, list[tuple[int, str]]] = {base: [] for base in bases}
    for name in names:
        match = re.fullmatch(r"(.+?)(?:_(\d+))?", name)
        if match and match[1] in groups:
            groups[match[1]].append((int(match[2] or 0), name))
    return {base: [name for _, name in sorted(group)] for base, group in groups.items()}


def _check(backbone: Any, row: NetworkSpec, stored: dict[str, Tensors], path: Path, partial: bool) -> None:
    """Refuse a file that fits in part, or not at all."""
    missing = [layer for layer in backbone.layers if layer.weights and layer.name not in stored]
    if not missing or (partial and stored):
        return
    found, total = sum(map(len, stored.values())), len(backbone.weights)
    if not stored:
        raise WeightsError(f"{path} holds nothing of {row.name}; give a file with that network in it")
    shapes = ", ".join(str(tuple(weight.shape)) for weight in missing[0].weights)
    raise WeightsError(
        f"{path} holds {found} of the {total} tensors of {row.name}: {missing[0].name} with {shapes} is the first one"
        " missing; give a file with all of it, or --partial-weights to leave the rest random"
    )


def _mend_normalization(backbone: Any) -> None:
    """Square the input variances of EfficientNet B0 to B7 where they are deviations, as in the published files.

    Keras adds a layer that makes up for it only if it fetches the weights itself (tensorflow/tensorflow issue 49930).
    """
    for layer in backbone.layers:
        if type(layer).__name__ == "Normalization":
            mean, variance, count = layer.get_weights()
            if np.allclose(variance, _IMAGENET_DEVIATION, atol=1e-3):
                layer.set_weights([mean, variance**2, count])
                layer.finalize_state()
