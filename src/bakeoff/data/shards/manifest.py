"""`manifest.json`: what a folder of shards contains, and where it came from."""

from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from bakeoff.errors import DataError
from bakeoff.files import read_json, write_json
from bakeoff.runs.facts import Facts

__all__ = [
    "MANIFEST",
    "SCHEMA",
    "GroupFacts",
    "Manifest",
    "Quarantined",
    "Relabelled",
    "ShardFile",
    "SplitFacts",
    "read_manifest",
    "write_manifest",
]

MANIFEST = "manifest.json"
SCHEMA = 1
EXCLUDED = "excluded: "
"""What the reason begins with where the user left an image out."""


class ShardFile(Facts):
    """One TFRecord file: its name, number of records, size in bytes, and hash."""

    name: str
    """Name of the file."""
    records: int
    """Images in it."""
    bytes: int
    """Its size."""
    sha256: str
    """SHA-256 of its content."""


class SplitFacts(Facts):
    """One split: its number of images, in all and by label, and its files in reading order."""

    count: int
    """Images of the split."""
    class_counts: tuple[int, ...]
    """Images of each class, in the order of `class_names`."""
    files: tuple[ShardFile, ...]
    """Its files, in reading order."""


class GroupFacts(Facts):
    """The groups that stay in one split: images of one subject, scene or day."""

    by: str
    """What they are, as in `the folder below the class`."""
    count: int
    """Number of groups."""
    splits: dict[str, int]
    """Groups in each split."""


class Quarantined(Facts):
    """An image that was left out, and the reason."""

    key: str
    """Its path, or its name in the archive."""
    reason: str
    """Why it was left out."""

    @property
    def is_excluded(self) -> bool:
        """Whether the user left it out."""
        return self.reason.startswith(EXCLUDED)


class Relabelled(Facts):
    """An image whose label the user changed, with the names of both classes."""

    key: str
    """Its path, or its name in the archive."""
    given: str
    """The class that the source gives."""
    label: str
    """The class that it has now."""


class Manifest(Facts):
    """Everything about prepared data except the images."""

    schema_: int = SCHEMA
    """Version of this format."""
    name: str
    """Name of the data."""
    fingerprint: str
    """SHA-256 over the hash, labels, split and group of every image: equal for equal data, independent of names."""
    signature: str
    """Hash of the source's signature and of the settings of the split: if it is equal, preparing can be skipped."""
    side: int
    """Side in pixels of the square that images are read as where their centre is cropped: it follows the shorter side
    of the median image."""
    whole_side: int = 0
    """The same where images are padded or squashed: it follows the longer side. 0 in shards of an older bakeoff."""
    large_sides: tuple[int, int] | None = None
    """`side` and `whole_side` without the limit that holds for small inputs: runs whose input is larger read images up
    to this large. None in shards of an older bakeoff."""
    cut_area: float = 0.0
    """Share of the area that the centre crop cuts off, in the median image: 0.75 of one of 400x100 pixels."""
    cut_images: int = 0
    """Images of which the centre crop cuts off more than a tenth."""
    uniform: bool
    """Whether all images are stored as raw pixels of that size."""
    class_names: tuple[str, ...]
    """Names of the classes; the label of an image is the position of its class."""
    coarse_names: tuple[str, ...] | None
    """Names of the superclasses; None if there are none."""
    coarse_of: tuple[int, ...] | None
    """The superclass of each class, as a position in `coarse_names`."""
    may_mirror: bool = True
    """Whether a mirror image shows the same class, as far as the source of the images knows."""
    splits: dict[str, SplitFacts]
    """The splits by name: `train`, `val`, `test`."""
    quarantined: tuple[Quarantined, ...]
    """Images that were left out."""
    relabelled: tuple[Relabelled, ...] = ()
    """Images whose label the user changed."""
    given_fingerprint: str = ""
    """The fingerprint with the labels that the source gives; empty if none was changed."""
    groups: GroupFacts | None = None
    """None if the images have no groups."""
    drawn: tuple[str, ...] = ()
    """The splits that were drawn because the data do not give them."""
    copies: dict[str, int] = Field(default_factory=dict)
    """Images of validation and of test that are byte-identical to a training image."""
    warnings: tuple[str, ...] = ()
    """Why scores on these data will mislead, a sentence each."""
    notes: tuple[str, ...]
    """What was unusual about the data, a sentence each."""
    changing_notes: int | None = None
    """How many of the first notes are written anew when the data are asked for again; None: it was not kept."""
    licence: str
    """Licence of the data, where it is known."""
    version: str
    """Version of the bakeoff that wrote it."""

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"), populate_by_name=True)

    @model_validator(mode="after")
    def _one_entry_per_class(self) -> Self:
        classes = len(self.class_names)
        if any(len(facts.class_counts) != classes for facts in self.splits.values()):
            raise ValueError(f"class_counts does not have one entry for each of the {classes} classes")
        if self.coarse_of is not None:
            if len(self.coarse_of) != classes:
                raise ValueError(f"coarse_of does not have one entry for each of the {classes} classes")
            if not all(0 <= coarse < len(self.coarse_names or ()) for coarse in self.coarse_of):
                raise ValueError("coarse_of names a superclass that coarse_names does not have")
        return self


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's manifest. Raises DataError if it is missing, damaged or of another schema."""
    path = folder / MANIFEST
    try:
        raw = read_json(path)
        if raw.get("schema") != SCHEMA:
            raise DataError(f"{path} has schema {raw.get('schema')!r}, this bakeoff reads {SCHEMA}; prepare again")
        return Manifest.model_validate(raw)
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no {MANIFEST}; run `bakeoff data prepare` on the images first") from error
    except (OSError, ValueError, ValidationError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"cannot read {path}: {reason}; delete {folder} and prepare again") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a folder's manifest, atomically."""
    write_json(folder / MANIFEST, manifest.model_dump(mode="json", by_alias=True))
