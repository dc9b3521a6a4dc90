"""Joins the rows of a table to images: which file is of which class, split and group, and what fits nowhere."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import PurePath

from bakeoff.data.sources.class_names import describe_alike, read_numbers, sort_classes
from bakeoff.data.sources.columns import Columns, choose_columns
from bakeoff.data.sources.finder import Found, How, ImageFinder, usual_how
from bakeoff.data.sources.folder_names import guess_split
from bakeoff.data.sources.listing import Labelled, Listing
from bakeoff.data.sources.records import SplitName
from bakeoff.data.sources.table import Table
from bakeoff.errors import DataError
from bakeoff.text import counted, name_some

__all__ = ["list_table", "table_split"]


def list_table(
    table: Table,
    images: ImageFinder,
    where: str,
    *,
    label: str = "",
    group: str = "",
) -> Listing:
    """List the images that a table gives labels to.

    Args:
        table: A row for each image, with a column that names it and one with its label.
        images: All images that it may mean.
        where: The place of the images as messages name it.
        label: The column of labels; empty: chosen by its name, or because it is the only one that is left.
        group: What keeps images together, if it is the name of a column.

    Raises:
        DataError: Labels would have to be guessed: the columns are not clear, few rows name an image, a row can mean
            several images, or an image has two labels.
    """
    columns = choose_columns(table, images, where, label=label, group=group)
    rows = _Rows(columns, {_folder_split(path) for path in images.paths})
    labels = read_numbers([image.label for image in rows.images])
    listed = [replace(image, label=label) for image, label in zip(rows.images, labels, strict=True)]
    if columns.splits:
        split_notes = [f"splits are given by {table.name}"]
    else:
        listed, split_notes = _split_by_folders(listed)
    classes = sort_classes(labels)
    _require_repeated(columns, classes, listed)
    notes = (*columns.notes, *rows.notes(), *_note_unnamed(table, images.paths, rows.named), *split_notes)
    return Listing(
        tuple(sorted(listed, key=lambda image: image.path)),
        classes,
        (*notes, *describe_alike(classes), *_note_several(classes)),
        table.hash,
    )


class _Rows:
    """The images that rows give labels to, and what is to be said about the other rows."""

    def __init__(self, columns: Columns, folders: set[SplitName | None]) -> None:
        """Join the rows.

        Args:
            columns: The table.
            folders: The splits that folders stand for.

        Raises:
            DataError: Rows are unclear, or contradict each other.
        """
        self._name = columns.table.name
        self._images: dict[str, Labelled] = {}
        self.named: set[str] = set()
        """The paths of all images that are named, also of those without a label."""
        self._missing: list[str] = []
        self._unclear: list[str] = []
        self._unlabelled: list[str] = []
        self._differing: list[str] = []
        self._doubled: list[str] = []
        self._numbered: list[str] = []
        self._weaker: list[str] = []
        self._usual = usual_how(columns.found)
        values = columns.table.column(columns.image)
        splits = columns.splits or [None] * len(values)
        # Written in two ways, a subject would be two groups, and on both sides of a split.
        written = columns.groups or [""] * len(values)
        groups = read_numbers([unicodedata.normalize("NFC", group) for group in written])
        places = _meant_folders(columns, folders)
        for row in zip(values, columns.found, columns.labels, splits, groups, places, strict=True):
            self._add(*row)
        name = self._name
        if self._unclear:
            more = f" and by {counted(len(self._unclear) - 1, 'more row')}" if len(self._unclear) > 1 else ""
            raise DataError(
                f"{name}: several images can be meant by {self._unclear[0]}{more}; write their folders into column"
                f" {columns.image}, remove copies, or give one folder as --image-folder"
            )
        if self._differing:
            raise DataError(f"{name} has rows that contradict each other: {name_some(self._differing)}; correct them")
        if not self._images:
            raise DataError(f"{name}: column {columns.label} has no label for any image; fill it in")

    def _add(
        self, value: str, found: Found, label: str, split: SplitName | None, group: str, place: SplitName | None
    ) -> None:
        paths = _in_split(value, found.paths, place) if place else found.paths
        self.named.update(paths)
        if not paths:
            self._missing.append(value or "a row without a name")
        elif len(paths) > 1:
            self._unclear.append(f"{value} ({' or '.join(paths[:2])})")
        elif not label:
            self._unlabelled.append(value)
        else:
            if found.how is How.NUMBER:
                self._numbered.append(f"{value} is {paths[0]}")
            elif found.how > self._usual:
                self._weaker.append(f"{value} is {paths[0]}")
            self._put(value, Labelled(paths[0], split, unicodedata.normalize("NFC", label), group or None))

    def _put(self, value: str, image: Labelled) -> None:
        earlier = self._images.setdefault(image.path, image)
        if earlier.label != image.label:
            self._differing.append(f"{value} ({earlier.label} and {image.label})")
        elif earlier.split != image.split:
            self._differing.append(f"{value} ({earlier.split} and {image.split})")
        elif earlier.group != image.group:
            self._differing.append(f"{value} ({earlier.group} and {image.group})")
        elif earlier is not image:
            self._doubled.append(value)

    @property
    def images(self) -> list[Labelled]:
        """The images with labels."""
        return list(self._images.values())

    def notes(self) -> list[str]:
        """What did not fit, and what was assumed."""
        name = self._name
        told = (
            (f"rows of {name} that name no image", self._missing),
            (f"rows of {name} without a label, whose images are left out", self._unlabelled),
            (f"rows of {name} that name an image again, with the same label", self._doubled),
            ("images found by their number, without its zeros", self._numbered),
            ("images found under another suffix or in other letters than most", self._weaker),
        )
        return [f"{what}: {len(values)}, such as {name_some(values)}" for what, values in told if values]


def table_split(name: str) -> SplitName | None:
    """The split that a table's name says, as `train_labels.csv` does."""
    words = re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", PurePath(name).stem)
    splits = {split for word in words if (split := guess_split(word))}
    return splits.pop() if len(splits) == 1 else None


