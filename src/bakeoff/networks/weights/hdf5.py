"""Reads HDF5 files from strangers: nothing outside the file, and nothing much larger than the file.

HDF5 can name other files (links, external storage, virtual datasets), declare arrays that it does not store, and
compress zeros a thousandfold. Keras writes none of that, so it is refused before anything is read. Only gzip is taken,
because people compress weights with it; it may not shrink them to less than a tenth.

    with open_hdf5(path) as root:
        root.groups["layers"].tensors["0"].read()
"""

import contextlib
import io
import math
import mmap
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from bakeoff.errors import WeightsError
from bakeoff.networks.weights.hdf5_bytes import check_bytes

__all__ = ["MOST_GROWTH", "Group", "Tensor", "open_hdf5"]

MOST_GROWTH = 10
"""By how much data may grow when they are unpacked: weights hardly shrink, except for zeros in a small file."""

_SMALL = 1 << 20
# Shuffled bytes, gzip, a checksum.
_FILTERS = (2, 1, 3)
# Of groups inside groups; models inside models need two for each.
_MOST_DEEP = 64
_MOST_NODES = 100_000
_LONGEST_NAME = 1024


@dataclass(frozen=True)
class Tensor:
    """A tensor that is stored in the file as a whole."""

    shape: tuple[int, ...]
    _dataset: Any = field(repr=False)

    def read(self) -> np.ndarray:
        """The numbers, in the stored type; bfloat16 as float32. The file must be open.

        Raises OSError if they are damaged.
        """
        try:
            if self._dataset.id.get_create_plist().get_nfilters():
                _check_chunks(self._dataset)
            values: np.ndarray = self._dataset[()]
        except Exception as error:  # A damaged file can make h5py raise any exception.
            raise OSError(f"{self._dataset.name}: {error}") from error
        # HDF5 has no bfloat16, so Keras stores two bytes without a type.
        return values.view(ml_dtypes.bfloat16).astype(np.float32) if values.dtype.kind == "V" else np.asarray(values)


@dataclass(frozen=True)
class Group:
    """A group with its members by name, in the file's order."""

    groups: dict[str, "Group"]
    tensors: dict[str, Tensor]
    _file: "_File" = field(repr=False)
    _group: Any = field(repr=False)

    def texts(self, name: str) -> list[str]:
        """The strings of an attribute, also if Keras has divided it into NAME0, NAME1, …; empty without it."""
        found: list[str] = []
        parts = [name] if name in self._group.attrs else _numbered(name, self._group.attrs)
        for part in parts:
            found += self._file.read_texts(self._group, part)
        return found

    def find(self, path: str) -> Tensor | None:
        """The tensor at a path such as `conv1/kernel:0`; None if there is none."""
        *names, last = path.split("/")
        group: Group | None = self
        for name in names:
            group = group.groups.get(name) if group else None
        return group.tensors.get(last) if group else None


@contextlib.contextmanager
def open_hdf5(data: Path | bytes) -> Iterator[Group]:
    """Yield the root group of a file, or of a file's bytes.

    Raises:
        WeightsError: The file needs something that a file of weights does not. The message lacks the path.
        OSError: It is no HDF5 file, or is damaged; h5py raises other exceptions too.
    """
    import h5py  # type: ignore[import-untyped]

    with contextlib.ExitStack() as stack:
        if isinstance(data, bytes):
            view: Any = data
            stream: Any = io.BytesIO(data)
        else:
            stream = stack.enter_context(data.open("rb"))
            view = stack.enter_context(contextlib.closing(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)))
        check_bytes(view)
        # A file object, so that HDF5 can open no file by a name.
        file = stack.enter_context(h5py.File(stream, "r"))
        yield _File(len(view)).read_group(file, 0)


