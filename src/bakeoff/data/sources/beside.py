"""Labels from class folders or from a table: finds the table that lies in or beside a folder of images.

Kaggle's form is `train/`, `test/` and `train.csv`; another is `images/` and `labels.csv`; Hugging Face writes
`metadata.csv`, `.jsonl` or `.parquet` with a column `file_name` into the folders of the images.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath

from bakeoff.data.sources.class_folders import list_class_folders
from bakeoff.data.sources.columns import find_rows, group_column, label_column, share_found
from bakeoff.data.sources.finder import ImageFinder, names_an_image
from bakeoff.data.sources.folder_names import guess_split, guess_splits, may_be_class
from bakeoff.data.sources.groups import FOLDER
from bakeoff.data.sources.labels import list_table, table_split
from bakeoff.data.sources.listing import Listing
from bakeoff.data.sources.records import SplitName
from bakeoff.data.sources.table import LIMIT_BYTES, Table, join_tables, read_table
from bakeoff.data.sources.trees import FolderTree, Tree, join
from bakeoff.data.sources.walk import find_images, has_images, subfolders
from bakeoff.errors import DataError
from bakeoff.runs.config import Data, FolderLayout
from bakeoff.text import name_some

__all__ = ["list_images"]

# Other tables are rarely labels; whoever has such labels names the table.
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_PARQUET = ".parquet"
# A table of answers to be handed in names the test images, with labels that say nothing.
_NO_LABELS = "submission"
# Hugging Face's name for tables in the folders of the images, whose paths begin there.
_METADATA, _METADATA_COLUMN = "metadata", "file_name"
# A table is about the images if at least this share of its rows names one.
_MOST = 0.5
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
    places = _find_places(tree)
    if not places and not data.label:
        return list_class_folders(tree, has_groups=data.group == FOLDER)
    images = ImageFinder(find_images(tree, "", tree.parents()[1:]))
    found, problems, unread = _read_tables(places, images)
    labelled = [table for table in found if label_column(table, data.label)]
    if data.label:
        if not labelled:
            told = f"--label {data.label}: {tree.shown()} has no table with that column that names its images"
            raise next(iter([*problems, *unread]), DataError(told))
        return _list_table(tree, _choose(tree, labelled, images), images, data)
    # Where folders may be classes, a table is meant only if it says that it has labels.
    meant = _most_related(labelled, images) or (_most_related(found, images) if _is_flat(images.paths) else [])
    try:
        folders = list_class_folders(tree, has_groups=data.group == FOLDER)
    except DataError as error:
        if not meant and not problems:
            if unread:
                raise DataError(f"{error}; or mend a table: {unread[0]}") from error
            raise
    else:
        if len(folders.class_names) > 1 or not (meant or problems or unread):
            listing = _compare(tree, folders, labelled, images, data) if labelled else folders
            _refuse_group([*labelled, *found], data.group)
            return listing
    if not meant:
        raise [*problems, *unread][0]
    return _list_table(tree, _choose(tree, meant, images), images, data)


def _read_tables(
    places: Sequence[tuple[Tree, str, str]], images: ImageFinder
) -> tuple[list[Table], list[DataError], list[DataError]]:
    """The tables that name images, what is wrong with others that do, and why the first rows of others are not read."""
    found, problems, unread = [], [], []
    for place in places:
        try:
            head = _read_first_rows(*place)
        except DataError as error:
            unread.append(error)
            continue
        try:
            if table := _read_related(*place, head, images):
                found.append(table)
        except DataError as error:
            problems.append(error)
    return found, problems, unread


def _most_related(tables: Sequence[Table], images: ImageFinder) -> Sequence[Table]:
    """The tables of which most rows name images; if there are none, all: the error about such a table says more."""
    return [table for table in tables if share_found(table, images) >= _MOST] or tables


def _is_flat(paths: Sequence[str]) -> bool:
    """Whether images lie in one folder, or in folders of splits."""
    folders = {path.rpartition("/")[0] for path in paths}
    return len(folders) == 1 or not any(may_be_class(folder.rpartition("/")[2]) for folder in folders)


def _list_table(tree: Tree, table: Table, images: ImageFinder, data: Data) -> Listing:
    return list_table(table, images, tree.shown(), label=data.label, group=data.group)


def _compare(tree: Tree, folders: Listing, tables: Sequence[Table], images: ImageFinder, data: Data) -> Listing:
    """The labels of class folders. Raises DataError if a table has other ones for most of the images."""
    of_folder = {image.path: image.label for image in folders.images}
    has_splits = any(image.split for image in folders.images)
    offers: list[str] = []
    for table in tables:
        try:
            rows = _list_table(tree, table, images, data)
        except DataError as error:
            if not has_splits and _is_unclear(table, images):
                raise DataError(f"{error}; say --layout classes if the folders are the classes") from error
            continue  # It gives no image one class, as a list of objects in the images, so it cannot be meant.
        pairs = [(of_folder[image.path], image.label) for image in rows.images if image.path in of_folder]
        different = set(pairs)
        is_same = len({folder for folder, _ in different}) == len({label for _, label in different}) == len(different)
        if not is_same and len(pairs) >= _MOST * len(folders.images):
            raise DataError(
                f"{tree.shown()}: labels can be the folders ({name_some(folders.class_names)}) or those of {table.name}"
                f" ({name_some(rows.class_names)}); say --layout classes, or --label {label_column(table)}"
            )
        offers += _describe_offer(table, has_splits=any(image.split for image in rows.images))
    note = f"labels from folders; not used: {name_some([table.name for table in tables])}"
    return replace(folders, notes=(*folders.notes, f"{note} ({offers[0]})" if offers else note))


def _describe_offer(table: Table, *, has_splits: bool) -> Iterator[str]:
    """What a table gives besides labels, and how to take it."""
    label = label_column(table)
    group = group_column(table, [column for column in table.columns if column != label])
    kinds = ["labels", *(["splits"] if has_splits or table_split(table.name) else []), *(["groups"] if group else [])]
    if len(kinds) > 1:
        options = f"--label {label} --group {group}" if group else f"--label {label}"
        yield f"{options} takes {', '.join(kinds[:-1])} and {kinds[-1]} from tables"


def _refuse_group(tables: Sequence[Table], group: str) -> None:
    """Raise DataError if the rule of groups is a column of a table of which nothing is used."""
    table = next((table for table in tables if group in table.columns), None)
    if table and group != FOLDER:
        label = label_column(table)
        mend = f"add --label {label}" if label else "add a column of labels to it, and --label with its name"
        raise DataError(f"--group {group} is a column of {table.name}, but the labels are from folders; {mend}")


def _is_unclear(table: Table, images: ImageFinder) -> bool:
    """Whether most rows of a table can mean several images, as where a folder was copied."""
    found = find_rows(table, images)
    return sum(len(one.paths) > 1 for one in found) >= _MOST * len(found)


def _find_places(tree: Tree) -> list[tuple[Tree, str, str]]:
    """The tables in or beside a tree: the tree that each is in, its path there, and its name in messages."""
    folder = _skip_wrappers(tree)
    paths = _table_paths(tree, folder)
    names = subfolders(tree, folder)
    splits = guess_splits(names)
    for name in names:
        inner = join(folder, name)
        # In a folder that may be a class, a table among the images is rather about something else.
        is_telling = name in splits or not may_be_class(name) or not has_images(tree, inner, below=True)
        paths += [path for path in _table_paths(tree, inner) if is_telling or _is_metadata(path)]
    if paths or not isinstance(tree, FolderTree) or not has_images(tree, ""):
        return [(tree, path, path) for path in paths]
    own = tree.path if tree.path.name not in ("", "..") else tree.path.resolve()
    beside, split = FolderTree(own.parent), guess_split(own.name)
    # The images of test/ have the numbers of those of train/, so that train.csv would give them labels.
    fitting = [path for path in _table_paths(beside, "") if split in (None, table_split(path))]
    return [(beside, path, beside.shown(path)) for path in fitting]


def _skip_wrappers(tree: Tree) -> str:
    """The first folder with anything but one folder in it."""
    folder = ""
    while not _table_paths(tree, folder) and not has_images(tree, folder) and len(subfolders(tree, folder)) == 1:
        folder = join(folder, subfolders(tree, folder)[0])
    return folder


def _table_paths(tree: Tree, folder: str) -> list[str]:
    entries = [entry for entry in tree.entries(folder) if not entry.is_folder and entry.suffix in _SUFFIXES]
    return [e.path for e in entries if not e.name.startswith(".") and _NO_LABELS not in e.name.lower()]


def _read_first_rows(tree: Tree, path: str, name: str) -> Table:
    """The first rows of a table; all rows of a Parquet file, which has its description at its end."""
    is_head = not path.lower().endswith(_PARQUET)
    return read_table(name, _read_head(tree, path, _HEAD_BYTES if is_head else LIMIT_BYTES + 1), is_head=is_head)


def _read_related(tree: Tree, path: str, name: str, head: Table, finder: ImageFinder) -> Table | None:
    """Read a table; None if its first rows name no image, or if bakeoff wrote it."""
    if head.is_written_by_bakeoff or not share_found(head, finder):
        return None
    table = head if path.lower().endswith(_PARQUET) else read_table(name, _read_head(tree, path, LIMIT_BYTES + 1))
    return table.without_header() if any(map(names_an_image, table.columns)) else table


def _read_head(tree: Tree, path: str, size: int) -> bytes:
    try:
        return tree.head(path, size)
    except OSError as error:
        raise DataError(f"cannot read {tree.shown(path)}: {error.strerror}; make it readable") from error


def _is_metadata(path: str) -> bool:
    return PurePath(path).stem.lower() == _METADATA


def _choose(tree: Tree, tables: Sequence[Table], images: ImageFinder) -> Table:
    """The one table, or one table of each split as one. Raises DataError if different ones could be meant."""
    if all(_is_metadata(table.name) for table in tables):
        tables = [_from_root(table) for table in tables]
        if all(set(table.columns) == set(tables[0].columns) for table in tables):
            return join_tables(tables)
    if len(tables) == 1:
        return tables[0]
    named = [(split, table) for table in tables if (split := _split_of(tree, table))]
    others = [table for table in tables if not _split_of(tree, table)]
    trained = next((table for split, table in named if split == "train"), None)
    if trained and _are_apart(others, [table for _, table in named], images):
        # The table of test images may have everything but the labels.
        same = [(split, table) for split, table in named if set(table.columns) == set(trained.columns)]
        different = [table for _, table in named if set(table.columns) != set(trained.columns)]
        tables_of = Counter(split for split, _ in named)
        if all(tables_of[split] == 1 for split, _ in same):
            joined = join_tables([table.with_column("split", split) for split, table in same])
            notes = [
                *(f"not used, for it has other columns: {table.name}" for table in different),
                *(f"not used, for it names other images: {table.name}" for table in others),
            ]
            return replace(joined if len(same) > 1 else trained, notes=(*joined.notes, *notes))
    told = " or in ".join(table.name for table in tables)
    shown = tree.shown()
    raise DataError(f"{shown}: the labels can be in {told}; give one of them, and --image-folder {shown}")


def _split_of(tree: Tree, table: Table) -> SplitName | None:
    """The split that a table's name says, or that of the folder in which it lies."""
    folder, _, name = table.name.rpartition("/")
    is_inside = folder != _skip_wrappers(tree) and tree.has(table.name)
    return table_split(name) or (table_split(folder) if is_inside else None)


def _are_apart(some: Sequence[Table], others: Sequence[Table], images: ImageFinder) -> bool:
    """Whether no image is named by tables of both."""
    one, other = ({path for table in each for found in find_rows(table, images) for path in found.paths}
                  for each in (some, others))  # fmt: skip
    return one.isdisjoint(other)


def _from_root(table: Table) -> Table:
    """The table with paths that begin at the root of the tree, not in the table's folder."""
    folder = table.name.rpartition("/")[0]
    if not folder or _METADATA_COLUMN not in table.columns:
        return table
    place = table.columns.index(_METADATA_COLUMN)
    return replace(table, rows=tuple((*row[:place], join(folder, row[place]), *row[place + 1 :]) for row in table.rows))
