"""Whether a `.weights.h5` is of a deeper network than the one that Keras loads it into: Keras takes what it needs."""

import re

from bakeoff.networks.weights.keras_file import StoredModel, split_number

__all__ = ["find_next"]


def find_next(needed: StoredModel, stored: StoredModel) -> str | None:
    """Where a model in a file goes on with a layer like the last one that a network takes from it, by Keras' numbers.

    Args:
        needed: The network, as Keras saves it in a `.weights.h5`.
        stored: The model in the file, of the same format.

    Returns:
        The place of the layer, such as `block_3`; None if there is none. A layer of nothing but vectors does not
        count: a classifier may normalise its features, and a deeper network has other layers, too. Where the file has
        the network's names, nor does one whose name begins with another word than the last one's: it is of the head.
    """
    known = {layer.place[:depth] for layer in needed.layers for depth in range(1, len(layer.place) + 1)}
    starts = {layer.place[:depth] for layer in stored.layers for depth in range(1, len(layer.place) + 1)}
    has_names = _has_names_of(needed, stored)
    for start in sorted(starts - known):
        base, number = split_number(start[-1])
        before = (*start[:-1], f"{base}_{number - 1}" if number > 1 else base)
        shapes = _shapes_below(stored, start)
        has_kernel = any(len(shape) > 1 for tensors in shapes.values() for shape in tensors)
        is_like = before in known and _shapes_below(stored, before) == shapes
        is_head = has_names and _first_words(stored, before) != _first_words(stored, start)
        if number and has_kernel and is_like and not is_head:
            return "/".join(start)
    return None


def _shapes_below(model: StoredModel, start: tuple[str, ...]) -> dict[tuple[str, ...], list[tuple[int, ...]]]:
    return {
        layer.place[len(start) :]: [tensor.shape for tensor in layer.tensors]
        for layer in model.layers
        if layer.place[: len(start)] == start
    }


def _has_names_of(needed: StoredModel, stored: StoredModel) -> bool:
    """Whether each layer of a network has the same name in another file, or a number of Keras in both."""
    names = {layer.place: layer.names[:1] for layer in stored.layers}
    return all(
        _without_number(layer.names[:1], layer.place) == _without_number(names.get(layer.place, ()), layer.place)
        for layer in needed.layers
    )


def _without_number(names: tuple[str, ...], place: tuple[str, ...]) -> tuple[str, ...]:
    base = split_number(place[-1])[0]
    return tuple(base if split_number(name)[0] == base else name for name in names)


def _first_words(model: StoredModel, start: tuple[str, ...]) -> list[str]:
    """The first word in the name of each layer; empty for numbers, for single letters, and in a file without names."""
    names = ("".join(layer.names[:1]) for layer in model.layers if layer.place[: len(start)] == start)
    return ["".join(re.findall("^[a-z]{2,}", name)) for name in names]
