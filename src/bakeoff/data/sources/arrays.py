"""Images and labels as NumPy arrays, kept in the cache as one file of pixels and one of shapes and labels."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.cache import mark_used
from bakeoff.data.sources.class_names import describe_alike, read_numbers, sort_classes
from bakeoff.data.sources.given import kept_file, make_address
from bakeoff.data.sources.records import RawImage, Source
from bakeoff.data.sources.table import to_cell
from bakeoff.errors import DataError
from bakeoff.files import hash_json, read_arrays, replacing
from bakeoff.text import counted

__all__ = ["Arrays", "keep_arrays"]

_GREY, _RGB = 1, 3
# What np.array(["cat", math.nan]) makes of the second label.
_NAN = "nan"


def keep_arrays(images: Any, labels: Any) -> str:
    """Keep images and their labels.

    Args:
        images: uint8 (n, height, width, 3), or grey (n, height, width) or (n, height, width, 1); or a list of n such
            images of any sizes.
        labels: The class of each image: n numbers or texts.

    Returns:
        The address of the arrays.

    Raises:
        DataError: They are something else, or of different lengths, or all labels are the same.
        OutputError: The cache cannot be written.
    """
    whole = np.asarray(images) if hasattr(images, "__array__") else None
    if whole is not None and whole.dtype == object:
        images, whole = list(whole), None
    pictures = list(_check_array(whole)) if whole is not None else _check_list(images)
    names = _check_labels(labels, len(pictures))
    shapes = np.array([picture.shape if picture.ndim == 3 else (*picture.shape, _GREY) for picture in pictures])
    digest = hashlib.sha256(hash_json([shapes.tolist(), names]).encode())
    for picture in pictures:
        digest.update(picture.tobytes())
    what = f"arrays {whole.shape}" if whole is not None else f"{len(pictures)} arrays"
    address = make_address(what, digest.hexdigest())
    pixels, rest = kept_file(address, ".npy"), kept_file(address, ".npz")
    if not (pixels.is_file() and rest.is_file()):
        with replacing(pixels) as temporary, temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (int(shapes.prod(axis=1).sum()),)}
            np.lib.format.write_array_header_1_0(file, header)
            for picture in pictures:
                file.write(picture.tobytes())
        with replacing(rest) as temporary:
            np.savez(temporary, shapes=shapes, labels=np.array(names))
    return address


class Arrays(Source):
    """Arrays that were given in Python, by their address. They are read at first use."""

    name = "arrays"
    licence = "not stated"

    def __init__(self, address: str) -> None:
        """Remember the address; nothing is read, so that shards are found without the arrays."""
        self._address = address
        self.signature = hash_json(["arrays", address])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The different labels: numbers in their order, or texts."""
        return sort_classes(self._labels)

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self._labels)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the arrays are, whether they are grey, and which names of classes may be mistakes."""
        grey = int((self._shapes[:, 2] == _GREY).sum())
        what = f"{self._address.rpartition(' #')[0]}, given in Python"
        notes = [f"{what}; grey images, each channel the same: {grey}" if grey else what]
        if count := self._labels.count(_NAN):
            notes.append(f"labels that are the text {_NAN}, as NumPy writes missing ones: {count}, read as a class")
        return (*notes, *describe_alike(self.class_names))

    def records(self) -> Iterator[RawImage]:
        """All images. Keys are positions, as in `00042`."""
        return self.fetch([f"{position:05d}" for position in range(self.count)])

    def fetch(self, keys: Sequence[str]) -> Iterator[RawImage]:
        """The images with these keys, in this order."""
        label_of = {name: label for label, name in enumerate(self.class_names)}
        flat = np.load(kept_file(self._address, ".npy"), mmap_mode="r")
        for position in map(int, keys):
            height, width, channels = map(int, self._shapes[position])
            start = int(self._starts[position])
            picture = flat[start : start + height * width * channels].reshape(height, width, channels)
            data = np.broadcast_to(picture, (height, width, _RGB)).tobytes()
            yield RawImage(f"{position:05d}", None, label_of[self._labels[position]], None, data, (height, width))

    @property
    def _labels(self) -> list[str]:
        return self._rest[1]

    @property
    def _shapes(self) -> NDArray[np.int64]:
        """Height, width and channels of each image: (n, 3)."""
        return self._rest[0]

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Where the pixels of each image begin: (n,)."""
        sizes = self._shapes.prod(axis=1)
        starts: NDArray[np.int64] = np.cumsum(sizes) - sizes
        return starts

    @cached_property
    def _rest(self) -> tuple[NDArray[np.int64], list[str]]:
        pixels, rest = kept_file(self._address, ".npy"), kept_file(self._address, ".npz")
        try:
            found = read_arrays(rest)
            mark_used(pixels)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self._address} are no longer in the cache; give them to bakeoff in Python again"
            ) from error
        shapes: NDArray[np.int64] = found["shapes"]
        return shapes, found["labels"].tolist()


