"""`--group`: which images show one subject, scene or day, so that they must stay in one split."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from bakeoff.data.sources.listing import Labelled, Listing
from bakeoff.data.sources.trees import to_name, to_text
from bakeoff.errors import ConfigError, DataError
from bakeoff.text import counted

__all__ = ["FOLDER", "group_images"]

FOLDER = "folder"
"""The rule that takes the folder below the class."""


def group_images(listing: Listing, rule: str) -> Listing:
    """Give each image the group that a rule finds; images that it finds none for are groups of their own.

    Folders of one name in several classes, as `cat/s1` and `dog/s1`, are one group. If they show two subjects, nothing
    is lost but some choice in the draw; if they show one and were taken for two, test would hold a subject of train.

    Args:
        listing: The images; those of a table whose column is the rule have their groups already.
        rule: The name of a column; `folder`, the first folder below the class; or a regular expression with one group,
            which is searched in the image's path. Empty: no groups, unless a table gave some.

    Raises:
        ConfigError: The rule is none of these.
        DataError: It finds no group.
    """
    if any(image.group for image in listing.images):
        return replace(listing, grouped_by=f"column {rule or 'group'} of the table")
    if not rule:
        return replace(listing, notes=(*listing.notes, *_note_folders(listing)))
    find: Callable[[Labelled], str | None]
    if rule == FOLDER:
        find, missing = _find_folder, "lies in a folder below its class"
        grouped_by = "the folder below the class" if listing.images[0].class_folder else "the first folder"
    else:
        find, missing, grouped_by = _compile(rule), "has a path that matches", f"'{rule}' in the path"
    images = tuple(replace(image, group=find(image)) for image in listing.images)
    if not any(image.group for image in images):
        example = to_text(images[0].path)
        raise DataError(f"--group {rule}: none of the {counted(len(images), 'image')} {missing}, such as {example}")
    return replace(listing, images=images, grouped_by=grouped_by)


def _note_folders(listing: Listing) -> Iterator[str]:
    """A note if most images lie in folders below their classes, which may be subjects."""
    inside = [image.path.rpartition("/")[0] for image in listing.images if image.class_folder and _find_folder(image)]
    if 2 * len(inside) > len(listing.images):
        yield (
            f"images lie in folders below their classes, such as {to_text(inside[0])}; if each of these shows one"
            " subject, scene or day, keep it in one split with --group folder"
        )


def _find_folder(image: Labelled) -> str | None:
    """The first folder below the class, or below the root where classes have no folders."""
    below = image.path.removeprefix(f"{image.class_folder}/") if image.class_folder else image.path
    return to_name(below.partition("/")[0]) if "/" in below else None


def _compile(rule: str) -> Callable[[Labelled], str | None]:
    known = "give folder, a column of the table, or a regular expression with one group, as in 'subject([0-9]+)'"
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise ConfigError(f"--group {rule}: {known} (as an expression it is wrong: {error})") from error
    if pattern.groups != 1:
        raise ConfigError(f"--group {rule}: {known} (as an expression it has {pattern.groups})")

    def find(image: Labelled) -> str | None:
        match = pattern.search(to_name(image.path))
        # An empty text says nothing about what the image shows.
        return match[1] or None if match else None

    return find
