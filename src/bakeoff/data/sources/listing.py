"""What a reader of folders or of a table found out: which files are images, of which class, split and group."""

from dataclasses import dataclass

from bakeoff.data.sources.records import SplitName

__all__ = ["Labelled", "Listing"]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A file that is an image, by its path in the tree, and what is known about it."""

    path: str
    split: SplitName | None
    """None if the data give no split."""
    label: str
    """The name of its class."""
    group: str | None = None
    """The subject, scene or day that it belongs to, if that is known."""
    class_folder: str = ""
    """The path of the folder that gave it its label; empty if something else did."""


@dataclass(frozen=True)
class Listing:
    """The images of a data set, in the order in which they are read."""

    images: tuple[Labelled, ...]
    class_names: tuple[str, ...]
    """In the order of their labels."""
    notes: tuple[str, ...] = ()
    """What was decided or left out, for a reader of results."""
    table: str = ""
    """A hash of the table that the labels are from, if they are."""
    grouped_by: str = ""
    """What the groups of the images are, as in `the folder below the class`; empty if there are none."""
