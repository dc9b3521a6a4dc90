"""What a network costs: memory as predicted, the same numbers from the fused model, half precision."""

from collections.abc import Callable
from typing import Any, NamedTuple

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
    freeze(subject.network.backbone, 1.0, BatchNorm.TRAIN)
    model = subject.model
    kept = model.get_weights()
    plain, again, fused = (_compute(call, model, subject) for call in (model, model, fuse(model)))
    model.set_weights(kept)
    gap = _differ(plain.inference, fused.inference)
    if not gap <= FUSED:
        raise ContractError(f"logits and gradients differ by {gap:.2g} of their size")
    # With a layer that draws numbers, no two losses are the same.
    if plain.loss == again.loss and not abs(fused.loss - plain.loss) <= FUSED * abs(plain.loss):
        raise ContractError(f"the loss in training is {fused.loss:.4f} instead of {plain.loss:.4f}")
    return f"logits and gradients differ by {gap:.1g} of their size"


class _Computed(NamedTuple):
    inference: NDArray[np.float32]
    """Logits and gradients, in one row."""
    loss: float
    """In training."""


def _compute(call: Callable[..., Any], model: keras.Model, subject: Subject) -> _Computed:
    """What a model, or a function that stands for it, computes; the weights are as before then."""
    import tensorflow as tf

    images, labels = tf.constant(subject.images), tf.constant(subject.labels, tf.int32)
    variables = [weight.value for weight in model.trainable_variables]
    kept = model.get_weights()

    def cross_entropy(logits: Any) -> Any:
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

    @tf.function  # type: ignore[untyped-decorator]
    def differentiate() -> Any:
        with tf.GradientTape() as tape:
            logits = call(images, training=False)
            loss = cross_entropy(logits)
        return logits, tape.gradient(loss, variables)

    @tf.function  # type: ignore[untyped-decorator]
    def score() -> Any:
        return cross_entropy(call(images, training=True))

    logits, gradients = differentiate()
    row = np.concatenate([np.ravel(logits), *(np.ravel(tf.convert_to_tensor(each)) for each in gradients)])
    loss = float(score())
    model.set_weights(kept)
    return _Computed(row, loss)


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
