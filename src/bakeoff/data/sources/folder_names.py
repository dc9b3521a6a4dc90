"""What the names of folders say: a split, a class, or only that images are inside."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from bakeoff.data.sources.records import SplitName

__all__ = ["find_containers", "guess_split", "guess_splits", "may_be_class", "split_words"]

_SPLIT_WORDS: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training", "trainset", "trn", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "valset", "dev", "devset", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "tst", "te", "holdout"), "test"),
}
# Words that stand beside the name of a split and say nothing about which it is.
_FILLERS = {
    "set", "split", "data", "dataset", "images", "image", "img", "imgs", "pictures", "photos", "pics", "jpg", "jpeg",
    "png", "files", "seg", "my", "public", "private",
}  # fmt: skip
# Words that say what is in a folder, and nothing of what the images show.
_CONTAINERS = {
    "images", "image", "img", "imgs", "jpegimages", "jpg", "jpeg", "png", "data", "dataset", "files", "part", "batch",
}  # fmt: skip
# Shorter ones with a number, as `te1`, are rather names.
_SHORTEST_NUMBERED = 3


def guess_split(name: str) -> SplitName | None:
    """The split that a name stands for, as in `Training`, `seg_train`, `test-images`, `val2017`; None for others."""
    telling = _telling_words(name)
    if len(telling) != 1:
        return None
    word = telling[0].rstrip("0123456789")
    return _SPLIT_WORDS.get(word if len(word) >= _SHORTEST_NUMBERED else telling[0])


def guess_splits(names: Sequence[str]) -> dict[str, SplitName]:
    """The splits that folders stand for: by their own names, or as `signs_train` and `signs_test` do together."""
    own = {name: split for name in names if (split := guess_split(name))}
    together: dict[tuple[str, ...], dict[str, SplitName]] = defaultdict(dict)
    for name in names:
        words = _telling_words(name)
        found = [(word, split) for word in words if (split := guess_split(word))]
        if len(found) == 1 and name not in own:
            word, split = found[0]
            together[tuple(each for each in words if each != word)][name] = split
    pairs = [each for each in together.values() if "train" in each.values() and len(set(each.values())) > 1]
    return {name: split for each in (own, *pairs) for name, split in each.items()}


def may_be_class(name: str) -> bool:
    """Whether a folder's name may be that of a class: no split, and more than that images are inside."""
    return bool(_telling_words(name)) and not guess_split(name)


def find_containers(names: Sequence[str]) -> list[str]:
    """The names that say that images are inside, alone or with a number, as `images`, `images_001` and `ham_part_2`."""
    words = {name: split_words(name) for name in names}
    # What is left without numbers; several names that differ in nothing else are pieces of one whole.
    bases = {name: tuple(word for word in each if not word.isdecimal()) for name, each in words.items()}
    counts = Counter(bases.values())
    return [
        name
        for name, base in bases.items()
        if not _CONTAINERS.isdisjoint(base) and (counts[base] > 1 or _CONTAINERS.union(_FILLERS).issuperset(base))
    ]


def split_words(name: str) -> list[str]:
    """The words of a name, in lower case: `turn` and `left` of `turn-left`, `turn_left` and `TurnLeft`."""
    return [word.lower() for word in re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", name) if word]


def _telling_words(name: str) -> list[str]:
    """The words of a name without those that say nothing: none for `images` and `my_data`."""
    return [word for word in split_words(name) if word not in _FILLERS]