def _check_array(images: NDArray[Any]) -> NDArray[np.uint8]:
    _check_pixels("images", images)
    if images.ndim not in (3, 4) or not images.size:
        raise DataError(f"images has shape {images.shape}; give (n, height, width, 3), or grey (n, height, width)")
    _check_channels("images", images.shape[1:])
    return images


def _check_list(images: Any) -> list[NDArray[np.uint8]]:
    if not isinstance(images, Sequence) or isinstance(images, str):
        raise DataError(f"images is a {type(images).__name__}; give an array, or a list of arrays")
    pictures = []
    for number, image in enumerate(images):
        name = f"images[{number}]"
        if not hasattr(image, "__array__"):
            # Of Pillow's images only some are grey or RGB.
            kind = type(image).__name__
            raise DataError(f"{name} is a {kind}; give uint8 arrays, such as np.asarray(image.convert('RGB'))")
        picture = np.asarray(image)
        _check_pixels(name, picture)
        if picture.ndim not in (2, 3) or not picture.size:
            raise DataError(f"{name} has shape {picture.shape}; give (height, width, 3), or grey (height, width)")
        _check_channels(name, picture.shape)
        pictures.append(picture)
    return pictures


def _check_pixels(name: str, pixels: NDArray[Any]) -> None:
    if pixels.dtype == np.uint8:
        return
    hint = "give uint8 pixels from 0 to 255"
    if pixels.size and pixels.dtype.kind in "fiu":
        low, high = pixels.min(), pixels.max()
        if pixels.dtype.kind == "f" and low >= 0 and high <= 1:
            hint = f"if 1 is white, give (255 * {name}).round().astype('uint8')"
        elif low >= 0 and high <= 255:
            hint = f"if 255 is white, give {name}.round().astype('uint8')"
        raise DataError(f"{name} is {pixels.dtype} from {low:g} to {high:g}; {hint}")
    if pixels.dtype == bool:
        hint = f"if True is white, give (255 * {name}).astype('uint8')"
    raise DataError(f"{name} is {pixels.dtype}; {hint}")


def _check_channels(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) == 2 or shape[2] in (_GREY, _RGB):
        return
    hint = "give RGB" if shape[0] not in (_GREY, _RGB) else "give the channels last, with np.moveaxis"
    raise DataError(f"{name}: each image is {shape}, but (height, width, 3) is wanted; {hint}")


def _check_labels(labels: Any, images: int) -> list[str]:
    values = np.asarray(labels, dtype=None if hasattr(labels, "dtype") else object)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        hint = "; of one-hot rows give labels.argmax(axis=1)" if values.ndim == 2 else ""
        raise DataError(f"labels has shape {values.shape}; give one label for each image, (n,){hint}")
    if len(values) != images:
        raise DataError(
            f"there are {counted(images, 'image')} and {counted(len(values), 'label')}; give one label for each image"
        )
    names = read_numbers([unicodedata.normalize("NFC", to_cell(value)) for value in values.tolist()])
    if "" in names:
        raise DataError(f"labels[{names.index('')}] is empty; leave out images without a label")
    if len(counts := Counter(names)) < 2:
        raise DataError(f"all labels are {next(iter(counts), 'missing')}; give images of at least two classes")
    return names
