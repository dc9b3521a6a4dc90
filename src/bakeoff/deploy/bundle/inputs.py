"""The images that a user names on the command line."""

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bakeoff.data.sources.walk import images_below
from bakeoff.deploy.bundle.prediction import ImageInput
from bakeoff.errors import BundleError
from bakeoff.files import expand_home

__all__ = ["find_inputs"]

_STDIN = "-"
_MAGIC = "*?["


def find_inputs(names: Sequence[str]) -> list[ImageInput]:
    """Find the images under some names.

    Args:
        names: Each is a file, a folder (its images and those in folders below it), a glob (`**` too), or `-` for an
            image on standard input.

    Returns:
        The images in the order of the names, each once for a name. A missing file is included: reading it fails, and
        its prediction then holds the error.

    Raises:
        BundleError: There are no images under a name, or standard input is closed.
    """
    inputs: list[ImageInput] = []
    for name in names:
        if name == _STDIN:
            if sys.stdin is None:
                raise BundleError(
                    "there is no image on standard input, which is closed; send one, as in"
                    " `cat cat.png | bakeoff predict BUNDLE -`"
                )
            inputs.append(ImageInput("<stdin>", sys.stdin.buffer.read, may_wait=True))
            continue
        # A recursive glob matches a folder and what is in it.
        found = list(dict.fromkeys(_find(name)))
        if not found:
            raise BundleError(f"there are no images in {name}; give image files, such as .jpg or .png")
        inputs.extend(ImageInput.of(path) for path in found)
    return inputs


def _find(name: str) -> Iterator[Path]:
    path = expand_home(name)
    # pathlib's exists and is_dir raise for a name that is too long, and in a folder that cannot be entered; here
    # reading the file says so. The name of an existing file may contain a bracket.
    is_glob = not os.path.exists(path) and any(character in name for character in _MAGIC)  # noqa: PTH110
    # pathlib's glob refuses absolute patterns.
    matches = map(Path, sorted(glob.glob(str(path), recursive=True))) if is_glob else [path]  # noqa: PTH207
    for match in matches:
        if os.path.isdir(match):  # noqa: PTH112
            yield from images_below(match)
        else:
            yield match
