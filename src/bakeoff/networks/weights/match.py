"""Matches the layers of a network with those in a weight file.

Names decide. Layers that Keras named by class and number (`conv2d_7`), and those of files without names, are matched by
their order and shapes: all layers of a class must be there one after the other, in one place only.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bakeoff.networks.weights.hdf5 import Tensor
from bakeoff.networks.weights.keras_file import StoredLayer, StoredModel, canonical, count_names, split_number
from bakeoff.networks.weights.order import in_model_order

__all__ = ["Match", "Wanted", "arrange", "find_match", "find_next", "list_layers"]


@dataclass(frozen=True)
class Wanted:
    """A layer of the network that has weights."""

    layer: Any
    name: str
    """`canonical`."""
    place: tuple[str, ...]
    """The names that Keras 3 gives it and the models around it in a file."""
    base: str | None
    """`conv2d` if Keras named the layer by its class and a number."""
    number: int
    """Its position among the layers that have weights."""

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of its tensors."""
        return [tuple(weight.shape) for weight in self.layer.weights]


@dataclass(frozen=True)
class Match:
    """Which layers of a model in a file belong to which layers of a network."""

    model: StoredModel
    pairs: list[tuple[Wanted, StoredLayer]]

    @property
    def tensors(self) -> int:
        """Number of the network's tensors that are in the file."""
        return sum(len(wanted.layer.weights) for wanted, _ in self.pairs)

    @property
    def left(self) -> list[StoredLayer]:
        """The layers of the model in the file that are not in the network."""
        taken = {id(stored) for _, stored in self.pairs}
        return [stored for stored in self.model.layers if id(stored) not in taken]

    @property
    def between(self) -> list[StoredLayer]:
        """Those of `left` that lie between layers of the network, so that they are neither its head nor before it."""
        numbers = {id(stored): wanted.number for wanted, stored in self.pairs}
        kernels = (wanted.number for wanted, _ in self.pairs if any(len(shape) > 1 for shape in wanted.shapes))
        last = max(kernels, default=0)
        lines: dict[tuple[str, ...], list[StoredLayer]] = {}
        for stored in sorted(self.model.layers, key=lambda stored: stored.index):
            lines.setdefault(stored.line, []).append(stored)
        between: list[StoredLayer] = []
        for line in lines.values():
            ordered = in_model_order(line, numbers, last)
            places = [place for place, stored in enumerate(ordered) if id(stored) in numbers]
            span = ordered[places[0] : places[-1]] if places else []
            between += [stored for stored in span if id(stored) not in numbers]
        return sorted(between, key=lambda stored: stored.index)


def list_layers(model: Any) -> list[Wanted]:
    """The layers with weights of a Keras model, those of models inside it included, in its order."""
    found = enumerate(_list_layers(model, ()))
    return [Wanted(layer, canonical(layer.name), place, _find_base(layer), number) for number, (layer, place) in found]


def find_match(wanted: list[Wanted], models: list[StoredModel], *, by_name_only: bool = False) -> Match:
    """The model in a file with most of a network's tensors and the fewest other layers.

    Args:
        wanted: The network's layers.
        models: The models in the file.
        by_name_only: Leave out layers that Keras named by a number, because where a part of the network is missing,
            another number may mean another layer.
    """
    match = _match_titled if by_name_only else _match
    matches = [match(wanted, model) for model in models]
    nothing = Match(StoredModel(()), [])
    return max(matches, key=lambda match: (match.tensors, -len(match.between), -len(match.left)), default=nothing)


def find_next(needed: StoredModel, stored: StoredModel) -> str | None:
    """Where a model in a file goes on with a layer like the last one that a network takes from it, by Keras' numbers.

    Args:
        needed: The network, as Keras saves it in a `.weights.h5`.
        stored: The model in the file, of the same format.

    Returns:
        The place of the layer, such as `block_3`; None if there is none. A layer of nothing but vectors does not
        count: a classifier may normalise its features, and a deeper network has other layers, too.
    """
    known = {layer.place[:depth] for layer in needed.layers for depth in range(1, len(layer.place) + 1)}
    starts = {layer.place[:depth] for layer in stored.layers for depth in range(1, len(layer.place) + 1)}
    for start in sorted(starts - known):
        base, number = split_number(start[-1])
        before = (*start[:-1], f"{base}_{number - 1}" if number > 1 else base)
        shapes = _shapes_below(stored, start)
        has_kernel = any(len(shape) > 1 for tensors in shapes.values() for shape in tensors)
        if number and has_kernel and before in known and _shapes_below(stored, before) == shapes:
            return "/".join(start)
    return None


def _shapes_below(model: StoredModel, start: tuple[str, ...]) -> dict[tuple[str, ...], list[tuple[int, ...]]]:
    return {
        layer.place[len(start) :]: [tensor.shape for tensor in layer.tensors]
        for layer in model.layers
        if layer.place[: len(start)] == start
    }