def _meant_folders(columns: Columns, folders: set[SplitName | None]) -> list[SplitName | None]:
    """For each row the split in whose folders its image is, since files in `train/` and `test/` may have equal names.

    None where folders do not tell it: the images of most rows of that split are in the folders of another one, as where
    somebody has split the pictures of `train/` again.
    """
    named = table_split(columns.table.name)
    splits = [split or named for split in columns.splits or [None] * len(columns.found)]
    places = [{_folder_split(path): path for path in found.paths} for found in columns.found]
    to_train = {place["train"] for place, split in zip(places, splits, strict=True) if split == "train" in place}
    counts: Counter[SplitName | None] = Counter()
    for place, split in zip(places, splits, strict=True):
        # A picture of train/ that the table puts into test, and no row into train: its splits are not the folders'. The
        # file of that name in test/ is another picture.
        is_own = not columns.splits or split == "train" or "train" not in place or place["train"] in to_train
        if place:
            counts[split] += 1 if is_own and (split in place or None in place) else -1
    return [split if split in folders and counts[split] > 0 else None for split in splits]


def _in_split(value: str, paths: tuple[str, ...], split: SplitName) -> tuple[str, ...]:
    """Without the images of one name that lie in the folders of other splits, unless the value names the folder."""
    fitting = tuple(path for path in paths if _folder_split(path) in (split, None))
    if len(fitting) < len(paths) and guess_split(re.split(r"[/\\]", f"/{value}")[-2]):
        return paths
    return fitting


def _folder_split(path: str) -> SplitName | None:
    """The split that a folder on the way to an image stands for."""
    return _guess_folders(path.rpartition("/")[0])


@lru_cache(maxsize=1024)
def _guess_folders(folder: str) -> SplitName | None:
    # An archive of test.zip may hold test/train/…, so the last one says it.
    return next((split for part in reversed(folder.split("/")) if (split := guess_split(part))), None)


def _split_by_folders(images: Sequence[Labelled]) -> tuple[list[Labelled], list[str]]:
    """The images with the splits that their folders stand for, if there are several, and a note that says so."""
    splits = [_folder_split(image.path) for image in images]
    present = [split for split in ("train", "val", "test") if split in splits]
    if "train" not in present or len(present) == 1:
        return list(images), []
    given = [replace(image, split=split) for image, split in zip(images, splits, strict=True)]
    return given, [f"splits are given by folders: {', '.join(present)}"]


def _require_repeated(columns: Columns, classes: Sequence[str], images: Sequence[Labelled]) -> None:
    if len(classes) > 2 and 2 * len(classes) > len(images):
        raise DataError(
            f"{columns.table.name}: column {columns.label} has {counted(len(classes), 'different value')} for"
            f" {counted(len(images), 'image')}"
            f" ({name_some(classes)}), so it holds no classes; say which column does with --label COLUMN"
        )


def _note_unnamed(table: Table, images: Sequence[str], named: set[str]) -> list[str]:
    """Notes on images that no row names: folders of which none is named, then single ones."""
    # Folders that all images are in tell nothing apart.
    shared = os.path.commonpath([path.rpartition("/")[0] for path in images])
    start = len(shared) + 1 if shared else 0
    folders = defaultdict(list)
    for path in images:
        first, slash, _ = path[start:].partition("/")
        folders[path[:start] + first if slash else ""].append(path)
    unused = {folder: paths for folder, paths in folders.items() if folder and named.isdisjoint(paths)}
    single = [path for folder, paths in folders.items() if folder not in unused for path in paths if path not in named]
    notes = []
    if unused:
        listed = [f"{folder} ({counted(len(paths), 'image')})" for folder, paths in unused.items()]
        notes.append(
            f"folders that {table.name} does not name: {name_some(listed)}; nothing uses them (`bakeoff predict` can"
            " name what they show)"
        )
    if single:
        notes.append(f"images that {table.name} does not name, left out: {len(single)}, such as {name_some(single)}")
    return notes


def _note_several(classes: Sequence[str]) -> list[str]:
    """A note on classes such as `cat|dog` beside `cat` and `dog`."""
    single = set(classes)
    joined = [
        name
        for name in classes
        if any(mark in name and {part.strip() for part in name.split(mark)} <= single for mark in "|;, ")
    ]
    return [f"classes that look like several labels, each learned as one class: {name_some(joined)}"] if joined else []
