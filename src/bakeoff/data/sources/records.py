"""The interface of a source of images: records, class names, and a signature that is cheap to compute."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["BadImage", "OnCount", "RawImage", "Source", "SplitName"]

SplitName = Literal["train", "val", "test"]

OnCount = Callable[[str, int, int], None]
"""Called with (what is being done, how much is done, how much in all); the last is 0 if unknown."""


@dataclass(frozen=True, slots=True)
class RawImage:
    """One image as its source holds it."""

    key: str
    """Identifies the image within the source; written into the shards as its id."""
    split: SplitName | None
    """None if the source gives no split; `assign_splits` then draws one."""
    label: int
    coarse_label: int | None
    """The label of the superclass, if there are superclasses."""
    data: bytes
    """The bytes of the image file if `encoded`, else uint8 RGB pixels (height, width, 3)."""
    shape: tuple[int, int]
    """(height, width) in pixels; (0, 0) if the file has not been decoded."""
    encoded: bool = False
    group: str | None = None
    """The subject, scene or day that the image belongs to, if the source knows."""


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be read, and why."""

    key: str
    reason: str
    label: int | None = None
    """The label that it would have, if the source knows."""


class Source(ABC):
    """Images with labels. `name`, `licence` and `signature` are cheap; the other properties may read files."""

    name: str
    licence: str
    """The terms of use, and the work to cite."""
    signature: str
    """A hash that changes whenever the source's files change: the same signature means the same records."""
    may_mirror: bool = True
    """Whether a mirror image shows the same class, as far as the source knows."""

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by label."""

    @property
    def coarse_names(self) -> tuple[str, ...] | None:
        """Names of the superclasses by coarse label, if there are any."""
        return None

    @property
    def coarse_of(self) -> tuple[int, ...] | None:
        """The coarse label of each label, if there are any."""
        return None

    @property
    def grouped_by(self) -> str:
        """What the groups of the images are, as in `the folder below the class`; empty if there are none."""
        return ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks about the source that belong beside results, such as ignored files."""
        return ()

    @property
    def changing_notes(self) -> tuple[str, ...]:
        """The first of the notes, if files that the signature does not know can change them."""
        return ()

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of records, bad images included."""

    @abstractmethod
    def records(self) -> Iterator[RawImage | BadImage]:
        """All records in a fixed order. Images that cannot be decoded are BadImages."""

    @abstractmethod
    def fetch(self, keys: Sequence[str]) -> Iterator[RawImage]:
        """The records with these keys, in this order, not checked. Raises DataError if one was removed."""
