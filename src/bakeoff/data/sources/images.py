"""Image files with labels, in a folder or an archive. Nothing is written into it or removed from it."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from bakeoff.data.pixels import DECODING, check
from bakeoff.data.sources.groups import group_images
from bakeoff.data.sources.listing import Labelled, Listing
from bakeoff.data.sources.records import BadImage, RawImage, Source
from bakeoff.data.sources.trees import Tree, to_text
from bakeoff.data.sources.walk import LeftOut, find_images
from bakeoff.errors import DataError
from bakeoff.files import hash_json
from bakeoff.machine import count_cores

__all__ = ["ImageFiles"]

# A class needs at least one image in each of train, val and test.
_MIN_IMAGES = 3
# Files that are decoded in parallel: enough to use every core, few enough to hold in memory.
_CHUNK_FILES = 64
# Characters of a data set's name. Files are called by it, with a few words more, and may have 255 bytes.
_MAX_NAME = 50
# Raise it whenever the same files would be read in another way: it is part of the signature.
_READING = 5


class ImageFiles(Source):
    """The images of a listing, of at least two classes. Keys are their paths in the tree."""

    licence = "not stated"

    def __init__(
        self,
        tree: Tree,
        make_listing: Callable[[Tree], Listing],
        *,
        group: str = "",
        options: Sequence[Any] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """List a folder; an archive is listed at first use, since its stamp stands for its contents.

        Args:
            tree: Where the files are.
            make_listing: Finds the images and their labels.
            group: The rule by which images belong together, as `group_images` takes it.
            options: What `make_listing` depends on besides the tree, as JSON.
            notes: What to say before the notes of the listing.

        Raises:
            ConfigError: There is no such rule of groups.
            DataError: The layout or the labels are wrong or unclear, or a class has too few images.
        """
        self.name = _make_name(tree)
        self._tree = tree
        self._make_listing = make_listing
        self._group = group
        self._notes = tuple(notes)
        self._remarks: defaultdict[str, list[str]] = defaultdict(list)
        where = [_READING, DECODING, to_text(str(tree.path.resolve())), [*options, *([group] if group else [])]]
        if tree.is_archive:
            self.signature = hash_json([*where, tree.stamp("")])
        else:
            images, table = self._listing.images, self._listing.table
            where += [table] if table else []
            self.signature = hash_json(
                [*where, [[key, image.split, image.label, image.group, *tree.stamp(image.path)]
                          for key, image in zip(self._by_key, images, strict=True)]]
            )  # fmt: skip

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return self._listing.class_names

    @property
    def count(self) -> int:
        """Number of files that may be images."""
        return len(self._by_key)

    @property
    def notes(self) -> tuple[str, ...]:
        """How the files were understood, and what was left out; after `records`, also how pictures were converted."""
        remarks = [f"{remark}: {len(keys)}, such as {keys[0]}" for remark, keys in sorted(self._remarks.items())]
        return (*self._listing_notes, *remarks)

    @property
    def changing_notes(self) -> tuple[str, ...]:
        """How the files were understood, and what was left out; none for archives, which change as a whole."""
        return () if self._tree.is_archive else self._listing_notes

    @property
    def _listing_notes(self) -> tuple[str, ...]:
        return (*self._notes, *self._listing.notes, *self._tree.notes)

    @property
    def grouped_by(self) -> str:
        """What the groups of the images are; empty if there are none."""
        return self._listing.grouped_by

    def records(self) -> Iterator[RawImage | BadImage]:
        """All images. Those that cannot be decoded are BadImages."""
        self._remarks.clear()
        with ThreadPoolExecutor(count_cores()) as pool:
            for keys in _chunks(list(self._by_key)):
                for record, remarks in pool.map(self._read, keys):
                    for remark in remarks:
                        self._remarks[remark].append(record.key)
                    yield record

    def fetch(self, keys: Sequence[str]) -> Iterator[RawImage]:
        """The files with these keys, in this order, not decoded: their `shape` is (0, 0)."""
        for key in keys:
            try:
                yield self._record(key, self._tree.read(self._by_key[key].path), (0, 0))
            except (OSError, KeyError) as error:
                raise DataError(f"{self._tree.shown(key)} was removed in the meantime; start again") from error

    @cached_property
    def _listing(self) -> Listing:
        listing = group_images(self._make_listing(self._tree), self._group)
        _check_classes(self._tree, listing)
        return listing

    @cached_property
    def _by_key(self) -> dict[str, Labelled]:
        return {to_text(image.path): image for image in self._listing.images}

    @cached_property
    def _labels(self) -> dict[str, int]:
        return {name: label for label, name in enumerate(self.class_names)}

    def _read(self, key: str) -> tuple[RawImage | BadImage, tuple[str, ...]]:
        """An image, and how it was converted."""
        try:
            data = self._tree.read(self._by_key[key].path)
            checked = check(data)
        except OSError as error:
            return BadImage(key, f"the file cannot be read: {error.strerror}", self._label_of(key)), ()
        except DataError as error:
            return BadImage(key, str(error), self._label_of(key)), ()
        return self._record(key, data, checked.shape), checked.remarks

    def _record(self, key: str, data: bytes, shape: tuple[int, int]) -> RawImage:
        image = self._by_key[key]
        return RawImage(key, image.split, self._label_of(key), None, data, shape, encoded=True, group=image.group)

    def _label_of(self, key: str) -> int:
        return self._labels[self._by_key[key].label]


def _make_name(tree: Tree) -> str:
    name = to_text(tree.path.resolve().name)
    if tree.is_archive:
        name = re.sub(r"(\.tar)?\.\w+$", "", name)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug:  # Its letters are of another script.
        slug = "-".join("".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in name).split())
    return slug[:_MAX_NAME] or "images"


def _check_classes(tree: Tree, listing: Listing) -> None:
    names = listing.class_names
    if len(names) < 2:
        raise DataError(f"{tree.shown()} has one class only, {', '.join(names)}; add images of another class")
    counts = Counter(image.label for image in listing.images)
    for name in names:
        if counts[name] < _MIN_IMAGES:
            seen = "; ".join([str(counts[name]), *_describe_others(tree, listing, name)])
            found = f"has fewer than {_MIN_IMAGES} images ({seen})"
            raise DataError(f"class {name} in {tree.shown()} {found}; add some or remove the class")
    trained = {image.label for image in listing.images if image.split in (None, "train")}
    for name in names:
        if name not in trained:
            alike = [each for each in sorted(trained) if each.casefold() == name.casefold()]
            mend = f"rename it if it is {alike[0]}" if alike else "add some or remove the class"
            raise DataError(f"class {name} in {tree.shown()} has no images to train on; {mend}")


def _describe_others(tree: Tree, listing: Listing, name: str) -> tuple[str, ...]:
    """What else is in the folders of a class, and why it is not used."""
    left_out = LeftOut()
    for folder in sorted({image.class_folder for image in listing.images if image.label == name} - {""}):
        for _ in find_images(tree, folder, left_out=left_out):
            pass
    return left_out.notes()


def _chunks(keys: list[str]) -> Iterator[list[str]]:
    return (keys[start : start + _CHUNK_FILES] for start in range(0, len(keys), _CHUNK_FILES))
