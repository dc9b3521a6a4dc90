"""Which folders below a folder of images are splits, which are classes, and which are neither.

Public archives come as `train/cat/…`, `Training/` and `Testing/`, `seg_train/seg_train/cat/…`, `archive/train/cat/…`,
with other folders beside them. A folder that is read the wrong way gives a classifier of "Training" against "Testing",
so what is not clear is refused, with both readings.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.data.sources.folder_names import guess_split, guess_splits, may_be_class
from bakeoff.data.sources.records import SplitName
from bakeoff.data.sources.trees import Tree, join, to_text
from bakeoff.data.sources.walk import LeftOut, find_images, has_files, has_images, subfolders
from bakeoff.errors import DataError
from bakeoff.runs.config import FolderLayout
from bakeoff.text import counted, name_some

__all__ = ["Layout", "Root", "read_layout"]


@dataclass(frozen=True)
class Root:
    """A folder whose subfolders are classes, and the split that its images belong to, if the folder says so."""

    path: str
    split: SplitName | None


@dataclass(frozen=True)
class Layout:
    """The folders of classes, the training split first, and what a reader of results should know about the choice."""

    roots: tuple[Root, ...]
    notes: tuple[str, ...] = ()


# Wrappers that are opened one inside the other, as in archive/archive/train.
_MOST_WRAPPERS = 4


def read_layout(
    tree: Tree,
    choice: FolderLayout = FolderLayout.AUTO,
    left_out: LeftOut | None = None,
    *,
    has_groups: bool = False,
) -> Layout:
    """Find the folders of classes in a folder or archive.

    Args:
        tree: The folder that the user named, or the archive.
        choice: What its subfolders are; AUTO decides by names and contents.
        left_out: Counts the folders that are left out.
        has_groups: Whether the folders below the classes are known to be groups, which may have equal names.

    Raises:
        DataError: The folder can be read in two ways, or the choice does not fit.
    """
    notes: list[str] = []
    folder, wrappers, beside = _unwrap(tree)
    if wrappers:
        notes.append(f"all images of {wrappers[0]} are in {'/'.join(wrappers[1:])}, which is read in its place")
    if beside:
        notes.append(f"folders without images, left out: {name_some(beside)}")
    names = subfolders(tree, folder, left_out)
    splits = guess_splits(names)
    if choice is FolderLayout.CLASSES:
        return Layout((Root(folder, None),), tuple(notes))
    inside = {name: _labels_inside(tree, join(folder, name)) for name in names}
    if choice is FolderLayout.SPLITS or _are_splits(tree, folder, splits, inside):
        return _read_splits(tree, folder, splits, inside, notes)
    _refuse_data_sets(tree, folder, names)
    _refuse_names_of_splits(tree, folder, splits, inside)
    _refuse_copies(tree, folder, names)
    if not has_groups:
        _refuse_same_subfolders(tree, folder, names)
    return Layout((Root(folder, None),), tuple(notes))


def _read_splits(
    tree: Tree, folder: str, splits: dict[str, SplitName], inside: dict[str, list[str]], notes: list[str]
) -> Layout:
    roots = {name: Root(_split_root(tree, join(folder, name)), split) for name, split in splits.items() if inside[name]}
    if not any(root.split == "train" for root in roots.values()):
        found = f"its folders are {name_some(list(inside))}" if inside else "it has no folders"
        raise DataError(f"{tree.shown(folder)} has no folder of classes for training ({found}); name it train")
    unlabelled = {name: sum(1 for _ in find_images(tree, join(folder, name))) for name in splits if name not in roots}
    notes += [
        f"{to_text(name)} holds {counted(count, 'image')} without class folders; nothing uses them"
        " (`bakeoff predict` can name what they show)"
        for name, count in unlabelled.items()
        if count
    ]
    if others := [name for name in inside if name not in splits]:
        counts = {name: sum(1 for _ in find_images(tree, join(folder, name))) for name in others}
        listed = [f"{name} ({counted(count, 'image')})" if count else name for name, count in counts.items()]
        notes.append(f"folders beside the splits, left out: {name_some(listed)}")
    roots = dict(sorted(roots.items(), key=lambda item: item[1].split != "train"))
    named = ", ".join(f"{root.split} from {to_text(name)}" for name, root in roots.items())
    notes.append(f"splits are given by folders: {named}")
    return Layout(tuple(roots.values()), tuple(notes))


def _are_splits(tree: Tree, folder: str, splits: dict[str, SplitName], inside: dict[str, list[str]]) -> bool:
    """Whether the names say so, and what is inside agrees."""
    with_classes = [name for name in splits if inside[name]]
    if "train" not in {splits[name] for name in with_classes}:
        return False
    others = [name for name in inside if name not in splits]
    if len(with_classes) == 1 and any(inside[name] for name in others):
        return False  # a folder of classes that have subfolders may have a class called train
    return len(with_classes) > 1 or not any(has_images(tree, join(folder, name), below=True) for name in others)


def _refuse_names_of_splits(
    tree: Tree, folder: str, splits: dict[str, SplitName], inside: dict[str, list[str]]
) -> None:
    """Raise DataError for a folder of which some subfolders are called like splits and cannot be read as splits."""
    shown = tree.shown(folder)
    full = [name for name in inside if has_images(tree, join(folder, name), below=True)]
    others = [name for name in full if name not in splits]
    if splits and not any(map(may_be_class, others)) and not any(inside.values()):
        raise DataError(
            f"{shown}: {name_some(list(splits))} look like splits, but hold no class folders, so there are no labels;"
            " give each class a folder in them, or say --layout classes if they are the classes"
        )
    # Beside `invalid`, `valid` is a class.
    classes = {name.casefold() for name in others}
    if unclear := [name for name in full if name in splits and f"in{name.casefold()}" not in classes]:
        has_train = any(inside[name] for name in unclear if splits[name] == "train")
        raise DataError(
            f"{shown}: {name_some(unclear)} can be a split, or a class beside {name_some(others) or 'no other'};"
            f" say --layout classes, or {'--layout splits' if has_train else 'move the class folders into train/'}"
        )


def _refuse_data_sets(tree: Tree, folder: str, names: Sequence[str]) -> None:
    """Raise DataError if a folder holds splits: it is no class, and the others are not read with it."""
    for name in names if len(names) > 1 else ():
        place = _open_single(tree, join(folder, name))
        inner = subfolders(tree, place)
        if not (splits := guess_splits(inner)):
            continue
        inside = {each: _labels_inside(tree, join(place, each)) for each in inner}
        if _are_splits(tree, place, splits, inside):
            raise DataError(
                f"{tree.shown(folder)}: {to_text(name)} holds splits ({name_some(list(splits))}), so it looks like data"
                f" of its own and not like a class; give {tree.shown(place)}, or say --layout classes"
            )


def _refuse_copies(tree: Tree, folder: str, names: Sequence[str]) -> None:
    """Raise DataError if a folder holds the folders that lie beside it."""
    for name, found in _list_inside(tree, folder, names).items():
        if 2 * len(again := [each for each in found if each in names and each != name]) > max(len(found), 2):
            raise DataError(
                f"{tree.shown(folder)}: {to_text(name)} holds folders of the names of those beside it"
                f" ({name_some(again)}), so it looks like a copy and not like a class; remove it, or say"
                " --layout classes"
            )


def _refuse_same_subfolders(tree: Tree, folder: str, names: Sequence[str]) -> None:
    """Raise DataError if folders hold nearly the same folders: they look like splits or versions, not like classes."""
    inside = _list_inside(tree, folder, names)
    counts = Counter(name for found in inside.values() for name in found)
    common = [name for name, count in counts.items() if 2 * count > len(inside)]
    alike = [name for name, found in inside.items() if 2 * len(set(found).intersection(common)) > len(found)]
    if len(common) > 1 and len(alike) > 1:
        raise DataError(
            f"{tree.shown(folder)}: {name_some(alike)} hold folders of the same names ({name_some(common)}), so they"
            " look like splits or versions of the images and not like classes; name them train, val and test, give one"
            f" of them ({tree.shown(join(folder, alike[0]))}), or say --layout classes, or --group folder if each"
            " folder inside shows one subject"
        )


def _list_inside(tree: Tree, folder: str, names: Sequence[str]) -> dict[str, list[str]]:
    """The folders of images in each folder that has at least two of them."""
    inside = {name: _class_names(tree, _open_single(tree, join(folder, name))) for name in names}
    return {name: found for name, found in inside.items() if len(found) > 1}


def _open_single(tree: Tree, folder: str) -> str:
    """The folder itself, or the one inside that holds everything, if folders of images are in it."""
    for _ in range(_MOST_WRAPPERS):
        full = _class_names(tree, folder)
        if len(full) != 1 or not _class_names(tree, join(folder, full[0])):
            break
        folder = join(folder, full[0])
    return folder


def _unwrap(tree: Tree) -> tuple[str, list[str], list[str]]:
    """Open folders whose images are all in one folder of folders.

    Returns:
        The folder that was reached, the names on the way with the first one, and folders beside them without images.
    """
    folder, opened, beside = "", [to_text(tree.path.resolve().name)], []
    for _ in range(_MOST_WRAPPERS):
        names = subfolders(tree, folder)
        full = [name for name in names if has_images(tree, join(folder, name), below=True)]
        others = [name for name in names if name not in full]
        # A class may still be empty, while folders of annotations hold files.
        is_wrapper = len(full) == 1 and _class_names(tree, join(folder, full[0])) and not has_images(tree, folder)
        if not is_wrapper or not all(has_files(tree, join(folder, name)) for name in others):
            break
        folder = join(folder, full[0])
        opened.append(to_text(full[0]))
        beside += others
    return folder, opened if len(opened) > 1 else [], beside


def _split_root(tree: Tree, folder: str) -> str:
    """A split's folder of classes: `seg_train/seg_train` for `seg_train`, `train/images` for `train`."""
    names, own = subfolders(tree, folder), folder.rpartition("/")[2]
    if len(names) != 1:
        return folder
    if names[0] != own and (may_be_class(names[0]) or guess_split(names[0]) not in (None, guess_split(own))):
        return folder
    inner = join(folder, names[0])
    return _split_root(tree, inner) if _class_names(tree, inner) else folder


def _labels_inside(tree: Tree, folder: str) -> list[str]:
    """The names of a split's classes; none if the folders inside only say that images are in them."""
    names = _class_names(tree, _split_root(tree, folder))
    own = folder.rpartition("/")[2]
    return names if any(may_be_class(name) and name != own for name in names) else []


def _class_names(tree: Tree, folder: str) -> list[str]:
    """The subfolders with images somewhere below them."""
    return [name for name in subfolders(tree, folder) if has_images(tree, join(folder, name), below=True)]
