"""The tensors of a Keras weight file, by the model inside it and by layer; only numbers are read, no code.

A file may hold a bare backbone or somebody's whole classifier, with the backbone as one of its layers or spread
among them. So every model in the file is offered, and which one is wanted is found by trying.
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
    """Tensors of one layer in the file's order; `names` are those of its variables, none where the file has none."""

    tensors: list[Array]
    names: list[str]


class StoredModel(NamedTuple):
    """One model in a file, by layer. Keras 3 named no layers before 3.9: then keys are `class` or `class_n`."""

    layers: dict[str, StoredLayer]
    is_named: bool


def read_models(path: Path) -> list[StoredModel]:
    """All models in a `.keras`, `.weights.h5` or `.h5` file, outer before inner. Raises WeightsError if it is none."""
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
    except Exception as error:  # h5py raises whatever the damage leads it to
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"{path} is not a Keras weight file ({reason}); give a .weights.h5, .h5 or .keras"
        ) from error
    return [model for model in models if model.layers]


def count_names(kinds: list[str]) -> list[str]:
    """`class`, `class_1`, …: what Keras 3 calls the members of a model, given their classes' names in its order."""
    seen: Counter[str] = Counter()
    names = []
    for kind in kinds:
        base = _snake_case(kind)
        names.append(f"{base}_{seen[base]}" if seen[base] else base)
        seen[base] += 1
    return names


def _read_legacy(group: Any) -> Iterator[StoredModel]:
    """Files of Keras 2, and of Keras 3 ending in .h5: `layer_names`, and in each layer the `weight_names`.

    A model inside a model is one layer there, and its weights' names are LAYER/VARIABLE.
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
    """Files of Keras 3: a group for each model, `layers` in it, and `vars` in each of those, numbered."""
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
    """(group in the file, layer's name) for each layer of a serialised model, nested ones included."""
    layers = config.get("config", {}).get("layers", []) if isinstance(config.get("config"), dict) else []
    for layer, key in zip(layers, count_names([layer["class_name"] for layer in layers]), strict=True):
        inner = f"{place}/layers/{key}"
        yield inner, layer["config"]["name"]
        yield from _names_in_config(layer, inner)


def _snake_case(kind: str) -> str:
    # As Keras forms the names of its groups: BatchNormalization is batch_normalization, Conv2D is conv2d.
    kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()


def _as_text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