def _list_layers(model: Any, place: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    keys = count_names([type(layer).__name__ for layer in model.layers])
    for layer, key in zip(model.layers, keys, strict=True):
        if hasattr(layer, "layers"):
            yield from _list_layers(layer, (*place, key))
        elif layer.weights:
            yield layer, (*place, key)


def _find_base(layer: Any) -> str | None:
    base = split_number(layer.name)[0]
    return base if base.replace("_", "") == type(layer).__name__.lower() else None


def _match(wanted: list[Wanted], model: StoredModel) -> Match:
    named = _match_named(wanted, model)
    if any(not each.base for each, _ in named.pairs):
        return named  # Where some names are right, no other rule may contradict them.
    matches = (named, _match_placed(wanted, model), _match_in_order(wanted, model))
    return max(matches, key=lambda match: match.tensors)


def _match_named(wanted: list[Wanted], model: StoredModel) -> Match:
    pairs = _match_titled(wanted, model).pairs
    for base in {each.base: None for each in wanted if each.base}:
        numbers = {
            index: split_number(name)[1]
            for index, stored in enumerate(model.layers)
            for name in stored.names
            if re.fullmatch(rf"{base}(_\d+)?", name)
        }
        stored = [model.layers[index] for index in sorted(numbers, key=lambda index: (numbers[index], index))]
        # In their order in the network, branches mix the numbers.
        numbered = [each for each in wanted if each.base == base]
        pairs += _align(sorted(numbered, key=lambda each: split_number(each.name)[1]), stored)
    found = Match(model, pairs)
    missing = [each for each in wanted if each.base and not any(each is one for one, _ in pairs)]
    if len(missing) == 1 and len(pairs) == len(wanted) - 1:
        # The last layer of ConvNeXt has a number, but a name in the whole classifier.
        pairs += _align(missing, [stored for stored in found.left if _fits(missing[0], stored)])
    return found


def _match_titled(wanted: list[Wanted], model: StoredModel) -> Match:
    """By the names that people gave."""
    known: dict[str, list[StoredLayer]] = {}
    for depth in range(max((len(stored.names) for stored in model.layers), default=0)):
        level: dict[str, list[StoredLayer]] = {}
        for stored in model.layers:
            if depth < len(stored.names):
                level.setdefault(stored.names[depth], []).append(stored)
        known = level | known
    found = [(each, known.get(each.name, [])) for each in wanted if not each.base]
    return Match(model, [(each, same[0]) for each, same in found if len(same) == 1 and _fits(each, same[0])])


def _match_placed(wanted: list[Wanted], model: StoredModel) -> Match:
    """By the place among the file's groups, which counts the layers of each class."""
    lines: dict[tuple[str, ...], tuple[list[Wanted], list[StoredLayer]]] = {}
    for each in wanted:
        lines.setdefault(_bases(each.place), ([], []))[0].append(each)
    for stored in sorted(model.layers, key=lambda stored: [split_number(part)[1] for part in stored.place]):
        if stored.place and (line := lines.get(_bases(stored.place))):
            line[1].append(stored)
    return Match(model, [pair for line in lines.values() for pair in _align(*line)])


def _match_in_order(wanted: list[Wanted], model: StoredModel) -> Match:
    """By the order of the whole file, for files of old versions, in which layers had other names."""
    is_ordered = not any(stored.place for stored in model.layers)
    return Match(model, _align(wanted, list(model.layers)) if is_ordered else [])


def _align(wanted: list[Wanted], stored: list[StoredLayer]) -> list[tuple[Wanted, StoredLayer]]:
    """Pair all of `wanted` with as many layers in a row whose shapes fit.

    Nothing is paired if no place fits, if several do, or if the row goes on with layers of the same shapes: then these
    may be the layers of a deeper network.
    """
    fitting = [
        start
        for start in range(len(stored) - len(wanted) + 1)
        if all(_fits(each, stored[start + index]) for index, each in enumerate(wanted))
    ]
    if len(fitting) != 1:
        return []
    start, end = fitting[0], fitting[0] + len(wanted)
    goes_on = (start > 0 and _fits(wanted[0], stored[start - 1])) or (
        end < len(stored) and _fits(wanted[-1], stored[end])
    )
    return [] if goes_on else list(zip(wanted, stored[start:end], strict=True))


def arrange(wanted: Wanted, stored: StoredLayer) -> list[Tensor]:
    """A stored layer's tensors in the order of the network's."""
    names = [weight.name for weight in wanted.layer.weights]
    if sorted(stored.variables) != sorted(names):
        return list(stored.tensors)
    return [stored.tensors[stored.variables.index(name)] for name in names]


def _fits(wanted: Wanted, stored: StoredLayer) -> bool:
    return [tensor.shape for tensor in arrange(wanted, stored)] == wanted.shapes


def _bases(place: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(split_number(part)[0] for part in place)
