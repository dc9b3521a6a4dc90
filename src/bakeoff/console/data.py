"""The size of a data set, and what was unusual about it."""

from rich.console import Console

from bakeoff.data.shards import Dataset

__all__ = ["print_data", "print_note"]


def print_data(console: Console, dataset: Dataset) -> None:
    """Print the classes and images of each split, the notes on the data, and the images that were left out."""
    splits = ", ".join(f"{count:,} {split}" for split, count in dataset.counts.items())
    console.print(f"{dataset.name}: {len(dataset.class_names)} classes, {splits} images", highlight=False)
    for note in dataset.notes:
        print_note(console, note)
    for bad in dataset.manifest.quarantined:
        _print(console, f"left out: {bad.key}: {bad.reason}")


def print_note(console: Console, text: str) -> None:
    """Print a note."""
    _print(console, f"note: {text}")


def _print(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
