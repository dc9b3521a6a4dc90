"""Defaults before any search: which networks are candidates, at what input size, and with which recipe."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from bakeoff.errors import ConfigError
from bakeoff.networks.backbone import Backbone, check_size
from bakeoff.networks.find import find_network
from bakeoff.networks.weights import locate_weights, needs_download
from bakeoff.runs.config import (
    AugmentStep,
    BatchNorm,
    Candidate,
    Data,
    Mode,
    Model,
    Optim,
    Run,
    Train,
    WeightsChoice,
    look_up,
    override,
    parse_settings,
    pick_settings,
    revise,
)
from bakeoff.study.fields import expand_fields

__all__ = [
    "SMALL_INPUT",
    "assign_weights",
    "choose_candidates",
    "default_run",
    "default_size",
    "find_missing",
    "has_random_weights",
    "progressive_sizes",
    "set_length",
    "settings_of_length",
    "start_from",
    "start_from_probe",
    "without_length",
    "without_mirroring",
]

# The default sides of the input in pixels.
SMALL_INPUT, LARGE_INPUT = 96, 128
# The probe that a head starts from uses at most this many images.
MAX_PROBE_IMAGES = 3000
# Keys of `train` that say how long a run is and how it is scored on the way. With a budget, the machine decides them.
_OF_LENGTH = ("seconds", "images", "epochs", "val_images", "evaluations", "probe_images")


def choose_candidates(
    wanted: Sequence[Candidate],
    side: int,
    weights: WeightsChoice,
    size_of: Callable[[Backbone, int], int] | None = None,
) -> list[Candidate]:
    """Name the networks that were asked for, with an input size for each.

    Args:
        wanted: The candidates that were asked for, named fields among them.
        side: Side of the stored images in pixels.
        weights: The weights that were asked for.
        size_of: The input size of a network for images of this side; `default_size` if not given.

    Raises:
        ConfigError: A network is unknown, or a size is too small for it.
    """
    for name in weights.named:
        find_network(name)
    size_of = size_of or default_size
    sized = []
    for candidate in expand_fields(wanted):
        spec = find_network(candidate.name)
        size = size_of(spec, side) if candidate.size is None else candidate.size
        check_size(spec, size)
        sized.append(Candidate(name=spec.name, size=size))
    return list(dict.fromkeys(sized))


def assign_weights(candidates: Sequence[Candidate], weights: WeightsChoice) -> WeightsChoice:
    """Assign a weights file that was given without a network to the one candidate that can use it.

    Raises ConfigError if several candidates could use it or none, or if a file is for a network that is no candidate.
    """
    names = [candidate.name for candidate in candidates]
    if unknown := sorted(set(weights.named) - set(names)):
        raise ConfigError(f"--weights names {unknown[0]}, which is no candidate; candidates are {', '.join(names)}")
    if weights.default in ("auto", "none"):
        return weights
    possible = {name for name in names if not find_network(name).from_scratch and name not in weights.named}
    if len(possible) != 1:
        raise ConfigError(f"--weights {weights.default}: say which network it is for, as in --weights {names[0]}=PATH")
    return weights.model_copy(update={"default": "auto", "named": weights.named | {possible.pop(): weights.default}})


def find_missing(candidates: Sequence[Candidate], weights: WeightsChoice) -> list[Backbone]:
    """The networks whose weights have to be downloaded by Keras first. Raises WeightsError if weights cannot be had."""
    missing = []
    for spec in dict.fromkeys(find_network(candidate.name) for candidate in candidates):
        if weights.of(spec.name) == "auto" and needs_download(spec):
            missing.append(spec)
        else:
            locate_weights(spec, weights.of(spec.name))
    return missing


def default_size(spec: Backbone, side: int) -> int:
    """The default side of a network's input in pixels.

    Small images are enlarged, because pretrained filters expect larger objects.

    Args:
        spec: The network.
        side: Side of the stored images in pixels.
    """
    if spec.from_scratch:
        return spec.native_size
    wanted = 48 if side < 32 else min(LARGE_INPUT if side > 64 else SMALL_INPUT, spec.native_size)
    return spec.size_step * math.ceil(max(spec.min_size, wanted) / spec.size_step)


def progressive_sizes(spec: Backbone, size: int) -> tuple[int, ...]:
    """Input sizes for the first part of a long run that ends at `size` pixels: three quarters of it, or none.

    Progressive resizing: the first steps need no detail, and smaller images are faster (benchmarks/levers.csv).
    """
    smaller = 32 * round(0.75 * size / 32)
    one_size = spec.from_scratch or spec.one_size or smaller % spec.size_step
    return (smaller,) if not one_size and size >= LARGE_INPUT and spec.min_size <= smaller < size else ()


def default_run(spec: Backbone, size: int, data: Data, weights: WeightsChoice, seed: int) -> Run:
    """The default recipe of a network, for one epoch; the caller sets the length.

    Args:
        spec: The network.
        size: Side of its input in pixels.
        data: The data to train on.
        weights: The weights that were asked for.
        seed: The seed of the run.
    """
    model = Model(**_describe(spec, size, weights))
    if spec.from_scratch or model.weights == "none":
        model = model.model_copy(update={"dropout": 0.3})
        optim = Optim(learning_rate=1e-3, ema=0.99)
    elif spec.transformer:
        # The recipe of He et al. 2022 (arXiv 2111.06377, table 9): AdamW at 0.001 for 256 images, here for 64; decay
        # 0.05; 0.75 times the rate from block to block, here for twelve of them. And the last half of the blocks alone
        # is trained (their figure 9), which takes two thirds of the time and half of the memory for activations.
        model = model.model_copy(update={"unfreeze": spec.trained_share, "batch_norm": BatchNorm.FROZEN})
        optim = Optim(learning_rate=2.5e-4, weight_decay=0.05, first_layer=round(0.75**12, 3), ema=0.98)
    else:
        # A few hundred steps at a new input size are too few to learn new batch statistics. With those of ImageNet
        # a short run is faster, needs less memory, and is more accurate at its end.
        model = model.model_copy(update={"batch_norm": BatchNorm.FROZEN})
        optim = Optim(learning_rate=5e-4, ema=0.98)
    return Run(data=data, model=model, optim=optim, train=Train(epochs=1), seed=seed)


def start_from(
    recipe: Run | None, candidate: Candidate, data: Data, weights: WeightsChoice, seed: int, *, mirror: bool = True
) -> Run:
    """The recipe with this network, data and seed; without a recipe the network's default recipe.

    Args:
        recipe: The recipe whose other settings are kept, or None.
        candidate: The network, with its input size.
        data: The data to train on.
        weights: The weights that were asked for.
        seed: The seed of the run.
        mirror: Whether images may be mirrored.
    """
    spec, size = find_network(candidate.name), candidate.size or 0
    if recipe is None:
        run = default_run(spec, size, data, weights, seed)
    else:
        run = recipe.revised(model=_describe(spec, size, weights)).model_copy(update={"data": data, "seed": seed})
    return run if mirror else without_mirroring(run)


def without_mirroring(run: Run) -> Run:
    """The run without the step of its augmentation that mirrors images, and without scoring their mirror images."""
    steps = [step for step in run.augment.steps if step is not AugmentStep.FLIP]
    return run.revised(augment={"policy": "-".join(steps) or "none"}, train={"flip_test": False})


def _describe(spec: Backbone, size: int, weights: WeightsChoice) -> dict[str, Any]:
    """The keys of `model` that say which network it is, at which input size and from which weights."""
    return {
        "name": spec.name,
        "source": spec.source,
        "size": size,
        "weights": weights.of(spec.name),
        "partial_weights": weights.partial,
    }


def set_length(
    run: Run, length: dict[str, Any], *, train_images: int, head_start: bool, settings: Sequence[str] = ()
) -> Run:
    """The run with a length and the settings that depend on it.

    Args:
        run: The run whose other settings are kept.
        length: Fields of `train`, such as `seconds` or `images`, which replaces any other length.
        train_images: Images of the training split.
        head_start: Whether the head starts from a probe, see `start_from_probe`.
        settings: KEY=VALUE, applied last.

    Raises:
        ConfigError: A setting is invalid, or the run cannot have this length.
    """
    values = {f"train.{name}": value for name, value in length.items()}
    if length and run.train.mode is Mode.PROBE:  # it can have a length only with the settings that make it no probe
        values |= parse_settings(pick_settings(settings, "train"))
    run = override(revise(run, values, "the recipe"), settings)
    if head_start:
        run = override(start_from_probe(run, train_images), settings)
    check_size(find_network(run.model.name), run.model.size)
    return run


def without_length(run: Run) -> Run:
    """The run with the length and the scoring of a default one: what remains was asked for."""
    return run.revised(train={name: Train.model_fields[name].default for name in _OF_LENGTH} | {"epochs": 1.0})


def settings_of_length(settings: Sequence[str]) -> dict[str, Any]:
    """What KEY=VALUE settings ask for of what `without_length` leaves out: values by key."""
    said = {f"train.{name}": pick_settings(settings, f"train.{name}") for name in _OF_LENGTH}
    return {key: look_up(override(Run(), own), key) for key, own in said.items() if own}


def start_from_probe(run: Run, train_images: int) -> Run:
    """The run with a head that starts from a linear probe (LP-FT, Kumar et al. 2022).

    The probe uses a quarter of the run's images, or ten for each of its seconds: that is a thirtieth of a fast
    network's time, and a third of a slow one's. A probe, and a run that starts from random weights, stay as they are.
    """
    train = run.train
    if train.mode is Mode.PROBE or has_random_weights(run):
        return run
    if train.seconds is not None:
        wanted = max(500, round(10 * train.seconds))
    else:
        wanted = (train.images or round((train.epochs or 0.0) * train_images)) // 4
    return run.revised(train={"probe_images": min(MAX_PROBE_IMAGES, train_images, wanted)})


def has_random_weights(run: Run) -> bool:
    """Whether the run starts from random weights, because the network has no others or because that was asked for."""
    return run.model.weights == "none" or find_network(run.model.name).from_scratch
