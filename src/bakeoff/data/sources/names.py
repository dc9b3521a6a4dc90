"""Opens data by name or path."""

from collections.abc import Sequence
from pathlib import Path

from bakeoff.data.sources.cifar import CIFARS, Cifar
from bakeoff.data.sources.class_folders import list_class_folders
from bakeoff.data.sources.digits import Digits
from bakeoff.data.sources.images import ImageFiles
from bakeoff.data.sources.packed import ARCHIVE_SUFFIXES, is_archive, open_archive
from bakeoff.data.sources.records import OnCount, Source
from bakeoff.data.sources.trees import FolderTree, Tree
from bakeoff.data.sources.walk import has_images
from bakeoff.errors import DataError, suggest
from bakeoff.runs.config import Data

__all__ = ["SOURCE_NAMES", "open_source"]

SOURCE_NAMES = (*CIFARS, "digits")

BUILT_IN = "builtin:"
"""Before a name of SOURCE_NAMES: the built-in data, also where a folder has that name."""


def open_source(data: Data, data_dir: Path | None = None, on_count: OnCount | None = None) -> Source:
    """Open a source of images.

    Args:
        data: Which images; `classes` and `seed` are not used. A folder with images has precedence over built-in data
            of the same name.
        data_dir: The first folder in which CIFAR archives are looked for, before `$BAKEOFF_DATA_DIR`, the cache, and
            the download.
        on_count: Called with (what is being done, how much is done, how much in all).

    Raises:
        DataError: There are no such data, or they cannot be used.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(f"--data-dir {data_dir} is not a folder; give the folder that holds the archives")
    name = data.source.removeprefix(BUILT_IN)
    path = Path(data.source).expanduser()
    if path.is_dir() and (name not in SOURCE_NAMES or has_images(FolderTree(path), "", below=True)):
        beside = f"{name} is the folder of that name; {BUILT_IN}{name} names the built-in images"
        return _open_tree(FolderTree(path), data, [beside] if name in SOURCE_NAMES else [])
    if name in CIFARS:
        return Cifar(CIFARS[name], data_dir, on_count)
    if name == "digits":
        return Digits()
    if path.is_file():
        return _open_file(path, data, on_count)
    hint = suggest(
        data.source.lower(), SOURCE_NAMES, f"give {', '.join(SOURCE_NAMES)} or the path of a folder or an archive"
    )
    raise DataError(f"there is no data or folder called {data.source!r}; {hint}")


def _open_file(path: Path, data: Data, on_count: OnCount | None) -> Source:
    for archive in CIFARS.values():
        if path.name == archive.file:
            return Cifar(archive, path.parent, on_count)
    if is_archive(path):
        return _open_tree(open_archive(path, on_count), data)
    raise DataError(
        f"{path} is a file; give a folder of class folders, an archive ({', '.join(ARCHIVE_SUFFIXES)}), or one of"
        f" {', '.join(SOURCE_NAMES)}"
    )


def _open_tree(tree: Tree, data: Data, notes: Sequence[str] = ()) -> Source:
    return ImageFiles(tree, lambda tree: list_class_folders(tree, data.layout), options=[data.layout], notes=notes)
