"""What KerasHub leaves unread in a file of timm or Transformers: weights of a larger network than the configuration.

KerasHub asks for tensors by name. Of blocks that a configuration does not have, it reads nothing, and says nothing.
"""

import contextlib
import re
from collections.abc import Collection, Iterator
from typing import Any

__all__ = ["find_unused", "noting_reads"]


@contextlib.contextmanager
def noting_reads() -> Iterator[set[str]]:
    """For the block, note the names of the tensors that KerasHub reads from safetensors files."""
    from keras_hub.src.utils.transformers.safetensor_utils import SafetensorLoader

    read: set[str] = set()
    original = SafetensorLoader.get_tensor

    def get_tensor(loader: Any, name: str) -> Any:
        tensor = original(loader, name)
        # It finds what all names in a file begin with while it reads.
        read.update((name, f"{loader.prefix or ''}{name}"))
        return tensor

    SafetensorLoader.get_tensor = get_tensor
    try:
        yield read
    finally:
        SafetensorLoader.get_tensor = original


def find_unused(stored: Collection[str], read: Collection[str]) -> list[str]:
    """The tensors that were not read although others of the same name, but for numbers, were: those of further blocks.

    Classifiers, counters and other parts that no backbone has differ by more than numbers.

    Args:
        stored: The names of all tensors.
        read: The names of those that were read.
    """
    known = {_without_numbers(name) for name in read}
    return [name for name in stored if name not in read and _without_numbers(name) in known]


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "0", name)
