"""The optimiser of a run and its learning rate, both pure functions of the config."""

import math
from typing import Any

import keras

from bakeoff.networks.model import Network
from bakeoff.runs.config import Optim, Optimizer, Schedule

__all__ = ["build_optimizer", "learning_rate", "rate_factors"]

_KINDS = {
    Optimizer.ADAMW: keras.optimizers.AdamW,
    Optimizer.ADAM: keras.optimizers.Adam,
    Optimizer.ADAMAX: keras.optimizers.Adamax,
    Optimizer.LION: keras.optimizers.Lion,
    Optimizer.RMSPROP: keras.optimizers.RMSprop,
    Optimizer.SGD: keras.optimizers.SGD,
}


def build_optimizer(config: Optim) -> keras.optimizers.Optimizer:
    """A Keras optimiser at rate 0 (the training loop sets the rate of each step).

    Weight decay is decoupled (Loshchilov & Hutter 2019) and spares biases and batch normalisation.
    """
    decay = config.weight_decay or None
    settings: dict[str, Any] = {"weight_decay": decay, "global_clipnorm": config.clip_norm or None}
    if config.name is Optimizer.ADAMW:
        settings["weight_decay"] = config.weight_decay  # it takes 0 for none
    elif config.name is Optimizer.SGD:
        settings |= {"momentum": 0.9, "nesterov": True}
    optimizer = _KINDS[config.name](0.0, **settings)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def learning_rate(config: Optim, progress: float) -> float:
    """The rate at `progress` in [0, 1]: a linear warm-up, then the schedule; cosine and line end at zero."""
    if progress < config.warmup:
        return config.learning_rate * progress / config.warmup
    if config.schedule is Schedule.CONSTANT:
        return config.learning_rate
    done = (progress - config.warmup) / (1 - config.warmup)
    if config.schedule is Schedule.LINEAR:
        return config.learning_rate * (1 - min(done, 1.0))
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def rate_factors(config: Optim, network: Network) -> dict[str, float]:
    """By a variable's path: its rate as a fraction of the head's, where that is less than one."""
    if config.first_layer == 1.0:
        return {}
    layers = network.backbone.layers
    factors: dict[str, float] = {}
    for depth, layer in enumerate(layers):
        factor = config.first_layer ** (1 - depth / len(layers))
        factors |= {variable.path: factor for variable in layer.trainable_variables}
    return factors
