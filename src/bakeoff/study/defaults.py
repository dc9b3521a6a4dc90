"""The recipe that a network starts from, before anything is searched."""

from collections.abc import Sequence

from bakeoff.backbones import TABLE, Backbone, check_size, find_backbone
from bakeoff.config import Augment, BatchNorm, Candidate, Data, Model, Optim, Policy, Run, Train
from bakeoff.weights import is_at_hand, locate_weights

__all__ = ["choose_candidates", "default_run", "default_size"]

# Mirror images of these are other classes, or none at all.
UNMIRRORED = ("digits",)


def choose_candidates(wanted: Sequence[Candidate] | None, side: int, weights: str) -> list[Candidate]:
    """Candidates with their input sizes: those asked for, or all that can start at once, small ones first.

    Raises ConfigError for an unknown network or too small a size, WeightsError for weights that are not at hand.
    """
    if wanted is None:
        rows = [row for row in TABLE if row.scratch or (weights == "auto" and is_at_hand(row))]
        rows.sort(key=lambda row: (row.scratch, row.params_total))
        return [Candidate(name=row.name, size=default_size(row, side)) for row in rows]
    sized = []
    for candidate in wanted:
        row = find_backbone(candidate.name)
        size = default_size(row, side) if candidate.size is None else candidate.size
        check_size(row, size)
        locate_weights(row, weights)
        sized.append(Candidate(name=row.name, size=size))
    return list(dict.fromkeys(sized))


def default_size(row: Backbone, side: int) -> int:
    """Input size for stored squares of `side` pixels: small images are enlarged, as pretrained filters expect."""
    if row.scratch:
        return row.native_size
    if side < 32:
        return max(48, row.min_size)
    return max(row.min_size, min(96 if side <= 64 else 128, row.native_size))


def default_run(row: Backbone, size: int, data: Data, weights: str, seed: int) -> Run:
    """A run of one epoch with the family's usual settings; its length is for the caller to choose."""
    policy = Policy.CROP if data.source in UNMIRRORED else Policy.FLIP_CROP
    pretrained = not row.scratch and weights != "none"
    if pretrained:
        # A few hundred steps at a new input size are too few to learn new batch statistics; with ImageNet's own kept,
        # a short run is faster, needs less memory and ends more accurate.
        model = Model(name=row.name, size=size, weights=weights, batch_norm=BatchNorm.FROZEN, dropout=0.2)
        optim = Optim(learning_rate=5e-4, ema=0.98)
    else:
        model = Model(name=row.name, size=size, weights=weights, dropout=0.3)
        optim = Optim(learning_rate=1e-3, ema=0.99)
    return Run(data=data, model=model, augment=Augment(policy=policy), optim=optim, train=Train(epochs=1), seed=seed)
