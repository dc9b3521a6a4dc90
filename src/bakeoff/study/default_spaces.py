"""Default search spaces: what a search varies, and what a factor-by-factor study varies, for a network's recipe."""

from collections.abc import Sequence
from typing import Any

from bakeoff.networks.backbone import fit_size
from bakeoff.networks.find import find_network
from bakeoff.runs.config import Balance, Run
from bakeoff.study.deciding import UNEVEN
from bakeoff.study.defaults import has_random_weights
from bakeoff.study.space import Parameter, Scalar, Space

__all__ = ["default_factors", "default_space"]


def default_space(base: Run, imbalance: float = 1.0) -> Space:
    """The space of a search around a recipe: optimiser, batch, regularisation, augmentation, freezing, input size.

    Args:
        base: The recipe. Of a transformer the rank of LoRA is in the space, in place of batch normalisation.
        imbalance: Training images of the largest class over those of the smallest. If it is at least UNEVEN, the
            balance of the classes is in the space, too.
    """
    rate = base.optim.learning_rate
    parameters = [
        _choice("optim.name", "adamw", "adam", "lion", "sgd"),
        _learning_rate(rate / 5, rate * 6, "adamw", "adam"),
        _learning_rate(rate / 25, rate, "lion"),
        _learning_rate(rate * 4, rate * 100, "sgd"),
        _choice("train.batch", 32, 64, 128),
        _weight_decay(base, "adamw", "lion"),
        _choice("optim.label_smoothing", 0.0, 0.05, 0.1, 0.2),
        _choice("model.dropout", 0.0, 0.1, 0.2, 0.3, 0.5),
        _choice("augment.policy", *_policies(base)),
        Parameter(key="augment.crop", low=0.03, high=0.25, when={"augment.policy": _policies_with_crop(base)}),
        _choice("optim.ema", 0.0, 0.9, 0.98, 0.995),
    ]
    if not has_random_weights(base):
        is_transformer = find_network(base.model.name).transformer
        parameters += [
            _choice("model.unfreeze", 0.3, 0.6, 0.8, 1.0),
            _choice("model.size", *_sizes(base, 64, 96, 128)),
            _choice("model.lora", 0, 4, 16) if is_transformer else _choice("model.batch_norm", "frozen", "train"),
        ]
    if imbalance >= UNEVEN:
        parameters.append(_choice("train.balance", *(balance.value for balance in Balance)))
    return Space(parameters=tuple(parameters)).widened_to(base)


def default_factors(base: Run) -> Space:
    """The original study's eight factors, with its values or ones that fit the network (docs/why/original-study.md)."""
    rate = base.optim.learning_rate
    parameters = [
        _choice("augment.policy", *_policies(base)),
        _choice("model.dropout", 0.15, 0.3, 0.5, 0.7),
        Parameter(key="train.patience", choices=(0, 3, 5, 8), also={"train.evaluations": 12}),
        _choice("optim.learning_rate", *(float(f"{rate * factor:.3g}") for factor in (0.1, 0.4, 2.5, 10))),
        _choice("train.batch", 32, 64, 128, 256),
        _choice("optim.name", "adam", "adamax", "sgd", "adamw"),
    ]
    if not has_random_weights(base):
        parameters = [
            _choice("model.size", *_sizes(base, 32, 64, 96, 128)),
            _choice("model.unfreeze", 0.0, 0.1, 0.2, 1.0),
            *parameters,
        ]
    return Space(parameters=tuple(parameters)).widened_to(base)


def _choice(key: str, *choices: Scalar) -> Parameter:
    return Parameter(key=key, choices=choices)


def _learning_rate(low: float, high: float, *optimizers: str) -> Parameter:
    return Parameter(key="optim.learning_rate", low=low, high=high, log=True, when={"optim.name": optimizers})


def _weight_decay(base: Run, *optimizers: str) -> Parameter:
    """A range; choices with 0 among them if the base recipe has no decay, because a logarithmic scale has no 0."""
    values: dict[str, Any] = {"low": 0.001, "high": 0.2, "log": True}
    if not base.optim.weight_decay:
        values = {"choices": (0.0, 0.001, 0.01, 0.05, 0.2)}
    return Parameter(key="optim.weight_decay", when={"optim.name": optimizers}, **values)


def _sizes(base: Run, *sizes: int) -> Sequence[int]:
    """The sizes that the network can take, and the base recipe's."""
    spec = find_network(base.model.name)
    return sorted({fit_size(spec, size) for size in sizes if size >= spec.min_size} | {base.model.size})


def _policies(base: Run) -> tuple[str, ...]:
    """Augmentation policies. They flip images only if the base recipe does: else a mirrored image is another class."""
    flip = "flip-" if "flip" in base.augment.policy else ""
    policies = (
        "crop",
        "crop-cutout",
        "rotate-zoom-contrast",
        "crop-contrast-brightness",
        "crop-randaugment",
        "crop-mixup",
        "crop-cutmix",
    )
    return ("none", *(f"{flip}{policy}" for policy in policies))


def _policies_with_crop(base: Run) -> tuple[str, ...]:
    return tuple(policy for policy in _policies(base) if "crop" in policy)
