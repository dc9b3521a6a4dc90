"""Reads a Keras weight file: its layers with their names, their order and their tensors. Runs no code from the file.

Keras 2 and the `.h5` files of Keras 3 list `layer_names`, and for each layer `weight_names`, in the order of the model.
`.keras` and `.weights.h5` have a group for each layer, named by its class and a number, and its name in an attribute
(from Keras 3.9 on) or in `config.json` (`.keras`), or nowhere.

A file may hold a backbone alone, or a whole classifier in which the backbone is one layer or many. So all models in the
file are given, and `match.py` takes the one that fits best.
"""

import contextlib
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bakeoff.errors import WeightsError
from bakeoff.networks.weights.hdf5 import MOST_GROWTH, Group, Tensor, open_hdf5

__all__ = ["StoredLayer", "StoredModel", "canonical", "count_names", "open_models", "split_number"]

# As Python objects, JSON takes up to 35 times its size. That of the largest network of Keras has one megabyte.
_MOST_CONFIG_BYTES = 4 << 20
# What Keras 3 and Keras 2.13 call the list of a model's layers. Both are left out of a layer's place.
_LISTS = ("layers", "_layer_checkpoint_dependencies")
# Members of a file that are no layers.
_NO_LAYERS = ("optimizer", "optimizer_weights", "seed_generator", "top_level_model_weights", "loss_tracker")


@dataclass(frozen=True)
class StoredLayer:
    """The tensors of one layer, in the file's order."""

    names: tuple[str, ...]
    """What the layer may be called, the longest first, `canonical`; empty if the file has no names."""
    place: tuple[str, ...]
    """Where it is among the groups of its model: `sequential_1`, `conv2d_3`. Empty if the file has no such groups."""
    line: tuple[str, ...]
    """What it is counted among: layers of one line are in the order of their `index`."""
    index: tuple[int, ...]
    tensors: tuple[Tensor, ...]
    variables: tuple[str, ...] = ()
    """The names of the tensors, if the file has them."""
    inside: str = ""
    """The inner model that it is in, if the file lists layers that train before frozen ones there; see `order.py`."""

    @property
    def title(self) -> str:
        """The name for messages."""
        return self.names[0] if self.names else "/".join(self.place)


@dataclass(frozen=True)
class StoredModel:
    """The layers of one model in a file, those of models inside it included."""

    layers: tuple[StoredLayer, ...]


@contextlib.contextmanager
def open_models(path: Path) -> Iterator[list[StoredModel]]:
    """Yield all models in a `.keras`, `.weights.h5` or `.h5` file, outer before inner. Tensors are read in the block.

    Raises:
        WeightsError: The file is damaged, of another format, or needs what no file of weights needs.
    """
    try:
        with contextlib.ExitStack() as stack:
            data, names = _unpack(path) if zipfile.is_zipfile(path) else (path, {})
            root = stack.enter_context(open_hdf5(data))
            group = root.groups.get("model_weights", root)
            names_in_order = group.texts("layer_names")
            models = list(_read_legacy(group, names_in_order) if names_in_order else _read_nested(group, names))
            opened = stack.pop_all()
    except WeightsError as error:
        raise WeightsError(f"{path} {error}; save the weights again with Keras") from error
    except Exception as error:  # A damaged file can make h5py raise any exception.
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"{path} is not a Keras weight file ({reason}); give a .weights.h5, .h5 or .keras"
        ) from error
    with opened:
        try:
            yield [model for model in models if model.layers]
        except OSError as error:
            reason = " ".join(str(error).split())[:200]
            raise WeightsError(f"{path} is damaged ({reason}); copy it again") from error


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


def split_number(name: str) -> tuple[str, int]:
    """A name and its number: `conv2d_3` is (`conv2d`, 3), `conv2d` is (`conv2d`, 0)."""
    match = re.fullmatch(r"(.+?)_(\d{1,9})", name)
    return (match[1], int(match[2])) if match else (name, 0)


def canonical(name: str) -> str:
    """The name under which a layer of Keras 2 and the same layer of Keras 3 are equal."""
    # Keras 2 wrote Conv/BatchNorm and conv1/bn where Keras 3 writes conv_bn and conv1_bn.
    return name.replace("/", "_").lower().replace("batchnorm", "bn")


def _unpack(path: Path) -> tuple[bytes, dict[str, tuple[int, str]]]:
    """The HDF5 file in a `.keras` file, and the position and name of each layer by its group."""
    most = MOST_GROWTH * path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        config = json.loads(_read_member(archive, "config.json", min(most, _MOST_CONFIG_BYTES)))
        named = enumerate(_names_in_config(config, ()))
        data = _read_member(archive, "model.weights.h5", most)
        return data, {"/".join(place): (i, name) for i, (place, name) in named}


