"""Whether images of some data may be mirrored. They are not where a mirror image may show another class, or none.

That is known of built-in data, and of classes whose names differ in left and right. Of letters, signs and digits in
other data it cannot be known.
"""

from collections.abc import Sequence

from bakeoff.data.shards import Dataset
from bakeoff.data.sources.folder_names import split_words

__all__ = ["describe_unmirrored", "find_mirrored"]

# Left and right, in the languages that names of classes are usually in, and in their genders.
_SIDES = (
    ("left", "right"),
    ("l", "r"),
    ("links linke linker linkes", "rechts rechte rechter rechtes"),
    ("gauche", "droite droit"),
    ("izquierda izquierdo", "derecha derecho"),
    ("sinistra sinistro", "destra destro"),
    ("esquerda esquerdo", "direita direito"),
)
# The row of a word, and its side.
_SIDE_OF = {
    word: (row, side) for row, sides in enumerate(_SIDES) for side, words in enumerate(sides) for word in words.split()
}


def describe_unmirrored(dataset: Dataset, otherwise: str = "") -> str:
    """Why images of some data are not mirrored unless the user says so; empty if they are.

    Args:
        dataset: The data.
        otherwise: The reason if the data give none.
    """
    if not dataset.manifest.may_mirror:
        why = f"in {dataset.name}, a mirror image may show another class, or none"
    elif pair := find_mirrored(dataset.class_names):
        why = f"by their names, a mirror image of class {pair[0]} shows class {pair[1]}"
    else:
        why = otherwise
    return why and f"images are not mirrored, neither in training nor in scoring: {why}"


def find_mirrored(class_names: Sequence[str]) -> tuple[str, str] | None:
    """Two classes whose names become each other when left and right are swapped in them; None if there are none.

    Left and right are whole words of a name, which is split at spaces, marks and capitals, as `turn-left` and `HandL`.
    """
    names = {tuple(_SIDE_OF.get(word, word) for word in split_words(name)): name for name in class_names}
    for words, name in names.items():
        swapped = tuple(word if isinstance(word, str) else (word[0], 1 - word[1]) for word in words)
        if swapped != words and swapped in names:
            return name, names[swapped]
    return None
