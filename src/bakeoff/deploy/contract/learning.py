"""Training: a few steps lower the loss, what is frozen stays as it is, and a saved model opens again."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bakeoff.deploy.contract.subject import ContractError, Subject
from bakeoff.networks.blocks import freeze
from bakeoff.networks.graph import list_inner
from bakeoff.networks.saved import open_model
from bakeoff.runs.config import BatchNorm
from bakeoff.text import counted

__all__ = ["SHARES", "check_freezing", "check_learning", "check_saving"]

STEPS = 3
# Small, so that a step follows the gradient and does not leap across the valley.
RATE = 1e-5
# The parts of the layers that are trained while the others are frozen.
SHARES = (0.0, 0.1, 0.2)
# What counts as the same logits.
TOLERANCE = 1e-4


def check_learning(subject: Subject) -> str:
    """A few steps on one batch lower its loss."""
    freeze(subject.network.backbone, 1.0, BatchNorm.TRAIN)
    model, optimizer = subject.model, keras.optimizers.Adam(RATE)
    losses = [_step(model, optimizer, subject) for _ in range(STEPS)]
    found = f"the loss of one batch went from {losses[0]:.4f} to {losses[-1]:.4f} in {STEPS} steps"
    if not losses[-1] < losses[0]:
        raise ContractError(found)
    return found


def check_freezing(subject: Subject, share: float) -> str:
    """A step moves what learns, and not a bit of what is frozen.

    Args:
        subject: The network.
        share: The part of its layers, counted from the output, that is trained.
    """
    network = subject.network
    freeze(network.backbone, 1.0, BatchNorm.TRAIN)
    can_learn = network.backbone.trainable_weights
    model = subject.model
    # Frozen layers normalise by statistics of earlier batches. Those of a new network fit no images, and would let the
    # signal, and with it the gradient, fade from layer to layer.
    model(subject.images, training=True)
    freeze(network.backbone, share, BatchNorm.TRAIN)
    frozen = _list_frozen(network.backbone, can_learn)
    learning = model.trainable_weights
    if share == 0.0 and [id(weight) for weight in learning] != [id(weight) for weight in network.head.weights]:
        own = [weight.path for weight in learning if all(weight is not other for other in network.head.weights)]
        raise ContractError(f"{', '.join(own[:3])} learn although the whole network is frozen")
    old_frozen, old_learning = _values(frozen), _values(learning)
    _step(model, keras.optimizers.Adam(RATE), subject)
    if moved := [weight.path for weight, old in zip(frozen, old_frozen, strict=True) if not _same(weight, old)]:
        raise ContractError(f"{', '.join(moved[:3])} changed although frozen")
    changed = sum(not _same(weight, old) for weight, old in zip(learning, old_learning, strict=True))
    found = f"{changed} of {counted(len(learning), 'tensor')} changed with {share:.0%} of the layers trained"
    if changed <= 0.9 * len(learning):
        raise ContractError(found)
    return f"{found}, and none of the {counted(len(frozen), 'frozen tensor')}"


def check_saving(subject: Subject, folder: Path) -> str:
    """A saved model opens with the same weights, and gives the same logits.

    Args:
        subject: The network.
        folder: Where the file is written.
    """
    path = folder / "model.keras"
    model = subject.model
    logits = np.asarray(model(subject.images, training=False))
    model.save(path)
    again = open_model(path, subject.network.spec.plugin)
    if len(again.weights) != len(model.weights):
        raise ContractError(f"{len(again.weights)} of {counted(len(model.weights), 'tensor')} came back")
    for weight, read in zip(model.weights, again.weights, strict=True):
        if not _same(weight, np.asarray(read)):
            raise ContractError(f"{weight.path} came back with other values")
    gap = float(np.abs(np.asarray(again(subject.images, training=False)) - logits).max())
    if not gap <= TOLERANCE:
        raise ContractError(f"logits differ by {gap:.2g} after it was opened again; is everything in get_config?")
    return f"{counted(len(model.weights), 'tensor')} and the logits came back"


def _list_frozen(backbone: keras.Model, can_learn: list[Any]) -> list[Any]:
    """The weights that may not change: those of frozen layers, at all levels, and others that do not learn now.

    Args:
        backbone: The network, frozen in part.
        can_learn: The weights that learn where nothing is frozen.
    """
    of_layers = (layer.weights for layer in list_inner(backbone, all_levels=True) if not layer.trainable)
    others = [weight for weight in can_learn if not weight.trainable]
    return [*{id(weight): weight for weights in (*of_layers, others) for weight in weights}.values()]


def _step(model: keras.Model, optimizer: Any, subject: Subject) -> float:
    """One step of gradient descent, uncompiled: compiling a large network takes longer than its few steps."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        logits = model(subject.images, training=True)
        losses = keras.losses.sparse_categorical_crossentropy(subject.labels, logits, from_logits=True)
        loss = tf.reduce_mean(losses)
    weights = model.trainable_variables
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    if unused := [weight.path for weight, gradient in zip(weights, gradients, strict=True) if gradient is None]:
        raise ContractError(f"no gradient reaches {', '.join(unused[:3])}")
    optimizer.apply(gradients, weights)
    return float(loss)


def _values(weights: list[Any]) -> list[NDArray[Any]]:
    return [np.array(weight) for weight in weights]


def _same(weight: Any, other: NDArray[Any]) -> bool:
    return np.array_equal(np.asarray(weight), other)
