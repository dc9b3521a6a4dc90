"""Reads the tensors of a PyTorch checkpoint without PyTorch, and without running code from the file.

A checkpoint is a pickle, and a pickle can call any function that it names. This reader accepts three harmless names (an
ordered dict, "rebuild a tensor", a storage type) and refuses every other name before anything is called. It reads the
zip format (torch 1.6 and later) and the older format of concatenated pickles.

    read_state_dict(Path("model.pth"))["_conv_stem.weight"].shape
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bakeoff.errors import WeightsError

__all__ = ["read_state_dict"]

# In the older format, torch.serialization writes these before the pickle of the object.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_DTYPES: dict[str, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("<i1"),
    "ByteStorage": np.dtype("<u1"),
    "BoolStorage": np.dtype("?"),
}


class _Storage(NamedTuple):
    key: str
    type_name: str
    items: int


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides count items. The array is made after the whole pickle has been read."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Read a checkpoint that holds a state dict: one flat mapping of names to tensors.

    Returns:
        Contiguous arrays of the stored dtypes by name, in the file's order.

    Raises:
        WeightsError: The file is missing or damaged, is not a state dict, or names anything but tensors. No code from
            the file was run.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}; give the path of a PyTorch checkpoint") from error
    try:
        read = _read_zip if zipfile.is_zipfile(io.BytesIO(data)) else _read_legacy
        tree, storages = read(data)
        return {name: _to_array(tensor, storages) for name, tensor in _named_tensors(tree)}
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except Exception as error:  # A damaged pickle can raise any exception.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path} is damaged or not a PyTorch checkpoint ({reason}); fetch it again") from error


class _TensorUnpickler(pickle.Unpickler):
    """Builds `_Tensor` records. What `find_class` returns is immutable, so a pickle cannot alter this process."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._rebuild_tensor
        if module == "torch" and name.endswith("Storage"):
            if name in _DTYPES:
                return name
            raise WeightsError(f"holds torch.{name}, which has no numpy type; save the model in float32")
        raise WeightsError(f"refused {module}.{name}; no code was run; use a file with model.state_dict() alone")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, type_name, key, _device, items, *view = pid
        if kind != "storage" or type_name not in _DTYPES or any(part is not None for part in view):
            raise WeightsError("holds storages of an unknown kind; save it again with a current PyTorch")
        return self.storages.setdefault(str(key), _Storage(str(key), type_name, int(items)))

    def _rebuild_tensor(self, storage: Any, offset: int, shape: Any, strides: Any, *_flags: Any) -> _Tensor:
        if not isinstance(storage, _Storage):
            raise WeightsError("holds a tensor without a storage; fetch it again")
        return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _read_legacy(data: bytes) -> tuple[Any, Callable[[_Storage], bytes]]:
    stream = io.BytesIO(data)
    header = [_TensorUnpickler(stream).load() for _ in range(3)]
    if header[:2] != [_LEGACY_MAGIC, _LEGACY_PROTOCOL] or not header[2].get("little_endian"):
        raise WeightsError("is not a little-endian PyTorch checkpoint; give a .pth file written by torch.save")
    unpickler = _TensorUnpickler(stream)
    tree = unpickler.load()
    blobs: dict[str, bytes] = {}
    for key in _TensorUnpickler(stream).load():
        storage = unpickler.storages[str(key)]
        items = int.from_bytes(stream.read(8), "little")
        blobs[storage.key] = stream.read(items * _DTYPES[storage.type_name].itemsize)
    return tree, lambda storage: blobs[storage.key]


def _read_zip(data: bytes) -> tuple[Any, Callable[[_Storage], bytes]]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    members = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise WeightsError("is a zip file but not a PyTorch checkpoint; give a .pth file written by torch.save")
    root = pickles[0].removesuffix("data.pkl")

    def member(name: str) -> bytes:
        # PyTorch does not compress. Refusing compressed members bounds the memory that a hostile file can take.
        if members[root + name].compress_type != zipfile.ZIP_STORED:
            raise WeightsError("has compressed members, which PyTorch never writes; fetch it again")
        return archive.read(root + name)

    if root + "byteorder" in members and member("byteorder") != b"little":
        raise WeightsError("is big-endian; save it again on a little-endian machine")
    tree = _TensorUnpickler(io.BytesIO(member("data.pkl"))).load()
    return tree, lambda storage: member(f"data/{storage.key}")


def _named_tensors(tree: Any) -> list[tuple[str, _Tensor]]:
    if not isinstance(tree, Mapping):
        raise WeightsError(f"holds a {type(tree).__name__}, not a state dict; save model.state_dict() alone")
    for name, tensor in tree.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise WeightsError(f"entry {name!r} is not a named tensor; save model.state_dict() alone")
    return list(tree.items())


def _to_array(tensor: _Tensor, storages: Callable[[_Storage], bytes]) -> np.ndarray:
    dtype = _DTYPES[tensor.storage.type_name]
    items = np.frombuffer(storages(tensor.storage), dtype)
    axes = list(zip(tensor.shape, tensor.strides, strict=True))
    count = math.prod(tensor.shape)
    last = tensor.offset + sum((size - 1) * stride for size, stride in axes)
    # A view must be inside its storage and not larger than it. `as_strided` does not check this.
    if items.size != tensor.storage.items or min([tensor.offset, *tensor.shape, *tensor.strides]) < 0:
        raise WeightsError("holds fewer numbers than it declares; fetch it again")
    if count > items.size or (count and last >= items.size):
        raise WeightsError("holds a tensor that reaches beyond its storage; fetch it again")
    strides = [stride * dtype.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(items[tensor.offset :], tensor.shape, strides, writeable=False)
    return np.array(view, order="C")
