"""Loads a located weight file into a network: every tensor, or none and an error."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import WeightsError
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.custom_objects import name_custom_objects
from bakeoff.networks.efficientnet_lite import torch_prefixes
from bakeoff.networks.hub.build import load_preset
from bakeoff.networks.hub.files import read_files
from bakeoff.networks.weights.keras_file import open_models
from bakeoff.networks.weights.known import recognise
from bakeoff.networks.weights.locate import WeightsSource
from bakeoff.networks.weights.match import Match, Wanted, arrange, find_match, list_layers
from bakeoff.networks.weights.preset import list_sizes
from bakeoff.networks.weights.torch_file import read_state_dict
from bakeoff.networks.weights.transfer import PRESET
from bakeoff.text import counted, name_some

__all__ = ["LoadReport", "load_weights", "renew_copies"]

_IMAGENET_STD = (0.229, 0.224, 0.225)

Tensors = list[NDArray[Any]]


@dataclass(frozen=True)
class LoadReport:
    """How many of the backbone's tensors were loaded (`matched`), out of how many."""

    matched: int
    total: int
    note: str = ""
    """In which way the network computes something else with them than the model in the file does."""


def load_weights(backbone: Any, spec: Backbone, source: WeightsSource, *, partial: bool = False) -> LoadReport:
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
    note = ""
    if source.origin in ("hub", PRESET):
        if source.origin == "hub":
            _load_hub(backbone, source.path)
        else:
            _load_preset(backbone, source.path)
        found = len(backbone.weights)
        _check_finite([(layer, layer.get_weights()) for layer in backbone.layers], source.path)
    elif source.origin == "plugin":
        # Written by Keras from the same network, whose layers may be its own and have layers inside.
        backbone.load_weights(source.path)
        found = len(backbone.weights)
    else:
        if source.origin == "package":
            pairs = _read_torch(backbone, source.path)
        else:
            pairs, note = _read_keras(backbone, spec, source.path, partial)
        _check_finite(pairs, source.path)
        found = sum(len(tensors) for _, tensors in pairs)
        for layer, tensors in pairs:
            layer.set_weights(tensors)
    if spec.family == "efficientnet" and not spec.preset:
        _correct_input_variance(backbone)
    renew_copies(backbone)
    return LoadReport(found, len(backbone.weights), note)


def renew_copies(backbone: Any) -> None:
    """Let a backbone compute with what was assigned to it: its Normalization layers compute with copies of weights."""
    for layer in backbone.layers:
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def _check_finite(pairs: Sequence[tuple[Any, Tensors]], path: Path) -> None:
    for layer, tensors in pairs:
        if not all(np.isfinite(tensor).all() for tensor in tensors):
            raise WeightsError(
                f"{path} holds numbers that are not finite, first in {layer.name}; give a file of a training that"
                " did not diverge"
            )


def _load_hub(backbone: Any, path: Path) -> None:
    # By position, as Keras does: some of its files have layer names of older versions.
    try:
        backbone.load_weights(path)
    except Exception as error:  # A damaged file can make Keras and h5py raise any exception.
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} does not fit {backbone.name}: {reason}; delete it and fetch it again") from error


def _load_preset(backbone: Any, folder: Path) -> None:
    # KerasHub opens the files, so what no file of weights needs is refused first.
    weights = [path for path in read_files(folder.name, folder).weights if path.suffix == ".h5"]
    stored = sum(size for path in weights for size in list_sizes(path))
    needed = load_preset(backbone, folder)
    # KerasHub loads a part of a larger network without a word.
    if stored > needed:
        raise WeightsError(
            f"{folder} has weights of a larger network than its config.json ({stored:,} numbers instead of"
            f" {needed:,}); download or save the preset again"
        )


def _read_torch(backbone: Any, path: Path) -> list[tuple[Any, Tensors]]:
    """The tensors of an EfficientNet-Lite checkpoint by the backbone's layers, in the layout of Keras."""
    tensors = read_state_dict(path)
    stored = []
    for layer, prefix in torch_prefixes(layer.name for layer in backbone.layers).items():
        parts = ("weight", "bias", "running_mean", "running_var") if layer.endswith("_bn") else ("weight",)
        missing = [f"{prefix}.{part}" for part in parts if f"{prefix}.{part}" not in tensors]
        if missing:
            raise WeightsError(f"{path} lacks the tensor {missing[0]}; reinstall its package")
        values = [_to_keras_layout(layer, tensors[f"{prefix}.{part}"]) for part in parts]
        stored.append((backbone.get_layer(layer), values))
    return stored


