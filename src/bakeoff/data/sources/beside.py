"""Labels from class folders or from a table: finds the table that lies in or beside a folder of images.

Kaggle's form is `train/`, `test/` and `train.csv`; another is `images/` and `labels.csv`; Hugging Face writes
`metadata.csv`, `.jsonl` or `.parquet` with a column `file_name` into the folders of the images.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from bakeoff.data.sources.class_folders import list_class_folders
from bakeoff.data.sources.columns import has_label_column, is_about
from bakeoff.data.sources.finder import ImageFinder
from bakeoff.data.sources.labels import list_table
from bakeoff.data.sources.layout import guess_split, name_some
from bakeoff.data.sources.listing import Listing
from bakeoff.data.sources.table import Table, join_tables, read_table
from bakeoff.data.sources.trees import FolderTree, Tree, join
from bakeoff.data.sources.walk import find_images, has_images, subfolders
from bakeoff.errors import DataError
from bakeoff.runs.config import Data, FolderLayout

__all__ = ["list_images"]

# Other tables are rarely labels; whoever has such labels names the table.
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_PARQUET = ".parquet"
# A table of answers to be handed in names the test images, with labels that say nothing.
_NO_LABELS = "submission"
# Hugging Face's name for tables in the folders of the images, whose paths begin there.
_METADATA, _METADATA_COLUMN = "metadata", "file_name"
# So much of a table is read to find out whether it is about the images.
_HEAD_BYTES = 1 << 16


def list_images(tree: Tree, data: Data) -> Listing:
    """List the images of a folder or an archive, with labels from class folders or from a table in or beside it.

    Args:
        tree: The folder or archive.
        data: `layout`, `label` and `group` are used.

    Raises:
        DataError: There are no labels, or it is not clear which: folders and tables could give different ones.
    """
    if data.layout is not FolderLayout.AUTO:
        if data.label:
            raise DataError(f"--layout {data.layout} takes labels from folders, --label from a table; give one of them")
        return list_class_folders(tree, data.layout)
    images = list(find_images(tree, "", tree.parents()[1:]))
    tables = _find_tables(tree, ImageFinder(images), data.label)
    if data.label:
        if not tables:
            raise DataError(f"--label {data.label}: {tree.shown()} has no table with that column that names its images")
        return _list_table(tree, _choose(tree, tables), images, data)
    try:
        folders = list_class_folders(tree)
    except DataError:
        if not tables:
            raise
        return _list_table(tree, _choose(tree, tables), images, data)
    labelled = {name: table for name, table in tables.items() if has_label_column(table)}
    if not labelled:
        return folders
    return _compare(tree, folders, _choose(tree, labelled), images, data)


def _list_table(tree: Tree, table: Table, images: Sequence[str], data: Data) -> Listing:
    return list_table(table, images, tree.shown(), label=data.label, group=data.group)


def _compare(tree: Tree, folders: Listing, table: Table, images: Sequence[str], data: Data) -> Listing:
    """The labels of class folders, unless a table has other ones."""
    rows = _list_table(tree, table, images, data)
    if len(folders.class_names) < 2:
        return rows
    of_folder = {image.path: image.label for image in folders.images}
    pairs = {(of_folder[image.path], image.label) for image in rows.images if image.path in of_folder}
    is_same = len({folder for folder, _ in pairs}) == len({label for _, label in pairs}) == len(pairs)
    if is_same or 2 * len(rows.images) < len(folders.images):
        return replace(folders, notes=(*folders.notes, f"labels from folders; {table.name} is not used"))
    raise DataError(
        f"{tree.shown()}: labels can be the folders ({name_some(folders.class_names)}) or those of {table.name}"
        f" ({name_some(rows.class_names)}); say --layout classes, or give the table and --images {tree.shown()}"
    )


def _find_tables(tree: Tree, finder: ImageFinder, label: str) -> dict[str, Table]:
    """The tables that name images of the tree, by name; if any has a column of labels by its name, only those."""
    folder = _skip_wrappers(tree)
    places = [(tree, path, path) for path in _table_paths(tree, folder)]
    for inner in (join(folder, name) for name in subfolders(tree, folder)):
        is_apart = not has_images(tree, inner, below=True)
        found = [path for path in _table_paths(tree, inner) if is_apart or PurePath(path).stem.lower() == _METADATA]
        places += [(tree, path, path) for path in found]
    if not places and isinstance(tree, FolderTree) and has_images(tree, ""):
        own = tree.path if tree.path.name not in ("", "..") else tree.path.resolve()
        beside = FolderTree(own.parent)
        places = [(beside, path, beside.shown(path)) for path in _table_paths(beside, "")]
    tables = {name: table for place, path, name in places if (table := _read_relevant(place, path, name, finder))}
    named = {name: table for name, table in tables.items() if has_label_column(table, label)}
    return named or ({} if label else tables)


def _skip_wrappers(tree: Tree) -> str:
    """The first folder with anything but one folder in it."""
    folder = ""
    while not _table_paths(tree, folder) and not has_images(tree, folder) and len(subfolders(tree, folder)) == 1:
        folder = join(folder, subfolders(tree, folder)[0])
    return folder


def _table_paths(tree: Tree, folder: str) -> list[str]:
    entries = [entry for entry in tree.entries(folder) if not entry.is_folder and entry.suffix in _SUFFIXES]
    return [e.path for e in entries if not e.name.startswith(".") and _NO_LABELS not in e.name.lower()]


def _read_relevant(tree: Tree, path: str, name: str, finder: ImageFinder) -> Table | None:
    """Read a table; None if it is about something other than the images."""
    if path.lower().endswith(_PARQUET):
        table = read_table(name, tree.read(path))
        return table if is_about(table, finder) else None
    try:
        head = read_table(name, tree.head(path, _HEAD_BYTES), is_head=True)
    except DataError:
        return None
    return read_table(name, tree.read(path)) if is_about(head, finder) else None


def _choose(tree: Tree, tables: Mapping[str, Table]) -> Table:
    """The one table, or the tables of the splits as one. Raises DataError if different ones could be meant."""
    stems = {name: PurePath(name).stem for name in tables}
    if all(stem.lower() == _METADATA for stem in stems.values()) and _have_same_columns(tables.values()):
        return join_tables([_from_root(table) for table in tables.values()])
    splits = {name: split for name, stem in stems.items() if (split := guess_split(stem))}
    if len(tables) == 1:
        return next(iter(tables.values()))
    if len(set(splits.values())) == len(tables) and "train" in splits.values() and _have_same_columns(tables.values()):
        return join_tables([table.with_column("split", splits[name]) for name, table in tables.items()])
    raise DataError(
        f"{tree.shown()}: the labels can be in {' or in '.join(tables)}; give one of them, and --images {tree.shown()}"
    )


def _have_same_columns(tables: Iterable[Table]) -> bool:
    return len({frozenset(table.columns) for table in tables}) == 1


def _from_root(table: Table) -> Table:
    """The table with paths that begin at the root of the tree, not in the table's folder."""
    folder = table.name.rpartition("/")[0]
    if not folder or _METADATA_COLUMN not in table.columns:
        return table
    place = table.columns.index(_METADATA_COLUMN)
    return replace(table, rows=tuple((*row[:place], join(folder, row[place]), *row[place + 1 :]) for row in table.rows))
