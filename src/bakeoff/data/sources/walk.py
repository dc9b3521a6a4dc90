"""The files below a folder that may be images, and what is left out on the way: one rule for training and predicting.

Left out are hidden files and folders, those of systems and programs, and folders that bakeoff wrote.
"""

from collections import Counter
from collections.abc import Hashable, Iterator
from pathlib import Path

from bakeoff.data.sources.table import read_table
from bakeoff.data.sources.trees import Entry, FolderTree, Tree, join, to_text
from bakeoff.errors import DataError
from bakeoff.files import OWN_JSON, is_system_file

__all__ = [
    "LeftOut",
    "find_images",
    "has_files",
    "has_images",
    "images_below",
    "images_in",
    "subfolders",
]

# Folders that systems and programs leave among pictures.
_SYSTEM_FOLDERS = {
    "@eadir", "@recently-snapshot", "@recycle", "@sharebin", "@tmp", "#recycle", "#snapshot", "$recycle.bin",
    "__macosx", "__pycache__", "lost+found", "system volume information", ".ipynb_checkpoints", ".git", ".thumbnails",
    ".cache", ".trash", ".trashes", ".spotlight-v100", ".fseventsd", ".venv", ".tmp.driveupload", ".picasaoriginals",
    ".dvc", ".svn", ".idea", ".vscode", "~snapshot", "network trash folder", "temporary items", "node_modules",
    "venv",
}  # fmt: skip
# Files by which a folder that bakeoff wrote is known: JSON by how it begins, the lists of a check by their columns,
# because a spreadsheet may have saved them since.
_OWN_FILES = ("study.json", "bundle.json", "manifest.json")
_CHECK_LISTS = ("findings.csv", "suspicious_labels.csv")
# So much of a list is read to know it.
_HEAD_BYTES = 4096
# Kinds of things left out that a note names.
_KINDS = 6


class LeftOut:
    """What a walk left out: how many things of each kind, and the first one."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, kind: str, path: str) -> None:
        """Count a file or folder."""
        self._counts[kind] += 1
        self._first.setdefault(kind, to_text(path))

    def notes(self) -> tuple[str, ...]:
        """One line about everything; none if nothing was left out."""
        if not self._counts:
            return ()
        shown = self._counts.most_common(_KINDS)
        kinds = [f"{kind}: {count}, such as {self._first[kind]}" for kind, count in shown]
        more = self._counts.total() - sum(count for _, count in shown)
        return (f"left out: {'; '.join(kinds)}{f'; others: {more}' if more else ''}",)


def find_images(
    tree: Tree, folder: str, parents: tuple[Hashable, ...] = (), left_out: LeftOut | None = None
) -> Iterator[str]:
    """Paths of the images in a folder and its subfolders, sorted.

    Args:
        tree: The folder or archive.
        folder: A folder in it.
        parents: Identities of folders that links must not lead into; those on the way are added.
        left_out: Counts what is left out.
    """
    identity = tree.identity(folder)
    if identity in parents:
        return
    skipped = left_out or LeftOut()
    for entry in tree.entries(folder):
        if kind := _kind_left_out(tree, entry):
            skipped.add(kind, entry.path)
        elif entry.is_folder:
            yield from find_images(tree, entry.path, (*parents, identity), left_out)
        elif not tree.is_image(entry):
            skipped.add(f"{entry.suffix} files" if entry.suffix else "files without a suffix", entry.path)
        else:
            yield entry.path


def images_in(tree: Tree, folder: str) -> Iterator[str]:
    """Paths of the images directly in a folder, sorted."""
    for entry in tree.entries(folder):
        if tree.is_image(entry) and not _kind_left_out(tree, entry):
            yield entry.path


def images_below(folder: Path) -> Iterator[Path]:
    """The images in a folder on this machine and in its subfolders, sorted."""
    return (folder / path for path in find_images(FolderTree(folder), ""))


def subfolders(tree: Tree, folder: str, left_out: LeftOut | None = None) -> list[str]:
    """Names of the folders in `folder` that may hold images, sorted."""
    names = []
    for entry in tree.entries(folder):
        if not entry.is_folder:
            continue
        if kind := _kind_left_out(tree, entry):
            if left_out:
                left_out.add(kind, entry.path)
        else:
            names.append(entry.name)
    return names


def has_images(tree: Tree, folder: str, *, below: bool = False) -> bool:
    """Whether there are images directly in a folder, or anywhere below it."""
    return any(True for _ in (find_images(tree, folder) if below else images_in(tree, folder)))


def has_files(tree: Tree, folder: str) -> bool:
    """Whether there are files of any kind in a folder or below it."""
    return any(has_files(tree, entry.path) if entry.is_folder else True for entry in tree.entries(folder))


def _kind_left_out(tree: Tree, entry: Entry) -> str | None:
    """The kind of things not looked at that a file or folder is; None if it is looked at."""
    lower = entry.name.lower()
    if entry.is_folder:
        if lower in _SYSTEM_FOLDERS:
            return "folders of systems and programs"
        if lower.startswith("."):
            return "hidden folders"
        return "folders that bakeoff wrote" if _is_written_by_bakeoff(tree, entry.path) else None
    if is_system_file(entry.name) or lower.startswith("."):
        return "hidden files and files of systems"
    return None


def _is_written_by_bakeoff(tree: Tree, folder: str) -> bool:
    is_own = any(_read_head(tree, join(folder, name), len(OWN_JSON)) == OWN_JSON for name in _OWN_FILES)
    lists = ((name, _read_head(tree, join(folder, name), _HEAD_BYTES)) for name in _CHECK_LISTS)
    return is_own or any(head and _is_check_list(name, head) for name, head in lists)


def _is_check_list(name: str, head: bytes) -> bool:
    try:
        return read_table(name, head, is_head=len(head) == _HEAD_BYTES, may_be_empty=True).is_check_list
    except DataError:
        return False  # some other file of that name


def _read_head(tree: Tree, path: str, size: int) -> bytes:
    """The first bytes of a file; none if there is no such file."""
    try:
        return tree.head(path, size) if tree.has(path) else b""
    except OSError:
        # What bakeoff wrote can be read. A folder that cannot be read says so when its images are looked for.
        return b""
