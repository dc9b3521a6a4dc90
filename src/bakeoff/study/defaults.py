"""The recipe that a network starts from, before anything is searched."""

from collections.abc import Sequence
from typing import Any

from bakeoff.errors import ConfigError
from bakeoff.networks.table import TABLE, NetworkSpec, Origin, check_size, find_network
from bakeoff.networks.weights import is_at_hand, locate_weights
from bakeoff.runs.config import Augment, BatchNorm, Candidate, Data, Model, Optim, Run, Train, WeightsChoice, override

__all__ = [
    "assign_weights",
    "choose_candidates",
    "default_run",
    "default_size",
    "earlier_sizes",
    "find_missing",
    "fit_to_length",
    "start_from",
    "start_from_probe",
    "starts_at_random",
]

# Seconds of a budget for each training image from which on 128 pixels are worth their time on two cores: that is about
# four epochs, after which EfficientNet-Lite0 was better at 128 than at 96 (benchmarks/levers.csv).
UNHURRIED = 0.06
# Images of the probe that a head starts from, at most.
MOST_PROBED = 3000
# Mirror images of these are other classes, or none at all.
UNMIRRORED = ("digits",)


def choose_candidates(
    wanted: Sequence[Candidate] | None, side: int, weights: WeightsChoice, seconds_per_image: float = 0.0
) -> list[Candidate]:
    """Candidates with their input sizes: those asked for, or all that can start at once, small ones first.

    `seconds_per_image` is the wall clock that there is for each training image: with more, inputs are larger.
    Raises ConfigError for an unknown network or too small a size.
    """
    for name in weights.named:
        find_network(name)
    if wanted is None:
        rows = [row for row in TABLE if row.from_scratch or _can_start(row, weights)]
        rows.sort(key=lambda row: (row.from_scratch, row.params_total))
        return [Candidate(name=row.name, size=default_size(row, side, seconds_per_image)) for row in rows]
    sized = []
    for candidate in wanted:
        row = find_network(candidate.name)
        size = default_size(row, side, seconds_per_image) if candidate.size is None else candidate.size
        check_size(row, size)
        sized.append(Candidate(name=row.name, size=size))
    return list(dict.fromkeys(sized))


def _can_start(row: NetworkSpec, weights: WeightsChoice) -> bool:
    return row.name in weights.named or (weights.default == "auto" and is_at_hand(row))


def assign_weights(candidates: Sequence[Candidate], weights: WeightsChoice) -> WeightsChoice:
    """A choice in which a file belongs to the one network that it is for. Raises ConfigError if that is not clear."""
    names = [candidate.name for candidate in candidates]
    if strangers := sorted(set(weights.named) - set(names)):
        raise ConfigError(f"--weights names {strangers[0]}, which is no candidate; candidates are {', '.join(names)}")
    if weights.default in ("auto", "none"):
        return weights
    open_to_it = {name for name in names if not find_network(name).from_scratch and name not in weights.named}
    if len(open_to_it) != 1:
        raise ConfigError(f"--weights {weights.default}: say which network it is for, as in --weights {names[0]}=PATH")
    return weights.model_copy(update={"default": "auto", "named": weights.named | {open_to_it.pop(): weights.default}})


def find_missing(candidates: Sequence[Candidate], weights: WeightsChoice) -> list[NetworkSpec]:
    """Networks whose own weights Keras has still to download. Raises WeightsError for what cannot be had at all."""
    missing = []
    for row in dict.fromkeys(find_network(candidate.name) for candidate in candidates):
        if weights.of(row.name) == "auto" and Origin.HUB in row.weight_origins and not is_at_hand(row):
            missing.append(row)
        else:
            locate_weights(row, weights.of(row.name))
    return missing


def default_size(row: NetworkSpec, side: int, seconds_per_image: float = 0.0) -> int:
    """Input size for stored squares of `side` pixels: small images are enlarged, as pretrained filters expect.

    With more wall clock than UNHURRIED for each training image, they are enlarged further.
    """
    if row.from_scratch:
        return row.native_size
    if side < 32:
        return max(48, row.min_size)
    size = 96 if side <= 64 and seconds_per_image < UNHURRIED else 128
    return max(row.min_size, min(size, row.native_size))


def earlier_sizes(row: NetworkSpec, size: int) -> tuple[int, ...]:
    """Input sizes for the first part of a long run that ends at `size`: three quarters of it, where that is enough.

    Progressive resizing: the first steps need no detail, and smaller images are faster (benchmarks/levers.csv).
    """
    smaller = 32 * round(0.75 * size / 32)
    return (smaller,) if not row.from_scratch and size >= 128 and row.min_size <= smaller < size else ()


def default_run(row: NetworkSpec, size: int, data: Data, weights: WeightsChoice, seed: int) -> Run:
    """A run of one epoch with the family's usual settings; its length is for the caller to choose."""
    policy = "crop" if data.source in UNMIRRORED else "flip-crop"
    model = Model(name=row.name, size=size, weights=weights.of(row.name), partial_weights=weights.partial)
    if row.from_scratch or model.weights == "none":
        model = model.model_copy(update={"dropout": 0.3})
        optim = Optim(learning_rate=1e-3, ema=0.99)
    else:
        # A few hundred steps at a new input size are too few to learn new batch statistics; with ImageNet's own kept,
        # a short run is faster, needs less memory and ends more accurate.
        model = model.model_copy(update={"batch_norm": BatchNorm.FROZEN})
        optim = Optim(learning_rate=5e-4, ema=0.98)
    return Run(data=data, model=model, augment=Augment(policy=policy), optim=optim, train=Train(epochs=1), seed=seed)


def start_from(recipe: Run | None, candidate: Candidate, data: Data, weights: WeightsChoice, seed: int) -> Run:
    """A recipe with this network, these data and this seed in it; the family's usual settings without one."""
    row, size = find_network(candidate.name), candidate.size or 0
    if recipe is None:
        return default_run(row, size, data, weights, seed)
    model = {"name": row.name, "size": size, "weights": weights.of(row.name), "partial_weights": weights.partial}
    return recipe.revised(model=model).model_copy(update={"data": data, "seed": seed})


def fit_to_length(
    run: Run, length: dict[str, Any], count_train: int, *, head_start: bool, settings: Sequence[str] = ()
) -> Run:
    """The run with these settings of `train`, its head from a probe if wanted, and KEY=VALUE settings over everything.

    Raises ConfigError for settings that cannot be.
    """
    run = run.revised(train=length)
    if head_start:
        run = start_from_probe(run, count_train)
    run = override(run, settings)
    check_size(find_network(run.model.name), run.model.size)
    return run


def start_from_probe(run: Run, count_train: int) -> Run:
    """The run with its head from a probe, on a quarter of its images, or on ten for each of its seconds.

    At ten a second a fast network spends a thirtieth of its time on them, a slow one a third. Nothing changes for a
    network that starts at random.
    """
    if starts_at_random(run):
        return run
    train = run.train
    wanted = max(500, round(10 * (train.seconds or 0.0))) if train.images is None else train.images // 4
    return run.revised(train={"probe_images": min(MOST_PROBED, count_train, wanted)})


def starts_at_random(run: Run) -> bool:
    """Whether nothing of the network is pretrained, by nature or because it was asked for."""
    return run.model.weights == "none" or find_network(run.model.name).from_scratch
