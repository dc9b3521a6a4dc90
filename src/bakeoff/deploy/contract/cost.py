"""What a network costs: memory as predicted, the same numbers from the fused model, half precision."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bakeoff.deploy.contract.subject import CLASSES, SIDE, ContractError, Subject, contract_model, smallest_size
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.blocks import freeze
from bakeoff.networks.fuse import fuse
from bakeoff.networks.model import build_network
from bakeoff.runs.config import BatchNorm, Precision, Run, Train
from bakeoff.training.memory import PeakMemory, predict_memory
from bakeoff.training.tryout import random_step

__all__ = ["check_fused", "check_half_precision", "check_memory"]

BATCH = 32
# A prediction is good enough if what was measured is within this factor of it, or this close.
MEMORY_FACTOR, MEMORY_BYTES = 2.0, 150e6
# How far a fused model may be, relative to the largest number.
FUSED = 1e-3
# Half precision has 8 significant bits, and every layer rounds.
HALF = 0.3


def check_memory(spec: Backbone) -> str:
    """The peak memory of training is about what is predicted. Tried first, because the process keeps its peak."""
    size = smallest_size(spec)
    run = Run(model=contract_model(spec, size), train=Train(epochs=1, batch=BATCH))
    memory = PeakMemory()
    with keras.StatelessScope():
        network = build_network(spec, run.model, side=SIDE, classes=CLASSES)
        freeze(network.backbone, 1.0, BatchNorm.TRAIN)
        predicted = predict_memory(network, run)
    network = build_network(spec, run.model, side=SIDE, classes=CLASSES)
    step = random_step(network, run)
    losses = [step(), step()]
    measured = memory.read()
    if not np.isfinite(losses).all():
        raise ContractError("the loss of a compiled step is no number")
    found = f"{measured / 1e6:,.0f} MB measured, {predicted / 1e6:,.0f} MB predicted (batch {BATCH}, {size} pixels)"
    low, high = sorted((predicted, measured))
    if high > MEMORY_FACTOR * low and high - low > MEMORY_BYTES:
        raise ContractError(found)
    return found


def check_fused(subject: Subject) -> str:
    """The fused model gives the network's logits and gradients in inference, and its loss in training."""
    backbone, model = subject.network.backbone, subject.model
    # A fused normalisation in inference mode has no gradients for its own weights, because they are frozen then.
    freeze(backbone, 1.0, BatchNorm.FROZEN)
    gap = _differ(*(_differentiate(call, model, subject) for call in (model, fuse(model))))
    if not gap <= FUSED:
        raise ContractError(f"logits and gradients differ by {gap:.2g} of their size")
    freeze(backbone, 1.0, BatchNorm.TRAIN)
    plain, again, fused = (_score(call, model, subject) for call in (model, model, fuse(model)))
    # With a layer that draws numbers, no two losses are the same.
    if plain == again and not abs(fused - plain) <= FUSED * abs(plain):
        raise ContractError(f"the loss in training is {fused:.4f} instead of {plain:.4f}")
    return f"logits and gradients differ by {gap:.1g} of their size"


def _differentiate(call: Callable[..., Any], model: keras.Model, subject: Subject) -> NDArray[np.float32]:
    """The logits and gradients of a model, or of a function that stands for it, in inference, in one row."""
    import tensorflow as tf

    variables = [weight.value for weight in model.trainable_variables]

    @tf.function  # type: ignore[untyped-decorator]
    def differentiate() -> Any:
        with tf.GradientTape() as tape:
            logits = call(tf.constant(subject.images), training=False)
            loss = _cross_entropy(logits, subject)
        return logits, tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    logits, gradients = differentiate()
    return np.concatenate([np.ravel(logits), *(np.ravel(tf.convert_to_tensor(each)) for each in gradients)])


def _score(call: Callable[..., Any], model: keras.Model, subject: Subject) -> float:
    """The loss of a model, or of a function that stands for it, in training; the weights are as before then."""
    import tensorflow as tf

    kept = model.get_weights()
    score = tf.function(lambda: _cross_entropy(call(tf.constant(subject.images), training=True), subject))
    loss = float(score())
    model.set_weights(kept)
    return loss


def _cross_entropy(logits: Any, subject: Subject) -> Any:
    import tensorflow as tf

    labels = tf.constant(subject.labels, tf.int32)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def check_half_precision(spec: Backbone) -> str:
    """Under bfloat16 the network has float32 weights, and about the features of float32."""
    size = smallest_size(spec)
    images = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
    exact = build_network(spec, contract_model(spec, size), side=SIDE, classes=CLASSES)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(Precision.BFLOAT16.value)
    try:
        half = build_network(spec, contract_model(spec, size), side=SIDE, classes=CLASSES)
    finally:
        keras.config.set_dtype_policy(policy)
    half.backbone.set_weights(exact.backbone.get_weights())
    if odd := [weight.path for weight in half.backbone.weights if weight.dtype != "float32"]:
        raise ContractError(f"{', '.join(odd[:3])} are not float32; make weights by add_weight without a dtype")
    wanted, found = (
        np.asarray(each.features(size)(images, training=False)).astype(np.float32) for each in (exact, half)
    )
    gap = _differ(wanted, found)
    if not gap <= HALF:
        raise ContractError(f"features under bfloat16 differ by {gap:.0%} from those of float32")
    return f"features differ by {gap:.1%}"


def _differ(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """The size of the difference, relative to what was wanted."""
    return float(np.linalg.norm(found - wanted)) / max(float(np.linalg.norm(wanted)), 1e-12)
