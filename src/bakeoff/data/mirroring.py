"""Whether images of some data may be mirrored. They are not where a mirror image may show another class, or none.

That is known of built-in data, and of classes whose names differ in left and right. Of letters, signs and digits in
other data it cannot be known.
"""

from collections.abc import Sequence

from bakeoff.data.shards import Dataset
from bakeoff.data.sources.folder_names import split_words

__all__ = ["describe_unmirrored", "find_mirrored"]

# Left and right, in the languages that names of classes are usually in.
_SIDES = (
    ("left", "right"),
    ("l", "r"),
    ("links", "rechts"),
    ("gauche", "droite"),
    ("izquierda", "derecha"),
    ("sinistra", "destra"),
    ("esquerda", "direita"),
)
_OTHER_SIDE = dict(_SIDES) | {right: left for left, right in _SIDES}


def describe_unmirrored(dataset: Dataset) -> str:
    """Why images of these classes are not mirrored unless a recipe or a setting says so; empty if they are."""
    if not dataset.manifest.may_mirror:
        why = f"in {dataset.name}, a mirror image may show another class, or none"
    elif pair := find_mirrored(dataset.class_names):
        why = f"by their names, a mirror image of class {pair[0]} shows class {pair[1]}"
    else:
        return ""
    return f"images are not mirrored, neither in training nor in scoring: {why}"


def find_mirrored(class_names: Sequence[str]) -> tuple[str, str] | None:
    """Two classes whose names become each other when left and right are swapped in them; None if there are none.

    Left and right are whole words of a name, which is split at spaces, marks and capitals, as `turn-left` and `HandL`.
    """
    names = {tuple(split_words(name)): name for name in class_names}
    for words, name in names.items():
        swapped = tuple(_OTHER_SIDE.get(word, word) for word in words)
        if swapped != words and swapped in names:
            return name, names[swapped]
    return None
