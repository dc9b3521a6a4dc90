"""What a data set is: its classes, its splits, and what was decided or left out when it was read."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from rich.console import Console

from bakeoff.console.bars import is_file
from bakeoff.data.shards import Dataset, Quarantined
from bakeoff.text import counted, printable

__all__ = ["print_data", "print_note", "print_warning"]

# Class names in the first line, and the characters of each.
_NAMES, _NAME_LENGTH = 4, 40
# Images left out that have a line each; more of them are counted by reason.
_LINES = 5


def print_data(console: Console, dataset: Dataset) -> None:
    """Print warnings, the classes and images of each split, the notes, and the images that were left out."""
    for warning in dataset.manifest.warnings:
        print_warning(console, warning)
    names = dataset.class_names
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    first = ", ".join(name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…" for name in names[:_NAMES])
    _print(console, f"{dataset.name}: {counted(len(names), 'class')} ({first}{more})")
    counts = ", ".join(f"{count:,} {split}" for split, count in dataset.counts.items())
    drawn = " and ".join(dataset.manifest.drawn)
    share = "by groups" if dataset.manifest.groups else "about a tenth of each class"
    _print(console, f"{counts} images{f' ({drawn} drawn here, {share})' if drawn else ''}")
    for note in dataset.notes:
        print_note(console, note)
    for line in _describe_left_out(dataset.manifest.quarantined):
        _print(console, f"left out: {line}")


def print_warning(console: Console, text: str) -> None:
    """Print why scores will mislead."""
    _print(console, f"warning: {text}", "bold yellow")


def print_note(console: Console, text: str) -> None:
    """Print a note."""
    _print(console, f"note: {text}")


def _describe_left_out(images: Sequence[Quarantined]) -> Iterator[str]:
    if len(images) <= _LINES:
        yield from (f"{image.key}: {image.reason}" for image in images)
        return
    keys = defaultdict(list)
    for image in images:
        keys[image.reason].append(image.key)
    for reason, found in sorted(keys.items(), key=lambda item: -len(item[1])):
        several = f"{counted(len(found), 'image')}, such as " if len(found) > 1 else ""
        yield f"{several}{found[0]}: {reason}"


def _print(console: Console, text: str, style: str | None = None) -> None:
    # Lines end between words; in a file a note is one line, which programs can search.
    console.print(printable(text), style=style, highlight=False, markup=False, soft_wrap=is_file(console))