class _File:
    """The bounds of one file, and the objects that were seen in it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.seen: set[int] = set()
        self.unpacked = 0

    def read_group(self, group: Any, depth: int) -> Group:
        import h5py

        self._see(group)
        if depth > _MOST_DEEP:
            raise WeightsError(f"has groups in more than {_MOST_DEEP} levels, which Keras never writes")
        read = Group({}, {}, self, group)
        for name in group:
            link = group.get(name, getclass=True, getlink=True)
            if link is not h5py.HardLink:
                kind = "an external" if link is h5py.ExternalLink else "a soft"
                raise WeightsError(f"has {kind} link {group.name.rstrip('/')}/{name}, which Keras never writes")
            member = group[name]
            if isinstance(member, h5py.Group):
                read.groups[name] = self.read_group(member, depth + 1)
            elif isinstance(member, h5py.Dataset):
                self._see(member)
                if (tensor := self._check_tensor(member)) is not None:
                    read.tensors[name] = tensor
        return read

    def read_texts(self, group: Any, name: str) -> list[str]:
        attribute = group.attrs.get_id(name)
        count, kind = math.prod(attribute.shape), attribute.dtype
        if count == 0:  # An empty list has no type of text.
            return []
        if kind.kind not in "OS" or count * kind.itemsize > self.size:
            raise WeightsError(f"declares names that it cannot hold, at {group.name}")
        texts = [text.decode() if isinstance(text, bytes) else str(text) for text in np.ravel(group.attrs[name])]
        if any(len(text) > _LONGEST_NAME for text in texts):
            raise WeightsError(f"has names longer than {_LONGEST_NAME} characters, at {group.name}")
        return texts

    def _see(self, node: Any) -> None:
        import h5py

        address = h5py.h5o.get_info(node.id).addr
        if address in self.seen or len(self.seen) == _MOST_NODES:
            raise WeightsError(f"has {node.name} twice, or more than {_MOST_NODES:,} members")
        self.seen.add(address)

    def _check_tensor(self, dataset: Any) -> Tensor | None:
        """The tensor of a dataset, after its bounds were checked; None for other data, such as texts."""
        import h5py

        layout = dataset.id.get_create_plist()  # First: the shape of a virtual dataset is read from other files.
        if layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count():
            raise WeightsError(f"takes {dataset.name} from another file, which Keras never does")
        filters = [layout.get_filter(position)[0] for position in range(layout.get_nfilters())]
        # Each at most once, and in this order.
        if filters != [each for each in _FILTERS if each in filters]:
            raise WeightsError(f"has {dataset.name} compressed in another way than with gzip")
        kind = dataset.dtype
        is_bfloat16 = kind == np.dtype("V2") and "bfloat16" in self.read_dtype(dataset)
        if (kind.kind not in "fiub" and not is_bfloat16) or dataset.shape is None:
            return None
        chunk = layout.get_chunk() if layout.get_layout() == h5py.h5d.CHUNKED else ()
        declared = max(math.prod(dataset.shape), math.prod(chunk)) * kind.itemsize
        if filters:
            self.unpacked += declared
            if self.unpacked > MOST_GROWTH * self.size + _SMALL:
                raise WeightsError(f"unpacks to more than {MOST_GROWTH} times its size, at {dataset.name}")
            parts = zip(dataset.shape, chunk, strict=True)
            is_stored = dataset.id.get_num_chunks() == math.prod(-(-side // part) for side, part in parts)
        else:
            is_stored = declared <= min(self.size, max(dataset.id.get_storage_size(), 64))
        if not is_stored:
            raise WeightsError(f"declares {declared:,} bytes for {dataset.name}, and does not store them")
        return Tensor(tuple(dataset.shape), dataset)

    def read_dtype(self, dataset: Any) -> list[str]:
        return self.read_texts(dataset, "dtype") if "dtype" in dataset.attrs else []


def _check_chunks(dataset: Any) -> None:
    """Raise ValueError if a part of a compressed dataset unpacks to more than it declares: HDF5 would unpack all."""
    import h5py

    layout = dataset.id.get_create_plist()
    filters = [layout.get_filter(position)[0] for position in range(layout.get_nfilters())]
    declared = math.prod(dataset.chunks) * dataset.id.get_type().get_size() + 4  # the bytes of a checksum
    chunks: list[Any] = []
    dataset.id.chunk_iter(chunks.append)
    for chunk in chunks:
        size = chunk.size
        if size <= 2 * declared + 64 and h5py.h5z.FILTER_DEFLATE in filters:
            data = dataset.id.read_direct_chunk(chunk.chunk_offset)[1]
            size = len(zlib.decompressobj().decompress(data, declared + 1))
        if size > declared:
            raise ValueError("a part of it is larger than it declares")


def _numbered(name: str, attributes: Any) -> list[str]:
    count = 0
    while f"{name}{count}" in attributes:
        count += 1
    return [f"{name}{number}" for number in range(count)]
