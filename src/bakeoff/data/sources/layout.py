"""Which folders below a folder of images are splits, which are classes, and which are neither.

Public archives come as `train/cat/…`, `Training/` and `Testing/`, `seg_train/seg_train/cat/…`, `archive/train/cat/…`,
with other folders beside them. A folder that is read the wrong way gives a classifier of "Training" against "Testing",
so what is not clear is refused, with both readings.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bakeoff.data.pixels import IMAGE_SUFFIXES
from bakeoff.data.sources.records import SplitName
from bakeoff.errors import DataError
from bakeoff.runs.config import FolderLayout

__all__ = ["Layout", "Root", "files_below", "images_below", "list_visible", "read_layout", "subfolders", "to_text"]


@dataclass(frozen=True)
class Root:
    """A folder whose subfolders are classes, and the split that its images belong to, if the folder says so."""

    path: Path
    split: SplitName | None


@dataclass(frozen=True)
class Layout:
    """The folders of classes, the training split first, and what a reader of results should know about the choice."""

    roots: tuple[Root, ...]
    notes: tuple[str, ...] = ()


_SPLIT_WORDS: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training", "trainset", "trn", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "valset", "dev", "devset", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "tst", "te", "holdout"), "test"),
}
# Words that stand beside the name of a split and say nothing about which it is.
_FILLERS = {"set", "split", "data", "dataset", "images", "image", "img", "imgs", "pictures", "photos", "seg", "my"}
# Folders that systems and programs leave among pictures; names that begin with a dot are left out anyway.
_SYSTEM_FOLDERS = {
    "@eadir", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "__macosx", "__pycache__", "lost+found",
    "system volume information",
}  # fmt: skip
_SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
# Files by which a folder that bakeoff wrote is known.
_WRITTEN_BY_BAKEOFF = ("study.json", "findings.csv", "bundle.json", "manifest.json")
# Wrappers that are opened one inside the other, as in archive/archive/train.
_MOST_WRAPPERS = 4
# Folders and classes that a message names.
_NAMED = 4


def read_layout(folder: Path, choice: FolderLayout = FolderLayout.AUTO) -> Layout:
    """Find the folders of classes below `folder`.

    Args:
        folder: The folder that the user named.
        choice: What its subfolders are; AUTO decides by names and contents.

    Raises:
        DataError: The folder can be read in two ways, or the choice does not fit.
    """
    notes: list[str] = []
    folder, wrappers = _unwrap(folder)
    if wrappers:
        notes.append(f"{wrappers[0]} holds nothing but {'/'.join(wrappers[1:])}, which is read in its place")
    names = subfolders(folder)
    splits = {name: split for name in names if (split := _guess_split(name))}
    if choice is FolderLayout.CLASSES:
        return Layout((Root(folder, None),), tuple(notes))
    if splits or choice is FolderLayout.SPLITS:
        inside = {name: _class_names(_split_root(folder / name)) for name in names}
        if choice is FolderLayout.SPLITS or _are_splits(folder, splits, inside):
            return _read_splits(folder, splits, inside, notes)
        _refuse_names_of_splits(folder, splits, inside)
    _refuse_same_subfolders(folder, names)
    return Layout((Root(folder, None),), tuple(notes))


def _guess_split(name: str) -> SplitName | None:
    """The split that a folder's name stands for, as in `Training`, `seg_train`, `test-images`; None for other names."""
    words = [word for word in re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", name) if word]
    telling = [word.lower() for word in words if word.lower() not in _FILLERS]
    return _SPLIT_WORDS.get(telling[0]) if len(telling) == 1 else None


def _is_ignored(name: str) -> bool:
    """Whether a file or folder of this name was left by a system or a program, and is no image and no class."""
    lower = name.lower()
    return name.startswith(".") or lower in _SYSTEM_FOLDERS or lower in _SYSTEM_FILES


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in `folder` that may hold images, sorted; folders that bakeoff wrote are left out."""
    names = [entry.name for entry in list_visible(folder) if entry.is_dir()]
    return [name for name in names if not _is_written_by_bakeoff(folder / name)]


def list_visible(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder that are not ignored, sorted by name. Raises DataError if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not _is_ignored(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}; make it readable") from error


def to_text(name: str) -> str:
    """A file name as text. Names are bytes; those that are not UTF-8 must still fit into JSON."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _read_splits(folder: Path, splits: dict[str, SplitName], inside: dict[str, list[str]], notes: list[str]) -> Layout:
    roots = {name: Root(_split_root(folder / name), split) for name, split in splits.items() if inside[name]}
    if not any(root.split == "train" for root in roots.values()):
        found = f"its folders are {_list(list(inside))}" if inside else "it has no folders"
        raise DataError(f"{folder} has no folder of classes for training ({found}); name it train")
    for name in splits:
        if name not in roots:
            count = sum(1 for _ in images_below(folder / name))
            if count:
                notes.append(
                    f"{to_text(name)} holds {count} images without class folders; nothing uses them"
                    " (`bakeoff predict` can name what they show)"
                )
    if others := [name for name in inside if name not in splits]:
        notes.append(f"folders beside the splits, left out: {_list(others)}")
    named = ", ".join(f"{split} from {to_text(name)}" for name, split in splits.items() if name in roots)
    notes.append(f"splits are given by folders: {named}")
    return Layout(tuple(sorted(roots.values(), key=lambda root: root.split != "train")), tuple(notes))


def _are_splits(folder: Path, splits: dict[str, SplitName], inside: dict[str, list[str]]) -> bool:
    """Whether the names say so, and what is inside agrees."""
    with_classes = [name for name in splits if inside[name]]
    if "train" not in {splits[name] for name in with_classes}:
        return False
    others = [name for name in inside if name not in splits]
    if len(with_classes) == 1 and any(inside[name] for name in others):
        return False  # a folder of classes that have subfolders may have a class called train
    return len(with_classes) > 1 or not any(True for name in others for _ in images_below(folder / name))


def _refuse_names_of_splits(folder: Path, splits: dict[str, SplitName], inside: dict[str, list[str]]) -> None:
    """Raise DataError for a folder of which some subfolders are called like splits and cannot be read as splits."""
    others = [name for name in inside if name not in splits]
    if not others and not any(inside.values()):
        raise DataError(
            f"{folder}: {_list(list(splits))} look like splits, but hold no class folders, so there are no labels;"
            " give each class a folder in them, or say --layout classes if they are the classes"
        )
    if "train" in splits.values():
        raise DataError(
            f"{folder}: {_list(list(splits))} can be a split, or a class beside {_list(others) or 'no other'};"
            " say --layout classes, or --layout splits"
        )


def _refuse_same_subfolders(folder: Path, names: Sequence[str]) -> None:
    """Raise DataError if all folders hold folders of the same names: they look like splits under unknown names."""
    first: list[str] = []
    for name in names:
        found = _class_names(folder / name)
        if len(found) < 2 or (first and found != first):
            return
        first = found
    if len(names) > 1:
        raise DataError(
            f"{folder}: {_list(names)} hold folders of the same names ({_list(first)}), so they look like splits and"
            " not like classes; name them train, val and test, or say --layout classes"
        )


def _unwrap(folder: Path) -> tuple[Path, list[str]]:
    """Open folders that hold one folder and nothing else; the names on the way, the first one included."""
    opened = [to_text(folder.resolve().name)]
    for _ in range(_MOST_WRAPPERS):
        names = subfolders(folder)
        if len(names) != 1 or not subfolders(folder / names[0]) or _has_images(folder):
            break
        folder /= names[0]
        opened.append(to_text(names[0]))
    return folder, opened if len(opened) > 1 else []


def _split_root(folder: Path) -> Path:
    """A split's folder of classes: `seg_train/seg_train` for `seg_train`."""
    names = subfolders(folder)
    is_wrapper = len(names) == 1 and _guess_split(names[0]) == _guess_split(folder.name) is not None
    return _split_root(folder / names[0]) if is_wrapper else folder


def _class_names(folder: Path) -> list[str]:
    """The subfolders with images somewhere below them."""
    return [name for name in subfolders(folder) if any(True for _ in images_below(folder / name))]


def images_below(folder: Path) -> Iterator[Path]:
    """Files with an image's suffix in a folder and its subfolders, sorted."""
    return (Path(entry.path) for entry in files_below(folder) if Path(entry.name).suffix.lower() in IMAGE_SUFFIXES)


def files_below(folder: Path, parents: tuple[Path, ...] = ()) -> Iterator[os.DirEntry[str]]:
    """Files that are not ignored, in a folder and its subfolders, sorted; links to `parents` are not followed."""
    real = folder.resolve()
    if real in parents:
        return
    for entry in list_visible(folder):
        path = folder / entry.name
        if not entry.is_dir():
            yield entry
        elif not _is_written_by_bakeoff(path):
            yield from files_below(path, (*parents, real))


def _is_written_by_bakeoff(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _WRITTEN_BY_BAKEOFF)


def _has_images(folder: Path) -> bool:
    return any(Path(entry.name).suffix.lower() in IMAGE_SUFFIXES for entry in list_visible(folder))


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(map(to_text, names[:_NAMED]))
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
