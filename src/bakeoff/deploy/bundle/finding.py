"""What a person names on the command line as images to read."""

import glob
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bakeoff.data.pixels import IMAGE_SUFFIXES
from bakeoff.deploy.bundle.answering import ImageInput
from bakeoff.errors import BundleError

__all__ = ["find_inputs"]

_STDIN = "-"
_MAGIC = "*?["


def find_inputs(names: Sequence[str]) -> list[ImageInput]:
    """Files as they are, images in folders below, globs (`**` too), and `-` for an image on standard input.

    A file that is not there is a source all the same: reading it fails by itself. Raises BundleError if nothing is
    found under a name.
    """
    sources: list[ImageInput] = []
    for name in names:
        if name == _STDIN:
            sources.append(ImageInput("<stdin>", sys.stdin.buffer.read))
            continue
        found = list(_find(name))
        if not found:
            raise BundleError(f"there are no images in {name}; give files ending in {', '.join(IMAGE_SUFFIXES)}")
        sources.extend(ImageInput.of(path) for path in found)
    return sources


def _find(name: str) -> Iterator[Path]:
    path = Path(name)
    # A file whose own name has a bracket in it is that file.
    is_glob = not path.exists() and any(character in name for character in _MAGIC)
    # pathlib's glob refuses absolute patterns.
    matches = sorted(glob.glob(name, recursive=True)) if is_glob else [name]  # noqa: PTH207
    for one in map(Path, matches):
        if one.is_dir():
            yield from sorted(found for found in one.rglob("*") if found.suffix.lower() in IMAGE_SUFFIXES)
        else:
            yield one
