"""The optimiser of a run, its learning rate and its learning-rate multipliers: pure functions of the config."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from bakeoff.networks.blocks import list_parts
from bakeoff.networks.model import Network
from bakeoff.runs.config import Optim, Optimizer, Precision, Schedule

__all__ = ["build_optimizer", "learning_rate", "rate_multipliers"]


class _WithFusedSteps:
    """Adam's update of a variable as one operation of TensorFlow, where Keras builds thirty of the same formula.

    They were the larger half of a training step's graph, and so of the time until a run's first step.
    """

    def _backend_update_step(self: Any, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
        import tensorflow as tf

        if tf.distribute.has_strategy():
            super()._backend_update_step(grads, variables, learning_rate)  # type: ignore[misc]
            return
        step = tf.cast(self.iterations.value + 1, tf.float32)
        rate = tf.convert_to_tensor(learning_rate)
        powers = tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)
        for gradient, variable in zip(grads, variables, strict=True):
            position = self._get_variable_index(variable)
            dtype = variable.dtype
            tf.raw_ops.ResourceApplyAdam(
                var=getattr(variable, "value", variable).handle,
                m=self._momentums[position].value.handle,
                v=self._velocities[position].value.handle,
                beta1_power=tf.cast(powers[0], dtype),
                beta2_power=tf.cast(powers[1], dtype),
                lr=tf.cast(rate, dtype),
                beta1=tf.constant(self.beta_1, dtype),
                beta2=tf.constant(self.beta_2, dtype),
                epsilon=tf.constant(self.epsilon, dtype),
                grad=tf.cast(gradient, dtype),
            )


class Adam(_WithFusedSteps, keras.optimizers.Adam):  # type: ignore[misc]
    pass


class AdamW(_WithFusedSteps, keras.optimizers.AdamW):  # type: ignore[misc]
    pass


_OPTIMIZERS = {
    Optimizer.ADAMW: AdamW,
    Optimizer.ADAM: Adam,
    Optimizer.ADAMAX: keras.optimizers.Adamax,
    Optimizer.LION: keras.optimizers.Lion,
    Optimizer.RMSPROP: keras.optimizers.RMSprop,
    Optimizer.SGD: keras.optimizers.SGD,
}


def build_optimizer(config: Optim, precision: Precision = Precision.FLOAT32) -> keras.optimizers.Optimizer:
    """Build the Keras optimiser, with learning rate 0: the training loop sets the rate of each step.

    Weight decay is decoupled (Loshchilov & Hutter 2019, arXiv 1711.05101). Biases and normalisation parameters are
    exempt from it. For float16 the loss is scaled (Micikevicius et al. 2018, arXiv 1710.03740), because small gradients
    would be zero in it; a step whose gradients overflow is left out, and the scale halved.
    """
    decay = config.weight_decay or None
    settings: dict[str, Any] = {"weight_decay": decay, "global_clipnorm": config.clip_norm or None}
    if config.name is Optimizer.ADAMW:
        settings["weight_decay"] = config.weight_decay  # AdamW refuses None
    elif config.name is Optimizer.SGD:
        settings |= {"momentum": 0.9, "nesterov": True}
    optimizer = _OPTIMIZERS[config.name](0.0, **settings)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision is Precision.FLOAT16 else optimizer


def learning_rate(config: Optim, progress: float) -> float:
    """The learning rate at a progress in [0, 1]: a linear warm-up from zero to the peak, then the schedule.

    Cosine: Loshchilov & Hutter 2017, arXiv 1608.03983.
    """
    if progress < config.warmup:
        return config.learning_rate * progress / config.warmup
    if config.schedule is Schedule.CONSTANT:
        return config.learning_rate
    decayed = min((progress - config.warmup) / (1 - config.warmup), 1.0)
    if config.schedule is Schedule.LINEAR:
        return config.learning_rate * (1 - decayed)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * decayed))


def rate_multipliers(config: Optim, network: Network) -> dict[str, float]:
    """Learning-rate multipliers of the backbone's trainable variables, by path; variables without one have 1.

    Discriminative fine-tuning (Howard & Ruder 2018, arXiv 1801.06146): they rise from `config.first_layer` at the first
    layer, by a constant factor from layer to layer, or from block to block of a transformer, up to 1 at the head.
    """
    if config.first_layer == 1.0:
        return {}
    parts = list_parts(network.backbone)
    multipliers: dict[str, float] = {}
    for depth, part in enumerate(parts):
        multiplier = config.first_layer ** (1 - depth / len(parts))
        multipliers |= {variable.path: multiplier for variable in part.layer.trainable_variables}
    return multipliers