def _to_keras_layout(layer_name: str, value: np.ndarray) -> np.ndarray:
    # PyTorch stores kernels as (out, in / groups, h, w); Keras as (h, w, in, out), or (h, w, in, 1) if depthwise.
    if value.ndim != 4:
        return value
    return value.transpose(2, 3, 0, 1) if layer_name.endswith("depthwise_conv") else value.transpose(2, 3, 1, 0)


def _read_keras(backbone: Any, spec: Backbone, path: Path, partial: bool) -> tuple[list[tuple[Any, Tensors]], str]:
    """The tensors of a Keras file by the backbone's layers, and a note. Raises WeightsError if it does not fit."""
    wanted = list_layers(backbone)
    with open_models(path) as models:
        match = find_match(wanted, models)
        if len(match.pairs) < len(wanted):
            if not partial:
                raise WeightsError(_say_what_is_missing(spec, wanted, match, path))
            match = find_match(wanted, models, by_name_only=True)
            if not match.pairs:
                raise WeightsError(f"{path} holds nothing of {spec.name} by name; give a file with that network in it")
        elif match.between:
            raise WeightsError(
                f"{path} holds all tensors of {spec.name}, and between them layers that it does not have:"
                f" {name_some([layer.title for layer in match.between])}{_looks_like(match)};"
                f" give a file of {spec.name}"
            )
        pairs = [(each.layer, [tensor.read() for tensor in arrange(each, stored)]) for each, stored in match.pairs]
        return pairs, _say_what_differs(spec, match, path)


def _say_what_is_missing(spec: Backbone, wanted: list[Wanted], match: Match, path: Path) -> str:
    if not match.pairs:
        return (
            f"{path} holds nothing of {spec.name}{_looks_like(match)}{_own_layers(path)};"
            " give a file with that network in it"
        )
    found = {id(each) for each, _ in match.pairs}
    first = next(each for each in wanted if id(each) not in found)
    total = sum(len(each.layer.weights) for each in wanted)
    return (
        f"{path} holds {match.tensors} of the {counted(total, 'tensor')} of {spec.name}: {first.layer.name} with"
        f" {', '.join(map(str, first.shapes))} is the first one missing{_looks_like(match)}{_own_layers(path)}; give"
        " a file with all of it, or --partial-weights to leave the rest random"
    )


def _say_what_differs(spec: Backbone, match: Match, path: Path) -> str:
    notes = []
    # Without its classifier, Keras' ConvNeXt has the same layer before the pooling.
    if any(stored.title.endswith("_head_layernorm") for _, stored in match.pairs):
        notes.append(
            f"the classifier in {path.name} normalises after pooling, {spec.name} before it, so its features differ"
        )
    # Only of a part: a whole network with such layers is refused.
    if match.between:
        notes.append(
            f"between the layers that were loaded, {path.name} has others, which were not:"
            f" {name_some([layer.title for layer in match.between])}{_looks_like(match)}"
        )
    return "; ".join(notes)


def _own_layers(path: Path) -> str:
    names = name_custom_objects(path)
    return f"; it has {names}, which are not Keras' own" if names else ""


def _looks_like(match: Match) -> str:
    name = recognise(match.model)
    return f"; it looks like {name}" if name else ""


def _correct_input_variance(backbone: Any) -> None:
    """Square the input variances of EfficientNet B0 to B7, if they are standard deviations as in the published files.

    Keras adds a layer that corrects this only if it loads the weights itself (tensorflow/tensorflow issue 49930).
    """
    for layer in backbone.layers:
        if type(layer).__name__ == "Normalization":
            mean, variance, count = layer.get_weights()
            if np.allclose(variance, _IMAGENET_STD, atol=1e-3):
                layer.set_weights([mean, variance**2, count])
