"""What is found in the bytes of an HDF5 file, because HDF5 would follow it without a bound: texts, and trees."""

import re
from collections.abc import Iterator
from typing import Any

from bakeoff.errors import WeightsError

__all__ = ["check_bytes"]

# Bytes of a collection of texts. Names are in collections of 4 KiB; a whole model as JSON needs one of its own.
_LONG_TEXT = 64 << 10
_MOST_LONG_TEXTS = 64


def check_bytes(view: Any) -> None:
    """Check the bytes of a file before HDF5 reads it.

    Raises:
        WeightsError: Many names may point to one long text, or a tree may have a part many times.
        OSError: It is no HDF5 file, or is damaged.
    """
    # The superblock says how long addresses are, and where they begin.
    length, start = {0: (13, 24), 1: (13, 28)}.get(view[8], (9, 12)) if len(view) > 36 else (0, 0)
    if view[:8] != b"\x89HDF\r\n\x1a\n" or view[length] != 8 or any(view[start : start + 8]):
        raise OSError("it does not begin as an HDF5 file of Keras")
    _check_texts(view)
    _check_trees(view)


def _check_texts(view: Any) -> None:
    """Raise WeightsError if many names may point to one long text, each of which would be read."""
    # A collection of texts begins with GCOL, its version, and its size. What points to a text is the text's length
    # (which HDF5 checks), the address of its collection, and a number below 65,536 in four bytes.
    found = re.finditer(rb"GCOL\x01\0\0\0(.{8})", view, re.DOTALL)
    sizes = {match.start(): int.from_bytes(match[1], "little") for match in found}
    long = {address: size for address, size in sizes.items() if size > _LONG_TEXT}
    if len(long) > _MOST_LONG_TEXTS:
        raise WeightsError(f"holds more than {_MOST_LONG_TEXTS} long texts, which Keras never writes")
    total = 0
    for address, size in long.items():
        for match in re.finditer(re.escape(address.to_bytes(8, "little")), view):
            length = int.from_bytes(view[match.start() - 4 : match.start()], "little")
            is_pointer = _LONG_TEXT < length <= size and view[match.end() + 2 : match.end() + 4] == b"\0\0"
            total += length if is_pointer else 0
    if total > (64 << 20) + 4 * len(view):
        raise WeightsError("points to a long text many times, which Keras never does")


def _check_trees(view: Any) -> None:
    """Raise WeightsError if a node of a tree has several parents: HDF5 would visit it once for every way to it."""
    nodes = dict(_find_nodes(view))
    taken: set[int] = set()
    for address, (kind, level, count) in nodes.items():
        if level == 0:
            continue
        # Keys lie between the children. Those of parts have two numbers of 4 bytes, and one of 8 for each axis.
        for key in [8] if kind == 0 else range(24, 280, 8):
            places = range(address + 24 + key, address + 24 + key + count * (key + 8), key + 8)
            if all(nodes.get(_number(view, place, 8), ())[:2] == (kind, level - 1) for place in places):
                break
        else:
            raise WeightsError("has a damaged tree of names or parts")
        for place in places:
            child = _number(view, place, 8)
            if child in taken:
                raise WeightsError("has a part of a tree many times, which Keras never writes")
            taken.add(child)


def _find_nodes(view: Any) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """The address of each node; its type (0: names, 1: parts of a tensor), level above the leaves, and children."""
    place = view.find(b"TREE")
    while place >= 0:
        yield place, (_number(view, place + 4, 1), _number(view, place + 5, 1), _number(view, place + 6, 2))
        place = view.find(b"TREE", place + 1)


def _number(view: Any, place: int, length: int) -> int:
    return int.from_bytes(view[place : place + length], "little")
