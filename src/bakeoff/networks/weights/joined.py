"""Joins the parts of weights that Keras divided into several files, so that they are one file everywhere else.

NAME.weights.json          which tensors are in which part
NAME_00000.weights.h5, …   the parts, in the same folder
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from bakeoff.cache import mark_used
from bakeoff.errors import WeightsError
from bakeoff.files import cache_dir, hash_file, replacing
from bakeoff.networks.weights.hdf5 import Group, open_hdf5

__all__ = ["join_parts"]

_MOST_INDEX_BYTES = 4 << 20


def join_parts(index: Path) -> Path:
    """The file in the cache that holds all parts of a `.weights.json`; it is written if it is not there.

    Raises:
        WeightsError: The index or a part is missing or damaged, or a part lies in another folder.
    """
    parts = _list_parts(index)
    digest = hashlib.sha256("\n".join([hash_file(index), *map(hash_file, parts)]).encode()).hexdigest()
    target = cache_dir() / "weights" / f"joined-{digest}" / f"{index.stem.removesuffix('.weights')}.weights.h5"
    mark_used(target.parent)
    if target.is_file():
        return target
    import h5py  # type: ignore[import-untyped]

    with replacing(target) as temporary, h5py.File(temporary, "w") as whole:
        for part in parts:
            try:
                with open_hdf5(part) as root:
                    _copy(root, whole)
            except WeightsError as error:
                raise WeightsError(f"{part} {error}; save the weights again with Keras") from error
            except Exception as error:  # A damaged file can make h5py raise any exception.
                reason = " ".join(str(error).split())[:200]
                raise WeightsError(f"{part} is not a part of Keras weights ({reason}); copy it again") from error
    return target


def _list_parts(index: Path) -> list[Path]:
    try:
        if index.stat().st_size > _MOST_INDEX_BYTES:
            raise ValueError(f"it is larger than {_MOST_INDEX_BYTES:,} bytes")
        files = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        names = sorted({name for each in files for name in ([each] if isinstance(each, str) else each)})
        paths = [index.with_name(name) for name in names]  # Refuses names with folders in them.
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{index} is not an index of Keras weights ({error}); give a .weights.json") from error
    if missing := [path for path in paths if not path.is_file()] or ([] if paths else [index]):
        raise WeightsError(f"{missing[0]} is missing or empty; copy all files that Keras wrote beside {index.name}")
    return paths


def _copy(group: Group, target: Any) -> None:
    for name, tensor in group.tensors.items():
        target.create_dataset(name, data=tensor.read())
    for name, member in group.groups.items():
        below = target.require_group(name)
        if name == "vars" and (title := member.texts("name")):
            below.attrs["name"] = title[0]
        _copy(member, below)
