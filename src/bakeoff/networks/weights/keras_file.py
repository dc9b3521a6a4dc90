"""Reads the tensors of a Keras weight file, by model and by layer. Runs no code from the file.

A file may hold a backbone alone, or a whole classifier in which the backbone is one layer or many. So all models in the
file are returned, and `load.py` takes the one that fits best.
"""

import io
import json
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import WeightsError

__all__ = ["StoredLayer", "StoredModel", "count_names", "read_models"]

Array = NDArray[Any]


class StoredLayer(NamedTuple):
    """The tensors of one layer in the file's order, and the names of its variables, if the file has names."""

    tensors: list[Array]
    names: list[str]


class StoredModel(NamedTuple):
    """The layers of one model in a file.

    If `is_named`, keys are the layers' names. Keras 3 before 3.9 stored no names: then keys are `class` or `class_n`
    (`count_names`).
    """

    layers: dict[str, StoredLayer]
    is_named: bool


def read_models(path: Path) -> list[StoredModel]:
    """All models in a `.keras`, `.weights.h5` or `.h5` file, outer before inner.

    Raises WeightsError if the file is damaged or of another format.
    """
    import h5py  # type: ignore[import-untyped]

    try:
        data: Any = path
        names: dict[str, str] = {}
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                data = io.BytesIO(archive.read("model.weights.h5"))
                names = dict(_names_in_config(json.loads(archive.read("config.json")), ""))
        with h5py.File(data, "r") as file:
            group = file.get("model_weights", file)
            models = list(_read_legacy(group) if "layer_names" in group.attrs else _read_nested(group, names))
    except Exception as error:  # A damaged file can make h5py raise any exception.
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"{path} is not a Keras weight file ({reason}); give a .weights.h5, .h5 or .keras"
        ) from error
    return [model for model in models if model.layers]


def count_names(kinds: list[str]) -> list[str]:
    """The keys that Keras 3 gives a model's layers in a file: `class`, `class_1`, …

    `kinds` are the class names of the layers, in the model's order.
    """
    seen: Counter[str] = Counter()
    names = []
    for kind in kinds:
        base = _snake_case(kind)
        names.append(f"{base}_{seen[base]}" if seen[base] else base)
        seen[base] += 1
    return names


def _read_legacy(group: Any) -> Iterator[StoredModel]:
    """Read the format of Keras 2, and of .h5 files of Keras 3: `layer_names`, and for each layer `weight_names`.

    There, a model inside a model is one layer, with weights named LAYER/VARIABLE.
    """
    outer: dict[str, StoredLayer] = {}
    inner: list[StoredModel] = []
    for name in map(_as_text, group.attrs["layer_names"]):
        layers: dict[str, StoredLayer] = defaultdict(lambda: StoredLayer([], []))
        for path in map(_as_text, group[name].attrs["weight_names"]):
            owner, _, variable = path.rpartition("/")
            layer = layers[owner.rpartition("/")[2] or name]
            layer.tensors.append(np.asarray(group[name][path]))
            layer.names.append(variable.partition(":")[0])
        if len(layers) == 1:
            outer[name] = next(iter(layers.values()))
        if layers:
            inner.append(StoredModel(dict(layers), is_named=True))
    return iter([StoredModel(outer, is_named=True), *inner])


def _read_nested(group: Any, names: dict[str, str]) -> Iterator[StoredModel]:
    """Read the format of Keras 3: a group for each model, with `layers` in it, each with numbered `vars`.

    `names` are the layers' names by group, for files that have no names in the groups.
    """
    members = group.get("layers", {})
    layers = {}
    is_named = True
    for member in members.values():
        variables = member.get("vars", {})
        if not len(variables):
            continue
        name = variables.attrs.get("name") or names.get(member.name)
        is_named = is_named and name is not None
        tensors = [np.asarray(variables[key]) for key in sorted(variables, key=int)]
        layers[str(name) if name is not None else member.name.rpartition("/")[2]] = StoredLayer(tensors, [])
    yield StoredModel(layers, is_named)
    for key, member in (members or group).items():
        if key != "vars" and hasattr(member, "keys"):
            yield from _read_nested(member, names)


def _names_in_config(config: Any, place: str) -> Iterator[tuple[str, str]]:
    """The group in the file and the name of each layer of a serialised model, layers of inner models included."""
    layers = config.get("config", {}).get("layers", []) if isinstance(config.get("config"), dict) else []
    for layer, key in zip(layers, count_names([layer["class_name"] for layer in layers]), strict=True):
        inner = f"{place}/layers/{key}"
        yield inner, layer["config"]["name"]
        yield from _names_in_config(layer, inner)


def _snake_case(kind: str) -> str:
    # The rule by which Keras names groups: BatchNormalization becomes batch_normalization, Conv2D becomes conv2d.
    kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()


def _as_text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
