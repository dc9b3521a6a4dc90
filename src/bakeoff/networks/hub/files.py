"""A preset's files: which there are, and what its configuration says. Nothing of them is executed.

config.json              the network: as KerasHub, timm or Hugging Face's Transformers write it
image_converter.json     KerasHub: how images are scaled; timm has it in config.json
preprocessor_config.json the same, Transformers
metadata.json            KerasHub: number of parameters
task.json                KerasHub: how a classifier pools
README.md                the licence, on Hugging Face
model.weights.h5, model.safetensors, or an index and the parts that it lists
"""

import functools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.errors import WeightsError
from bakeoff.files import hash_file, hash_json
from bakeoff.networks.hub.formats import MOST_BYTES, Description, UnfinishedError, read_description, read_table

__all__ = ["KEPT_FILES", "WEIGHT_FILES", "PresetFiles", "hash_files", "read_files", "read_shapes"]

WEIGHT_FILES = ("model.weights.h5", "model.weights.json", "model.safetensors", "model.safetensors.index.json")
KEPT_FILES = (
    "config.json",
    "image_converter.json",
    "preprocessor.json",
    "preprocessor_config.json",
    "metadata.json",
    "task.json",
    "README.md",
    *WEIGHT_FILES,
)
"""The files of a preset that are read, besides the parts of divided weights."""

_MOST_HEADER_BYTES = 64 << 20


@dataclass(frozen=True)
class PresetFiles:
    """A preset's files, checked."""

    folder: Path
    described: Description
    raw: Mapping[str, Any]
    """The table in its config.json."""
    pooling: str
    """How its classifier pools, if it says so."""
    parameters: int | None
    licence: str
    weights: tuple[Path, ...]
    """The weights, the index first if they are divided."""

    @property
    def source(self) -> str:
        """SHA-256 of what the network is built from."""
        ignored = ("name", "trainable", "dtype", "build_config", "compile_config")
        config = self.raw.get("config", self.raw)
        plain = {key: value for key, value in config.items() if key not in ignored}
        return hash_json([self.described.kind, plain, self.described.converter, self.pooling])


def read_files(name: str, folder: Path) -> PresetFiles:
    """Read and check the files of a preset, but for its weights, of which only the names and sizes are read.

    Args:
        name: The preset, for error messages.
        folder: Its folder.

    Raises:
        UnfinishedError: A file is missing, or not whole.
        WeightsError: It is another kind of network, or asks for code of its own.
    """
    try:
        return _read(folder)
    except WeightsError as error:
        raise type(error)(f"{name}: {folder} {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        # Somebody else's file, which can have anything anywhere.
        reason = f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise WeightsError(
            f"{name}: {folder} has a config.json that cannot be read ({reason}); download or save the preset again"
        ) from error


def hash_files(files: PresetFiles) -> str:
    """SHA-256 of a preset's configuration and weights. Raises WeightsError if a file is not the one of its hub."""
    return hash_json([files.source, *(_hash(path) for path in files.weights)])


def read_shapes(path: Path) -> dict[str, list[int]]:
    """The shapes of the tensors in a safetensors file by name, from its header.

    Raises UnfinishedError if it is not whole.
    """
    return {name: tensor["shape"] for name, tensor in _read_header(path).items() if "shape" in tensor}


def _read(folder: Path) -> PresetFiles:
    config = read_table(folder / "config.json")
    if config is None:
        raise UnfinishedError("has no config.json, so it is no preset; give a folder that KerasHub, or a hub, wrote")
    described = read_description(folder, config)
    weights = _find_weights(folder)
    metadata = read_table(folder / "metadata.json") or {}
    stored = _count_stored(weights)
    parameters = metadata.get("parameter_count") or stored
    task = (read_table(folder / "task.json") or {}).get("config", {})
    return PresetFiles(
        folder=folder,
        described=described,
        raw=config,
        pooling=str(task.get("pooling") or ""),
        parameters=int(parameters) if parameters else None,
        licence=_find_licence(folder, config),
        weights=weights,
    )


def _find_weights(folder: Path) -> tuple[Path, ...]:
    first = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if first is None:
        raise UnfinishedError(f"has no weights ({' or '.join(WEIGHT_FILES[::2])}); download or save the preset again")
    if first.suffix != ".json":
        return (first,)
    table = read_table(first) or {}
    names: set[str] = set()
    for value in table["weight_map"].values():
        names |= set(value if isinstance(value, list) else [value])
    for name in sorted(names):
        if Path(name).name != name or not (folder / name).is_file():
            raise UnfinishedError(f"lacks {name}, a part of its weights; download or save the preset again")
    return (first, *(folder / name for name in sorted(names)))


def _count_stored(weights: tuple[Path, ...]) -> int:
    """Numbers in the weights, from the headers of safetensors, or from the size of the files, which must be whole."""
    total = 0
    for path in weights:
        if path.suffix == ".safetensors":
            total += sum(map(math.prod, read_shapes(path).values()))
        elif path.suffix == ".h5":
            _check_hdf5(path)
            total += path.stat().st_size // 4
    return total


def _check_hdf5(path: Path) -> None:
    """Raise UnfinishedError if an HDF5 file is not whole: its superblock says where it ends."""
    with path.open("rb") as file:
        head = file.read(52)
    if head[:8] != b"\x89HDF\r\n\x1a\n" or len(head) < 52:
        raise UnfinishedError(f"has a damaged {path.name}: it does not begin as HDF5 does; download or save it again")
    place = {0: 40, 1: 44}.get(head[8], 28)
    end, size = int.from_bytes(head[place : place + 8], "little"), path.stat().st_size
    if size < end:
        raise UnfinishedError(
            f"has a damaged {path.name}: {size:,} of {end:,} bytes are there; download or save it again"
        )


def _read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: its length in eight bytes, then a table. Checks that the file is whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _MOST_HEADER_BYTES):
            raise UnfinishedError(f"has a damaged {path.name}: it does not begin as safetensors do; download it again")
        try:
            header = json.loads(file.read(length))
            end = max((tensor["data_offsets"][1] for tensor in header.values() if "shape" in tensor), default=0)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise UnfinishedError(f"has a damaged {path.name}: its header cannot be read; download it again") from error
    if size != 8 + length + end:
        raise UnfinishedError(
            f"has a damaged {path.name}: {size:,} of {8 + length + end:,} bytes are there; download it again"
        )
    tables: dict[str, Any] = header
    return tables


def _find_licence(folder: Path, config: Mapping[str, Any]) -> str:
    facts = config.get("pretrained_cfg")
    if isinstance(facts, dict) and facts.get("license"):
        return str(facts["license"])
    readme = folder / "README.md"
    if readme.is_file() and readme.stat().st_size <= MOST_BYTES:
        head = readme.read_text(encoding="utf-8", errors="replace").split("---")
        found = re.search(r"^license:\s*[\"']?([^\"'\n]+)", head[1], re.MULTILINE) if len(head) > 2 else None
        if found:
            return found[1].strip()
    return "not stated in the preset"


def _hash(path: Path) -> str:
    facts = path.stat()
    return _hash_once(path, facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _hash_once(path: Path, size: int, changed: int) -> str:
    """The SHA-256 of a large file, computed again only if it has changed since."""
    del size, changed
    digest = hash_file(path)
    # The cache of `huggingface_hub` keeps a large file under its SHA-256, with a link to it in the snapshot.
    kept = path.resolve()
    if kept.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", kept.name) and kept.name != digest:
        raise WeightsError(
            f"{path} is damaged: its SHA-256 is {digest[:16]}…, not {kept.name[:16]}…; download it again"
        )
    return digest
