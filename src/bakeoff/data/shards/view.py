"""A view of prepared data: which classes of it, under which labels. Nothing is copied."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bakeoff.data.shards.manifest import MANIFEST, Manifest, read_manifest
from bakeoff.errors import DataError, suggest
from bakeoff.files import cache_dir, hash_json

__all__ = ["Dataset", "find_dataset", "open_dataset"]


@dataclass(frozen=True)
class Dataset:
    """Images of some classes, labelled 0 to n-1."""

    folder: Path
    manifest: Manifest
    name: str
    fingerprint: str
    """Of the prepared data and the classes chosen: equal for equal images under equal labels."""
    class_names: tuple[str, ...]
    superclass_names: tuple[str, ...] | None
    superclass_of: tuple[int, ...] | None
    """The superclass of each class, if there are any."""
    label_map: tuple[int, ...]
    """This view's label for each label on disk, -1 for images that are not of it."""
    counts: dict[str, int]
    """Images per split."""

    @property
    def side(self) -> int:
        """Side in pixels of the square that images are read as."""
        return self.manifest.side

    @property
    def is_whole(self) -> bool:
        """Whether it has every image."""
        return -1 not in self.label_map


def open_dataset(folder: Path, classes: str = "all", seed: int = 0) -> Dataset:
    """Open a folder of shards, or some classes of it.

    `classes` is `all`, `coarse` (superclasses become the labels), a number (that many classes drawn by
    `seed`), or names separated by commas. Classes keep the order they have on disk. Raises DataError.
    """
    manifest = read_manifest(folder)
    if classes.strip() == "coarse":
        return _view_coarse(folder, manifest)
    chosen = _choose(manifest, classes.strip(), seed)
    label_map = [-1] * len(manifest.class_names)
    for label, original in enumerate(chosen):
        label_map[original] = label
    superclass_names = superclass_of = None
    if manifest.coarse_names and manifest.coarse_of:
        present = sorted({manifest.coarse_of[original] for original in chosen})
        superclass_names = tuple(manifest.coarse_names[coarse] for coarse in present)
        superclass_of = tuple(present.index(manifest.coarse_of[original]) for original in chosen)
    everything = len(chosen) == len(manifest.class_names)
    name = manifest.name if everything else f"{manifest.name}-{len(chosen)}"
    names = tuple(manifest.class_names[original] for original in chosen)
    return _view(folder, manifest, name, names, label_map, superclass_names, superclass_of)


def find_dataset(fingerprint: str, classes: str = "all", seed: int = 0) -> Dataset | None:
    """The view with this fingerprint among the shards in the cache, wherever their images came from; None if gone."""
    for path in sorted((cache_dir() / "data").glob(f"*/{MANIFEST}")):
        try:
            dataset = open_dataset(path.parent, classes, seed)
        except DataError:
            continue  # other data, without such classes, or damaged
        if dataset.fingerprint == fingerprint:
            return dataset
    return None


def _view_coarse(folder: Path, manifest: Manifest) -> Dataset:
    if not manifest.coarse_names or not manifest.coarse_of:
        raise DataError(f"{manifest.name} has no superclasses; choose all, a number or names of classes")
    name = f"{manifest.name}-coarse"
    return _view(folder, manifest, name, manifest.coarse_names, list(manifest.coarse_of), None, None)


def _view(
    folder: Path,
    manifest: Manifest,
    name: str,
    class_names: tuple[str, ...],
    label_map: list[int],
    superclass_names: tuple[str, ...] | None,
    superclass_of: tuple[int, ...] | None,
) -> Dataset:
    fingerprint = hash_json([manifest.fingerprint, class_names, label_map])
    kept = np.array(label_map) >= 0
    counts = {split: int(np.array(facts.class_counts)[kept].sum()) for split, facts in manifest.splits.items()}
    return Dataset(
        folder, manifest, name, fingerprint, class_names, superclass_names, superclass_of, tuple(label_map), counts
    )


def _choose(manifest: Manifest, classes: str, seed: int) -> list[int]:
    names = manifest.class_names
    if classes == "all":
        return list(range(len(names)))
    if classes.isdecimal():
        if not 2 <= int(classes) <= len(names):
            raise DataError(
                f"--classes {classes}: {manifest.name} has {len(names)} classes; give a number from 2 to that"
            )
        drawn = np.random.default_rng(seed).choice(len(names), int(classes), replace=False)
        return sorted(int(original) for original in drawn)
    wanted = {name.strip() for name in classes.split(",") if name.strip()}
    for name in sorted(wanted - set(names)):
        hint = suggest(name, names, f"the first are {', '.join(names[:5])}")
        raise DataError(f"--classes: {manifest.name} has no class {name!r}; {hint}")
    if len(wanted) < 2:
        raise DataError(f"--classes {classes!r} names fewer than two classes; give all, coarse, a number or more names")
    return [original for original, name in enumerate(names) if name in wanted]
