"""The order of a model's layers, where the file lists those that train before those that were frozen.

The `.h5` files of Keras list the tensors of a model inside a model in this way. If the first layers were frozen for
fine-tuning, the head is in the middle of the list, between the last layers of the network and its first ones.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise

from bakeoff.networks.weights.keras_file import StoredLayer

__all__ = ["in_model_order"]


def in_model_order(layers: Sequence[StoredLayer], numbers: Mapping[int, int], last: int) -> list[StoredLayer]:
    """The layers of one line in the order of their model, as far as the network that they belong to tells it.

    Args:
        layers: The layers in the order of the file.
        numbers: By `id` of a layer that was matched: its position in the network.
        last: Position of the network's last layer that has a kernel.
    """
    ordered: list[StoredLayer] = []
    for inside, group in groupby(layers, key=lambda stored: stored.inside):
        part = [*group]
        ordered += _join(part, numbers, last) if inside else part
    return ordered


def _join(part: list[StoredLayer], numbers: Mapping[int, int], last: int) -> list[StoredLayer]:
    """The layers of an inner model, those that train and those that were frozen joined."""
    matched = [(numbers[id(stored)], place) for place, stored in enumerate(part) if id(stored) in numbers]
    # Where the frozen ones begin, positions fall back the furthest. Smaller steps back are branches that an older Keras
    # has listed in another order.
    drops = [(before - after, place) for (before, _), (after, place) in pairwise(matched) if after < before]
    if not drops:
        return part
    cut = max(drops)[1]
    placed = [*_place(part[:cut], numbers, last), *_place(part[cut:], numbers, last)]
    return [stored for _, stored in sorted(placed, key=lambda each: each[0])]


def _place(run: list[StoredLayer], numbers: Mapping[int, int], last: int) -> Iterator[tuple[float, StoredLayer]]:
    """The position of each layer of a run that is in the order of the model.

    A layer that the network does not have stays behind the matched one before it. If no kernel of the network comes
    after that one, it is of the head.
    """
    matched = [numbers[id(stored)] for stored in run if id(stored) in numbers]
    place = matched[0] - 0.5
    for stored in run:
        number = numbers.get(id(stored))
        if number is None:
            yield place, stored
            continue
        yield number, stored
        place = math.inf if number == matched[-1] >= last else number + 0.5
