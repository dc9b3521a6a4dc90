"""Views of prepared data: some of its classes, or its superclasses, as labels 0 to n-1. No image is copied."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.cache import mark_used
from bakeoff.data.pixels import DECODING
from bakeoff.data.shards.classes import choose_classes
from bakeoff.data.shards.fit import choose_fit, note_fit
from bakeoff.data.shards.manifest import MANIFEST, Manifest, read_manifest
from bakeoff.errors import DataError
from bakeoff.files import cache_dir, hash_json
from bakeoff.runs.config import Fit
from bakeoff.text import counted, name_some

__all__ = ["Dataset", "find_dataset", "open_dataset"]

# With fewer images of a class in a split, the accuracy of the class is told to be uncertain.
_FEW_IMAGES = 5
# What the splits that scores come from are called.
_TITLES = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class Dataset:
    """A view: the images of some classes, with labels 0 to n-1."""

    folder: Path
    manifest: Manifest
    name: str
    class_names: tuple[str, ...]
    superclass_names: tuple[str, ...] | None
    superclass_of: tuple[int, ...] | None
    """The index of each class's superclass, if there are superclasses."""
    label_map: tuple[int, ...]
    """The label in this view for each label on disk; -1 for classes outside the view."""
    counts: dict[str, int]
    """Number of images by split."""
    asked_fit: Fit
    """How images become square, as it was asked for."""
    input_side: int = 0
    """Side in pixels of the network's input; 0: not known."""
    more_notes: tuple[str, ...] = ()
    """What else is to be said about how this view came about, a sentence each."""

    @property
    def fit(self) -> Fit:
        """How images become square: what the fit that was asked for comes to; never AUTO."""
        return choose_fit(self.manifest, self.asked_fit)

    @property
    def fingerprint(self) -> str:
        """Hash of the prepared data, the chosen classes and the fit: equal for equal images with equal labels."""
        return self._hash_view(self.manifest.fingerprint)

    @property
    def decoded_key(self) -> str:
        """Hash of the decoded images and their labels: the fingerprint and, where files are decoded, how they are."""
        return self._hash_decoded(self.fingerprint)

    @property
    def pixels_key(self) -> str:
        """Hash of the decoded images alone: that of `decoded_key` before any label was changed."""
        return self._hash_decoded(self._hash_view(self.manifest.given_fingerprint or self.manifest.fingerprint))

    def _hash_view(self, fingerprint: str) -> str:
        parts = [fingerprint, self.class_names, self.label_map]
        # The first versions only cropped: their fingerprints hold.
        return hash_json(parts if self.fit is Fit.CROP else [*parts, self.fit])

    def _hash_decoded(self, fingerprint: str) -> str:
        if self.manifest.uniform:
            return fingerprint
        larger = [self.side] if self.side > self._usual_sides[0] else []
        return hash_json([fingerprint, DECODING, *larger])

    @property
    def side(self) -> int:
        """Side in pixels of the decoded images: up to the input's, where they have the pixels."""
        usual, largest = self._usual_sides
        return max(usual, min(self.input_side, largest))

    @property
    def largest_side(self) -> int:
        """The largest side in pixels that images can be decoded at without being enlarged."""
        return max(self._usual_sides)

    @property
    def _usual_sides(self) -> tuple[int, int]:
        """The side for small inputs, and the largest one."""
        usual = self.manifest.side if self.fit is Fit.CROP else self.manifest.whole_side or self.manifest.side
        large = self.manifest.large_sides or (0, 0)
        return usual, large[0 if self.fit is Fit.CROP else 1] or usual

    def at_input(self, side: int) -> "Dataset":
        """The view for a network whose input has this side in pixels."""
        return replace(self, input_side=side)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was unusual about the data, their shapes and the classes of this view, a sentence each."""
        fit = note_fit(self.manifest, self.asked_fit)
        return (*self.manifest.notes, *self.more_notes, *fit, *_note_small_classes(self))

    def class_counts(self, split: str) -> NDArray[np.int64]:
        """Number of images of each class in a split, (classes,)."""
        labels = np.array(self.label_map)
        on_disk = np.array(self.manifest.splits[split].class_counts)
        return np.bincount(labels[labels >= 0], on_disk[labels >= 0], len(self.class_names)).astype(np.int64)

    @property
    def imbalance(self) -> float:
        """Training images of the largest class over those of the smallest."""
        counts = self.class_counts("train")
        return float(counts.max() / max(counts.min(), 1))

    @property
    def is_whole(self) -> bool:
        """Whether the view has every class."""
        return -1 not in self.label_map


def open_dataset(folder: Path, classes: str = "all", seed: int = 0, fit: Fit = Fit.AUTO) -> Dataset:
    """Open a view of a folder of shards.

    Args:
        folder: The folder.
        classes: `coarse` (the superclasses are the labels), or what `choose_classes` reads: `all`, a number (so many
            classes, drawn at random), or names. Classes keep their order on disk.
        seed: Draws the classes if `classes` is a number.
        fit: How images become square; AUTO is decided by their shapes.

    Raises:
        DataError: The folder has no valid manifest, there are no such classes, or a split has no images of them.
    """
    manifest = read_manifest(folder)
    if classes.strip() == "coarse":
        return _view_coarse(folder, manifest, fit)
    chosen = choose_classes(classes, manifest.class_names, seed, manifest.name)
    label_map = [-1] * len(manifest.class_names)
    for label, original in enumerate(chosen):
        label_map[original] = label
    superclass_names = superclass_of = None
    if manifest.coarse_names and manifest.coarse_of:
        present = sorted({manifest.coarse_of[original] for original in chosen})
        superclass_names = tuple(manifest.coarse_names[coarse] for coarse in present)
        superclass_of = tuple(present.index(manifest.coarse_of[original]) for original in chosen)
    has_all = len(chosen) == len(manifest.class_names)
    name = manifest.name if has_all else f"{manifest.name}-{len(chosen)}"
    names = tuple(manifest.class_names[original] for original in chosen)
    return _view(folder, manifest, fit, name, names, label_map, superclass_names, superclass_of)


def find_dataset(fingerprint: str, classes: str = "all", seed: int = 0, fit: Fit = Fit.AUTO) -> Dataset | None:
    """Find the view with this fingerprint among all shards in the cache; None if it is not there.

    `classes`, `seed` and `fit` are those of `open_dataset`. Where the images came from does not matter.
    """
    for path in sorted((cache_dir() / "data").glob(f"*/{MANIFEST}")):
        try:
            dataset = open_dataset(path.parent, classes, seed, fit)
        except DataError:
            continue  # Damaged shards, or other data without these classes.
        if dataset.fingerprint == fingerprint:
            mark_used(path.parent)
            return dataset
    return None


def _view_coarse(folder: Path, manifest: Manifest, fit: Fit) -> Dataset:
    if not manifest.coarse_names or not manifest.coarse_of:
        raise DataError(f"{manifest.name} has no superclasses; choose all, a number or names of classes")
    name = f"{manifest.name}-coarse"
    return _view(folder, manifest, fit, name, manifest.coarse_names, list(manifest.coarse_of), None, None)


def _view(
    folder: Path,
    manifest: Manifest,
    fit: Fit,
    name: str,
    class_names: tuple[str, ...],
    label_map: list[int],
    superclass_names: tuple[str, ...] | None,
    superclass_of: tuple[int, ...] | None,
) -> Dataset:
    kept = np.array(label_map) >= 0
    counts = {split: int(np.array(facts.class_counts)[kept].sum()) for split, facts in manifest.splits.items()}
    if empty := [title for split, title in _TITLES.items() if not counts[split]]:
        raise DataError(
            f"{manifest.name} has no {' and no '.join(empty)} images of {name_some(class_names)}; choose other classes"
        )
    return Dataset(folder, manifest, name, class_names, superclass_names, superclass_of, tuple(label_map), counts, fit)


def _note_small_classes(dataset: Dataset) -> Iterator[str]:
    """What validation and test cannot say about the classes of a view, for want of images."""
    names = dataset.class_names
    for split, title in _TITLES.items():
        counts = dataset.class_counts(split)
        if missing := [name for name, count in zip(names, counts, strict=True) if not count]:
            yield f"{_count(missing, names)} no {title} images: {name_some(missing)}"
        few = [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if 0 < count < _FEW_IMAGES]
        if few:
            yield (
                f"{_count(few, names)} fewer than {_FEW_IMAGES} {title} images, so the accuracy of each is uncertain:"
                f" {name_some(few)}"
            )


def _count(some: Sequence[str], names: Sequence[str]) -> str:
    return f"{len(some):,} of {counted(len(names), 'class')} {'has' if len(some) == 1 else 'have'}"
