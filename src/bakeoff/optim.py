"""The optimiser of a run and its learning rate, both pure functions of the config."""

import math

import keras

from bakeoff.config import Optim, Optimizer, Schedule

__all__ = ["build_optimizer", "learning_rate"]


def build_optimizer(config: Optim) -> keras.optimizers.Optimizer:
    """A Keras optimiser at rate 0 (the training loop sets the rate of each step).

    Weight decay is decoupled (Loshchilov & Hutter 2019) and spares biases and batch normalisation.
    """
    decay = config.weight_decay or None
    clip = config.clip_norm or None
    match config.name:
        case Optimizer.ADAMW:
            optimizer = keras.optimizers.AdamW(0.0, weight_decay=config.weight_decay, global_clipnorm=clip)
        case Optimizer.ADAM:
            optimizer = keras.optimizers.Adam(0.0, weight_decay=decay, global_clipnorm=clip)
        case Optimizer.SGD:
            optimizer = keras.optimizers.SGD(0.0, momentum=0.9, nesterov=True, weight_decay=decay, global_clipnorm=clip)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def learning_rate(config: Optim, progress: float) -> float:
    """The rate at `progress` in [0, 1]: a linear warm-up, then the schedule; a cosine ends at zero."""
    if progress < config.warmup:
        return config.learning_rate * progress / config.warmup
    if config.schedule is Schedule.CONSTANT:
        return config.learning_rate
    done = (progress - config.warmup) / (1 - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
