"""Labels from folders: each class has one, alone or in each split."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from bakeoff.data.sources.class_names import describe_alike
from bakeoff.data.sources.folder_names import find_containers
from bakeoff.data.sources.layout import read_layout
from bakeoff.data.sources.listing import Labelled, Listing
from bakeoff.data.sources.trees import Tree, join, to_name
from bakeoff.data.sources.walk import LeftOut, find_images, has_images, images_in, subfolders
from bakeoff.errors import DataError
from bakeoff.runs.config import FolderLayout
from bakeoff.text import name_some

__all__ = ["list_class_folders"]


def list_class_folders(tree: Tree, layout: FolderLayout = FolderLayout.AUTO, *, has_groups: bool = False) -> Listing:
    """List the images of class folders.

    Args:
        tree: `class/image`, or `train|val|test/class/image` under their usual names.
        layout: What the folders directly in it are.
        has_groups: Whether the folders below the classes are known to be groups.

    Raises:
        DataError: The layout is wrong or unclear, or there are no images in class folders.
    """
    left_out = LeftOut()
    found = read_layout(tree, layout, left_out, has_groups=has_groups)
    images: list[Labelled] = []
    spellings: dict[str, set[str]] = defaultdict(set)
    empty: set[str] = set()
    for root in found.roots:
        for path in images_in(tree, root.path):
            left_out.add("images beside the class folders", path)
        for folder in subfolders(tree, root.path, left_out if root.split else None):
            name = to_name(folder)
            parents = (tree.identity(root.path), *tree.parents())
            place = join(root.path, folder)
            inside = list(find_images(tree, place, parents, left_out))
            if inside:
                spellings[name].add(folder)
            else:
                empty.add(name)
            images += [Labelled(path, root.split, name, class_folder=place) for path in inside]
    if not images:
        raise _no_images(tree)
    if layout is FolderLayout.AUTO:
        _refuse_containers(tree, list(spellings), has_splits=any(root.split for root in found.roots))
    return Listing(
        images=tuple(images),
        class_names=tuple(sorted(spellings)),
        notes=(
            *found.notes,
            *_describe_spellings(spellings),
            *_describe_empty(sorted(empty - spellings.keys())),
            *left_out.notes(),
        ),
    )


def _no_images(tree: Tree) -> DataError:
    if has_images(tree, ""):
        return DataError(
            f"{tree.shown()} holds images but no class folders; give each class its own folder, or give a table of"
            " labels (train.csv) and --image-folder"
        )
    others = LeftOut()
    for _ in find_images(tree, "", left_out=others):
        pass
    told = "".join(f" ({note})" for note in others.notes())
    return DataError(f"{tree.shown()} holds no images in class folders{told}; add some, or unpack what they are in")


def _refuse_containers(tree: Tree, names: Sequence[str], *, has_splits: bool) -> None:
    """Raise DataError if folders that are called `images` or `part_2` would be classes."""
    if containers := find_containers(names):
        layout = FolderLayout.SPLITS if has_splits else FolderLayout.CLASSES
        raise DataError(
            f"{tree.shown()}: the names of folders ({name_some(containers)}) say nothing of what their images show;"
            " give each class its own folder, or give a table of labels (train.csv) and --image-folder, or say --layout"
            f" {layout} if they are classes"
        )


def _describe_spellings(spellings: dict[str, set[str]]) -> Iterator[str]:
    """Notes on names that people hardly tell apart: equal ones in other bytes are one class, others are not."""
    several = sorted(name for name, folders in spellings.items() if len(folders) > 1)
    if several:
        yield f"folders whose names differ only in their Unicode form are one class: {name_some(several)}"
    yield from describe_alike(spellings)


def _describe_empty(names: list[str]) -> Iterator[str]:
    if names:
        yield f"folders without images, left out: {name_some(names)}"
