"""What every source of images gives: records, their classes, and a signature that is cheap to compute."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["BadImage", "OnCount", "RawImage", "Source", "SplitName"]

SplitName = Literal["train", "val", "test"]

OnCount = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is (0 if unknown)."""


@dataclass(frozen=True, slots=True)
class RawImage:
    """One image as its source holds it.

    `data` is the file's bytes if `encoded`, else uint8 RGB of `shape` (height, width). A `split` of None
    leaves the choice to whoever prepares the shards.
    """

    key: str
    split: SplitName | None
    label: int
    coarse_label: int | None
    data: bytes
    shape: tuple[int, int]
    encoded: bool = False


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be read, and why."""

    key: str
    reason: str


class Source(ABC):
    """Images with labels. Making one is cheap; the other properties may read or unpack what lies behind it."""

    name: str
    licence: str
    """Under which terms, and whom to cite."""
    signature: str
    """Changes whenever the files behind the source change; the same signature means the same records."""

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Names by label."""

    @property
    def coarse_names(self) -> tuple[str, ...] | None:
        """Names of the superclasses by coarse label, if there are any."""
        return None

    @property
    def coarse_of(self) -> tuple[int, ...] | None:
        """The coarse label of each label, if there are any."""
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of results should know about how these records came about."""
        return ()

    @property
    @abstractmethod
    def count(self) -> int:
        """How many records there are, bad ones included."""

    @abstractmethod
    def records(self) -> Iterator[RawImage | BadImage]:
        """All records in a fixed order, each checked to be readable."""

    @abstractmethod
    def fetch(self, keys: Sequence[str]) -> Iterator[RawImage]:
        """The records of `keys`, in that order, unchecked. Raises DataError if one is gone."""