def _read_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    member = archive.getinfo(name)
    if member.file_size > limit:
        raise WeightsError(f"declares {member.file_size:,} bytes for {name}, which is more than {limit:,}")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise WeightsError(f"has {name} compressed in an unusual way")
    with archive.open(member) as file:
        # Without a number, zipfile would unpack all that is there, whatever is declared.
        return file.read(member.file_size + 1)


def _read_legacy(group: Group, names: list[str]) -> Iterator[StoredModel]:
    """The whole file, then each layer that is a model: its weights are named LAYER/VARIABLE."""
    inner: list[list[StoredLayer]] = []
    for name in names:
        member = group.groups.get(name) or _descend(group, name)
        owners: dict[str, list[tuple[str, Tensor]]] = {}
        for path in member.texts("weight_names") if member else []:
            owner, _, variable = path.rpartition("/")
            tensor = member.find(path) if member else None
            if tensor is None:
                raise WeightsError(f"lists the tensor {path}, and does not hold it")
            owners.setdefault(owner or name, []).append((variable.partition(":")[0], tensor))
        if owners:
            inner.append([_legacy_layer(name, owner, owners) for owner in owners])
    layers = [replace(layer, index=(index,)) for index, layer in enumerate(layer for part in inner for layer in part)]
    yield StoredModel(tuple(layers))
    for part in inner:
        if len(part) > 1:
            yield StoredModel(tuple(layers[: len(part)]))
        del layers[: len(part)]


def _legacy_layer(name: str, owner: str, owners: dict[str, list[tuple[str, Tensor]]]) -> StoredLayer:
    parts = owner.split("/")
    names = [name] if len(owners) == 1 else []
    names += ["/".join(parts[start:]) for start in range(len(parts))]
    variables, tensors = zip(*owners[owner], strict=True)
    inside = name if len(owners) > 1 else ""
    return StoredLayer(tuple(dict.fromkeys(map(canonical, names))), (), (), (), tensors, variables, inside)


def _descend(group: Group, path: str) -> Group | None:
    found: Group | None = group
    for name in path.split("/"):
        found = found.groups.get(name) if found else None
    return found


def _read_nested(group: Group, names: dict[str, tuple[int, str]]) -> Iterator[StoredModel]:
    """Each group with layers below it is a model."""
    layers: dict[tuple[str, ...], StoredLayer] = {}
    _collect(group, (), names, layers)
    starts = dict.fromkeys(place[:depth] for place in layers for depth in range(len(place)))
    for start in sorted(starts, key=len):
        below = [(place[len(start) :], layer) for place, layer in layers.items() if place[: len(start)] == start]
        yield StoredModel(tuple(replace(layer, place=place, **_count(place, layer)) for place, layer in below))


def _count(place: tuple[str, ...], layer: StoredLayer) -> dict[str, Any]:
    if layer.index:  # from the config
        return {}
    bases, numbers = zip(*map(split_number, place), strict=True)
    return {"line": bases, "index": numbers}


def _collect(
    group: Group,
    place: tuple[str, ...],
    names: dict[str, tuple[int, str]],
    layers: dict[tuple[str, ...], StoredLayer],
) -> None:
    values = group.groups.get("vars")
    if place and values and values.tensors:
        position, given = names.get("/".join(place), (None, ""))
        name = given or "".join(values.texts("name"))
        layers[place] = StoredLayer(
            names=(canonical(name),) if name else (),
            place=place,
            line=(),
            index=() if position is None else (position,),
            # Keras' keys are numbers; layers of people's own may have any.
            tensors=tuple(values.tensors[key] for key in sorted(values.tensors, key=lambda key: (len(key), key))),
        )
    for name, member in group.groups.items():
        if name != "vars" and name not in _NO_LAYERS:
            _collect(member, place if name in _LISTS else (*place, name), names, layers)


def _names_in_config(config: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The place in the file and the name of each layer of a serialised model, layers of inner models included."""
    layers = _layers_in_config(config)
    for layer, key in zip(layers, count_names([layer["class_name"] for layer in layers]), strict=True):
        yield (*place, key), layer["config"]["name"]
        yield from _names_in_config(layer, (*place, key))


def _layers_in_config(config: Any) -> list[dict[str, Any]]:
    """The serialised layers of a serialised model; none if `layers` is something else, as in a class of one's own."""
    settings = config.get("config") if isinstance(config, dict) else None
    layers = settings.get("layers") if isinstance(settings, dict) else None
    if not isinstance(layers, list) or not all(map(_is_layer, layers)):
        return []
    return layers


def _is_layer(layer: Any) -> bool:
    return (
        isinstance(layer, dict)
        and isinstance(layer.get("class_name"), str)
        and isinstance(layer.get("config"), dict)
        and isinstance(layer["config"].get("name"), str)
    )


def _snake_case(kind: str) -> str:
    # The rule by which Keras names groups: BatchNormalization becomes batch_normalization, Conv2D becomes conv2d.
    kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()
