"""Opens data by name or path."""

from collections.abc import Sequence
from pathlib import Path, PurePath

from bakeoff.data.sources.archives import ARCHIVE_SUFFIXES, is_archive, open_archive
from bakeoff.data.sources.arrays import Arrays
from bakeoff.data.sources.beside import list_images
from bakeoff.data.sources.cifar import CIFARS, Cifar
from bakeoff.data.sources.digits import Digits
from bakeoff.data.sources.finder import ImageFinder
from bakeoff.data.sources.given import is_arrays_address, is_table_address, read_kept_table
from bakeoff.data.sources.images import ImageFiles
from bakeoff.data.sources.labels import list_table
from bakeoff.data.sources.listing import Listing
from bakeoff.data.sources.records import OnCount, Source
from bakeoff.data.sources.table import TABLE_SUFFIXES, Table, is_table_name, read_table_file
from bakeoff.data.sources.trees import FolderTree, Tree
from bakeoff.data.sources.walk import find_images, has_images
from bakeoff.errors import ConfigError, DataError, suggest
from bakeoff.files import expand_home
from bakeoff.runs.config import Data, FolderLayout

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
        ConfigError: They cannot be grouped as `data.group` says.
        DataError: There are no such data, or they cannot be used.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(f"--data-dir {data_dir} is not a folder; give the folder that holds the archives")
    name = data.source.removeprefix(BUILT_IN)
    path = expand_home(data.source)
    is_folder, is_file = _look_at(path)
    if is_folder and (name not in SOURCE_NAMES or has_images(FolderTree(path), "", below=True)):
        beside = f"{name} is the folder of that name; {BUILT_IN}{name} names the built-in images"
        return _open_tree(FolderTree(path), data, [beside] if name in SOURCE_NAMES else [])
    if name in SOURCE_NAMES:
        return _open_built_in(name, data, data_dir, on_count)
    if is_file:
        return _open_file(path, data, on_count)
    if is_table_address(data.source):
        return _open_table(read_kept_table(data.source), Path(), data, on_count)
    if is_arrays_address(data.source):
        _refuse_options(data, data.source)
        return Arrays(data.source)
    hint = suggest(
        data.source.lower(), SOURCE_NAMES, f"give {', '.join(SOURCE_NAMES)} or the path of a folder or an archive"
    )
    raise DataError(f"there is no data or folder called {data.source!r}; {hint}")


def _look_at(path: Path) -> tuple[bool, bool]:
    """Whether a path is a folder, and whether it is a file. Raises DataError if the system does not say."""
    try:
        return path.is_dir(), path.is_file()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; give a path that can be read") from error


def _open_built_in(name: str, data: Data, data_dir: Path | None, on_count: OnCount | None) -> Source:
    _refuse_options(data, name)
    return Cifar(CIFARS[name], data_dir, on_count) if name in CIFARS else Digits()


def _refuse_options(data: Data, name: str) -> None:
    """Raise ConfigError for options that say where labels or groups of files are."""
    options = {
        "--image-folder": data.image_folder,
        "--label": data.label,
        "--group": data.group,
        "--layout": "" if data.layout is FolderLayout.AUTO else data.layout,
    }
    for option, value in options.items():
        if value:
            raise ConfigError(f"{option} {value}: the images of {name} have neither folders nor a table; leave it out")


def _open_file(path: Path, data: Data, on_count: OnCount | None) -> Source:
    for name, archive in CIFARS.items():
        if path.name == archive.file:
            return _open_built_in(name, data, path.parent, on_count)
    if is_archive(path):
        return _open_tree(open_archive(path, on_count), data)
    if is_table_name(path.name):
        return _open_table(read_table_file(path), path.parent, data, on_count)
    raise DataError(
        f"{path} is a file; give a folder of class folders, an archive ({', '.join(ARCHIVE_SUFFIXES)}), a table of"
        f" labels ({', '.join(TABLE_SUFFIXES)}), or one of {', '.join(SOURCE_NAMES)}"
    )


def _open_table(table: Table, folder: Path, data: Data, on_count: OnCount | None) -> Source:
    if data.layout is not FolderLayout.AUTO:
        raise DataError(
            f"--layout {data.layout} says what folders are; the labels are in {table.name}, so leave it out"
        )
    place = expand_home(data.image_folder) if data.image_folder else folder
    is_folder, is_file = _look_at(place)
    if is_folder:
        tree: Tree = FolderTree(place)
    elif is_file and is_archive(place):
        tree = open_archive(place, on_count)
    else:
        raise DataError(f"--image-folder {place} is no folder and no archive; give the place of the images")

    def list_rows(tree: Tree) -> Listing:
        images = ImageFinder(find_images(tree, "", tree.parents()[1:]))
        return list_table(table, images, tree.shown(), label=data.label, group=data.group)

    return ImageFiles(
        tree, list_rows, group=data.group, options=["table", PurePath(table.name).name, table.hash, data.label]
    )


def _open_tree(tree: Tree, data: Data, notes: Sequence[str] = ()) -> Source:
    if data.image_folder:
        raise DataError(
            f"--image-folder {data.image_folder} says where a table's images are; {tree.shown()} is no table"
        )
    return ImageFiles(
        tree,
        lambda tree: list_images(tree, data),
        group=data.group,
        options=[data.layout, *([data.label] if data.label else [])],
        notes=notes,
    )
